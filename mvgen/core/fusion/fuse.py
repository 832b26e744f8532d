"""Keep what several views agree on, average it, and thin it to one point per cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.fusion.filters import sky, speckles
from mvgen.core.fusion.region import Region
from mvgen.core.geometry import PointCloud
from mvgen.core.limits import between
from mvgen.core.progress import Progress
from mvgen.core.scene import DepthMap
from mvgen.core.stereo.depth import StereoResult, camera_normals, read_at
from mvgen.core.stereo.match import motion
from mvgen.kernels.consistency import confirm

HELD_VIEWS = 32  # depth maps kept in memory while views are compared


@dataclass(frozen=True)
class FusionOptions:
    """What counts as agreement, and how dense the cloud is."""

    max_cost: float = between(0.8, 0, 2)  # photometric cost over which a depth is not believed
    min_views: int = between(1, 1)  # other views that must confirm a depth (never more than there are)
    pixels: float = between(1.5, 0)  # reprojection error of a confirmation
    relative: float = between(0.01, 0)  # difference in depth of a confirmation
    cell: float = between(1.25, 0.1)  # edge of a thinning cell in pixels of the photos, as seen on the surface
    chunk: int = between(3_000_000, 1000)  # points held before they are thinned


@dataclass(frozen=True, eq=False)
class Confirmed:
    """A view's believed inverse depths.

    rho [H, W] float32, 0 where not believed; votes [H, W] uint8: other views that confirm; confidence [H, W].
    """

    rho: NDArray[np.float32]
    votes: NDArray[np.uint8]
    confidence: NDArray[np.float32]


def believed(stereo: StereoResult, i: int, max_cost: float) -> NDArray[np.float32]:
    """Inverse depths [H, W] of a view, 0 where the cost is too high or the depth stands alone."""
    state = stereo.planes(i)
    rho = np.where(state.cost < max_cost, state.planes[..., 0], 0).astype(np.float32)
    rho[speckles(rho, stereo.steps[i])] = 0
    return rho


def confirm_view(
    stereo: StereoResult, rho_of: Callable[[int], NDArray[np.float32]], i: int, options: FusionOptions
) -> Confirmed:
    """Check a view's depths against those of its sources."""
    names = stereo.sources[i]
    rho, others = rho_of(i), [rho_of(j) for j in names]
    sizes = np.array([r.shape for r in others], np.int32)
    offsets = np.concatenate([[0], np.cumsum(sizes.prod(axis=1, dtype=np.int64))[:-1]]).astype(np.int64)
    votes, conflicts = np.empty(rho.shape, np.uint8), np.empty(rho.shape, np.uint8)
    average = np.empty(rho.shape, np.float32)
    confirm(
        rho,
        np.concatenate([r.ravel() for r in others]),
        offsets,
        sizes,
        np.stack([motion(stereo.cameras[i], stereo.cameras[j]) for j in names]),
        np.stack([motion(stereo.cameras[j], stereo.cameras[i]) for j in names]),
        np.float32(options.pixels),
        np.float32(options.relative),
        votes,
        average,
        conflicts,
    )
    needed = min(options.min_views, len(names))
    keep = (rho > 0) & (votes >= needed) & (conflicts <= votes)
    kept = np.where(keep, average, 0).astype(np.float32)
    cost = stereo.planes(i).cost
    confidence = np.where(keep, (votes / len(names)) * np.clip(1 - cost, 0, 1), 0).astype(np.float32)
    return Confirmed(kept, votes, confidence)


def depth_maps(
    stereo: StereoResult, options: FusionOptions, progress: Progress
) -> Iterator[tuple[DepthMap, NDArray[np.uint8]]]:
    """Each view's believed depths, with its picture at the same size."""

    @lru_cache(maxsize=HELD_VIEWS)
    def rho_of(i: int) -> NDArray[np.float32]:
        return believed(stereo, i, options.max_cost)

    for i, camera in enumerate(stereo.cameras):
        image = read_at(stereo.scene.views[i], camera)
        confirmed = confirm_view(stereo, rho_of, i, options)
        rho = np.where(sky(image), 0, confirmed.rho)
        depth = np.where(rho > 0, 1 / np.maximum(rho, 1e-20), 0).astype(np.float32)
        normal = camera_normals(stereo.planes(i).planes, camera)
        yield DepthMap(camera, depth, normal, np.where(rho > 0, confirmed.confidence, 0).astype(np.float32)), image
        progress.advance()


def fuse(maps: Iterator[tuple[DepthMap, NDArray[np.uint8]]], region: Region, options: FusionOptions) -> PointCloud:
    """All views' points in the region, thinned: one average point per cell.

    Cells grow with the size of a pixel on the surface. Normals are in world axes. confidence is in [0, 1]: agreement
    and likeness of the patches.
    Raises CannotError when no depth is left.
    """
    base: float | None = None
    waiting: list[Cells] = []
    held = 0
    for depth_map, image in maps:
        part = _points(depth_map, image, region)
        if part is None:
            continue
        points, footprint = part
        if base is None:
            base = options.cell * float(np.median(footprint))
        waiting.append(_thin([_as_cells(points, footprint, base, options.cell)]))
        held += len(waiting[-1].count)
        if held > options.chunk:
            waiting = [_thin(waiting)]
            held = len(waiting[0].count)
    if not waiting:
        raise CannotError(
            "no depth could be confirmed by a second view",
            "take photos that overlap more, with 10 to 20 degrees between neighbours and visible texture",
        )
    cells = _thin(waiting)
    # a cell hit once is noise where there are enough views to hit it twice
    keep = cells.count >= (2 if len(waiting) and _enough(cells) else 1)
    return _as_cloud(cells, keep)


@dataclass(frozen=True, eq=False)
class Cells:
    """Sums over the points of each cell: key [N], count [N], values [N, 10] (points, normals, colours, confidence)."""

    key: NDArray[np.int64]
    count: NDArray[np.int64]
    values: NDArray[np.float64]


def _points(
    depth_map: DepthMap, image: NDArray[np.uint8], region: Region
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Rows [N, 10] of a view's points in the region, and the size of a pixel on the surface [N]."""
    keep = depth_map.depth > 0
    if not keep.any():
        return None
    camera = depth_map.camera
    depth = depth_map.depth[keep].astype(np.float64)
    points = camera.centre + camera.rays()[keep] * depth[:, None]
    normals = depth_map.normal[keep] @ camera.rotation
    rows = np.concatenate([points, normals, image[keep] / 255.0, depth_map.confidence[keep][:, None]], axis=1)
    footprint = depth / camera.intrinsics[0, 0]
    inside = region.contains(points, footprint * camera.width)
    return (rows[inside], footprint[inside]) if inside.any() else None


def _as_cells(rows: NDArray[np.float64], footprint: NDArray[np.float64], base: float, cell: float) -> Cells:
    level = np.clip(np.rint(np.log2(footprint * cell / base)), 0, 7).astype(np.int64)
    index = np.floor(rows[:, :3] / (base * 2.0**level)[:, None]).astype(np.int64)
    index = np.clip(index + (1 << 19), 0, (1 << 20) - 1)
    key = ((level << 20 | index[:, 0]) << 20 | index[:, 1]) << 20 | index[:, 2]
    return Cells(key, np.ones(len(rows), np.int64), rows)


def _thin(parts: list[Cells]) -> Cells:
    """Merge the cells of equal keys."""
    key = np.concatenate([p.key for p in parts])
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    count = np.add.reduceat(np.concatenate([p.count for p in parts])[order], starts)
    values = np.add.reduceat(np.concatenate([p.values for p in parts])[order], starts, axis=0)
    return Cells(key[starts], count, values)


def _enough(cells: Cells) -> bool:
    return float(np.mean(cells.count >= 2)) > 0.3


def _as_cloud(cells: Cells, keep: NDArray[np.bool_]) -> PointCloud:
    mean = cells.values[keep] / cells.count[keep, None]
    normals = mean[:, 3:6] / np.maximum(np.linalg.norm(mean[:, 3:6], axis=1, keepdims=True), 1e-20)
    return PointCloud(
        mean[:, :3],
        normals.astype(np.float32),
        mean[:, 6:9].astype(np.float32),
        mean[:, 9].astype(np.float32),
    )
