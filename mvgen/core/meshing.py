"""A surface from whatever there is, and a mesh cleaned in a fixed order: the work of ``mvgen mesh``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.depth import SUFFIXES, DepthFile, find_depths, load_depth, load_picture
from mvgen.core.io.grids import Grid, Kind, grid_surface, load_grid
from mvgen.core.io.meshes import load_any
from mvgen.core.limits import between
from mvgen.core.progress import Progress
from mvgen.core.scene import DepthMap
from mvgen.core.splats.files import holds_splats, load_splats
from mvgen.core.splats.model import FRAMES, UP, Splats
from mvgen.core.splats.seen import SCENE_FRAME, in_scene
from mvgen.core.splats.surface import splats_surface, views_of
from mvgen.core.surface import SurfaceOptions, TsdfOptions, drop_small_parts, simplify, tsdf_surface
from mvgen.core.surface.change import keep_parts, remesh, smooth, transformed
from mvgen.core.surface.points import ball_surface, colours_of_points, points_surface
from mvgen.core.surface.repair import Repairs, fill_holes, repair, turned_outwards
from mvgen.core.surface.topology import topology, weld
from mvgen.core.surface.tsdf import Maps, map_bounds
from mvgen.core.texture.transfer import transfer_colours, transfer_texture

Method = Literal["auto", "poisson", "tsdf", "ball", "marching-cubes", "flexicubes"]

METHODS: dict[str, tuple[str, ...]] = {  # by kind of input; the first is what auto takes
    "points": ("poisson", "ball"),
    "depth": ("tsdf", "poisson", "ball"),
    "grid": ("marching-cubes", "flexicubes"),
    "splats": ("tsdf",),
    "mesh": (),
}
WHY = {
    "poisson": "points: a smooth surface through all of them, closed where nothing speaks against it",
    "tsdf": "depth maps: views are averaged, and what they look through is free",
    "ball": "asked for",
    "marching-cubes": "a grid: the surface at its level",
    "none": "a mesh has its surface already",
}


@dataclass(frozen=True)
class SplatsOptions:
    """How splats are looked at. pixels: the longer side of each view; finer ones see splats rather than a surface."""

    pixels: int = between(400, 16, 8192)


@dataclass(frozen=True)
class MeshOptions:
    """Expert settings of the surfaces."""

    surface: SurfaceOptions = field(default_factory=SurfaceOptions)
    tsdf: TsdfOptions = field(default_factory=TsdfOptions)
    splats: SplatsOptions = field(default_factory=SplatsOptions)


@dataclass(frozen=True, eq=False)
class Source:
    """What the inputs hold; of ``kind`` mesh, points, splats, depth or grid, exactly that."""

    kind: str
    mesh: Mesh | None = None
    points: PointCloud | None = None
    splats: Splats | None = None
    grid: Grid | None = None
    depths: tuple[DepthFile, ...] = ()
    cameras: tuple[Camera, ...] = ()
    scale: float | None = None


@dataclass(frozen=True)
class Cleaning:
    """What is done to a mesh, in this order. Lengths are shares of the bounding box's diagonal.

    parts: how many of the largest parts stay, or else those with part_share of the largest one's area; holes: longest
    border of a hole that is closed, infinite for all, 0 for none.
    """

    transform: NDArray[np.float64] | None = None
    repair: bool = False
    parts: int | None = None
    part_share: float = 0.0
    holes: float = 0.0
    smooth: int = 0
    remesh: float = 0.0
    faces: int | None = None


@dataclass(frozen=True, eq=False)
class Cleaned:
    """A mesh, whether its vertices at one place are apart on purpose, and what each step did."""

    mesh: Mesh
    welded: bool = False
    steps: dict[str, Any] = field(default_factory=dict)


# ---- inputs


def read_source(
    paths: Sequence[Path],
    cameras: Sequence[Camera],
    progress: Progress,
    depth_scale: float | None = None,
    kind: Kind | None = None,
    level: float | None = None,
) -> Source:
    """The inputs, all of one kind. Raises InputError for what cannot be read, UsageError for mixed kinds."""
    sources = [_read_one(path, cameras, progress, depth_scale, kind, level) for path in paths]
    kinds = sorted({s.kind for s in sources})
    if len(kinds) > 1:
        raise UsageError(f"the inputs are of different kinds ({', '.join(kinds)})", "give one kind at a time")
    if kinds[0] == "depth":
        return replace(sources[0], depths=tuple(d for s in sources for d in s.depths))
    if len(sources) == 1:
        return sources[0]
    if kinds[0] == "points":
        return replace(sources[0], points=_joined_points([s.points for s in sources if s.points is not None]))
    raise UsageError(f"{len(sources)} inputs of kind {kinds[0]}", "give one; only points and depth maps are joined")


def _read_one(
    path: Path,
    cameras: Sequence[Camera],
    progress: Progress,
    depth_scale: float | None,
    kind: Kind | None,
    level: float | None,
) -> Source:
    suffix = path.suffix.lower()
    if path.is_dir():
        depths, lost = find_depths(path, cameras)
        if lost and not depths:
            raise InputError(
                f"{path}: no camera is named as one of its {len(lost)} depth maps",
                "give --cameras with the cameras of pictures of the same names",
            )
        if lost:
            progress.warn(f"{path}: {len(lost)} depth maps have no camera and are left out ({lost[0].name}, ...)")
        return Source("depth", depths=tuple(depths), scale=depth_scale)
    if suffix in (".npy", ".npz") and not _is_depth(path):
        return Source("grid", grid=load_grid(path, kind, level))
    if suffix in SUFFIXES:
        named = {Path(c.name).stem: c for c in cameras}
        return Source("depth", depths=(DepthFile(path, named.get(path.stem)),), scale=depth_scale)
    if holds_splats(path):
        splats = in_scene(load_splats(path, progress.warn, None), None if cameras else "rub")
        return Source("splats", splats=splats, cameras=tuple(cameras))
    shape = load_any(path)
    if isinstance(shape, Mesh):
        return Source("mesh", mesh=shape)
    return Source("points", points=shape, cameras=tuple(cameras))


def _is_depth(path: Path) -> bool:
    """Whether a .npz or .npy holds a depth map rather than a grid: by its names, or its number of dimensions."""
    import zipfile

    if path.suffix.lower() == ".npz":
        try:
            with zipfile.ZipFile(path) as archive:
                return "depth.npy" in archive.namelist()
        except (OSError, zipfile.BadZipFile):
            return False
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).ndim == 2
    except (OSError, ValueError, EOFError):
        return False


def _joined_points(clouds: list[PointCloud]) -> PointCloud:
    def joined(columns: list[NDArray[Any] | None]) -> NDArray[Any] | None:
        found = [c for c in columns if c is not None]
        return np.concatenate(found) if len(found) == len(columns) else None

    return PointCloud(
        np.concatenate([c.points for c in clouds]),
        joined([c.normals for c in clouds]),
        joined([c.colours for c in clouds]),
        joined([c.confidence for c in clouds]),
    )


# ---- surfaces


def choose_method(kind: str, wanted: Method) -> tuple[str, str]:
    """The method that runs, and why. Raises UsageError for one that cannot do this kind of input."""
    able = METHODS[kind]
    if wanted == "auto":
        method = able[0] if able else "none"
        return method, WHY[method]
    if wanted not in able:
        raise UsageError(
            f"--method {wanted}: cannot be used with {'a mesh' if kind == 'mesh' else kind}",
            f"use {' or '.join(able)}" if able else "leave --method out; a mesh is only cleaned",
        )
    return wanted, "asked for"


def surface_of(source: Source, method: str, options: MeshOptions, progress: Progress) -> Mesh:
    """The source's surface by a method that `choose_method` named. Raises CannotError, InputError."""
    if source.mesh is not None:
        return source.mesh
    if source.grid is not None:
        progress.stage("surface")
        mesh = grid_surface(source.grid, method)
        if not len(mesh.faces):
            raise CannotError(
                f"nothing crosses the level {source.grid.level:g} of the grid ({source.grid.kind})",
                "give another --level",
            )
        return mesh
    if source.splats is not None:
        pixels = options.splats.pixels
        views = [c.fitted(pixels) for c in source.cameras] or views_of(source.splats, pixels)
        mesh = drop_small_parts(splats_surface(source.splats, views, options.tsdf, progress))
        return replace(mesh, metadata=mesh.metadata | _up_told(source.splats, bool(source.cameras)))
    if method == "tsdf":
        maps = depth_maps(source)
        return drop_small_parts(tsdf_surface(maps, map_bounds(maps), options.tsdf, progress))
    cloud = source.points if source.points is not None else _points_of(depth_maps(source), progress)
    progress.stage("surface")
    centres = [c.centre for c in source.cameras]
    if method == "ball":
        mesh = ball_surface(cloud, centres, progress)
    else:
        mesh = drop_small_parts(points_surface(cloud, options.surface, centres, progress))
    return colours_of_points(mesh, cloud)


def _up_told(splats: Splats, posed: bool) -> dict[str, str]:
    """What metadata say of up, in the frame of splats; nothing where that may not be the one of the given cameras."""
    if posed and splats.metadata.get(SCENE_FRAME) not in FRAMES:
        return {}
    axis = UP[splats.frame].upper()
    return {"up": axis if axis.startswith("-") else f"+{axis}"}


def depth_maps(source: Source) -> Maps:
    """A callable that reads the source's depth maps one at a time, each with its picture where it has one."""

    def read() -> Iterator[tuple[DepthMap, NDArray[np.uint8] | None]]:
        for entry in source.depths:
            depth_map = load_depth(entry.path, entry.camera, source.scale)
            height, width = depth_map.depth.shape
            yield depth_map, None if entry.picture is None else load_picture(entry.picture, width, height)

    return read


def _points_of(maps: Maps, progress: Progress) -> PointCloud:
    """The points of all depth maps, thinned to one per pixel's size."""
    from mvgen.core.fusion import FusionOptions, fuse
    from mvgen.core.fusion.region import Region

    bounds = map_bounds(maps)
    coloured = True

    def pictured() -> Iterator[tuple[DepthMap, NDArray[np.uint8]]]:
        nonlocal coloured
        for depth_map, image in maps():
            coloured &= image is not None
            yield depth_map, np.zeros((*depth_map.depth.shape, 3), np.uint8) if image is None else image

    region = Region(bounds.mean(0), float(np.linalg.norm(bounds[1] - bounds[0])), np.inf)
    cloud = fuse(pictured(), region, FusionOptions())
    progress.note(f"{len(cloud):,} points from the depth maps")
    return cloud if coloured else replace(cloud, colours=None)


# ---- cleaning


def clean(mesh: Mesh, wanted: Cleaning, texture_size: int | None, progress: Progress) -> Cleaned:
    """Transform, repair, parts, holes, smoothing, remeshing, fewer faces; then the old skin on the new shape.

    A texture stays as it is while no vertex or face is new; else it is baked again from the old surface onto an atlas
    of its own. Colours of vertices are carried over. Raises CannotError where nothing is left.
    """
    progress.stage("clean")
    if wanted.transform is not None:
        mesh = transformed(mesh, wanted.transform)
    now = Cleaned(mesh)
    if wanted.repair:
        now = _repaired(now)
    if wanted.parts is not None or wanted.part_share > 0:
        kept = keep_parts(now.mesh, wanted.parts, wanted.part_share, now.welded)
        told = {"components": {"faces_dropped": len(now.mesh.faces) - len(kept.faces)}}
        now = replace(now, mesh=kept, steps=now.steps | told)
    skin = now.mesh if now.mesh.texture is not None else mesh
    if wanted.holes > 0:
        now = _welded(now)
        closed, count = fill_holes(now.mesh, wanted.holes)
        closed = turned_outwards(closed) if wanted.repair else closed
        now = replace(now, mesh=closed, steps=now.steps | {"fill_holes": {"closed": count}})
    if wanted.smooth:
        now = replace(
            now, mesh=smooth(now.mesh, wanted.smooth), steps=now.steps | {"smooth": {"rounds": wanted.smooth}}
        )
    now = _rebuilt(now, wanted)
    if not len(now.mesh.faces):
        raise CannotError("no face was left after cleaning", "ask for less cleaning")
    return _dressed(now, skin, texture_size, progress)


def _repaired(now: Cleaned) -> Cleaned:
    fixed, repairs = repair(now.mesh)
    if not len(fixed.faces):
        raise CannotError("every face is degenerate, so nothing is left after repair", "export the mesh again")
    steps = now.steps | {"repair": asdict(repairs)}
    if replace(repairs, welded=0, one_sided=0) == Repairs() and now.mesh.texture is not None:
        return replace(now, steps=steps)  # sound: the seams of its texture may stay
    return Cleaned(fixed, True, steps)


def _welded(now: Cleaned) -> Cleaned:
    return now if now.welded else replace(now, mesh=weld(now.mesh), welded=True)


def _rebuilt(now: Cleaned, wanted: Cleaning) -> Cleaned:
    """Remeshed and simplified, with the colours of what was before."""
    if wanted.remesh > 0:
        now = _welded(now)
        even = transfer_colours(now.mesh, remesh(now.mesh, wanted.remesh))
        now = replace(now, mesh=even, steps=now.steps | {"remesh": {"faces": len(even.faces)}})
    if wanted.faces is not None and len(now.mesh.faces) > wanted.faces:
        now = _welded(now)
        fewer = transfer_colours(now.mesh, simplify(now.mesh, wanted.faces))
        now = replace(now, mesh=fewer, steps=now.steps | {"faces": {"faces": len(fewer.faces)}})
    return now


def _dressed(now: Cleaned, skin: Mesh, texture_size: int | None, progress: Progress) -> Cleaned:
    """With the texture of the skin where the mesh has lost its own, or should have another size."""
    if skin.texture is None or skin.uv is None:
        return now
    if now.mesh.texture is not None and texture_size is None:
        return now
    progress.stage("texture")
    bare = now.mesh if now.welded else weld(now.mesh)
    textured = transfer_texture(skin, bare, texture_size)
    assert textured.texture is not None
    told = {"texture": {"size": textured.texture.shape[0]}}
    return replace(now, mesh=textured, steps=now.steps | told)


def measured(mesh: Mesh, welded: bool = False) -> dict[str, Any]:
    """What a report says of a mesh."""
    found = topology(mesh, welded)
    return {
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "watertight": found.watertight,
        "genus": found.genus,
        "components": found.components,
        "open_edges": found.open_edges,
        "holes": found.holes,
        "crowded_edges": found.crowded_edges,
        "orientable": found.orientable,
    }
