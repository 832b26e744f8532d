"""Marching cubes over blocks of one large grid, with the seams between the blocks joined exactly.

PyMCubes sees only on which side of the level each node lies. So each of its vertices sits in the middle of an edge of
the grid and names that edge beyond doubt; its true place then follows from the values at the two ends. Two blocks that
share an edge find the same vertex, and all is as if the whole grid had been given to PyMCubes at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_REACH = 1 << 20  # nodes along one axis; three of them and the axis of an edge fit 64 bits


@dataclass(frozen=True, eq=False)
class Crossings:
    """A surface on the edges of a grid.

    node [V, 3] int64: the lower end of each vertex's edge; axis [V] int64: along which the edge runs; share [V] float64
    in [0, 1]: how far from the lower end the vertex lies; step [V] float64: how much the values change along the edge;
    faces [F, 3] int32, counter-clockwise seen from where values are above the level.
    """

    node: NDArray[np.int64]
    axis: NDArray[np.int64]
    share: NDArray[np.float64]
    step: NDArray[np.float64]
    faces: NDArray[np.int32]

    @property
    def upper(self) -> NDArray[np.int64]:
        """[V, 3]: the upper ends."""
        return self.node + np.eye(3, dtype=np.int64)[self.axis]

    def places(self) -> NDArray[np.float64]:
        """[V, 3]: the vertices, in nodes."""
        out = self.node.astype(np.float64)
        out[np.arange(len(out)), self.axis] += self.share
        return out


def march(blocks: Iterable[tuple[NDArray[np.integer], NDArray[np.floating]]], level: float = 0.0) -> Crossings:
    """The surface at a level through blocks of a grid: (first node [3], values [A, B, C]) each.

    Neighbouring blocks share the nodes between them. NaN stands for a value that is not known: no face touches an edge
    that ends there. A node at the level counts as below it.
    """
    keys, ends, triangles = [np.zeros(0, np.int64)], [np.zeros((0, 2))], [np.zeros((0, 3), np.int64)]
    for first, values in blocks:
        found = _one_block(np.asarray(first, np.int64), values, level)
        if found is not None:
            keys.append(found[0])
            ends.append(found[1])
            triangles.append(found[0][found[2]])
    unique, index = np.unique(np.concatenate(keys), return_index=True)
    faces = np.searchsorted(unique, np.concatenate(triangles))
    node = np.stack([unique // 3 // _REACH**2, unique // 3 // _REACH % _REACH, unique // 3 % _REACH], axis=1)
    share, step = np.concatenate(ends)[index].T
    return Crossings(node, unique % 3, share, step, faces.astype(np.int32))


def _one_block(
    first: NDArray[np.int64], values: NDArray[np.floating], level: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]] | None:
    """Names [v] of the edges that the surface crosses, their shares and steps [v, 2], faces [f, 3]; None if none."""
    import mcubes

    below = values <= level
    if min(values.shape) < 2 or below.all() or not below.any():
        return None
    vertices, faces = mcubes.marching_cubes(np.where(below, -1.0, 1.0), 0.0)
    node = np.floor(vertices).astype(np.int64)
    axis = np.argmax(vertices - node, axis=1)
    other = node + np.eye(3, dtype=np.int64)[axis]
    low = values[node[:, 0], node[:, 1], node[:, 2]].astype(np.float64)
    high = values[other[:, 0], other[:, 1], other[:, 2]].astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinite ends are treated next
        share = (level - low) / (high - low)
        known = ~(np.isnan(low) | np.isnan(high))
    share = np.where(np.isinf(low), 1.0 - np.isinf(high) * 0.5, np.where(np.isinf(high), 0.0, share))
    node += first
    key = ((node[:, 0] * _REACH + node[:, 1]) * _REACH + node[:, 2]) * 3 + axis
    turned = faces.astype(np.int64)[:, ::-1]  # PyMCubes turns them towards low values
    turned = turned[known[turned].all(1)]
    if not len(turned):
        return None
    used = np.zeros(len(key), bool)
    used[turned] = True
    return key[used], np.stack([share, np.abs(high - low)], axis=1)[used], (np.cumsum(used) - 1)[turned]
