"""How thick a flat region becomes: spheres that fit into it, made smooth.

The union of all discs that fit into a region, taken as balls, has the squared height max over c of d(c)^2 - |x - c|^2,
where d is the distance to the outline: a distance transform of parabolas (Felzenszwalb and Huttenlocher, "Distance
transforms of sampled functions", 2012). Its ridges are smoothed by the thin-plate (biharmonic) energy; being squared, a
height that leaves 0 in proportion to the distance from the outline becomes a rounded rim.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array, diags_array, eye_array
from scipy.spatial import cKDTree

from mvgen.core.inflate.outline import Outline

SMOOTH = 0.03  # of the region's diagonal: ridges narrower than this become round
STEPS = 10  # of conjugate gradients
LOWEST = 0.25  # of the balls' squared height, at least
_STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # to the four neighbours, as (row, column)


def heights(region: Outline) -> NDArray[np.float64]:
    """[nodes]: the height of each inner node above the plane, in pixels; the outline lies in it."""
    reach = _reach(region)
    balls = _balls(region, reach)
    laplacian = _laplacian(region)
    extent = np.ptp(region.place, axis=0).astype(np.float64) + 1
    smooth = max(1.0, SMOOTH * float(np.linalg.norm(extent)))
    squared = np.maximum(_smoothed(laplacian, balls, smooth), LOWEST * balls)
    return np.sqrt(squared) * region.step


def _reach(region: Outline) -> NDArray[np.float64]:
    """[nodes]: distance to the outline in cells."""
    grid = region.points / region.step + 0.5
    rim = grid[region.nodes :]
    return np.asarray(cKDTree(rim).query(grid[: region.nodes])[0], np.float64)


def _balls(region: Outline, reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """[nodes]: squared height of the balls, in cells."""
    field = np.full(region.shape, -np.inf)
    row, column = region.place.T
    field[row, column] = reach**2
    radius = int(np.ceil(reach.max()))
    for axis in (0, 1):
        field = _widened(field, radius, axis)
    return np.maximum(field[row, column], reach**2)


def _widened(field: NDArray[np.float64], radius: int, axis: int) -> NDArray[np.float64]:
    """The highest of all parabolas field(c) - (x - c)^2 along one axis."""
    out = field.copy()
    for k in range(1, min(radius, field.shape[axis] - 1) + 1):
        front, back = (np.s_[k:], np.s_[:-k]) if axis == 0 else (np.s_[:, k:], np.s_[:, :-k])
        np.maximum(out[front], field[back] - k * k, out=out[front])
        np.maximum(out[back], field[front] - k * k, out=out[back])
    return out


def _laplacian(region: Outline) -> csc_array:
    """[nodes, nodes]: minus the Laplacian in cells, 0 on the outline, which lies where it cuts the grid's edges (Gibou
    et al., "A second-order-accurate symmetric discretization of the Poisson equation on irregular domains", 2002)."""
    number = np.full(region.shape, -1, np.int64)
    row, column = region.place.T
    number[row, column] = np.arange(region.nodes)
    distance = _to_outline(region, number)
    own = np.zeros(region.nodes)
    links = []
    for (down, right), away in zip(_STEPS, distance):
        other = number[row + down, column + right]
        own += np.where(other >= 0, 1.0, 1 / away)
        links.append(np.stack([np.flatnonzero(other >= 0), other[other >= 0]]))
    i, j = np.concatenate(links, axis=1)
    matrix = coo_array((np.full(len(i), -1.0), (i, j)), (region.nodes, region.nodes))
    return csc_array(matrix + diags_array(own))


def _to_outline(region: Outline, number: NDArray[np.int64]) -> NDArray[np.float64]:
    """[4, nodes]: from each node to where the outline cuts the edge towards its neighbour, in cells; 1 elsewhere."""
    out = np.ones((4, region.nodes))
    rim = (region.points / region.step + 0.5)[region.nodes :]
    low = np.floor(rim).astype(np.int64)
    along_row = (rim[:, 0] > low[:, 0]).astype(np.int64)  # else along a column
    share = np.where(along_row > 0, rim[:, 0] - low[:, 0], rim[:, 1] - low[:, 1])
    first = number[low[:, 1], low[:, 0]]
    second = number[low[:, 1] + 1 - along_row, low[:, 0] + along_row]
    from_first = first >= 0
    step = np.where(along_row > 0, np.where(from_first, 0, 1), np.where(from_first, 2, 3))
    out[step, np.where(from_first, first, second)] = np.where(from_first, share, 1 - share)
    return out


def _smoothed(laplacian: csc_array, values: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    """Values with structures narrower than a length removed, 0 on the outline.

    Minimises the thin-plate energy of the difference to a smooth arch of the same mean. With minus the Laplacian A and
    k = 1 / length^2 this is (A^2 + k^2)^-1 k^2, by conjugate gradients: (A + k)^-2 is at most twice as large, so ten
    steps leave a millionth.
    """
    arch = _factorised(laplacian)(np.ones(len(values)))
    arch *= values.sum() / arch.sum()
    k = 1 / length**2
    solve = _factorised(csc_array(laplacian + k * eye_array(len(values))))
    goal = k * k * (values - arch)
    found = np.zeros_like(goal)
    left = goal
    near = solve(solve(left))
    direction, size = near, float(left @ near)
    for _ in range(STEPS):
        if size <= 0:
            break
        image = laplacian @ (laplacian @ direction) + k * k * direction
        share = size / float(direction @ image)
        found, left = found + share * direction, left - share * image
        near = solve(solve(left))
        before, size = size, float(left @ near)
        direction = near + size / before * direction
    return arch + found


def _factorised(matrix: csc_array) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    from scipy.sparse.linalg import splu

    return splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve
