"""A surface from depth maps: truncated signed distances averaged on a sparse grid (Curless and Levoy 1996).

Each depth map gives every node near a surface its distance from that surface; the weighted mean of all maps is a field
whose zero is the surface. Only bricks of nodes within the truncation of some depth are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.limits import between
from mvgen.core.progress import Progress
from mvgen.core.scene import DepthMap
from mvgen.core.surface.handles import close_narrow_handles
from mvgen.core.surface.march import Crossings, march
from mvgen.core.surface.poisson import keep_faces
from mvgen.core.surface.repair import fill_holes, parted
from mvgen.core.surface.simplify import face_parts
from mvgen.core.surface.trim import face_areas, small_gaps

Maps = Callable[[], Iterable[tuple[DepthMap, NDArray[np.uint8] | None]]]

BRICK = 8  # nodes a side, as the kernel has it
CELLS = 1024  # along the longest side of the bounds: how finely it is kept where depths lie
STEEPEST = 0.75  # of the truncation: a larger step between two nodes is the rim of what a view sees, not a surface
SPECK = 4.0  # parts with less area than this many squares of the truncation are noise
GAP = 40  # voxels along the side of a square that has as long a border as the longest gap that is closed
LID = 0.1  # of a part's area, at most, lies in what closes a gap of it
SEEN = 0.2  # and as much of what closes a gap lies where maps have seen that nothing is
FINEST = 4096  # voxels along the longest side
COARSER = 1.2  # by how much voxels grow until they fit the memory
COMPILE_SECONDS = 6
_KERNELS = "tsdf"


@dataclass(frozen=True)
class TsdfOptions:
    """How depth maps become a surface."""

    voxel: float = between(0.0, 0)  # distance of the nodes in scene units; 0 chooses it from the depth maps
    pixels: float = between(1.5, 0.1)  # that distance, chosen, in pixels of the depth maps as seen on the surface
    truncation: float = between(4.0, 1, 64)  # distance in voxels over which a depth speaks
    min_weight: float = between(0.0, 0)  # confidence (summed over views) up to which a node counts as not seen
    memory_mb: int = between(1500, 1)  # for the grid; larger ones get coarser voxels


@dataclass(frozen=True, eq=False)
class _Survey:
    """What a first look at the maps tells: cells [N, 3] int64 with depths in them, and the size of a pixel."""

    cells: NDArray[np.int64]
    footprint: float
    coloured: bool
    count: int


@dataclass(frozen=True, eq=False)
class _Grid:
    """Bricks of nodes. keys [B] int64, sorted, name bricks [B, 3]; distance [B, 8, 8, 8] float32, NaN where no map
    speaks; colours [B, 8, 8, 8, 4] float32: weighted sRGB in 0 to 255, weight; or no elements."""

    origin: NDArray[np.float64]
    voxel: float
    bricks: NDArray[np.int64]
    keys: NDArray[np.int64]
    distance: NDArray[np.float32]
    colours: NDArray[np.float32]


def tsdf_surface(maps: Maps, bounds: NDArray[np.float64], options: TsdfOptions, progress: Progress) -> Mesh:
    """The surface that depth maps agree on within bounds [2, 3], with colours at the vertices where maps have pictures.

    maps: called twice, so that maps may be read or made one at a time; both times it gives the same ones, each with its
    picture [H, W, 3] uint8 of the same size, or None. Where no map has looked, the surface is open, but for small gaps.

    Raises CannotError when no depth lies in the bounds, or the grid does not fit into options.memory_mb at all.
    """
    bounds = np.asarray(bounds, np.float64)
    if bounds.shape != (2, 3) or not np.isfinite(bounds).all() or not (bounds[1] > bounds[0]).all():
        raise CannotError("the bounds of the surface enclose nothing", "give a lowest and a highest corner")
    survey = _survey(maps, bounds, progress)
    voxel, bricks = _planned(survey, bounds, options, progress)
    grid = _fused(maps, survey, bounds[0], voxel, bricks, options, progress)
    found = march(_blocks(grid))
    if not len(found.faces):
        raise CannotError("the depth maps do not span a surface", "are their cameras right, and depths along the axis?")
    colours = _colours(grid, found) if grid.colours.size else None
    mesh = Mesh(grid.origin + found.places() * grid.voxel, found.faces, colours=colours)
    mesh = parted(_without_rims(mesh, found, options.truncation * voxel))
    if not len(mesh.faces):
        raise CannotError("the depth maps show nothing larger than a few voxels", "are their depths and cameras right?")
    return _without_gaps(grid, mesh, options.truncation * voxel, progress)


def map_bounds(maps: Maps) -> NDArray[np.float64]:
    """[2, 3]: a box around what depth maps show, but for the farthest half percent on each side where it is far off.

    Raises CannotError when no map has a depth.
    """
    some = []
    for depth_map, _ in maps():
        points = _points(depth_map)[0]
        some.append(points[:: max(1, len(points) // 20_000)])
    points = np.concatenate(some) if some else np.zeros((0, 3))
    if not len(points):
        raise CannotError("the depth maps have no depths", "is 0 used for more than unknown pixels?")
    low, high = np.percentile(points, [0.5, 99.5], axis=0)
    margin = 0.1 * float(np.linalg.norm(high - low)) + 1e-9 * float(np.abs(points).max())
    lowest, highest = np.maximum(points.min(0), low - margin), np.minimum(points.max(0), high + margin)
    return np.stack([lowest - 0.01 * margin, highest + 0.01 * margin])


# ---- planning


def _points(depth_map: DepthMap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World points [N, 3] of the known pixels, and the size [N] of a pixel there."""
    known = (depth_map.depth > 0) & (depth_map.confidence > 0)
    camera = depth_map.camera
    depth = depth_map.depth[known].astype(np.float64)
    return camera.centre + camera.rays()[known] * depth[:, None], depth / camera.intrinsics[0, 0]


def _survey(maps: Maps, bounds: NDArray[np.float64], progress: Progress) -> _Survey:
    progress.stage("survey")
    size = float((bounds[1] - bounds[0]).max()) / CELLS
    keys = np.zeros(0, np.int64)
    footprints, coloured, count = [], False, 0
    for depth_map, image in maps():
        coloured |= image is not None
        count += 1
        points, footprint = _points(depth_map)
        inside = ((points >= bounds[0]) & (points <= bounds[1])).all(1)
        if inside.any():
            cell = np.minimum(((points[inside] - bounds[0]) / size).astype(np.int64), CELLS - 1)
            found = (cell[:, 0] * CELLS + cell[:, 1]) * CELLS + cell[:, 2]
            keys = _distinct(np.concatenate([keys, _distinct(found)]))
            footprints.append(footprint[inside][:: max(1, int(inside.sum()) // 1000)])
        progress.advance()
    if not len(keys):
        raise CannotError("no depth lies within the bounds of the surface", "are the cameras those of the depth maps?")
    cells = np.stack([keys // CELLS // CELLS, keys // CELLS % CELLS, keys % CELLS], axis=1)
    return _Survey(cells, float(np.median(np.concatenate(footprints))), coloured, count)


def _planned(
    survey: _Survey, bounds: NDArray[np.float64], options: TsdfOptions, progress: Progress
) -> tuple[float, NDArray[np.int64]]:
    """The voxel size and the bricks [B, 3] that fit the memory."""
    side = float((bounds[1] - bounds[0]).max())
    wished = options.voxel or options.pixels * survey.footprint
    voxel = max(wished, side / FINEST)
    room = options.memory_mb * 2**20
    each = 4 * BRICK**3 * ((2 + 4 + 1) if survey.coloured else (2 + 1))
    while True:
        bricks = _bricks(survey.cells, side / CELLS, voxel, options.truncation)
        if len(bricks) * each <= room:
            break
        voxel *= COARSER
        if voxel > side / 8:
            raise CannotError(
                f"a grid for the depth maps does not fit into {options.memory_mb} MB", "allow more memory for it"
            )
    told = f"voxels of {voxel:.4g} ({side / voxel:.0f} along the longest side), {len(bricks) * each >> 20} MB"
    if voxel > 1.001 * wished:
        told += f"; {wished:.4g} would be too fine for {options.memory_mb} MB and at most {FINEST} a side"
    progress.note(told)
    return voxel, bricks


def _bricks(cells: NDArray[np.int64], cell: float, voxel: float, truncation: float) -> NDArray[np.int64]:
    """Bricks [B, 3], in order, that come within the truncation of cells [N, 3] of this size."""
    brick = BRICK * voxel
    group = max(1, int(brick / 4 / cell))
    coarse = _unpacked(_distinct(_keys(cells // group)))
    reach = truncation * voxel
    low = np.floor((coarse * (cell * group) - reach) / brick).astype(np.int64)
    high = np.floor(((coarse + 1) * (cell * group) + reach) / brick).astype(np.int64)
    spans = (high - low).max(0) + 1
    out = []
    for step in np.ndindex(*(int(n) for n in spans)):
        shifted = low + step
        out.append(_keys(shifted[(shifted <= high).all(1)]))
    return _unpacked(_distinct(np.concatenate(out)))


_SHIFT = 1 << 19
_SIDE = 1 << 20


def _keys(bricks: NDArray[np.int64]) -> NDArray[np.int64]:
    moved = bricks + _SHIFT
    return (moved[:, 0] * _SIDE + moved[:, 1]) * _SIDE + moved[:, 2]


def _distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted and each once: np.unique hashes whole numbers, which is slow for numbers of nearby cells."""
    keys = np.sort(keys)
    return keys[np.r_[True, keys[1:] != keys[:-1]]] if len(keys) else keys


def _unpacked(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([keys // _SIDE // _SIDE, keys // _SIDE % _SIDE, keys % _SIDE], axis=1) - _SHIFT


# ---- averaging


def _fused(
    maps: Maps,
    survey: _Survey,
    corner: NDArray[np.float64],
    voxel: float,
    bricks: NDArray[np.int64],
    options: TsdfOptions,
    progress: Progress,
) -> _Grid:
    from mvgen.kernels import jit
    from mvgen.kernels.tsdf import fuse_view

    notice = jit.wait_notice(_KERNELS, COMPILE_SECONDS)
    if notice:
        progress.note(notice)
    progress.stage("fusion", survey.count)
    lowest = bricks.min(0)
    bricks = bricks - lowest
    origin = corner + lowest * (BRICK * voxel)
    first = (bricks * BRICK).astype(np.int32)
    shape = (len(bricks), BRICK, BRICK, BRICK)
    sums = np.zeros((*shape, 2), np.float32)
    colours = np.zeros((*shape, 4) if survey.coloured else (0, 0, 0, 0, 4), np.float32)
    none, no_colours = np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0, 0, 0, 4), np.float32)
    for depth_map, image in maps():
        camera = depth_map.camera
        pose = camera.world_to_camera[:3].copy()
        pose[:, 3] += pose[:, :3] @ origin  # so that float32 is about the grid alone
        k = camera.intrinsics
        fuse_view(
            first,
            np.zeros(3, np.float32),
            np.float32(voxel),
            pose.astype(np.float32),
            np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2], k[0, 1]], np.float32),
            np.ascontiguousarray(depth_map.depth, np.float32),
            np.ascontiguousarray(depth_map.normal, np.float32),
            np.ascontiguousarray(depth_map.confidence, np.float32),
            none if image is None else np.ascontiguousarray(image),
            np.float32(options.truncation * voxel),
            sums,
            no_colours if image is None else colours,
        )
        progress.advance()
    jit.mark_warm(_KERNELS)
    known = sums[..., 1] > options.min_weight
    distance = np.full(shape, np.nan, np.float32)
    np.divide(sums[..., 0], sums[..., 1], out=distance, where=known)
    return _Grid(origin, voxel, bricks, _keys(bricks), distance, colours)


# ---- the surface


def _blocks(grid: _Grid) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Bricks with the first layers of the next ones: 9 x 9 x 9 nodes, where these lie on both sides of 0."""
    for start in range(0, len(grid.bricks), 4096):
        some = grid.bricks[start : start + 4096]
        whole = np.full((len(some), *[BRICK + 1] * 3), np.nan, np.float32)
        whole[:, :BRICK, :BRICK, :BRICK] = grid.distance[start : start + 4096]
        for step in np.ndindex(2, 2, 2):
            if any(step):
                index = _find(grid, some + np.array(step))
                there = np.flatnonzero(index >= 0)
                target = tuple(slice(BRICK, None) if s else slice(0, BRICK) for s in step)
                source = tuple(slice(0, 1) if s else slice(None) for s in step)
                whole[(there, *target)] = grid.distance[(index[there], *source)]
        flat = whole.reshape(len(whole), -1)
        for i in np.flatnonzero((flat <= 0).any(1) & (flat > 0).any(1)):
            yield some[i] * BRICK, whole[i]


def _without_rims(mesh: Mesh, found: Crossings, reach: float) -> Mesh:
    """The mesh without patches that no depth map has drawn, and without parts too small for the truncation.

    Behind the rim of a front, one view knows of nodes that they lie behind it, and another that the ones next to them
    are free. The field jumps there, without a surface. Small patches of that kind within a surface stay, or they would
    leave pinholes.
    """
    jumps = (found.step > STEEPEST * reach)[mesh.faces].all(1)
    part = face_parts(mesh)
    area = np.bincount(part, face_areas(mesh))
    loose = ((np.bincount(part, jumps) > 0.5 * np.bincount(part)) | (area < SPECK * reach**2))[part]
    keep = ~jumps & ~loose
    return keep_faces(mesh, keep | small_gaps(mesh, keep | loose, reach) & ~loose)


def _without_gaps(grid: _Grid, mesh: Mesh, reach: float, progress: Progress) -> Mesh:
    """The mesh with its gaps closed, as in the depth of a crevice, and without handles narrower than a voxel.

    A gap's border is at most around a square of GAP voxels; its lid is small beside the part that it closes, and lies
    but little where maps have seen that nothing is."""
    closed = fill_holes(mesh, 4 * GAP * grid.voxel / mesh.diagonal)[0]
    lids = np.flatnonzero(np.arange(len(closed.faces)) >= len(mesh.faces))
    count = 0
    if len(lids):
        lid = face_parts(Mesh(closed.vertices, closed.faces[lids]))
        part = face_parts(closed)
        area = face_areas(closed)
        free = _free(grid, closed.vertices[closed.faces[lids]].mean(1), reach)
        size = np.bincount(lid, area[lids])
        whole = np.bincount(part, area)[part[lids[np.unique(lid, return_index=True)[1]]]]
        good = (np.bincount(lid, area[lids] * free) <= SEEN * size) & (size <= LID * whole)
        count = int(good.sum())
        keep = np.ones(len(closed.faces), bool)
        keep[lids] = good[lid]
        closed = keep_faces(closed, keep)
    mesh, handles = close_narrow_handles(closed, grid.voxel, progress)
    if count or handles:
        progress.say(f"closed {count:,} gaps that no map looks through, {handles:,} handles narrower than a voxel")
    return mesh


def _free(grid: _Grid, points: NDArray[np.float64], reach: float) -> NDArray[np.bool_]:
    """[N]: whether maps look past points [N, 3], in the frame of the mesh, to what is farther off than the truncation
    reaches."""
    nodes = np.round((points - grid.origin) / grid.voxel).astype(np.int64)
    index = _find(grid, nodes // BRICK)
    x, y, z = (nodes % BRICK).T
    return (index >= 0) & (grid.distance[index, x, y, z] > STEEPEST * reach)


def _find(grid: _Grid, bricks: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N]: where bricks [N, 3] are in the grid, -1 where they are not."""
    keys = _keys(bricks)
    place = np.searchsorted(grid.keys, keys).clip(0, len(grid.keys) - 1)
    return np.where(grid.keys[place] == keys, place, -1)


def _colours(grid: _Grid, found: Crossings) -> NDArray[np.float32]:
    """[V, 3]: sRGB in [0, 1], between those of the ends of each edge; the mean of all where no picture looked."""
    total = np.zeros((len(found.node), 4))
    for node, share in ((found.node, 1 - found.share), (found.upper, found.share)):
        index = _find(grid, node // BRICK)
        x, y, z = (node % BRICK).T
        values = grid.colours[index, x, y, z].astype(np.float64)
        seen = (index >= 0) & (values[:, 3] > 0)
        values[seen] /= values[seen, 3:]
        total += np.where(seen[:, None], values * np.maximum(share, 1e-6)[:, None], 0)
    known = total[:, 3] > 0
    out = np.full((len(total), 3), 0.5)
    out[known] = total[known, :3] / total[known, 3:] / 255
    if known.any():
        out[~known] = out[known].mean(axis=0)
    return np.clip(out, 0, 1).astype(np.float32)
