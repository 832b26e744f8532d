"""Which parts of a closed surface do the photos vouch for?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.scene import DepthMap
from mvgen.core.surface.poisson import SurfaceOptions, keep_faces, spacing

ALONE = 1.6  # spacings from the nearest point from which on a vertex may be cut
BEHIND = 4.0  # spacings by which the seen depth must lie behind it


def trim(mesh: Mesh, points: PointCloud, maps: Sequence[DepthMap], options: SurfaceOptions) -> Mesh:
    """The faces near points that no view looks through, and the small gaps between them."""
    gap = spacing(points.points)
    distance = cKDTree(points.points).query(mesh.vertices, workers=-1)[0]
    loose = np.flatnonzero(distance > ALONE * gap)
    keep = distance <= options.trim * gap
    keep[loose[seen_through(mesh.vertices[loose], maps, BEHIND * gap)]] = False
    faces = keep[mesh.faces].all(axis=1)
    return keep_faces(mesh, faces | small_gaps(mesh, faces, options.gap * gap))


def seen_through(points: NDArray[np.floating], maps: Sequence[DepthMap], margin: float) -> NDArray[np.bool_]:
    """Mask [N] of the points [N, 3] behind which at least one depth map knows a surface, `margin` or more away."""
    through = np.zeros(len(points), np.bool_)
    for depth_map in maps:
        pixels, depth = depth_map.camera.project(points)
        x, y = (np.floor(pixels[:, k]).astype(np.int64) for k in (0, 1))
        inside = (depth > 0) & (x >= 0) & (y >= 0) & (x < depth_map.camera.width) & (y < depth_map.camera.height)
        through[inside] |= depth_map.depth[y[inside], x[inside]] > depth[inside] + margin
    return through


def small_gaps(mesh: Mesh, kept: NDArray[np.bool_], width: float) -> NDArray[np.bool_]:
    """Mask of the faces that are not kept but lie in a connected gap smaller than a square of this width."""
    gone = mesh.faces[~kept]
    if not len(gone):
        return np.zeros(len(kept), np.bool_)
    count = len(mesh.vertices)
    a, b = gone[:, [0, 1]].reshape(-1), gone[:, [1, 2]].reshape(-1)
    _, label = connected_components(coo_matrix((np.ones(len(a), np.int8), (a, b)), (count, count)), directed=False)
    corners = mesh.vertices[gone]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    part = label[gone[:, 0]]
    small = np.bincount(part, area, count)[part] < width * width
    out = np.zeros(len(kept), np.bool_)
    out[np.flatnonzero(~kept)[small]] = True
    return out
