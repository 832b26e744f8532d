"""What a mesh is as a surface: edges, borders, parts, genus."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mvgen.core.geometry import Mesh
from mvgen.core.surface.simplify import face_parts


@dataclass(frozen=True)
class Topology:
    """open_edges: with one face; crowded_edges: with more than two; components: of faces that share vertices; holes:
    loops of open edges; genus: of all components together, None where the mesh is not a manifold or not orientable."""

    vertices: int
    faces: int
    open_edges: int
    crowded_edges: int
    components: int
    holes: int
    genus: int | None
    orientable: bool

    @property
    def watertight(self) -> bool:
        return self.faces > 0 and self.open_edges == 0 and self.crowded_edges == 0


def weld(mesh: Mesh) -> Mesh:
    """Vertices at exactly the same place become one, with the colour of the first; uv, texture and normals are lost."""
    keep, index = same_places(mesh.vertices)
    return replace(
        mesh,
        vertices=mesh.vertices[keep],
        faces=index[mesh.faces].astype(np.int32),
        normals=None,
        colours=None if mesh.colours is None else mesh.colours[keep],
        uv=None,
        texture=None,
    )


def same_places(vertices: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[K]: the first vertex of each place, in their order; [V]: the number of the place of each vertex [V, 3]."""
    _, first, index = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[index.reshape(-1)]


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges of faces [F, 3]: ends [E, 2], lower first; count [E] of their faces; of [3 F]: the edge of each side, by
    face and corner; forward [3 F]: whether the side runs from the lower to the higher vertex."""

    ends: NDArray[np.int64]
    count: NDArray[np.int64]
    of: NDArray[np.int64]
    forward: NDArray[np.bool_]


def edges_of(faces: NDArray[np.integer]) -> Edges:
    sides = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2).astype(np.int64)
    base = int(faces.max(initial=0)) + 1
    keys, of, count = np.unique(sides.min(1) * base + sides.max(1), return_inverse=True, return_counts=True)
    ends = np.stack([keys // base, keys % base], axis=1)
    return Edges(ends, count, of.reshape(-1), sides[:, 0] < sides[:, 1])


def topology(mesh: Mesh, welded: bool = False) -> Topology:
    """Of a mesh; faces that name a vertex twice do not count. Vertices at the same place are one, unless the mesh is
    ``welded`` already: then those at the same place are apart on purpose."""
    faces = mesh.faces if welded or not len(mesh.faces) else weld(mesh).faces
    faces = faces[_proper(faces)]
    if not len(faces):
        return Topology(0, 0, 0, 0, 0, 0, None, True)
    edges = edges_of(faces)
    parts = int(face_parts(Mesh(np.zeros((int(faces.max()) + 1, 3)), faces)).max()) + 1
    points = len(np.unique(faces))
    border = edges.ends[edges.count == 1]
    loops = int(border_loops(border).max(initial=-1)) + 1
    orientable = bool(orientation(faces, edges)[1].all())
    manifold = not (edges.count > 2).any() and not pinched(faces, edges).any()
    euler = points - len(edges.ends) + len(faces)
    genus = (2 * parts - euler - loops) // 2 if manifold and orientable else None
    crowded = int((edges.count > 2).sum())
    return Topology(points, len(faces), len(border), crowded, parts, loops, genus, orientable)


def _proper(faces: NDArray[np.integer]) -> NDArray[np.bool_]:
    return (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])


def border_loops(border: NDArray[np.int64]) -> NDArray[np.int32]:
    """[E]: the number of the loop that each open edge [E, 2] belongs to; loops that touch are one."""
    if not len(border):
        return np.zeros(0, np.int32)
    names, index = np.unique(border, return_inverse=True)
    ends = index.reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (len(names), len(names)))
    return connected_components(graph, directed=False)[1][ends[:, 0]]


def orientation(faces: NDArray[np.integer], edges: Edges) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which faces [F] to turn so that neighbours across edges of two faces agree (the fewest of each part), and
    whether that can be done where they are [F].

    Each face stands in the graph twice, as it is and turned. Neighbours that agree join like with like, others across.
    A part that is joined with its own turned self has one side only, as a Möbius strip, and is left as it is.
    """
    count = len(faces)
    order = np.argsort(edges.of, kind="stable")
    starts = np.searchsorted(edges.of[order], np.flatnonzero(edges.count == 2))
    one, two = order[starts], order[starts + 1]
    f, g = one // 3, two // 3
    crossed = edges.forward[one] == edges.forward[two]
    rows = np.r_[f, f + count]
    columns = np.r_[np.where(crossed, g + count, g), np.where(crossed, g, g + count)]
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), (2 * count, 2 * count))
    label = connected_components(graph, directed=False)[1]
    asis, turned = label[:count], label[count:]
    two_sided = asis != turned
    sizes = np.bincount(asis, minlength=label.max() + 1)  # faces that each of the two ways leaves as they are
    swap = (sizes[turned] > sizes[asis]) | ((sizes[turned] == sizes[asis]) & (turned < asis))
    return swap & two_sided, two_sided


def pinched(faces: NDArray[np.integer], edges: Edges) -> NDArray[np.bool_]:
    """[V]: vertices where several fans of faces meet that share no edge there."""
    # corners of one vertex are linked where an edge from that vertex joins their faces
    corner = np.arange(3 * len(faces)).reshape(-1, 3)
    ends = np.stack([corner, np.roll(corner, -1, axis=1)], axis=-1).reshape(-1, 2)  # corners at each side's ends
    start_vertex = faces.reshape(-1)
    order = np.argsort(edges.of, kind="stable")
    same = edges.of[order[1:]] == edges.of[order[:-1]]
    a, b = order[:-1][same], order[1:][same]
    aligned = (edges.forward[a] == edges.forward[b])[:, None]
    first, second = ends[a], np.where(aligned, ends[b], ends[b][:, ::-1])
    rows, columns = first.reshape(-1), second.reshape(-1)
    size = 3 * len(faces)
    fans = connected_components(coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), (size, size)), False)[1]
    pairs = np.unique(np.stack([start_vertex, fans], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=int(faces.max()) + 1) > 1
