"""What is near a selection, or joined with it: growing, parts, distances along the surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from mvgen.core.geometry import Mesh
from mvgen.core.nearest import walk
from mvgen.core.region.cubes import Cubes, in_cubes
from mvgen.core.region.select import in_sphere
from mvgen.core.region.things import Mask, Things
from mvgen.core.surface.topology import edges_of
from mvgen.kernels.cubes import join_touching, mark_touching
from mvgen.kernels.paths import ways

_LINKS = 12  # nearest neighbours that paths over points may take
_WORKERS = 2
_COARSE = 16  # cubes in a radius, where it is long
_FINE = 3  # spacings in such a cube, at least
_ENDS = 4  # points of cubes nearby from which others may be reached
_MOST_STEPS = 1 << 14  # of distances along a surface
_LONGEST, _LONGEST_OF_CUBES = 3.0, 2.0  # usual distances in a link, at most; chosen points are more even
_FAR_WALK = 100  # spacings in a radius, from which on ways are those of cubes
_WALK_CUBE, _WALK_CUBES = 2.5, 200  # spacings in such a cube, at least; cubes in a radius, at most
_SAMPLE = 20_000  # points that tell the spacing


def grown(points: NDArray[np.floating], mask: Mask, radius: float) -> Mask:
    """[N]: the selected points [N, 3], and all within a radius of one of them, in scene units."""
    if not mask.any() or mask.all():
        return mask.copy()
    if radius > _COARSE * _FINE * spacing(points):
        return _grown_far(points, mask, radius)
    out = mask.copy()
    cubes = in_cubes(points, radius)
    # of all places, only those in or beside a cube with selected ones are measured, and only from these
    rest = np.flatnonzero(~mask & _beside(cubes, mask)[cubes.of])
    source = mask & _beside(cubes, _holding(len(points), rest))[cubes.of]
    out[rest[_within(points[rest], points[source], radius)]] = True
    return out


def _grown_far(points: NDArray[np.floating], mask: Mask, radius: float) -> Mask:
    """As `grown`. Small cubes are measured first, middle to middle: most are sure to be nearer, or farther away."""
    cubes = in_cubes(points, radius / _COARSE)
    middles = cubes.middles
    slack = float(np.sqrt(3)) * cubes.side * (1 + 1e-9)  # a point is at most half as much away from a cube's middle
    full, rest = (_holding(len(middles), cubes.of[some]) for some in (mask, ~mask))
    away = np.full(len(middles), np.inf)
    enough = radius + 2 * slack
    away[rest] = cKDTree(middles[full]).query(middles[rest], distance_upper_bound=enough, workers=_WORKERS)[0]
    out = mask | (away <= radius - slack)[cubes.of]
    unsure = (away > radius - slack) & (away <= radius + slack)
    if unsure.any():
        from_there = cKDTree(middles[unsure]).query(middles, distance_upper_bound=enough, workers=_WORKERS)[0]
        near = full & (from_there <= radius + slack)
        query, source = np.flatnonzero(~mask & unsure[cubes.of]), np.flatnonzero(mask & near[cubes.of])
        query, source = (some[walk(points[some])] for some in (query, source))
        out[query[_within(points[query], points[source], radius)]] = True
    return out


def _within(points: NDArray[np.floating], others: NDArray[np.floating], radius: float) -> Mask:
    """[N]: points [N, 3] that have one of the others within a radius."""
    if not len(points) or not len(others):
        return np.zeros(len(points), np.bool_)
    tree = cKDTree(others, balanced_tree=False, compact_nodes=False)
    distance = tree.query(points, distance_upper_bound=radius * (1 + 1e-12), workers=_WORKERS)[0]
    return np.asarray(distance <= radius)


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
        cubes = in_cubes(things.places, gap)
        root = np.empty(len(cubes.names), np.int32)
        join_touching(cubes.names, *cubes.steps, root)
        number = np.cumsum(root == np.arange(len(root)), dtype=np.int32) - 1
        label = number[root][cubes.of]
    sizes = np.bincount(label)
    rank = np.empty(len(sizes), np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[label]


def along_surface(things: Things, start: NDArray[np.floating], radius: float) -> Mask:
    """[N]: within a distance of a point, measured along the surface from the place nearest to it.

    Of a mesh, along edges and across pairs of faces, so at most 8 % too long on even meshes; of other things, from
    neighbour to neighbour, or, over a hundred spacings and more, from cube to cube of a few points each.
    """
    if isinstance(things.shape, Mesh):
        points, faces, place = _welded(things.shape)
        source = nearest(points, start)
        near = _near(points, source, radius)
        graph = _mesh_graph(points, faces, near)
        distance = dijkstra(graph, directed=False, indices=int(np.searchsorted(near, source)), limit=radius)
        return _holding(len(points), near[distance <= radius])[place]
    points = things.places.astype(np.float64)
    source = nearest(points, start)
    near = _near(points, source, radius)
    start_at = int(np.searchsorted(near, source))
    fine = spacing(points)
    if radius > _FAR_WALK * fine:
        distance = _over_cubes(points[near], start_at, radius, max(_WALK_CUBE * fine, radius / _WALK_CUBES))
    else:
        distance = _over_points(points[near], start_at, radius, _LONGEST)
    return _holding(len(points), near[distance <= radius])


def _near(points: NDArray[np.float64], source: int, radius: float) -> NDArray[np.int64]:
    """Those that a way of this length may reach: it is not shorter than the straight one."""
    return np.flatnonzero(in_sphere(points, points[source], radius))


def _over_cubes(points: NDArray[np.float64], source: int, radius: float, side: float) -> NDArray[np.float64]:
    """As `_over_points`, over one point of each cube; others have its distance, or, near the radius, are reached from
    it or one nearby straight."""
    cubes = in_cubes(points, side)
    chosen = np.empty(len(cubes.names), np.int64)
    chosen[cubes.of] = np.arange(len(points))
    chosen[cubes.of[source]] = source
    chosen_points = points[chosen]
    slack = float(np.sqrt(3)) * cubes.side
    distance = _over_points(chosen_points, int(cubes.of[source]), radius + slack, _LONGEST_OF_CUBES)
    out = distance[cubes.of]
    unsure = np.flatnonzero(np.abs(out - radius) <= slack)
    if len(unsure):
        count = min(_ENDS, len(chosen))
        length, index = cKDTree(chosen_points).query(points[unsure], count, workers=_WORKERS)
        ways_there = length.reshape(len(unsure), -1) + distance[index.reshape(len(unsure), -1)]
        out[unsure] = ways_there.min(1)
    return out


def _over_points(points: NDArray[np.float64], source: int, radius: float, longest: float) -> NDArray[np.float64]:
    """[N]: how long the ways are from one of the points, over links to the nearest neighbours that are at most
    ``longest`` times as far as usual; infinite beyond a radius."""
    order = walk(points)
    points = points[order]
    count = min(_LINKS + 1, len(points))
    length, index = cKDTree(points).query(points, count, workers=_WORKERS)
    length, index = length.reshape(len(points), -1), index.reshape(len(points), -1)
    usual = float(np.median(length[:, min(4, count - 1)]))
    found = np.empty(len(points))
    start = int(np.flatnonzero(order == source)[0])
    ways(index, length, longest * usual, start, radius, max(usual, radius / _MOST_STEPS, 1e-300), found)
    out = np.empty_like(found)
    out[order] = found
    return out


def nearest(points: NDArray[np.floating], start: NDArray[np.floating]) -> int:
    """The number of the point that is nearest to another."""
    return int(np.argmin(((points - start) ** 2).sum(1)))


def _welded(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Places [U, 3] of vertices, faces [F, 3] of them, and the place [V] of each vertex."""
    points, place = np.unique(mesh.vertices, axis=0, return_inverse=True)
    return points, place.reshape(-1)[mesh.faces], place.reshape(-1)


def _mesh_graph(points: NDArray[np.float64], faces: NDArray[np.int64], near: NDArray[np.int64]) -> csr_matrix:
    """Links [n, n] among some vertices: edges, and diagonals across two faces unfolded into a plane."""
    ends, lengths = _ways(points, faces[_holding(len(points), near)[faces].all(1)])
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


def _beside(cubes: Cubes, mask: Mask) -> Mask:
    """[C]: cubes that hold one of the points of a mask [N], or touch one that does."""
    out = np.empty(len(cubes.names), np.bool_)
    mark_touching(cubes.names, *cubes.steps, _holding(len(out), cubes.of[mask]), out)
    return out


def _holding(count: int, index: NDArray[np.integer]) -> Mask:
    """[count]: true at an index."""
    out = np.zeros(count, np.bool_)
    out[index] = True
    return out
