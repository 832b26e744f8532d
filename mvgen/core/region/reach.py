"""What is near a selection, or joined with it: growing, parts, distances along the surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from mvgen.core.geometry import Mesh
from mvgen.core.region.select import in_sphere
from mvgen.core.region.things import Mask, Things
from mvgen.core.surface.topology import edges_of

_LINKS = 12  # nearest neighbours that paths over points may take
_WORKERS = 2
_SAMPLE = 20_000  # points that tell the spacing


def grown(points: NDArray[np.floating], mask: Mask, radius: float) -> Mask:
    """[N]: the selected points [N, 3], and all within a radius of one of them, in scene units."""
    out = mask.copy()
    rest = np.flatnonzero(~mask)
    if not mask.any() or not len(rest):
        return out
    cell, count = _cells(points, radius)
    full = np.zeros(count, np.bool_)
    full[cell[mask]] = True
    # of all places, only those in or beside a cell with selected ones are measured, and only from these
    beside = _beside(points, radius, cell, full)
    rest = rest[beside[cell[rest]]]
    empty = np.zeros(count, np.bool_)
    empty[cell[rest]] = True
    source = mask & _beside(points, radius, cell, empty)[cell]
    if len(rest) and source.any():
        tree = cKDTree(points[source], balanced_tree=False, compact_nodes=False)
        distance = tree.query(points[rest], distance_upper_bound=radius * (1 + 1e-12), workers=_WORKERS)[0]
        out[rest[distance <= radius]] = True
    return out


def shrunk(points: NDArray[np.floating], mask: Mask, radius: float) -> Mask:
    """[N]: the selected points that have no unselected one within a radius."""
    return mask & ~grown(points, ~mask, radius)


def spacing(points: NDArray[np.floating]) -> float:
    """About the distance to the third neighbour, as if points were spread over a surface."""
    step = max(1, len(points) // _SAMPLE)
    some = points[::step]
    if len(some) < 4:
        return 0.0
    distance = cKDTree(some).query(some, 4, workers=_WORKERS)[0][:, -1]
    return float(np.median(distance)) / float(np.sqrt(step))


def usual_gap(things: Things) -> float:
    """What is farther away than this is of another part, if nothing else is told: twice the spacing of points and
    splats, and of cells so little that only those which touch hang together."""
    return float(things.grid.spacing.max()) if things.grid is not None else 2 * spacing(things.places)


def parts(things: Things, gap: float) -> NDArray[np.int32]:
    """[N]: the part that each place belongs to, by falling size from 0.

    Of a mesh, parts hang together by faces; of other things, places that are nearer than ``gap`` are linked, and those
    farther apart than 3.5 times as much are not.
    """
    if isinstance(things.shape, Mesh):
        points, faces, place = _welded(things.shape)
        label = _joined(np.concatenate([faces[:, :2], faces[:, 1:]]), len(points))[place]
    else:
        cell, count = _cells(things.places, gap)
        label = _joined(_touching(things.places, gap, cell), count)[cell]
    sizes = np.bincount(label)
    rank = np.empty(len(sizes), np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[label]


def along_surface(things: Things, start: NDArray[np.floating], radius: float) -> Mask:
    """[N]: within a distance of a point, measured along the surface from the place nearest to it.

    Of a mesh, along edges and across pairs of faces, so at most 8 % too long on even meshes; of other things, from
    neighbour to neighbour.
    """
    if isinstance(things.shape, Mesh):
        points, faces, place = _welded(things.shape)
        near = _near(points, start, radius)
        return _reached(points, near, _mesh_graph(points, faces, near), start, radius)[place]
    points = things.places.astype(np.float64)
    near = _near(points, start, radius)
    return _reached(points, near, _point_graph(points[near]), start, radius)


def _near(points: NDArray[np.float64], start: NDArray[np.floating], radius: float) -> NDArray[np.int64]:
    """Those that a way of this length may reach: it is not shorter than the straight one."""
    return np.flatnonzero(in_sphere(points, points[nearest(points, start)], radius))


def _reached(
    points: NDArray[np.float64], near: NDArray[np.int64], graph: csr_matrix, start: NDArray[np.floating], radius: float
) -> Mask:
    source = int(np.searchsorted(near, nearest(points, start)))
    distance = dijkstra(graph, directed=False, indices=source, limit=radius)
    out = np.zeros(len(points), np.bool_)
    out[near[distance <= radius]] = True
    return out


def nearest(points: NDArray[np.floating], start: NDArray[np.floating]) -> int:
    """The number of the point that is nearest to another."""
    return int(np.argmin(((points - start) ** 2).sum(1)))


def _welded(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Places [U, 3] of vertices, faces [F, 3] of them, and the place [V] of each vertex."""
    points, place = np.unique(mesh.vertices, axis=0, return_inverse=True)
    return points, place.reshape(-1)[mesh.faces], place.reshape(-1)


def _point_graph(points: NDArray[np.float64]) -> csr_matrix:
    """Links [N, N] to the nearest neighbours that are not far beyond the usual spacing."""
    count = min(_LINKS + 1, len(points))
    distance, index = cKDTree(points).query(points, count, workers=_WORKERS)
    distance, index = distance.reshape(len(points), -1), index.reshape(len(points), -1)
    usual = np.median(distance[:, min(4, count - 1)])
    rows = np.repeat(np.arange(len(points)), count)
    keep = (distance.reshape(-1) <= 3 * usual) & (index.reshape(-1) != rows)
    lengths = np.maximum(distance.reshape(-1)[keep], 1e-300)
    return coo_matrix((lengths, (rows[keep], index.reshape(-1)[keep])), (len(points),) * 2).tocsr()


def _mesh_graph(points: NDArray[np.float64], faces: NDArray[np.int64], near: NDArray[np.int64]) -> csr_matrix:
    """Links [n, n] among some vertices: edges, and diagonals across two faces unfolded into a plane."""
    use = np.zeros(len(points), np.bool_)
    use[near] = True
    ends, lengths = _ways(points, faces[use[faces].all(1)])
    row = np.searchsorted(near, ends)
    keys, first = np.unique(np.sort(row, axis=1) @ [len(near), 1], return_index=True)  # an edge may come twice
    row, lengths = np.stack([keys // len(near), keys % len(near)], 1), np.maximum(lengths[first], 1e-300)
    return coo_matrix((lengths, (row[:, 0], row[:, 1])), (len(near),) * 2).tocsr()


def _ways(points: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of vertices [E, 2] and the lengths [E] of the straight ways between them on the surface."""
    edges = edges_of(faces)
    order = np.argsort(edges.of, kind="stable")
    first = np.searchsorted(edges.of[order], np.flatnonzero(edges.count == 2))
    one, two = order[first], order[first + 1]
    ends = edges.ends[edges.of[one]]
    tips = np.stack([faces[side // 3, (side % 3 + 2) % 3] for side in (one, two)], 1)
    a, b = points[ends[:, 0]], points[ends[:, 1]]
    side = b - a
    long = np.maximum(np.linalg.norm(side, axis=1), 1e-300)
    x, y = [], []
    for k in (0, 1):
        tip = points[tips[:, k]] - a
        along = np.einsum("ij,ij->i", tip, side) / long
        x.append(along)
        y.append(np.sqrt(np.maximum(np.einsum("ij,ij->i", tip, tip) - along**2, 0)))
    cross = x[0] + (x[1] - x[0]) * y[0] / np.maximum(y[0] + y[1], 1e-300)
    straight = (cross >= 0) & (cross <= long)  # it stays within the two faces
    diagonal = np.hypot(x[1] - x[0], y[0] + y[1])
    edge = np.linalg.norm(points[edges.ends[:, 1]] - points[edges.ends[:, 0]], axis=1)
    return np.concatenate([edges.ends, tips[straight]]), np.concatenate([edge, diagonal[straight]])


def _joined(ends: NDArray[np.integer], count: int) -> NDArray[np.int32]:
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), (count, count))
    return connected_components(graph, directed=False)[1]


def _keys(points: NDArray[np.floating], side: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cube [N, 3] of a side that holds each point, from 1, and how many there are along the axes [3]."""
    low = points.min(0).astype(np.float64)
    longest = float(np.ptp(points, axis=0).max())
    side = max(side, longest / (1 << 20), 1e-300)  # so that the number of a cube is one of 64 bits
    keys = ((points - low) / side + 0.5).astype(np.int64) + 1  # half a side off: what lies in rows falls amid cubes
    return keys, keys.max(0) + 2


def _cells(points: NDArray[np.floating], side: float) -> tuple[NDArray[np.int64], int]:
    """[N]: the number of the cube that holds each point, among those that hold any, and how many these are."""
    keys, size = _keys(points, side)
    names, cell = np.unique((keys[:, 0] * size[1] + keys[:, 1]) * size[2] + keys[:, 2], return_inverse=True)
    return cell.reshape(-1), len(names)


def _touching(points: NDArray[np.floating], side: float, cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """[E, 2]: pairs of cubes that hold points and touch, by a face, an edge or a corner."""
    keys, size = _keys(points, side)
    flat = (keys[:, 0] * size[1] + keys[:, 1]) * size[2] + keys[:, 2]
    names = np.empty(int(cell.max()) + 1, np.int64)
    names[cell] = flat
    steps = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)][14:]
    pairs = []
    for x, y, z in steps:
        wanted = names + (x * size[1] + y) * size[2] + z
        found = np.searchsorted(names, wanted).clip(0, len(names) - 1)
        hit = np.flatnonzero(names[found] == wanted)
        pairs.append(np.stack([hit, found[hit]], 1))
    return np.concatenate(pairs)


def _beside(points: NDArray[np.floating], side: float, cell: NDArray[np.int64], full: Mask) -> Mask:
    """[C]: cubes that are full, or touch one that is."""
    pairs = _touching(points, side, cell)
    out = full.copy()
    out[pairs[full[pairs[:, 1]], 0]] = True
    out[pairs[full[pairs[:, 0]], 1]] = True
    return out
