"""Closing the handles and tunnels of a surface that are too small to be believed.

Every handle has a loop that does not part the surface in two. Cutting the surface along it and closing both ends takes
the handle away. Which loops part the surface is told by labels: a spanning tree of the faces and one of the vertices
leave two edges over for every handle, each of which closes a loop from face to face. Each of these loops gets a random
word, and each edge the words of those that cross it. Along a loop of edges the words cancel if, and but for one chance
in 2^64 only if, it parts the surface (Eppstein 2003 has the trees, Erickson 2012 a survey of such labels).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.nearest import Triangles, face_normals
from mvgen.core.progress import Progress
from mvgen.core.surface.topology import Edges, border_loops, edges_of, topology

REACH = 100.0  # longest loop that is looked at, in spacings of the points
AROUND = 2.0  # spacings about a loop within which points are asked
MISSED = 3.0  # what a cut must gain: as much as so many points that lay a spacing, or the scatter, off the surface
MOST = 200  # handles; a surface with more follows scatter
WALK = 1.2  # how much longer than a round loop one over edges is
COMPILE_SECONDS = 4
_KERNELS = "loops"


@dataclass(frozen=True, eq=False)
class Witnesses:
    """Points with normals through which a surface was drawn; their spacing; scatter: about the surface; blind: the
    width up to which handles and tunnels tell nothing, as they cannot be told from scatter."""

    cloud: PointCloud
    spacing: float
    scatter: float
    blind: float


def close_handles(mesh: Mesh, witnesses: Witnesses, progress: Progress) -> tuple[Mesh, int]:
    """The mesh without the handles and tunnels that points speak against, and how many these were.

    Tried are loops of edges that do not part the surface, the shortest first. A handle is closed where its loop is no
    longer than around a tube of the blind width; or where points that the surface had missed lie on the caps, facing as
    these do: in the holes of a thin wall, or between two walls that had been joined. A true hole has none there.

    For welded meshes; one that is no manifold, or one-sided, stays as it is. Where the genus is 0 this costs no more
    than counting. Normals, uv and texture go where a handle was closed.
    """
    tree = cache(lambda: cKDTree(witnesses.cloud.points))

    def wrong(mesh: Mesh, loop: NDArray[np.int64], length: float) -> bool:
        return length <= WALK * np.pi * witnesses.blind or _gain(mesh, loop, witnesses, tree()) > MISSED

    return _closed(mesh, REACH * witnesses.spacing, wrong, progress)


def close_narrow_handles(mesh: Mesh, width: float, progress: Progress) -> tuple[Mesh, int]:
    """The mesh without the handles and tunnels that are no wider than ``width``, and how many these were.

    For the same meshes as `close_handles`; one with more than MOST handles in all is scatter, and stays as it is."""
    return _closed(mesh, WALK * np.pi * width, lambda *_: True, progress, MOST)


def _closed(
    mesh: Mesh,
    longest: float,
    wrong: Callable[[Mesh, NDArray[np.int64], float], bool],
    progress: Progress,
    most: float = np.inf,
) -> tuple[Mesh, int]:
    """Closed along loops, the shortest first, until none is wrong; as it is where there are more than ``most``."""
    from mvgen.kernels import jit

    genus = 0 if _is_simple(mesh.faces) else _genus(mesh)
    if genus > most:
        return mesh, 0
    closed = 0
    while closed < genus:
        edges = edges_of(mesh.faces)
        if notice := jit.wait_notice(_KERNELS, COMPILE_SECONDS):
            progress.note(notice)
        loops = short_loops(mesh, edges, longest, partial(wrong, mesh))
        jit.mark_warm(_KERNELS)
        if not loops:
            break
        for loop in loops:
            mesh = _cut(mesh, loop)
        closed += len(loops)
    return mesh, closed


def _gain(mesh: Mesh, loop: NDArray[np.int64], witnesses: Witnesses, tree: cKDTree) -> float:
    """By how much a cut brings the surface nearer to the points about it: squared distances in squares of the spacing,
    or of the scatter. Where it comes nearer, that counts as far as point and surface face the same or opposite ways."""
    places = mesh.vertices[loop]
    middle = places.mean(0)
    width = float(np.linalg.norm(places - middle, axis=1).max()) + AROUND * witnesses.spacing
    near = tree.query_ball_point(middle, width)
    points, normals = witnesses.cloud.points[near], witnesses.cloud.normals
    assert normals is not None
    if not near:
        return 0.0
    before = _about(mesh, middle, 3 * width).query(points)[0]
    triangles = _about(_cut(mesh, loop), middle, 3 * width)
    after, face, _ = triangles.query(points)
    facing = face_normals(triangles.vertices[triangles.faces[face]])[0]
    alike = np.einsum("ni,ni->n", facing, normals[near]) ** 2
    nearer = before**2 - after**2
    return float(np.where(nearer > 0, nearer * alike, nearer).sum()) / max(witnesses.spacing, witnesses.scatter) ** 2


def _about(mesh: Mesh, middle: NDArray[np.float64], radius: float) -> Triangles:
    close = np.linalg.norm(mesh.vertices - middle, axis=1) < radius
    return Triangles(mesh.vertices, mesh.faces[close[mesh.faces].any(1)])


def _is_simple(faces: NDArray[np.int32]) -> bool:
    """Whether a closed surface has genus 0, by the number of its vertices, for each face has three halves of edges.

    A twentieth of what `topology` takes, which is seconds for a million faces."""
    a, b = faces[:, :2].reshape(-1), faces[:, 1:].reshape(-1)
    size = int(faces.max(initial=-1)) + 1
    parts = connected_components(coo_matrix((np.ones(len(a), np.int8), (a, b)), (size, size)), directed=False)[0]
    unused = size - int(np.count_nonzero(np.bincount(faces.reshape(-1), minlength=size)))
    return 2 * (size - unused) - len(faces) == 4 * (parts - unused)


def _genus(mesh: Mesh) -> int:
    """Of all parts together; 0 for what is no manifold of two sides and proper faces."""
    shape = topology(mesh, welded=True)
    return 0 if shape.genus is None or shape.faces < len(mesh.faces) else shape.genus


# ---- which loops


def labels_of(faces: NDArray[np.int32], edges: Edges) -> NDArray[np.uint64]:
    """[E]: words that cancel along a closed walk over edges where it parts the surface. Holes count as filled."""
    first, second = _sides(faces, edges)
    nodes = int(max(first.max(), second.max())) + 1
    order, before, link = _tree(first, second, nodes)
    free = np.ones(len(edges.ends), bool)
    free[link[link >= 0]] = False
    count = int(edges.ends.max()) + 1
    weight = np.flatnonzero(free) + 1.0
    graph = coo_matrix((weight, tuple(edges.ends[free].T)), (count, count))
    free[minimum_spanning_tree(graph).data.astype(np.int64) - 1] = False
    over = np.flatnonzero(free)
    labels = np.zeros(len(edges.ends), np.uint64)
    labels[over] = np.random.default_rng(0).integers(1, 2**64, len(over), np.uint64)
    words = np.zeros(nodes, np.uint64)
    for side in (first, second):
        np.bitwise_xor.at(words, side[over], labels[over])
    from mvgen.kernels.loops import gathered

    gathered(order, before, words)
    labels[link[link >= 0]] = words[: len(link)][link >= 0]
    return labels


def _sides(faces: NDArray[np.int32], edges: Edges) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[E], [E]: what lies on either side of each edge: a face, or beyond the faces the loop of the border."""
    order = np.argsort(edges.of, kind="stable")
    starts = np.searchsorted(edges.of[order], np.arange(len(edges.ends)))
    first = order[starts] // 3
    second = order[np.minimum(starts + 1, len(order) - 1)] // 3
    border = edges.count == 1
    second[border] = len(faces) + border_loops(edges.ends[border])
    return first, second


def _tree(
    first: NDArray[np.int64], second: NDArray[np.int64], nodes: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """A broad tree over nodes that links [E] join, and a root that holds its parts together: nodes from the root
    outwards, the one before each, and by which link (below 0 for none)."""
    graph = coo_matrix((np.ones(len(first), np.int8), (first, second)), (nodes, nodes))
    parts, label = connected_components(graph, directed=False)
    roots = np.unique(label, return_index=True)[1]
    rows, columns = np.r_[first, np.full(parts, nodes)], np.r_[second, roots]
    joined = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), (nodes + 1, nodes + 1)).tocsr()
    order, before = breadth_first_order(joined, nodes, directed=False)
    before = before[:nodes].copy()
    before[before == nodes] = -1
    order = order[1:]
    keys = np.minimum(first, second) * nodes + np.maximum(first, second)
    sorting = np.argsort(keys, kind="stable")
    node = np.arange(nodes)
    wanted = np.minimum(node, before) * nodes + np.maximum(node, before)
    link = sorting[np.searchsorted(keys[sorting], wanted).clip(0, len(keys) - 1)]
    return order, before, np.where(before < 0, -1, link)


def short_loops(
    mesh: Mesh, edges: Edges, longest: float, wanted: Callable[[NDArray[np.int64], float], bool] = lambda *_: True
) -> list[NDArray[np.int64]]:
    """Wanted loops, by vertices [k] and length, that together do not part the surface and lie apart; shortest first.

    The first one tried is the shortest there is: as such a loop has an edge with a label, it is looked for at the ends
    of these. Loops that touch a border, or are longer than ``longest``, are left out.
    """
    links = _Links.of(mesh, edges, labels_of(mesh.faces, edges))
    roots = np.unique(links.ends[links.labels != 0])
    best, words, _, _ = links.search(roots, longest)
    taken = np.zeros(len(mesh.vertices), bool)
    taken[edges.ends[edges.count == 1]] = True
    out: list[NDArray[np.int64]] = []
    basis: list[int] = []
    refused: set[int] = set()
    for r in np.argsort(best, kind="stable")[: np.isfinite(best).sum()]:
        word = int(words[r])
        if taken[roots[r]] or word in refused or not _reduced(word, basis):
            continue
        loop = links.loop(roots[r], longest)
        if taken[loop].any():
            continue
        if wanted(loop, float(best[r])):
            out.append(loop)
            basis = sorted([*basis, _reduced(word, basis)], reverse=True)
            taken[links.around(links.around(loop))] = True
        else:
            refused.add(word)
    return out


def _reduced(word: int, basis: list[int]) -> int:
    """What of a word is no exclusive or of some in the basis, whose words fall; 0 for none."""
    for known in basis:
        word = min(word, word ^ known)
    return word


@dataclass(frozen=True, eq=False)
class _Links:
    """Both ways along each edge, by the vertex that they start from: starts [V + 1], ends, lengths, labels [2 E]."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    lengths: NDArray[np.float64]
    labels: NDArray[np.uint64]

    @staticmethod
    def of(mesh: Mesh, edges: Edges, labels: NDArray[np.uint64]) -> _Links:
        a, b = edges.ends.T
        order = np.argsort(np.r_[a, b], kind="stable")
        starts = np.searchsorted(np.r_[a, b][order], np.arange(len(mesh.vertices) + 1))
        length = np.linalg.norm(mesh.vertices[a] - mesh.vertices[b], axis=1)
        return _Links(starts, np.r_[b, a][order], np.r_[length, length][order], np.r_[labels, labels][order])

    def around(self, vertices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The vertices and their neighbours."""
        return np.concatenate([vertices, *[self.ends[self.starts[v] : self.starts[v + 1]] for v in vertices]])

    def search(
        self, roots: NDArray[np.int64], longest: float
    ) -> tuple[NDArray[np.float64], NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
        """Length, word and last link of the shortest loop through each root; the way back to the last of these."""
        from mvgen.kernels.loops import shortest_loops

        best, word, turn = np.empty(len(roots)), np.empty(len(roots), np.uint64), np.empty((len(roots), 2), np.int64)
        before = np.full(len(self.starts) - 1, -1)
        shortest_loops(roots, self.starts, self.ends, self.lengths, self.labels, longest, best, word, turn, before)
        return best, word, turn, before

    def loop(self, root: int, longest: float) -> NDArray[np.int64]:
        """Vertices of the shortest loop through a root, without a way on which it goes there and back."""
        _, _, turn, before = self.search(np.array([root]), longest)
        there, back = _way(turn[0, 0], before), _way(turn[0, 1], before)
        shared = 1
        while min(len(there), len(back)) > shared and there[-1 - shared] == back[-1 - shared]:
            shared += 1
        return np.array(there[: len(there) - shared + 1] + back[: len(back) - shared][::-1])


def _way(end: int, before: NDArray[np.int64]) -> list[int]:
    """Vertices from an end to the root, which is before itself."""
    way = [int(end)]
    while before[way[-1]] != way[-1]:
        way.append(int(before[way[-1]]))
    return way


# ---- cutting


def _cut(mesh: Mesh, loop: NDArray[np.int64]) -> Mesh:
    """The mesh cut along a loop of vertices [k], with a cap on either side.

    Both borders draw back half an edge, so that the caps do not lie in one place.
    """
    count, size = len(mesh.vertices), len(loop)
    marked = np.zeros(count, bool)
    marked[loop] = True
    near = np.flatnonzero(marked[mesh.faces].any(1))
    faces = mesh.faces.copy()
    place, corner = _left_of(faces[near], loop).T
    twin = np.zeros(count, np.int32)
    twin[loop] = np.arange(count, count + size)
    faces[near[place], corner] = twin[faces[near[place], corner]]

    vertices = np.concatenate([mesh.vertices, mesh.vertices[loop], np.zeros((2, 3))])
    caps = []
    for ring, middle in ((twin[loop], count + size), (loop[::-1], count + size + 1)):
        vertices[ring] = _drawn_back(vertices, faces[near], ring)
        vertices[middle] = vertices[ring].mean(0)
        caps.append(np.stack([np.roll(ring, -1), ring, np.full(size, middle)], axis=1))
    colours = mesh.colours
    if colours is not None:
        colours = np.concatenate([colours, colours[loop], np.tile(colours[loop].mean(0), (2, 1))]).astype(colours.dtype)
    faces = np.concatenate([faces, *caps]).astype(np.int32)
    return replace(mesh, vertices=vertices, faces=faces, normals=None, colours=colours, uv=None, texture=None)


def _left_of(faces: NDArray[np.int32], loop: NDArray[np.int64]) -> NDArray[np.int64]:
    """[n, 2]: the faces, and their corners at the loop, to the left of it as one walks along it."""
    after = {}  # by two vertices that follow each other in a face: the face, the corner of the first, the third vertex
    for f, face in enumerate(faces.tolist()):
        for k in range(3):
            after[face[k], face[k - 2]] = f, k, face[k - 1]
    out = []
    for last, here, way in zip(np.roll(loop, 1).tolist(), loop.tolist(), np.roll(loop, -1).tolist()):
        while way != last:
            f, k, way = after[here, way]
            out.append((f, k))
    return np.array(out)


def _drawn_back(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], ring: NDArray[np.integer]
) -> NDArray[np.float64]:
    """[k, 3]: the ring's vertices, half the way to the middle of their neighbours that are not of it."""
    ends = edges_of(faces).ends
    out = vertices[ring]
    for i, v in enumerate(ring):
        others = ends[(ends == v).any(1)]
        others = np.setdiff1d(others, ring)
        if len(others):
            out[i] = (out[i] + vertices[others].mean(0)) / 2
    return out
