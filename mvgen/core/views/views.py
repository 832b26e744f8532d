"""Pictures of one object from known directions as a closed, textured surface."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, UsageError
from mvgen.core.geometry import Mesh
from mvgen.core.io.images import write_image, write_mask
from mvgen.core.prepare.cutout import Cutout, bled, cut_out
from mvgen.core.progress import Progress, Silent
from mvgen.core.render.raycast import Caster
from mvgen.core.scene import View
from mvgen.core.surface.simplify import drop_small_parts, simplify
from mvgen.core.surface.topology import topology
from mvgen.core.texture import texture_mesh
from mvgen.core.views.hull import AGREE, Seen, centred, hull
from mvgen.core.views.options import DIRECTIONS, ViewsOptions
from mvgen.core.views.paint import painted_over
from mvgen.core.views.place import far_camera, solve, turn
from mvgen.core.views.silhouette import Silhouette

SAME = 1.0  # degrees: directions nearer than this are one
ACROSS = 10.0  # degrees by which at least two lines of sight must differ
LEAST = 64  # pixels of an object: fewer show nothing
DIFFERENT = 0.03  # units by which pictures may disagree before it is said
COVERED = 0.75  # of each mask must be covered by the shape that fits all
FAVOUR = 10.0  # times as many pixels count the first picture and the one opposite to it
FACING = 0.98  # cosine between their lines of sight, at least
SOLID = 0.9  # of a pixel is the object's where its colour is taken from the picture
CHECKED = 256  # pixels of the longer side at which that is looked at


@dataclass(frozen=True, eq=False)
class ViewPicture:
    """One picture that shows the whole object, and from where.

    picture: cut out already, or the path of a file; mask: white where the object is, for a path alone. azimuth: degrees
    from the front (seen from +z, y up), 90 is at +x; elevation: degrees, 90 is above, with the front at the picture's
    lower side. camera: of a perspective picture, in the pixels of the picture (for a file: as it is, before reduction),
    in a world of glTF's axes; it takes the place of the direction.
    """

    picture: Cutout | Path
    azimuth: float = 0.0
    elevation: float = 0.0
    camera: Camera | None = None
    mask: Path | None = None


@dataclass(frozen=True, eq=False)
class Views:
    """A closed mesh with texture, and for each picture the camera that sees it so, in the picture's pixels."""

    mesh: Mesh
    cameras: tuple[Camera, ...]


@dataclass(frozen=True, eq=False)
class Posed:
    """A picture with its camera."""

    cutout: Cutout
    seen: Seen


def mesh_from_views(
    pictures: Sequence[ViewPicture], options: ViewsOptions | None = None, progress: Progress | None = None
) -> Views:
    """The surface that the pictures show, closed and textured, in glTF's axes.

    Pictures are taken as parallel views, unless all have cameras; then the result lies in the cameras' world, else
    around the origin with a longest side of 1. Raises UsageError for fewer than two pictures, two from one direction,
    or cameras for some only; CannotError for pictures that show nothing or contradict each other; what `cut_out` does.
    """
    progress, options = progress or Silent(), options or ViewsOptions()
    check(pictures)
    progress.stage("prepare", len(pictures))
    cutouts = []
    for number, picture in enumerate(pictures):
        cutouts.append(_cutout(picture, number))
        progress.advance()
    posed = pose(pictures, cutouts, options, progress)
    mesh, posed = shape(posed, pictures[0].camera is not None, options, progress)
    return Views(textured(mesh, posed, progress), tuple(p.seen.camera for p in posed))


def check(pictures: Sequence[ViewPicture]) -> None:
    """Raises UsageError for pictures that cannot make a shape, whatever they show."""
    if len(pictures) < 2:
        raise UsageError(f"{len(pictures)} picture: a shape needs at least two", "add one from the side")
    given = sum(p.camera is not None for p in pictures)
    if given not in (0, len(pictures)):
        raise UsageError(f"{given} of {len(pictures)} pictures have cameras", "give cameras for all of them, or none")
    for number, p in enumerate(pictures):
        if not (np.isfinite([p.azimuth, p.elevation]).all() and abs(p.elevation) <= 90):
            raise UsageError(f"{_name(p, number)}: no direction", "elevations lie from -90 to 90 degrees")
    sight = [p.camera.forward if p.camera is not None else turn(p.azimuth, p.elevation)[2] for p in pictures]
    angles = {(i, j): _angle(sight[i], sight[j]) for i, j in combinations(range(len(sight)), 2)}
    for (i, j), angle in angles.items():
        if angle < SAME and not given:
            raise UsageError(
                f"{_name(pictures[i], i)} and {_name(pictures[j], j)} are from the same direction",
                "give each picture its own azimuth and elevation",
            )
    if max(min(angle, 180 - angle) for angle in angles.values()) < ACROSS:
        raise UsageError("all pictures are from the front and the back: the depth is not seen", "add one from the side")


def pose(
    pictures: Sequence[ViewPicture], cutouts: Sequence[Cutout], options: ViewsOptions, progress: Progress
) -> list[Posed]:
    """The pictures with cameras: those given, else found from the outlines."""
    silhouettes = [Silhouette.of(c.alpha) for c in cutouts]
    names = [_name(p, number) for number, p in enumerate(pictures)]
    sizes = [(c.alpha.shape[1], c.alpha.shape[0]) for c in cutouts]
    cameras = [p.camera.resized(*size) for p, size in zip(pictures, sizes) if p.camera is not None]
    if not cameras:
        rotations = [turn(p.azimuth, p.elevation) for p in pictures]
        if options.same_scale:
            if len(set(sizes)) > 1:
                raise UsageError("pictures of the same scale must have the same size", "leave same_scale out")
            extent = max(float(np.ptp(s.outline, axis=0).max()) for s in silhouettes)
            scales, middles = np.full(len(sizes), extent), np.array(sizes) / 2
        else:
            scales, middles, wrong = solve(rotations, silhouettes)
            if wrong > DIFFERENT:
                progress.warn(f"the pictures disagree by up to {wrong:.0%} of the object about how large it is")
        cameras = [far_camera(*each) for each in zip(names, sizes, rotations, scales, middles)]
    return [Posed(c, Seen(camera, s)) for c, camera, s in zip(cutouts, cameras, silhouettes)]


def shape(posed: Sequence[Posed], fixed: bool, options: ViewsOptions, progress: Progress) -> tuple[Mesh, list[Posed]]:
    """The closed surface without colours; and the pictures, whose cameras have moved with it where they were found."""
    progress.stage("hull")
    mesh = drop_small_parts(hull([p.seen for p in posed], options.resolution, progress))
    _check_cover(mesh, [p.seen for p in posed])
    mesh = _simplified(mesh, options.faces)
    if not fixed:
        move = centred(mesh.bounds)
        mesh = mesh.moved(move)
        posed = [replace(p, seen=replace(p.seen, camera=p.seen.camera.moved(move))) for p in posed]
    return mesh, list(posed)


def _simplified(mesh: Mesh, faces: int) -> Mesh:
    """With at most so many faces, unless that would open it."""
    small = simplify(mesh, faces)
    return small if topology(small).watertight else mesh


def textured(mesh: Mesh, posed: Sequence[Posed], progress: Progress, size: int | None = None) -> Mesh:
    """The mesh with a texture from the pictures, of ``size`` texels a side or of what suits them."""
    with tempfile.TemporaryDirectory() as folder:
        views = []
        for number, p in enumerate(posed):
            image, mask = Path(folder) / f"{number}.png", Path(folder) / f"{number}_mask.png"
            write_image(p.cutout.image, image)
            write_mask(p.cutout.alpha > 0.5, mask)
            views.append(View(p.seen.camera, image, mask))
        mesh = texture_mesh(mesh, views, size, progress, favour=_favour([v.camera for v in views]))
    for p in reversed([p for p, own in zip(posed, _favour([v.camera for v in views])) if own > 1]):
        alpha = p.cutout.alpha
        mesh = painted_over(mesh, p.seen.camera, bled(p.cutout.image, alpha > SOLID), alpha)
    return mesh


def _favour(cameras: Sequence[Camera]) -> list[float]:
    """The first picture and what is opposite to it count for more: where the shape is only roughly that of the object,
    the pictures show different things at one place, and a mixture of them would be none."""
    first = cameras[0].forward
    return [FAVOUR if abs(first @ camera.forward) > FACING else 1.0 for camera in cameras]


def _check_cover(mesh: Mesh, views: Sequence[Seen]) -> None:
    """Raises CannotError where a mask has much that no shape can fill that fits the others."""
    caster = Caster(mesh)
    for view in views:
        covered = cover(caster, view)
        if covered < COVERED:
            name = view.camera.name
            raise CannotError(f"the pictures contradict each other: what fits all fills {covered:.0%} of {name}", AGREE)


def cover(caster: Caster, view: Seen) -> float:
    """The share of a view's mask that a mesh fills."""
    camera = view.camera.fitted(CHECKED)
    filled = caster.render(camera, 1).alpha > 0.5
    mask = mask_at(view, camera)
    return float((filled & mask).sum() / max(mask.sum(), 1))


def mask_at(view: Seen, camera: Camera) -> NDArray[np.bool_]:
    """[H, W]: a view's mask in the pixels of a reduced camera."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    ratio = np.array([view.camera.width / camera.width, view.camera.height / camera.height])
    pixels = np.stack([x, y], axis=-1).reshape(-1, 2) * ratio
    return (view.silhouette.at(pixels) < 0).reshape(x.shape)


def _cutout(picture: ViewPicture, number: int) -> Cutout:
    if isinstance(picture.picture, Path):
        return cut_out(picture.picture, picture.mask)
    if (picture.picture.alpha > 0.5).sum() < LEAST:
        raise CannotError(f"{_name(picture, number)}: shows no foreground", "give a mask with the object in white")
    return picture.picture


def _name(picture: ViewPicture, number: int) -> str:
    if isinstance(picture.picture, Path):
        return picture.picture.name
    if picture.camera is not None:
        return picture.camera.name
    for name, direction in DIRECTIONS.items():
        if direction == (picture.azimuth % 360, picture.elevation):
            return name
    return f"picture {number + 1}"


def _angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))
