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
WITNESSES = 6  # among this many depth maps, one has to see through a point
SPECK = 12.0  # width in spacings of a gap that stays closed even though a view looks through
BEHIND = 4.0  # spacings by which the seen depth must lie behind it


def trim(mesh: Mesh, points: PointCloud, maps: Sequence[DepthMap], options: SurfaceOptions) -> Mesh:
    """The faces near points that no view looks through, and the gaps among them that nothing speaks against."""
    gap = spacing(points.points)
    distance = cKDTree(points.points).query(mesh.vertices, workers=-1)[0]
    loose = np.flatnonzero(distance > ALONE * gap)
    through = np.zeros(len(distance), np.bool_)
    through[loose[seen_through(mesh.vertices[loose], maps, BEHIND * gap)]] = True
    open_air = through[mesh.faces].any(axis=1)
    keep = (distance <= options.trim * gap)[mesh.faces].all(axis=1) & ~open_air
    keep |= small_gaps(mesh, keep | open_air, options.gap * gap)
    return keep_faces(mesh, keep | small_gaps(mesh, keep, SPECK * gap))


def seen_through(points: NDArray[np.floating], maps: Sequence[DepthMap], margin: float) -> NDArray[np.bool_]:
    """Mask [N] of the points [N, 3] behind which depth maps know a surface, `margin` or more away.

    One map is enough among few; among many it takes one in WITNESSES.
    """
    witnesses = np.zeros(len(points), np.int64)
    for depth_map in maps:
        pixels, depth = depth_map.camera.project(points)
        x, y = (np.floor(pixels[:, k]).astype(np.int64) for k in (0, 1))
        inside = (depth > 0) & (x >= 0) & (y >= 0) & (x < depth_map.camera.width) & (y < depth_map.camera.height)
        witnesses[inside] += depth_map.depth[y[inside], x[inside]] > depth[inside] + margin
    return witnesses >= max(1, round(len(maps) / WITNESSES))


def small_gaps(mesh: Mesh, kept: NDArray[np.bool_], width: float) -> NDArray[np.bool_]:
    """Mask of the faces that are not kept but lie in a connected gap smaller than a square of this width."""
    gone = mesh.faces[~kept]
    if not len(gone):
        return np.zeros(len(kept), np.bool_)
    count = len(mesh.vertices)
    a, b = gone[:, [0, 1]].reshape(-1), gone[:, [1, 2]].reshape(-1)
    _, label = connected_components(coo_matrix((np.ones(len(a), np.int8), (a, b)), (count, count)), directed=False)
    area = face_areas(mesh)[~kept]
    part = label[gone[:, 0]]
    small = np.bincount(part, area, count)[part] < width * width
    out = np.zeros(len(kept), np.bool_)
    out[np.flatnonzero(~kept)[small]] = True
    return out


def face_areas(mesh: Mesh) -> NDArray[np.float64]:
    """[F]"""
    corners = mesh.vertices[mesh.faces]
    return 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
