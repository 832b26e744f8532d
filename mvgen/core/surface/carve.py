"""Cut away surface that stands where a view looks through to something behind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.scene import DepthMap
from mvgen.core.surface.poisson import keep_vertices, spacing

ALONE = 1.6  # spacings from the nearest point from which on a vertex may be cut
BEHIND = 4.0  # spacings by which the seen depth must lie behind it


def cut_free_space(mesh: Mesh, points: PointCloud, maps: Sequence[DepthMap]) -> Mesh:
    """Remove vertices that no point supports and that at least one depth map sees through."""
    gap = spacing(points.points)
    loose = np.flatnonzero(cKDTree(points.points).query(mesh.vertices, workers=-1)[0] > ALONE * gap)
    cut = np.zeros(len(mesh.vertices), np.bool_)
    for depth_map in maps:
        pixels, depth = depth_map.camera.project(mesh.vertices[loose])
        x, y = (np.floor(pixels[:, k]).astype(np.int64) for k in (0, 1))
        inside = (depth > 0) & (x >= 0) & (y >= 0) & (x < depth_map.camera.width) & (y < depth_map.camera.height)
        seen = depth_map.depth[y[inside], x[inside]]
        cut[loose[inside]] |= seen > depth[inside] + BEHIND * gap
    return keep_vertices(mesh, ~cut)
