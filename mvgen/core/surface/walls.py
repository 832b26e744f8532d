"""Walls and gaps of a grid of distances that are thinner than its cells.

Marching cubes sees only on which side of the surface each node lies. So a wall that passes between nodes is lost, and
one that holds some of them is perforated. Distances tell more: each node knows how far off the surface is, and those
farther away tell in which direction. Where both ends of an edge lie on one side, and each sees the surface towards the
other, before the other's, a wall passes between them (or a gap, inside). The end that is nearer to it then changes sides,
and vertices beside it go where the ends that have not changed see the surface. So the wall is as thin as it was, and whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.surface.march import Crossings

REACH = 1.8  # cells from the surface within which nodes are asked; no edge is longer than 1.5
SLOPE = 0.1  # by how much the slope of a distance may differ from 1
MOST = 0.5  # share of the nodes near the surface whose slope is that of a distance, or the grid holds something else
OPPOSITE = -0.5  # cosine between the two sides of a wall, at most
STEEP = 0.05  # cosine between an edge and the normal of a side that it crosses, at least
ALONG = 2.0  # cells from a wall within which it may go on
SLACK = 0.05  # cells that a wall may lie nearer to nodes than they say, where it goes on
EXACT = 1e-4  # cells from the surface within which rounding tells the side; such nodes are inside
_WALLS = 4  # near ones that are asked whether they go on
_STEPS = np.array([d for d in np.ndindex(3, 3, 3)])[14:] - 1
_STEPS = _STEPS[np.abs(_STEPS).sum(1) < 3]  # [9, 3]: along edges and across faces of cells, each way once


@dataclass(frozen=True, eq=False)
class Mended:
    """distance [X, Y, Z] whose signs show thin walls; ``turned`` are the nodes, by number, that changed sides for that.
    true: the distances as they were."""

    distance: NDArray[np.floating]
    true: NDArray[np.floating]
    spacing: NDArray[np.float64]
    turned: NDArray[np.int64]

    def places(self, found: Crossings) -> NDArray[np.float64]:
        """[V, 3]: the vertices that marching cubes found, in nodes."""
        out = found.places()
        shape = self.true.shape
        lower, upper = np.ravel_multi_index(found.node.T, shape), np.ravel_multi_index(found.upper.T, shape)
        low, high = np.isin(lower, self.turned), np.isin(upper, self.turned)
        out[low & high] = (found.node + found.upper)[low & high] / 2
        moved = np.flatnonzero(low ^ high)
        if len(moved):
            ends = np.where(low, upper, lower)[moved]
            middle = (found.node + found.upper)[moved] / 2
            out[moved] = _seen(_nodes(self.true, self.spacing, ends), middle * self.spacing) / self.spacing
        return out


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


@dataclass(frozen=True, eq=False)
class _Edges:
    """Edges that may cross thin walls, by both ends in _Nodes: first [E], second [E]; way [E, 3] from one to the other,
    of length 1; length [E]."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    way: NDArray[np.float64]
    length: NDArray[np.float64]

    def some(self, pick: NDArray[np.generic]) -> _Edges:
        return _Edges(self.first[pick], self.second[pick], self.way[pick], self.length[pick])


@dataclass(frozen=True, eq=False)
class _Walls:
    """Pieces of walls: middle [W, 3], normal [W, 3], half of the thickness [W]; whether these are gaps inside [W]."""

    middle: NDArray[np.float64]
    normal: NDArray[np.float64]
    half: NDArray[np.float64]
    inside: NDArray[np.bool_]

    def some(self, pick: NDArray[np.generic]) -> _Walls:
        return _Walls(self.middle[pick], self.normal[pick], self.half[pick], self.inside[pick])


def mended(distance: NDArray[np.floating], spacing: NDArray[np.float64]) -> Mended:
    """Distances [X, Y, Z], negative inside, so that marching cubes finds thin walls; as they are where most nodes near
    the surface do not hold distances."""
    near = np.flatnonzero(np.abs(distance) < REACH * spacing.max())
    nodes = _nodes(distance, spacing, near)
    if not len(near) or nodes.sure.mean() < MOST:
        return Mended(distance, distance, spacing, near[:0])
    distance = distance.copy()
    exact = EXACT * spacing.min()
    distance.reshape(-1)[near[nodes.distance < exact]] = -exact / 2
    nodes = _nodes(distance, spacing, near)
    edges = _edges(nodes, distance.shape, spacing)
    turned = np.unique(near[_turned(nodes, edges, spacing)])
    out = distance.copy()
    out.reshape(-1)[turned] = np.where(distance.reshape(-1)[turned] > 0, -exact, exact)
    return Mended(out, distance, spacing, turned)


def _nodes(distance: NDArray[np.floating], spacing: NDArray[np.float64], number: NDArray[np.int64]) -> _Nodes:
    """Slopes are taken towards those neighbours that are farther from the surface: the other side of a thin wall, and of
    an edge that juts out, does not show there."""
    index = np.stack(np.unravel_index(number, distance.shape), axis=1)
    flat = distance.reshape(-1)
    here = flat[number].astype(np.float64)
    inside = here <= 0
    away = np.zeros((len(number), 3))
    stride = np.array([distance.shape[1] * distance.shape[2], distance.shape[2], 1])
    for axis in range(3):
        rise = np.zeros((2, len(number)))
        for rising, step in zip(rise, (-1, 1)):
            there = index[:, axis] + step
            known = (there >= 0) & (there < distance.shape[axis])
            value = flat[number + np.where(known, step, 0) * stride[axis]].astype(np.float64)
            known &= (value <= 0) == inside
            rising[known] = np.fmax(0, np.abs(value) - np.abs(here))[known]
        away[:, axis] = np.where(rise[1] >= rise[0], rise[1], -rise[0]) / spacing[axis]
    slope = np.linalg.norm(away, axis=1)
    away /= np.maximum(slope, 1e-12)[:, None]
    return _Nodes(number, index * spacing, np.abs(here), inside, away, np.abs(slope - 1) < SLOPE)


def _seen(nodes: _Nodes, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K, 3]: places, one to each node, moved onto the surface that the node sees, if it is sure."""
    height = _dot(places - nodes.place, nodes.away) + nodes.distance
    return places - np.where(nodes.sure, height, 0)[:, None] * nodes.away


def _edges(nodes: _Nodes, shape: tuple[int, ...], spacing: NDArray[np.float64]) -> _Edges:
    """Edges between ends on one side that their distances do not span."""
    stride = np.array([shape[1] * shape[2], shape[2], 1])
    index = np.stack(np.unravel_index(nodes.number, shape), axis=1)
    found = []
    for step in _STEPS:
        length = float(np.linalg.norm(step * spacing))
        first = np.flatnonzero(nodes.distance < length)
        there = index[first] + step
        first = first[((there >= 0) & (there < shape)).all(1)]
        wanted = nodes.number[first] + step @ stride
        second = np.searchsorted(nodes.number, wanted).clip(0, len(nodes.number) - 1)
        good = nodes.number[second] == wanted
        good &= nodes.inside[first] == nodes.inside[second]
        good &= nodes.distance[first] + nodes.distance[second] < length
        count = int(good.sum())
        way = np.tile(step * spacing / length, (count, 1))
        found.append((first[good], second[good], way, np.full(count, length)))
    return _Edges(*(np.concatenate(column) for column in zip(*found)))


def _turned(nodes: _Nodes, edges: _Edges, spacing: NDArray[np.float64]) -> NDArray[np.int64]:
    """The nearer ends of edges across walls: of those that both ends see, then of those into which a wall goes on."""
    crossed, share, walls = _walls(nodes, edges)
    turned = np.zeros(len(nodes.number), bool)
    turned[_nearer(edges.some(crossed), share)] = True
    for inside in (False, True):
        pieces = walls.some(walls.inside == inside)
        open_ = (nodes.inside[edges.first] == inside) & ~turned[edges.first] & ~turned[edges.second]
        rest = edges.some(np.flatnonzero(open_))
        share = _goes_on(nodes, rest, pieces, spacing)
        found = np.flatnonzero(np.isfinite(share))
        turned[_nearer(rest.some(found), share[found])] = True
    return np.flatnonzero(turned)


def _nearer(edges: _Edges, share: NDArray[np.float64]) -> NDArray[np.int64]:
    """The ends of edges [E] that are nearer to what lies at a share [E] of their lengths."""
    return np.where(share <= 0.5, edges.first, edges.second)


def _walls(nodes: _Nodes, edges: _Edges) -> tuple[NDArray[np.int64], NDArray[np.float64], _Walls]:
    """Edges across walls that both ends see, [W]; at which share of their lengths; the walls there."""
    a, b = edges.first, edges.second
    one, other = -_dot(nodes.away[a], edges.way), _dot(nodes.away[b], edges.way)
    facing = _dot(nodes.away[a], nodes.away[b])
    crossed = np.flatnonzero(
        nodes.sure[a] & nodes.sure[b] & (np.minimum(one, other) > STEEP) & (facing < OPPOSITE)
    )
    edges, one, other = edges.some(crossed), one[crossed], other[crossed]
    a, b = edges.first, edges.second
    near, far = nodes.distance[a] / one, edges.length - nodes.distance[b] / other
    thin = near <= far
    middle = (near + far) / 2
    normal = nodes.away[a] - nodes.away[b]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    half = (far - near) / 2 * np.abs(_dot(edges.way, normal))
    walls = _Walls(nodes.place[a] + middle[:, None] * edges.way, normal, half, nodes.inside[a])
    return crossed[thin], (middle / edges.length)[thin], walls.some(thin)


def _goes_on(nodes: _Nodes, edges: _Edges, walls: _Walls, spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """[E]: the share of its length at which an edge crosses a wall that goes on, NaN where none does.

    A wall goes on where the ends of the edge lie no nearer to something else, as in a corner, and do not lie farther from
    everything, as beside a hole."""
    share = np.full(len(edges.first), np.nan)
    if not len(walls.middle) or not len(share):
        return share
    reach, slack = ALONG * spacing.max(), SLACK * spacing.min()
    start = nodes.place[edges.first]
    end = start + edges.length[:, None] * edges.way
    near, which = cKDTree(walls.middle).query((start + end) / 2, _WALLS, distance_upper_bound=reach)
    for gap, index in zip(near.T, which.T):
        asked = np.flatnonzero(np.isfinite(gap) & np.isnan(share))
        some, wall = edges.some(asked), walls.some(index[asked])
        one, other = (_dot(wall.middle - ends[asked], wall.normal) for ends in (start, end))
        with np.errstate(divide="ignore", invalid="ignore"):
            along = one / (one - other) * some.length
        hit = start[asked] + along[:, None] * some.way
        first, second = nodes.distance[some.first], nodes.distance[some.second]
        good = (along >= first - slack) & (along <= some.length - second + slack)
        good &= np.linalg.norm(hit - wall.middle, axis=1) <= reach
        good &= (first <= np.abs(one) - wall.half + slack) & (second <= np.abs(other) - wall.half + slack)
        share[asked[good]] = (along / some.length)[good]
    return share


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("ij,ij->i", a, b)
