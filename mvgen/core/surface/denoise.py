"""Points that scatter about a surface, brought back to it without joining the two sides of a thin part.

Without normals: the points are taken for a blur, of known width, of fewer places, and the places that explain them best
are found by expectation maximisation. A mean over a neighbourhood would join two sheets that lie within it; this parts
them as long as they are more than about twice the scatter apart. With normals: each point moves along its own, to the
mean of those neighbours that face the same way.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.geometry import PointCloud

PLACES = 32  # near a point that may explain it; as many lie within two scatters of it
ENOUGH = 400  # points within that distance; of more, some are drawn by chance
ROUNDS = 6  # of expectation maximisation; more of them draw the places into clumps
PROBES = 1000  # points at which something is measured
FACING = 48  # neighbours that a point with a normal looks at
OPPOSED = -0.5  # cosine of two normals from which on they are those of two sides
THIN = 0.1  # share of such neighbours from which on a point lies on a thin part
_CHUNK = 1 << 15  # points treated at a time


def crowd(points: NDArray[np.float64], noise: float) -> float:
    """The median number of points within two scatters of one."""
    some = points[:: max(1, len(points) // PROBES)]
    return float(np.median(cKDTree(points).query_ball_point(some, 2 * noise, return_length=True)))


def sharpened(points: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """[M, 3]: at most as many places on the surface about which points [N, 3] scatter by ``noise`` in each direction.

    Worth its time from about PLACES points within two scatters on.
    """
    around = max(crowd(points, noise), 1.0)
    data = _some(points, ENOUGH / around)
    places = _some(points, PLACES / min(around, ENOUGH))
    for _ in range(ROUNDS):
        places = _explained(data, places, noise)
    return places


def _explained(points: NDArray[np.float64], places: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Each place at the mean of the points, as far as it, rather than the other places, explains them."""
    tree, count = cKDTree(places), min(PLACES, len(places))
    total = np.zeros((len(places), 4))
    for first in range(0, len(points), _CHUNK):
        some = points[first : first + _CHUNK]
        distance, index = tree.query(some, count, workers=-1)
        distance, index = distance.reshape(len(some), count), index.reshape(len(some), count)
        share = np.exp((distance[:, :1] ** 2 - distance**2) / (2 * noise**2))
        share /= share.sum(1, keepdims=True)
        near = index.reshape(-1)
        for axis in range(3):
            total[:, axis] += np.bincount(near, (share * some[:, axis, None]).reshape(-1), len(places))
        total[:, 3] += np.bincount(near, share.reshape(-1), len(places))
    explains = total[:, 3] > 1e-3
    return np.where(explains[:, None], total[:, :3] / np.maximum(total[:, 3:], 1e-3), places)


def is_thin(cloud: PointCloud, reach: float) -> NDArray[np.bool_]:
    """[P], of some of the points: whether within the reach of one there are others that face the opposite way."""
    points, normals = cloud.points, cloud.normals
    assert normals is not None
    some = np.arange(0, len(points), max(1, len(points) // PROBES))
    tree = cKDTree(points)
    out = np.zeros(len(some), bool)
    for i, near in enumerate(tree.query_ball_point(points[some], reach)):
        out[i] = (normals[near] @ normals[some[i]] < OPPOSED).mean() > THIN
    return out


def settled(cloud: PointCloud, reach: float, rounds: int = 1) -> PointCloud:
    """Points moved along their normals to the weighted mean height of those within about ``reach`` that face the same
    way; of many neighbours only FACING, drawn by chance, are looked at."""
    points, normals = cloud.points, cloud.normals
    assert normals is not None
    normals = normals.astype(np.float64)
    for _ in range(rounds):
        pool = _some(np.arange(len(points)), FACING / max(crowd(points, reach), 1.0))
        tree = cKDTree(points[pool])
        moved = np.empty_like(points)
        for first in range(0, len(points), _CHUNK):
            part = slice(first, first + _CHUNK)
            near = pool[tree.query(points[part], min(FACING, len(pool)), workers=-1)[1]]
            step = points[near] - points[part, None]
            height = np.einsum("nki,ni->nk", step, normals[part])
            weight = np.maximum(np.einsum("nki,ni->nk", normals[near], normals[part]), 0) ** 2
            weight *= np.exp(-(step**2).sum(2) / (2 * reach**2))
            total = np.maximum(weight.sum(1), 1e-300)
            moved[part] = points[part] + normals[part] * ((weight * height).sum(1) / total)[:, None]
        points = moved
    return replace(cloud, points=points)


def _some(values: NDArray, share: float) -> NDArray:
    """A share of the rows, drawn by chance, in their old order."""
    if share >= 1:
        return values
    count = max(1, int(len(values) * share))
    return values[np.sort(np.random.default_rng(0).permutation(len(values))[:count])]
