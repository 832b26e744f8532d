"""Points of all depth maps, thinned to an average point per cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.fusion.region import Region
from mvgen.core.geometry import PointCloud
from mvgen.core.limits import between
from mvgen.core.scene import DepthMap


@dataclass(frozen=True)
class FusionOptions:
    """How dense the cloud is."""

    cell: float = between(1.25, 0.1)  # edge of a thinning cell in pixels of the photos, as seen on the surface
    chunk: int = between(3_000_000, 1000)  # points held before they are thinned


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
