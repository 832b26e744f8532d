"""Smooth deformations of space that are as rigid as possible where there is matter, driven by a few nodes.

Nodes stand for the matter around them (Sumner, Schmid and Pauly, "Embedded deformation for shape manipulation", 2007).
Some are fixed or moved; the others follow so that each keeps its neighbours about it up to a rotation (Sorkine and
Alexa, "As-rigid-as-possible surface modeling", 2007). In between, space follows the nearest nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from mvgen.core.edit.affine import rotations_of

NEIGHBOURS = 8  # of a node
NEAREST = 8  # nodes that a place follows
REACH = 0.6  # of a node, in widths of a cell
_HOLD = 1e-6  # of what draws a node to where it was guessed: parts that touch nothing stay where they are


@dataclass(frozen=True, eq=False)
class Field:
    """places [M, 3] of nodes before, targets [M, 3] after, their rotations [M, 3, 3], and how far they reach."""

    places: NDArray[np.float64]
    targets: NDArray[np.float64]
    rotations: NDArray[np.float64]
    reach: float

    def apply(self, points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points [N, 3] after the deformation, and its derivative there [N, 3, 3]."""
        number = min(NEAREST, len(self.places))
        distance, index = cKDTree(self.places).query(points, number, workers=-1)
        distance, index = distance.reshape(len(points), number), index.reshape(len(points), number)
        weight = np.exp(-(distance**2 - distance[:, :1] ** 2) / (2 * self.reach**2))
        weight /= weight.sum(1, keepdims=True)
        offset = points[:, None] - self.places[index]
        turns = self.rotations[index]
        each = self.targets[index] + (turns @ offset[..., None])[..., 0]
        slope = -offset / self.reach**2  # of the logarithm of a weight
        slope -= (weight[..., None] * slope).sum(1, keepdims=True)
        moved = (weight[..., None] * each).sum(1)
        apart = each - moved[:, None]
        derivative = np.einsum("nk,nkij->nij", weight, turns)
        derivative += np.einsum("nki,nkj->nij", apart, weight[..., None] * slope)
        return moved, _tame(derivative)


def thinned(points: NDArray[np.floating], width: float) -> NDArray[np.float64]:
    """[M, 3]: the mean of the points in each cell of a width."""
    cells = np.floor((points - points.min(0)) / width)
    sides = cells.max(0) + 1
    _, inverse = np.unique((cells[:, 0] * sides[1] + cells[:, 1]) * sides[2] + cells[:, 2], return_inverse=True)
    number = np.bincount(inverse)
    return np.stack([np.bincount(inverse, column) / number for column in points.T], 1)


def solved(
    places: NDArray[np.float64], guess: NDArray[np.float64], given: NDArray[np.bool_], reach: float, rounds: int
) -> Field:
    """The deformation with nodes [M, 3] whose targets are ``given`` [M] by ``guess`` [M, 3], and guessed elsewhere."""
    first, second = _links(places)
    number = len(places)
    ones = np.ones(len(first))
    links = coo_matrix((ones, (first, second)), (number, number)).tocsr()
    laplacian = diags(np.asarray(links.sum(1)).reshape(-1) + _HOLD) - links
    free = ~given
    edges = places[first] - places[second]
    targets, turns = guess.copy(), np.tile(np.eye(3), (number, 1, 1))
    factor = splu(laplacian[free][:, free].tocsc()) if free.any() else None
    across = laplacian[free][:, given]
    for _ in range(rounds):
        spread = np.einsum("ei,ej->eij", targets[first] - targets[second], edges)
        turns = rotations_of(_summed(spread.reshape(-1, 9), first, number).reshape(-1, 3, 3) + _HOLD * np.eye(3))
        if factor is None:
            break
        wanted = 0.5 * ((turns[first] + turns[second]) @ edges[..., None])[..., 0]
        right = _summed(wanted, first, number) + _HOLD * guess
        targets[free] = factor.solve(right[free] - across @ targets[given])
    return Field(places, targets, turns, reach)


def _links(places: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of near nodes, each both ways."""
    number = min(NEIGHBOURS + 1, len(places))
    _, index = cKDTree(places).query(places, number)
    index = index.reshape(len(places), number)[:, 1:]
    first = np.repeat(np.arange(len(places)), number - 1)
    pairs = np.stack([first, index.reshape(-1)], 1)
    pairs = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _summed(values: NDArray[np.float64], rows: NDArray[np.int64], number: int) -> NDArray[np.float64]:
    return np.stack([np.bincount(rows, column, number) for column in values.T], 1)


def _tame(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maps that fold or flatten space, or tear it apart, do so less."""
    wild = (np.linalg.det(maps) < 0.05) | ((maps**2).sum((1, 2)) > 40)
    if wild.any():
        left, sizes, right = np.linalg.svd(maps[wild])
        left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
        maps[wild] = (left * np.clip(sizes, 0.2, 6.0)[:, None]) @ right
    return maps
