"""Any triangles as an oriented manifold with border: half-edges in pairs, corners in fans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True, eq=False)
class Fans:
    """Faces cut so that each edge has at most two sides and the faces about each point form one fan or ring.

    corners [F, 3] int32: the fan of each corner; twins [3 F] int32: the half-edge on the other side (half-edge 3 f + k
    runs from corner k of face f), or -1 at a border; owners [N] int32: the vertex of each fan.
    """

    corners: NDArray[np.int32]
    twins: NDArray[np.int32]
    owners: NDArray[np.int32]

    @property
    def open(self) -> bool:
        return bool((self.twins < 0).any())

    @property
    def split(self) -> bool:
        """Whether a vertex belongs to several fans."""
        return len(np.unique(self.owners)) < len(self.owners)


def cut_into_fans(faces: NDArray[np.integer]) -> Fans:
    """The fans of faces [F, 3], none of which names a vertex twice."""
    twins = pair_half_edges(faces)
    half = np.flatnonzero(twins >= 0)
    following = half - half % 3 + (half + 1) % 3
    # the start of a half-edge and the end of its twin are one corner of the surface
    start, across = half, twins[half] - twins[half] % 3 + (twins[half] + 1) % 3
    del following
    size = 3 * len(faces)
    graph = coo_matrix((np.ones(len(start), np.int8), (start, across)), (size, size))
    count, fan = connected_components(graph, directed=False)
    owners = np.zeros(count, np.int32)
    owners[fan] = faces.reshape(-1)
    return Fans(fan.reshape(-1, 3).astype(np.int32), twins.astype(np.int32), owners)


def pair_half_edges(faces: NDArray[np.integer]) -> NDArray[np.int64]:
    """[3 F]: the half-edge that runs the other way along the same edge, or -1. Where an edge has several of either
    direction, they are paired in order."""
    start = faces.reshape(-1).astype(np.int64)
    end = np.roll(faces, -1, axis=1).reshape(-1).astype(np.int64)
    size = int(start.max(initial=0)) + 1
    edge = np.minimum(start, end) * size + np.maximum(start, end)
    forward = start < end
    order = np.lexsort((np.arange(len(edge)), forward, edge))
    run = edge[order] * 2 + forward[order]
    first = np.flatnonzero(np.concatenate([[True], run[1:] != run[:-1]]))
    rank = np.arange(len(run)) - np.repeat(first, np.diff(np.append(first, len(run))))
    # the n-th of one direction meets the n-th of the other
    meeting = np.lexsort((rank, edge[order]))
    sorted_edge, sorted_rank = edge[order][meeting], rank[meeting]
    same = (sorted_edge[1:] == sorted_edge[:-1]) & (sorted_rank[1:] == sorted_rank[:-1])
    left = np.flatnonzero(same)
    a, b = order[meeting[left]], order[meeting[left + 1]]
    twins = np.full(len(edge), -1, np.int64)
    twins[a], twins[b] = b, a
    return twins
