"""Vertices moved along their normals to where photos agree about what they show.

The patch of the surface around each vertex is looked up in the photos that see it best, at several distances along the
normal; where normalised cross-correlation has a clear peak, the vertex belongs there; where a narrow patch has none, a
wider one is tried. All vertices then move together,
so that the surface keeps its shape between those that know (multi-view photometric refinement, after Furukawa and Ponce
2010, "Accurate, dense, and robust multiview stereopsis", without their gradient descent). Where photos see the surface,
but show nothing on it, what the mesh has of short waves is mere chance, as real ones would have light and shade: there
it ends as a thin plate between the vertices around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError
from mvgen.core.progress import Progress
from mvgen.core.refine.integrate import Pull, face_normals, towards_normals, vertex_normals
from mvgen.core.refine.plate import bent

STEPS = (2.0, 1.0, 0.5, 0.5)  # pixels between the places that are tried, round by round
TRIED = 3  # places on each side
HALF = 3  # samples of a patch on each side of its middle
SPREADS = (1.0, 2.0)  # pixels between samples
STEEP = 3.0  # depth over width, beyond which a patch is cut off
VIEWS = 4  # that see a patch best
FACING = 0.35  # the least cosine between the normal and the way to the camera
HIDDEN = 0.005  # of the depth, by which something before a vertex hides it
ALIKE, CLEAR = 0.6, 0.03  # the least correlation of a peak, and how far it stands above the others' mean
DOUBT, FINE = 0.25, 0.1  # pixels of doubt, by which no peak counts, and by which one counts half
REACH = 0.1  # of the extent, beyond which those that know do not move others along
ALWAYS = 1e-3  # what even the best correlation lacks of 1
WEIGHT = 0.5  # of a vertex that knows its place for sure, against 1 for the shape of a face
PLAIN = 4.0  # grey levels of 255, by which a patch varies at most (standard deviation) that shows nothing
WAVE = 60.0  # pixels; shorter waves of plain parts go
FIRM = 1e4  # how much others are held, against 1 for plain ones: their waves longer than WAVE / 10 stay
_CHUNK = 8192  # vertices at a time


@dataclass(frozen=True, eq=False)
class Picture:
    """A camera, its picture [H, W] float32, grey, and its mask [H, W] or None."""

    camera: Camera
    grey: NDArray[np.float32]
    mask: NDArray[np.float32] | None = None


def moved_by_photos(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    pictures: Sequence[Picture],
    free: NDArray[np.bool_],
    progress: Progress,
) -> tuple[NDArray[np.float64], float]:
    """Vertices [V, 3] where pictures agree about them, and the share of the free [V] that know their place.

    Raises CannotError where fewer than two pictures see any part of the surface.
    """
    share = 0.0
    blurred = {spread: [_blurred(picture, spread) for picture in pictures] for spread in SPREADS}
    progress.stage("photos", len(STEPS))
    for step in STEPS:
        normals = vertex_normals(vertices, faces)
        seen = _seen(vertices, faces, normals, pictures)
        several = free & (seen.views[:, 1] >= 0)
        if not several.any():
            raise CannotError("no part of the mesh is seen by two photos", "check that the photos belong to it")
        moves, doubt = np.zeros(len(vertices)), np.full(len(vertices), np.inf)
        rows = np.flatnonzero(several)
        for first in range(0, len(rows), _CHUNK):
            some = rows[first : first + _CHUNK]
            for spread in SPREADS:
                moves[some], doubt[some] = _agreed(vertices, normals, seen, some, blurred[spread], step, spread)
                some = some[np.isinf(doubt[some])]
        share = float((doubt[free] < np.inf).mean())
        pull = Pull(vertices + moves[:, None] * normals, WEIGHT / (1 + (doubt / FINE) ** 2))
        extent = float(np.ptp(vertices, axis=0).max())
        vertices = towards_normals(vertices, faces, face_normals(vertices, faces), free, REACH * extent, pull=pull)
        progress.advance()
    plain = several & (_contrast(vertices, seen, pictures) < PLAIN)
    if plain.any() and share > 0:
        wave = np.where(several, WAVE * seen.sizes, 0.0)
        hold = np.minimum(1 + (DOUBT / doubt) ** 4, FIRM)  # waves that go are the shorter, the less doubt there is
        vertices = bent(vertices, faces, several, np.where(plain, hold, FIRM), wave)
    return vertices, share


def _contrast(vertices: NDArray[np.float64], seen: _Seen, pictures: Sequence[Picture]) -> NDArray[np.float64]:
    """[V]: by how much the patch around a vertex varies in the picture that sees it best; 0 where none does."""
    out = np.zeros(len(vertices))
    side = 2 * HALF + 1
    for number, picture in enumerate(pictures):
        rows = np.flatnonzero(seen.views[:, 0] == number)
        if not len(rows):
            continue
        mean = cv2.blur(picture.grey, (side, side))
        square = cv2.blur(picture.grey**2, (side, side))
        x, y = np.floor(picture.camera.project(vertices[rows])[0]).astype(np.int64).T
        x, y = np.clip(x, 0, picture.camera.width - 1), np.clip(y, 0, picture.camera.height - 1)
        out[rows] = np.sqrt(np.maximum(square - mean**2, 0))[y, x]
    return out


def _blurred(picture: Picture, spread: float) -> Picture:
    """Without what samples so many pixels apart would miss."""
    if spread <= 1:
        return picture
    return replace(picture, grey=np.asarray(cv2.GaussianBlur(picture.grey, (0, 0), 0.4 * spread), np.float32))


@dataclass(frozen=True, eq=False)
class _Seen:
    """views [V, VIEWS]: the pictures that see each vertex straightest on, best first, -1 where there are no more;
    sizes [V]: what a pixel of the first one spans there; depths: of the surface in each picture [H, W], else 0."""

    views: NDArray[np.int32]
    sizes: NDArray[np.float64]
    depths: list[NDArray[np.float32]]


def _seen(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], normals: NDArray[np.float64], pictures: Sequence[Picture]
) -> _Seen:
    projected = [picture.camera.project(vertices) for picture in pictures]
    depths = [_drawn(picture.camera, *seen, faces) for picture, seen in zip(pictures, projected)]
    facing = [_facing(vertices, normals, *seen, p, d) for seen, p, d in zip(projected, pictures, depths)]
    score = np.stack(facing, axis=1)
    order = np.argsort(-score, axis=1, kind="stable")[:, :VIEWS]
    best = np.take_along_axis(score, order, axis=1)
    views = np.where(best > FACING, order, -1).astype(np.int32)
    views = np.pad(views, ((0, 0), (0, VIEWS - views.shape[1])), constant_values=-1)
    sizes = np.ones(len(vertices))
    for number, picture in enumerate(pictures):
        rows = views[:, 0] == number
        sizes[rows] = projected[number][1][rows] / picture.camera.intrinsics[0, 0]
    return _Seen(views, sizes, depths)


def _drawn(
    camera: Camera, pixels: NDArray[np.float64], depth: NDArray[np.float64], faces: NDArray[np.int32]
) -> NDArray[np.float32]:
    """[H, W]: how far the surface is in each pixel, 0 where there is none."""
    from mvgen.kernels import raster_cpu

    screen = np.concatenate([pixels, depth[:, None]], axis=1).astype(np.float32)
    face, out = np.empty((camera.height, camera.width), np.int32), np.empty((camera.height, camera.width), np.float32)
    raster_cpu.draw(screen, faces, True, face, np.empty((*face.shape, 3), np.float32), out)
    return np.where(face >= 0, out, np.float32(0))


def _facing(
    vertices: NDArray[np.float64],
    normals: NDArray[np.float64],
    pixels: NDArray[np.float64],
    depth: NDArray[np.float64],
    picture: Picture,
    drawn: NDArray[np.float32],
) -> NDArray[np.float64]:
    """[V]: the cosine between a vertex' normal and the way to the camera, -1 where the camera does not see it."""
    camera = picture.camera
    x, y = (np.floor(pixels[:, k]).astype(np.int64) for k in (0, 1))
    inside = (depth > 0) & (x >= HALF) & (y >= HALF) & (x < camera.width - HALF) & (y < camera.height - HALF)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    # the nearest around counts, as a vertex on an edge may be drawn beside its pixel
    far = cv2.dilate(drawn, np.ones((3, 3), np.uint8))
    seen = inside & (depth <= far[y, x] * (1 + HIDDEN))
    if picture.mask is not None:
        seen &= picture.mask[y, x] > 0.5
    rays = camera.centre - vertices
    cosine = (rays * normals).sum(1) / np.maximum(np.linalg.norm(rays, axis=1), 1e-300)
    return np.where(seen, cosine, -1.0)


def _agreed(
    vertices: NDArray[np.float64],
    normals: NDArray[np.float64],
    seen: _Seen,
    rows: NDArray[np.int64],
    pictures: Sequence[Picture],
    step: float,
    spread: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far along normals pictures agree best about patches around some vertices [n]; its doubt in pixels, or inf."""
    tried = np.arange(-TRIED, TRIED + 1.0) * step
    sizes, views = seen.sizes[rows], seen.views[rows]
    patch = _patches(vertices[rows], normals[rows], views[:, 0], sizes, seen.depths, pictures, spread)
    away = (tried[:, None] * sizes)[..., None] * normals[rows]
    scores = [_alike(patch + shift[:, None], views, pictures) for shift in away]
    return _peak(np.stack(scores, axis=1), tried, sizes)


def _patches(
    places: NDArray[np.float64],
    normals: NDArray[np.float64],
    first: NDArray[np.int32],
    sizes: NDArray[np.float64],
    depths: Sequence[NDArray[np.float32]],
    pictures: Sequence[Picture],
    spread: float,
) -> NDArray[np.float64]:
    """[n, P, 3]: the surface in a square of pixels around places [n, 3] in the first picture that sees them.

    Where another part of it lies before or behind, or none, the tangent plane goes on.
    """
    grid = spread * np.stack(np.meshgrid(*[np.arange(-HALF, HALF + 1.0)] * 2), axis=-1).reshape(-1, 2)
    out = np.empty((len(places), len(grid), 3))
    for number, picture in enumerate(pictures):
        rows = np.flatnonzero(first == number)
        if not len(rows):
            continue
        camera, lens = picture.camera, picture.camera.intrinsics
        pixels, depth = camera.project(places[rows])
        at, depth = pixels[:, None] + grid, depth[:, None]
        away = np.concatenate([(at - lens[:2, 2]) / lens[[0, 1], [0, 1]], np.ones((*at.shape[:2], 1))], axis=2)
        rays = away @ camera.rotation
        x, y = (np.clip(np.floor(at[..., k]), 0, n - 1).astype(int) for k, n in ((0, camera.width), (1, camera.height)))
        surface = depths[number][y, x].astype(np.float64)
        thick = STEEP * HALF * spread * sizes[rows, None]
        plane = _on_plane(rays, places[rows] - camera.centre, normals[rows])
        plane = np.clip(plane, depth - thick, depth + thick)
        surface = np.where((surface > 0) & (np.abs(surface - depth) < thick), surface, plane)
        surface += depth - surface[:, [len(grid) // 2]]  # as drawn, the middle is that of a pixel
        out[rows] = camera.centre + rays * surface[..., None]
    return out


def _on_plane(
    rays: NDArray[np.float64], places: NDArray[np.float64], normals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[n, P]: how far along rays [n, P, 3] planes through places [n, 3] are."""
    slope = np.einsum("npi,ni->np", rays, normals)
    return np.einsum("ni,ni->n", places, normals)[:, None] / np.where(np.abs(slope) < 1e-9, 1e-9, slope)


def _alike(points: NDArray[np.float64], seen: NDArray[np.int32], pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """[n]: the mean correlation of the first picture's patch with the others', of patches of points [n, P, 3]."""
    count, length = points.shape[:2]
    patches = np.zeros((VIEWS, count, length), np.float32)
    for number, picture in enumerate(pictures):
        rows, slot = np.nonzero(seen == number)
        if len(rows):
            pixels = picture.camera.project(points[rows])[0].astype(np.float32) - np.float32(0.5)
            looked = cv2.remap(
                picture.grey, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            patches[slot, rows] = looked
    patches -= patches.mean(2, keepdims=True)
    norm = np.sqrt((patches**2).sum(2))
    patches /= np.maximum(norm, 1e-3)[..., None]
    others = (patches[1:] * patches[:1]).sum(2)
    known = seen.T[1:] >= 0
    return (others * known).sum(0) / np.maximum(known.sum(0), 1)


def _peak(
    scores: NDArray[np.float32], tried: NDArray[np.float64], size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where scores [n, T] are highest, between places too, and its doubt in pixels. Peaks at an end are none.

    Doubt is the standard deviation of a shift between patches with white noise, which grows with what the correlation
    lacks of 1 and shrinks with the bend of the peak.
    """
    best = scores.argmax(1)
    inner = (best > 0) & (best < len(tried) - 1)
    row, middle = np.arange(len(scores)), np.clip(best, 1, len(tried) - 2)
    low, top, high = scores[row, middle - 1], scores[row, middle], scores[row, middle + 1]
    bend = low - 2 * top + high
    shift = np.where(bend < -1e-6, 0.5 * (low - high) / np.where(bend < -1e-6, bend, 1), 0)
    clear = top - scores.mean(1)
    step = tried[1] - tried[0]
    doubt = step * np.sqrt(np.maximum(1 - top, ALWAYS) / np.maximum(-bend, 1e-6)) / (2 * HALF + 1)
    sure = inner & (top > ALIKE) & (clear > CLEAR) & (doubt < DOUBT)
    moves = (tried[middle] + np.clip(shift, -0.5, 0.5) * step) * size
    return np.where(sure, moves, 0.0), np.where(sure, doubt, np.inf)
