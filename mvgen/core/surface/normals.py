"""Normals of points that have none, and how rough the points are.

A normal is the direction in which the nearest neighbours vary least (Hoppe et al. 1992). Which way it points follows
along a spanning tree from point to point, and patch by patch from the cameras where they are known, else from which
side is the outside: what can be reached from beyond the points on a grid in which they are a wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_matrix, diags
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.sparse.linalg import cg
from scipy.spatial import cKDTree

NEIGHBOURS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # tried in turn, until they lie flat
FLAT = 0.1  # share of the variance across a neighbourhood, below which it lies flat
ENOUGH = 64  # neighbours for one normal
PROBES = 1000  # points at which that is tried
BESIDE = 16  # points of each side that are compared
LINKS = 10  # neighbours to which the way of a normal is handed on
TURN = 0.7  # cosine between two normals below which the way is not sure to be handed on rightly
PULL = 0.3  # weight of a point's own vote beside those of its neighbours
ITERATIONS = 200  # in finding signs that agree
SURE = 0.1  # mean vote of a patch from which on it is believed
TORN = 0.8  # share of its votes' strength below which the mean vote of a patch shows that the votes are torn
EVEN = 0.1  # and below which they are split evenly
LOUD = 0.3  # mean strength of votes from which on that tells of two sides
APART = 0.68  # share of the heights' variance that lies between two sides; of one side, cut in the middle: 2 / pi
TOGETHER = 0.55  # below which places that scattered points were drawn together to are of one side
WALL = 160  # cells along the longest side of the grid that tells outside from inside, at most
_CHUNK = 1 << 22  # neighbours held at a time


@dataclass(frozen=True)
class Roughness:
    """neighbours: how many make a flat piece; noise: standard deviation of the points across the surface; spacing:
    median distance of a point to the nearest other; radius: of the flat piece; least: the noise where a quarter of the
    places have less, which curved and thin ones do not swell."""

    neighbours: int
    noise: float
    spacing: float
    radius: float
    least: float


def roughness(points: NDArray[np.float64]) -> Roughness:
    """How far points [N, 3] scatter about a surface: the first of NEIGHBOURS that lies flat tells."""
    tree = cKDTree(points)
    some = points[:: max(1, len(points) // PROBES)]
    best: tuple[float, Roughness] | None = None
    for count in NEIGHBOURS:
        if count > max(len(points) // 4, NEIGHBOURS[0]):
            break
        distance, index = tree.query(some, min(count, len(points)), workers=-1)
        variance, _ = _axes(points[index])
        share = float(np.median(variance[:, 0] / np.maximum(variance.sum(1), 1e-300)))
        least, noise = np.percentile(np.sqrt(np.maximum(variance[:, 0], 0)), [25, 50])
        spacing, radius = np.median(distance[:, [1, -1]], axis=0)
        found = Roughness(count, float(noise), float(spacing), float(radius), float(least))
        if best is None or share < best[0]:
            best = (share, found)
        if share < FLAT:
            break
    assert best is not None
    return best[1]


def estimate_normals(points: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
    """[N, 3]: unit normals of either sign, of points [N, 3] and so many of their neighbours.

    Of more than ENOUGH neighbours only that many, drawn by chance, are looked at.
    """
    pool = points
    if neighbours > ENOUGH:
        share = max(ENOUGH, len(points) * ENOUGH // neighbours)
        pool = points[np.random.default_rng(0).permutation(len(points))[:share]]
    tree = cKDTree(pool)
    count = min(neighbours, ENOUGH, len(pool))
    out = np.empty((len(points), 3))
    step = max(1, _CHUNK // count)
    for first in range(0, len(points), step):
        index = tree.query(points[first : first + step], count, workers=-1)[1]
        out[first : first + step] = _axes(pool[index])[1]
    return out


def orient_normals(
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    cameras: Sequence[NDArray[np.float64]] = (),
    settle: bool = False,
) -> NDArray[np.float64]:
    """Normals [N, 3] turned outwards, or towards the nearest of some cameras' centres [3].

    A plate whose two sides lie close is one patch, as the tree leads from one to the other; the votes of its points are
    torn then, and each decides for itself. So they are where a single side scatters, or lies open, but that is told by
    the heights: see `_apart`.

    ``settle``: each point's own view of the outside then counts too, with that of its neighbours: for points on thin
    parts, at whose rims a tree hands the way on wrongly.
    """
    votes = _towards(points, normals, np.array(cameras)) if len(cameras) else _outwards(points, normals)
    tree = _spanning_tree(points, normals)
    signs = _handed_on(tree, normals)
    patch = _patches(tree, normals)
    weight = np.bincount(patch, votes * signs) / np.bincount(patch)
    flips = np.where(weight < 0, -1.0, 1.0)
    unsure = np.abs(weight) < SURE
    if unsure.any() and not unsure.all():
        flips = _from_sure(tree, patch, flips, unsure)
    signs = signs * flips[patch]
    loud = np.bincount(patch, np.abs(votes)) / np.bincount(patch)
    torn = ((np.abs(weight) < TORN * loud) & (loud > LOUD))[patch]
    apart = 1.0 if len(cameras) else _apart(points[torn], (normals * signs[:, None])[torn], (votes * signs)[torn])
    if settle:
        one_sided = torn & (np.abs(weight) < EVEN * loud)[patch] & (apart < TOGETHER)
        signs = np.where(one_sided, signs, _agreed(points, normals, votes, signs))
    elif apart > APART and not len(cameras):
        signs = np.where(torn & (votes != 0), np.sign(votes), signs)
    return normals * signs[:, None]


def _axes(neighbours: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances [N, 3], smallest first, of neighbourhoods [N, K, 3], and the direction [N, 3] of the smallest."""
    around = neighbours - neighbours.mean(1, keepdims=True)
    values, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around) / neighbours.shape[1])
    return values, vectors[:, :, 0]


def _towards(
    points: NDArray[np.float64], normals: NDArray[np.float64], cameras: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[N]: cosine between normals and the direction of the nearest camera."""
    away = cameras[cKDTree(cameras).query(points)[1]] - points
    return (normals * away).sum(1) / np.maximum(np.linalg.norm(away, axis=1), 1e-300)


def _outwards(points: NDArray[np.float64], normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] in -1 to 1: whether normals point to where one gets from outside, on a grid in which points are a wall."""
    some = points[:: max(1, len(points) // 20_000)]
    gap = float(np.percentile(cKDTree(points).query(some, min(7, len(points)))[0][:, -1], 90))
    cell = max(gap, float(np.ptp(points, axis=0).max()) / WALL, 1e-300)
    place = (points - points.min(0)) / cell + 4
    wall = np.zeros(tuple(np.ceil(place.max(0)).astype(int) + 4), bool)
    wall[tuple(np.floor(place).astype(int).T)] = True
    wall = ndimage.binary_dilation(wall, np.ones((3, 3, 3), bool))
    label, _ = ndimage.label(~wall)
    outside = ndimage.gaussian_filter((label == label[0, 0, 0]).astype(np.float32), 1.0)

    def at(shift: float) -> NDArray[np.float32]:
        return ndimage.map_coordinates(outside, (place - 0.5 + shift * normals).T, order=1, mode="nearest")

    return np.clip(at(2.0) - at(-2.0) + at(3.0) - at(-3.0), -1, 1).astype(np.float64)


def _apart(points: NDArray[np.float64], normals: NDArray[np.float64], side: NDArray[np.float64]) -> float:
    """How clearly points with side above and below 0 are two layers: the median, over some of the points, of the share
    that lies between the layers of the variance in height of their nearest points. 0 where there is only one side."""
    layers = points[side > 0], points[side < 0]
    if min(map(len, layers)) < BESIDE:
        return 0.0
    some = np.arange(0, len(points), max(1, len(points) // (5 * PROBES)))
    between, within = np.zeros(len(some)), np.zeros(len(some))
    for sign, layer in zip((1, -1), layers):
        near = layer[cKDTree(layer).query(points[some], BESIDE)[1]]
        height = np.einsum("nki,ni->nk", near - points[some, None], normals[some])
        between += sign * height.mean(1)
        within += height.var(1) / 2
    return float(np.median(between**2 / np.maximum(between**2 + 4 * within, 1e-300)))


def _spanning_tree(points: NDArray[np.float64], normals: NDArray[np.float64]) -> coo_matrix:
    """[N, N]: links between neighbours that join all points and turn as little as possible."""
    count = len(points)
    distance, index = cKDTree(points).query(points, min(LINKS + 1, count), workers=-1)
    start = np.repeat(np.arange(count), index.shape[1] - 1)
    end = index[:, 1:].reshape(-1)
    turn = 1 - np.abs((normals[start] * normals[end]).sum(1))
    length = distance[:, 1:].reshape(-1) / max(float(distance[:, 1:].max()), 1e-300)
    keep = start != end
    # a little of the length, for among parallel normals the nearest should be first; never 0, which is no link
    weight = (turn + 0.01 * length + 1e-9)[keep]
    graph = coo_matrix((weight, (start[keep], end[keep])), (count, count)).tocsr()
    graph = graph.maximum(graph.T)
    tree = minimum_spanning_tree(graph)
    return tree.tocoo()


def _handed_on(tree: coo_matrix, normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N]: signs that make the normals of linked points agree."""
    count = len(normals)
    apart, label = connected_components(tree, directed=False)
    # one more point, to which each part is tied, so that one search reaches all
    first = np.unique(label, return_index=True)[1]
    ties = np.full(apart, count)
    joined = coo_matrix(
        (np.ones(len(tree.row) + apart), (np.r_[tree.row, ties], np.r_[tree.col, first])), (count + 1, count + 1)
    ).tocsr()
    order, before = breadth_first_order(joined, count, directed=False)
    agree = np.ones(count + 1)
    child = order[1:]
    parent = before[child]
    inner = parent < count
    dot = (normals[child[inner]] * normals[parent[inner]]).sum(1)
    agree[child[inner]] = np.where(dot < 0, -1.0, 1.0)
    signs = np.ones(count + 1)
    for level in _levels(order, before):
        signs[level] = signs[before[level]] * agree[level]
    return signs[:count]


def _agreed(
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    votes: NDArray[np.float64],
    signs: NDArray[np.float64],
) -> NDArray[np.float64]:
    """[N]: the signs that agree best with the votes and with those of neighbours, found as real numbers first.

    They minimise the sum of PULL |vote| (sign - vote's sign)^2 and, over pairs of neighbours, of c^4 (one - the other
    as seen from it)^2 with c the cosine of their normals. Where that leaves nothing, ``signs`` stay.
    """
    count = len(points)
    index = cKDTree(points).query(points, min(LINKS + 1, count), workers=-1)[1][:, 1:]
    start, end = np.repeat(np.arange(count), index.shape[1]), index.reshape(-1)
    dot = (normals[start] * normals[end]).sum(1)
    links = coo_matrix((np.sign(dot) * dot**4, (start, end)), (count, count)).tocsr()
    links = (links + links.T) / 2
    pull = PULL * np.abs(votes)
    system = diags(np.asarray(abs(links).sum(1)).reshape(-1) + pull + 1e-6) - links
    found, _ = cg(system, PULL * votes + 1e-6 * signs, x0=signs, maxiter=ITERATIONS)
    return np.where(np.abs(found) > 1e-9, np.sign(found), signs)


def _levels(order: NDArray[np.int32], before: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """The points of a breadth-first search by their distance from its root, which is left out."""
    out = []
    end = 1
    rank = np.full(len(before), -1, np.int64)
    rank[order] = np.arange(len(order))
    parent_rank = np.r_[-1, rank[before[order[1:]]]]
    while end < len(order):
        stop = int(np.searchsorted(parent_rank, end, side="left"))
        out.append(order[end:stop])
        end = stop
    return out


def _patches(tree: coo_matrix, normals: NDArray[np.float64]) -> NDArray[np.int32]:
    """[N]: parts of the tree within which the normals turn gently from point to point."""
    gentle = np.abs((normals[tree.row] * normals[tree.col]).sum(1)) >= TURN
    links = coo_matrix((np.ones(gentle.sum()), (tree.row[gentle], tree.col[gentle])), tree.shape)
    return connected_components(links, directed=False)[1]


def _from_sure(
    tree: coo_matrix, patch: NDArray[np.int32], flips: NDArray[np.float64], unsure: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Signs [P] of patches: unsure ones take that of the next sure one along the tree."""
    count = len(flips)
    a, b = patch[tree.row], patch[tree.col]
    between = a != b
    sure = np.flatnonzero(~unsure)
    rows, columns = np.r_[a[between], np.full(len(sure), count)], np.r_[b[between], sure]
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), (count + 1, count + 1)).tocsr()
    order, before = breadth_first_order(graph, count, directed=False)
    out = np.r_[flips, 1.0]
    for level in _levels(order, before):
        level = level[unsure[level]]
        inherited = before[level]
        out[level] = np.where(inherited < count, out[inherited], out[level])
    return out[:count]
