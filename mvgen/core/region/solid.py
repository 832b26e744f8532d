"""What is within a mesh, by winding numbers (Barill et al., "Fast winding numbers for soups and clouds", 2018).

Most of many points are not measured. Away from faces a winding number changes only by what holes let through: its
gradient is that of a magnetic field whose current runs along the rims of the holes, so it is at most the length of the
rims over 4 pi d^2 at a distance d from them (Biot and Savart). So a cube without faces in it can be told by its middle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mvgen.core.box import Box
from mvgen.core.geometry import Mesh
from mvgen.core.nearest import Triangles, walk
from mvgen.core.region.cubes import in_cubes
from mvgen.core.region.things import Mask
from mvgen.core.surface.topology import edges_of, weld

_HALF = 0.5  # of a winding number: inside is above
_DOUBT = 0.1  # by which fast winding numbers may be wrong, and more
_SIDES = (1 / 64, 1 / 256)  # of cubes, in diagonals of the mesh
_WORTH = 4  # points in a cube, on average, from which its middle saves time


def inside(points: NDArray[np.floating], mesh: Mesh) -> Mask:
    """[N]: points [N, 3] within a mesh, by its winding number, which small holes do not spoil."""
    out = np.zeros(len(points), np.bool_)
    if not len(mesh.faces):
        return out
    low, high = mesh.bounds
    left = np.flatnonzero(Box(tuple(low), tuple(high)).holds(points))
    triangles, winding_at, rims = Triangles(mesh.vertices, mesh.faces), _winding(mesh), _rims(mesh)
    for share in _SIDES:
        if not len(left):
            return out
        cubes = in_cubes(points[left], share * mesh.diagonal)
        middles = cubes.middles
        if len(left) < _WORTH * len(middles):
            continue
        winding = winding_at(middles)
        half = float(np.sqrt(3)) / 2 * cubes.side * (1 + 1e-6)
        sure = np.abs(winding - _HALF) > _DOUBT + half * _most_change(middles, rims, half)
        sure[sure] = triangles.query(middles[sure])[0] > half
        out[left] = (sure & (winding > _HALF))[cubes.of]
        left = left[~sure[cubes.of]]
    left = left[walk(points[left])]
    out[left] = winding_at(points[left]) > _HALF
    return out


def _winding(mesh: Mesh) -> Callable[[NDArray[np.floating]], NDArray[np.float64]]:
    """What finds the winding numbers [N] of a mesh at points [N, 3]."""
    import igl

    tree = igl.FastWindingNumberBVH()
    tree.init(np.ascontiguousarray(mesh.vertices, np.float64), np.ascontiguousarray(mesh.faces, np.int64))

    def at(points: NDArray[np.floating]) -> NDArray[np.float64]:
        if not len(points):
            return np.zeros(0)
        return np.asarray(tree.winding_number(np.ascontiguousarray(points, np.float64))).reshape(-1)

    return at


def _rims(mesh: Mesh) -> NDArray[np.float64]:
    """[E, 4]: middles and lengths of the edges that faces do not pass in one direction as often as in the other; those
    of two faces more often than the other way twice. Vertices at the same place are one."""
    out = _rims_of(mesh)
    return _rims_of(weld(mesh)) if len(out) else out  # welding takes long, and opens nothing


def _rims_of(mesh: Mesh) -> NDArray[np.float64]:
    edges = edges_of(mesh.faces)
    more = np.bincount(edges.of, np.where(edges.forward, 1, -1), len(edges.ends)).astype(int)
    ends = mesh.vertices[np.repeat(edges.ends, np.abs(more), axis=0)]
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    return np.concatenate([ends.mean(1), length[:, None]], 1)


def _most_change(points: NDArray[np.float64], rims: NDArray[np.float64], around: float) -> NDArray[np.float64]:
    """[N]: by how much winding numbers change per length, at most, within a distance of points [N, 3], without faces
    there."""
    from scipy.spatial import cKDTree

    if not len(rims):
        return np.zeros(len(points))
    near = cKDTree(rims[:, :3]).query(points)[0] - rims[:, 3].max() / 2 - around
    return np.where(near > 0, rims[:, 3].sum() / (4 * np.pi * np.maximum(near, 1e-9 * around) ** 2), np.inf)
