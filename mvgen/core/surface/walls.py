"""Walls and gaps of a grid of distances that are thinner than its cells.

Marching cubes sees only on which side of the surface each node lies. So a wall that passes between nodes is lost, and
one that holds some of them is perforated. Distances tell more: each node knows how far off the surface is, and those
farther away tell in which direction. Where both ends of an edge lie on one side, and each sees the surface towards the
other, before the other's, a wall passes between them (or a gap, inside). Its nearer end then changes sides, and
vertices beside it go where the ends that have not changed see the surface. So the wall is as thin as it was, and whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.surface.march import Crossings

REACH = 1.8  # cells from the surface within which nodes are asked; no edge is longer than 1.5
SLOPE = 0.1  # by how much the slope of a distance may differ from 1
MOST = 0.4  # share of the nodes near the surface whose slope is that of a distance, or the grid holds something else
APART = 0.1  # cells by which an end is nearer to the surface than the other end sees it, if it is another side's
OPPOSITE = -0.5  # cosine between the two sides of a wall, at most
STEEP = 0.05  # cosine between an edge and the normal of a side that it crosses, at least
THIN = 0.05  # thickness of a wall along an edge, in lengths of the edge, at least: less may be a rounded zero
ALONG = 2.0  # cells from a wall within which it may go on
SLACK = 0.05  # cells that a wall may lie nearer to nodes than they say, where it goes on
ROUNDS = 4  # of going on
WIDE = 0.8  # cells from the surface at which a node has a neighbour on its side, or its side is too narrow to lose it
EXACT = 1e-4  # cells from the surface within which rounding tells the side; such nodes are inside
_ASKED = 4  # walls near an edge that are asked whether they go on
_STEPS = np.array(list(np.ndindex(3, 3, 3)))[14:] - 1
_STEPS = _STEPS[np.abs(_STEPS).sum(1) < 3]  # [9, 3]: along edges and across faces of cells, each way once


@dataclass(frozen=True, eq=False)
class Mended:
    """distance [X, Y, Z] whose signs show thin walls; ``turned`` are the nodes, by number, that changed sides."""

    distance: NDArray[np.floating]
    spacing: NDArray[np.float64]
    turned: NDArray[np.int64]

    def places(self, found: Crossings) -> NDArray[np.float64]:
        """[V, 3]: the vertices that marching cubes found, in nodes.

        Between the values at the ends of their edges; but where one end has changed sides, or is nearer to another side
        of a wall, where the other end sees the surface."""
        out = found.places()
        cell = self.spacing[found.axis]
        numbers = [np.ravel_multi_index(tuple(ends.T), self.distance.shape) for ends in (found.node, found.upper)]
        ends = [_nodes(self.distance, self.spacing, number) for number in numbers]
        turned = [np.isin(number, self.turned) for number in numbers]
        for this, other, way in ((0, 1, 1.0), (1, 0, -1.0)):
            nodes, sure = ends[this], ends[this].sure & ~turned[this]
            cosine = -way * nodes.away[np.arange(len(out)), found.axis]
            apart = sure & ~ends[other].sure & ~turned[other] & (cosine * cell - found.step > APART * cell)
            share = np.minimum(nodes.distance[apart] / (cosine * cell)[apart], 1)
            out[apart, found.axis[apart]] = found.node[apart, found.axis[apart]] + (share if way > 0 else 1 - share)
            beside = sure & turned[other]
            middle = (found.node + found.upper)[beside] / 2 * self.spacing
            height = _dot(middle - nodes.place[beside], nodes.away[beside]) + nodes.distance[beside]
            out[beside] = (middle - height[:, None] * nodes.away[beside]) / self.spacing
        return out


def mended(distance: NDArray[np.floating], spacing: NDArray[np.float64]) -> Mended | None:
    """Distances [X, Y, Z], negative inside, so that marching cubes finds thin walls; None where most values near the
    surface are no distances."""
    near = np.flatnonzero(np.abs(distance) < REACH * spacing.max())
    nodes = _nodes(distance, spacing, near)
    if not len(near) or nodes.sure.mean() < MOST:
        return None
    exact = EXACT * spacing.min()
    unclear = near[nodes.distance < exact]
    if len(unclear):
        distance = distance.copy()
        distance.reshape(-1)[unclear] = -exact / 2
        nodes = _nodes(distance, spacing, near)
    ends = _turned(nodes, _edges(nodes, distance.shape, spacing), spacing)
    ends = ends[_deepest(distance, near[ends]) >= WIDE * spacing.max()]
    if len(ends):
        distance = distance if len(unclear) else distance.copy()
        distance.reshape(-1)[near[ends]] = np.where(nodes.inside[ends], exact, -exact)
    return Mended(distance, spacing, near[ends])


# ---- nodes


@dataclass(frozen=True, eq=False)
class _Nodes:
    """number [K]; place [K, 3]; distance [K] without its sign; inside [K]; away [K, 3]: where it grows, of length 1;
    sure [K]: whether it grows as a distance does."""

    number: NDArray[np.int64]
    place: NDArray[np.float64]
    distance: NDArray[np.float64]
    inside: NDArray[np.bool_]
    away: NDArray[np.float64]
    sure: NDArray[np.bool_]


def _nodes(distance: NDArray[np.floating], spacing: NDArray[np.float64], number: NDArray[np.int64]) -> _Nodes:
    """Slopes are taken towards neighbours that are farther from the surface, where no other side of a wall shows."""
    index = np.stack(np.unravel_index(number, distance.shape), axis=1)
    flat = distance.reshape(-1)
    here = flat[number].astype(np.float64)
    away = np.zeros((len(number), 3))
    for axis, stride in enumerate(_strides(distance.shape)):
        rise = []
        for step, last in ((-1, 0), (1, distance.shape[axis] - 1)):
            value = flat[number + np.where(index[:, axis] == last, 0, step * stride)].astype(np.float64)
            rise.append(np.where((value <= 0) == (here <= 0), np.fmax(0, np.abs(value) - np.abs(here)), 0))
        away[:, axis] = np.where(rise[1] >= rise[0], rise[1], -rise[0]) / spacing[axis]
    slope = np.linalg.norm(away, axis=1)
    away /= np.maximum(slope, 1e-12)[:, None]
    return _Nodes(number, index * spacing, np.abs(here), here <= 0, away, np.abs(slope - 1) < SLOPE)


def _deepest(distance: NDArray[np.floating], number: NDArray[np.int64]) -> NDArray[np.float64]:
    """[K]: of the neighbours of nodes, on the same side, the largest distance from the surface."""
    index = np.stack(np.unravel_index(number, distance.shape), axis=1)
    side = np.where(distance.reshape(-1)[number] <= 0, -1, 1)
    out = np.zeros(len(number))
    for step in np.ndindex(3, 3, 3):
        there = (index + step - 1).clip(0, np.array(distance.shape) - 1)
        out = np.fmax(out, side * distance[tuple(there.T)])
    return out


def _strides(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """[3]: by how much the number of a node grows along each axis."""
    return np.array([shape[1] * shape[2], shape[2], 1])


# ---- edges across walls


@dataclass(frozen=True, eq=False)
class _Edges:
    """Both ends, as they stand among the nodes: first [E], second [E]; way [E, 3] from one to the other, of length 1;
    length [E]."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    way: NDArray[np.float64]
    length: NDArray[np.float64]

    def some(self, pick: NDArray[np.generic]) -> _Edges:
        return _Edges(self.first[pick], self.second[pick], self.way[pick], self.length[pick])

    def nearer(self, along: NDArray[np.float64]) -> NDArray[np.int64]:
        """The ends that are nearer to what lies so far along the edges."""
        return np.where(along <= self.length / 2, self.first, self.second)


@dataclass(frozen=True, eq=False)
class _Walls:
    """Pieces of walls: middle [W, 3], normal [W, 3], half of the thickness [W]; inside [W]: whether these are gaps."""

    middle: NDArray[np.float64]
    normal: NDArray[np.float64]
    half: NDArray[np.float64]
    inside: NDArray[np.bool_]

    def some(self, pick: NDArray[np.generic]) -> _Walls:
        return _Walls(self.middle[pick], self.normal[pick], self.half[pick], self.inside[pick])


def _edges(nodes: _Nodes, shape: tuple[int, ...], spacing: NDArray[np.float64]) -> _Edges:
    """Edges between ends on one side whose distances do not reach each other: else nothing can be between them."""
    index = np.stack(np.unravel_index(nodes.number, shape), axis=1)
    found = []
    for step in _STEPS:
        length = float(np.linalg.norm(step * spacing))
        there = index + step
        first = np.flatnonzero((nodes.distance < length) & ((there >= 0) & (there < shape)).all(1))
        wanted = nodes.number[first] + step @ _strides(shape)
        second = np.searchsorted(nodes.number, wanted).clip(0, len(nodes.number) - 1)
        good = (nodes.number[second] == wanted) & (nodes.inside[first] == nodes.inside[second])
        good &= nodes.distance[first] + nodes.distance[second] < length
        count = int(good.sum())
        found.append((first[good], second[good], np.tile(step * spacing / length, (count, 1)), np.full(count, length)))
    return _Edges(*(np.concatenate(column) for column in zip(*found)))


def _turned(nodes: _Nodes, edges: _Edges, spacing: NDArray[np.float64]) -> NDArray[np.int64]:
    """The nearer ends of edges across walls: of walls that both ends see, then of those that go on from there."""
    turned = np.zeros(len(nodes.number), bool)
    crossing, along, walls = _seen(nodes, edges)
    turned[crossing.nearer(along)] = True
    far = (ROUNDS + 1) * ALONG * spacing.max()
    gap, _ = cKDTree(walls.middle).query(nodes.place, distance_upper_bound=far, workers=-1)
    edges = edges.some(np.isfinite(gap)[edges.first])
    for _ in range(ROUNDS):
        edges = edges.some(~turned[edges.first] & ~turned[edges.second])
        if not len(walls.half) or not len(edges.length):
            break
        crossing, along, walls = _going_on(nodes, edges, walls, spacing)
        turned[crossing.nearer(along)] = True
    return np.flatnonzero(turned)


def _seen(nodes: _Nodes, edges: _Edges) -> tuple[_Edges, NDArray[np.float64], _Walls]:
    """Edges across walls that both ends see; how far along them the walls are, and these."""
    one = -_dot(nodes.away[edges.first], edges.way)
    other = _dot(nodes.away[edges.second], edges.way)
    facing = _dot(nodes.away[edges.first], nodes.away[edges.second])
    good = nodes.sure[edges.first] & nodes.sure[edges.second]
    good &= (one > STEEP) & (other > STEEP) & (facing < OPPOSITE)
    edges, one, other = edges.some(good), one[good], other[good]
    near = nodes.distance[edges.first] / one
    far = edges.length - nodes.distance[edges.second] / other
    thick = far - near >= THIN * edges.length
    edges, near, far = edges.some(thick), near[thick], far[thick]
    along = (near + far) / 2
    normal = nodes.away[edges.first] - nodes.away[edges.second]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    middle = nodes.place[edges.first] + along[:, None] * edges.way
    half = (far - near) / 2 * np.abs(_dot(edges.way, normal))
    return edges, along, _Walls(middle, normal, half, nodes.inside[edges.first])


def _going_on(
    nodes: _Nodes, edges: _Edges, walls: _Walls, spacing: NDArray[np.float64]
) -> tuple[_Edges, NDArray[np.float64], _Walls]:
    """As `_seen`, of walls that go on from others in their planes.

    That is between ends which are no farther from the surface than from the wall, as they are beside a hole in it. They
    may be nearer, as in the corner between two walls, where neither end sees both."""
    reach, slack = ALONG * spacing.max(), SLACK * spacing.min()
    start = nodes.place[edges.first]
    end = start + edges.length[:, None] * edges.way
    first, second, inside = nodes.distance[edges.first], nodes.distance[edges.second], nodes.inside[edges.first]
    tree = cKDTree(np.c_[walls.middle, 2 * reach * walls.inside])  # gaps lie apart from walls
    _, near = tree.query(np.c_[(start + end) / 2, 2 * reach * inside], _ASKED, distance_upper_bound=reach, workers=-1)
    along, which = np.zeros(len(start)), np.full(len(start), -1)
    for choice in near.T:
        asked = np.flatnonzero((choice < len(walls.half)) & (which < 0))
        wall = walls.some(choice[asked])
        one, other = _dot(wall.middle - start[asked], wall.normal), _dot(wall.middle - end[asked], wall.normal)
        apart = np.where(one * other < 0, one - other, np.inf)
        share = np.where(np.isinf(apart), 0, one / apart)
        hit = start[asked] + share[:, None] * (end - start)[asked]
        good = (one * other < 0) & (np.linalg.norm(hit - wall.middle, axis=1) <= reach)
        good &= first[asked] <= np.abs(one) - wall.half + slack
        good &= second[asked] <= np.abs(other) - wall.half + slack
        along[asked[good]] = (share * edges.length[asked])[good]
        which[asked[good]] = choice[asked[good]]
    found = np.flatnonzero(which >= 0)
    edges, along, old = edges.some(found), along[found], walls.some(which[found])
    middle = nodes.place[edges.first] + along[:, None] * edges.way
    return edges, along, _Walls(middle, old.normal, old.half, old.inside)


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("ij,ij->i", a, b)
