"""Bringing a result into the frame of a ground truth.

Sources: Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991);
Chen and Medioni, "Object modelling by registration of multiple range images" (1992), for point-to-plane steps;
Chetverikov et al., "The trimmed iterative closest point algorithm" (2002).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from mvgen.core.camera import Camera, Similarity
from mvgen.core.nearest import Samples

_KEEP = 0.8  # share of the pairs that a trimmed step believes
_POINT_WEIGHT = 0.02  # of point-to-point beside point-to-plane: holds what planes leave free


def umeyama(source: NDArray[np.float64], target: NDArray[np.float64]) -> Similarity:
    """The least-squares similarity from points [N, 3] to points [N, 3] (Umeyama 1991, eqs. 40-42)."""
    a, b = source.mean(0), target.mean(0)
    u, d, vt = np.linalg.svd((target - b).T @ (source - a))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / max(((source - a) ** 2).sum(), 1e-300))
    return Similarity(scale, rotation, b - scale * rotation @ a)


# ---- by cameras


def matching_cameras(result: Sequence[Camera], truth: Sequence[Camera]) -> list[tuple[Camera, Camera]]:
    """Pairs (result, truth) whose pictures have the same name, whatever the folder, extension and case."""
    by_name = {plain_name(c.name): c for c in result}
    return [(by_name[plain_name(c.name)], c) for c in truth if plain_name(c.name) in by_name]


def align_cameras(pairs: Sequence[tuple[Camera, Camera]]) -> Similarity:
    """The similarity of the world that brings the first camera of each pair to the second.

    The turn is the mean of the pairs' turns, scale and shift the least-squares ones of the centres; pairs that disagree
    by far more than most are left out. At least two pairs; two with the same centre leave the scale at 1.
    """
    turns = np.stack([t.rotation.T @ r.rotation for r, t in pairs])
    a, b = np.stack([r.centre for r, _ in pairs]), np.stack([t.centre for _, t in pairs])
    trusted = np.ones(len(pairs), bool)
    similarity = Similarity.identity()
    for _ in range(5):
        rotation = Rotation.from_matrix(turns[trusted]).mean().as_matrix()
        start, goal = a[trusted] - a[trusted].mean(0), b[trusted] - b[trusted].mean(0)
        spread = float((start**2).sum())
        scale = abs(float((goal * (start @ rotation.T)).sum())) / spread if spread > 0 else 1.0
        similarity = Similarity(scale, rotation, b[trusted].mean(0) - scale * rotation @ a[trusted].mean(0))
        turn, shift = camera_errors(pairs, similarity)
        trusted = (turn <= max(4 * float(np.median(turn)), 0.1)) & (shift <= max(4 * float(np.median(shift)), 1e-9))
        if trusted.sum() < 2:
            break
    return similarity


def camera_errors(
    pairs: Sequence[tuple[Camera, Camera]], similarity: Similarity
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles [N] in degrees and distances [N] between the first cameras, once moved, and the second ones."""
    moved = [r.moved(similarity) for r, _ in pairs]
    turn = Rotation.from_matrix(np.stack([m.rotation @ t.rotation.T for m, (_, t) in zip(moved, pairs)])).magnitude()
    shift = [float(np.linalg.norm(m.centre - t.centre)) for m, (_, t) in zip(moved, pairs)]
    return np.degrees(turn), np.array(shift)


def plain_name(name: str) -> str:
    """A picture's name without folder, extension and case."""
    return PurePosixPath(name.replace("\\", "/")).stem.lower()


# ---- by shape


@dataclass(frozen=True, eq=False)
class Goal:
    """What a result is brought to: samples of the truth with normals, those of them that a result must explain
    (``expected``), the truth's size, and ``inside``: which points [N, 3] lie in the region that counts, widened by some
    diagonals."""

    samples: Samples
    expected: NDArray[np.int64]
    diagonal: float
    inside: Callable[[NDArray[np.float64], float], NDArray[np.bool_]]

    @cached_property
    def tree(self) -> cKDTree:
        return cKDTree(self.samples.points)


def misfit(goal: Goal, points: NDArray[np.float64], similarity: Similarity, both_ways: bool = False) -> float:
    """Trimmed mean distance, in diagonals, of the expected samples to points [N, 3] once moved (and the other way)."""
    back = cKDTree(similarity.apply(points)).query(goal.samples.points[goal.expected[:1000]])[0]
    cost = _trimmed(back)
    if both_ways:
        cost += _trimmed(goal.tree.query(similarity.apply(points[:1000]))[0])
    return cost / goal.diagonal


def icp(
    goal: Goal, points: NDArray[np.float64], start: Similarity, reach: float = 0.05, steps: int = 40, count: int = 10000
) -> Similarity:
    """Refine a similarity by trimmed point-to-plane steps with scale, pairing both ways.

    points [N, 3] in random order; reach: the largest distance of a pair at first, in diagonals, which shrinks.
    """
    expected = goal.expected[:count]
    similarity = start
    for step in range(steps):
        moved = similarity.apply(points)
        moved = moved[goal.inside(moved, 0.05 if step < steps // 2 else 0.01)][:count]
        if len(moved) < 20:
            break
        there, i = goal.tree.query(moved)
        back, j = cKDTree(moved).query(goal.samples.points[expected])
        gate = max(reach * 0.85**step * goal.diagonal, 3 * float(np.median(back)))
        ok_there = there <= min(float(np.quantile(there, _KEEP)), gate)
        ok_back = back <= min(float(np.quantile(back, _KEEP)), gate)
        a = np.concatenate([moved[ok_there], moved[j][ok_back]])
        pick = np.concatenate([i[ok_there], i[j][ok_back]])
        weight = np.concatenate([np.full(ok_there.sum(), 1 / len(there)), np.full(ok_back.sum(), 1 / len(back))])
        if len(a) < 20:
            break
        change, size = _plane_step(a, goal.samples[pick], weight, goal.diagonal)
        similarity = change.after(similarity)
        if size < 1e-6:
            break
    return similarity


def search(goal: Goal, points: NDArray[np.float64], seed: int = 0, ground: float | None = None) -> Similarity:
    """A similarity from nowhere: many poses are tried, the best refined by `icp`. points [N, 3] in random order.

    With ground, the height in +Y of the plane on which the truth stands, the result may be an object on its main plane:
    the plane is laid on the ground and what stands on it turned.
    """
    groups = [(points, _any_pose(goal, points, seed))]
    if ground is not None:
        groups += _standing_poses(goal, points, seed, ground)
    found = [_best_pose(goal, part, starts) for part, starts in groups if len(part) >= 100]
    return min(found, key=lambda pair: pair[1])[0]


def _best_pose(goal: Goal, points: NDArray[np.float64], starts: list[Similarity]) -> tuple[Similarity, float]:
    """The start that fits best after refinement, and its misfit both ways."""
    few, some = goal.samples.points[goal.expected[:2000]], points[:4000]
    tree, goal_tree = cKDTree(some), cKDTree(few)

    def quick(similarity: Similarity) -> float:
        back = similarity.scale * tree.query(similarity.inverse().apply(few[:200]))[0]
        return _trimmed(back) + _trimmed(goal_tree.query(similarity.apply(some[:200]))[0])

    whole = replace(goal, inside=lambda x, _: np.ones(len(x), bool))
    ranked = sorted(starts, key=quick)[:16]
    tried = sorted((icp(whole, some, s, 0.2, 15, 800) for s in ranked), key=quick)[:3]
    refined = [icp(whole, points, s, 0.1, 25, 4000) for s in tried]
    return min(((s, misfit(goal, points, s, both_ways=True)) for s in refined), key=lambda pair: pair[1])


def _any_pose(goal: Goal, points: NDArray[np.float64], seed: int) -> list[Similarity]:
    """Turns in all directions, with three scales each, that bring the middle of the points to that of the goal."""
    few = goal.samples.points[goal.expected[:2000]]
    middle, size = points[:4000].mean(0), _spread(points[:4000])
    turns = np.concatenate([Rotation.create_group("O").as_matrix(), Rotation.random(200, rng=seed).as_matrix()])
    scales = [factor * _spread(few) / size for factor in (0.8, 1.0, 1.25)]
    return [Similarity(s, r, few.mean(0) - s * r @ middle) for r in turns for s in scales]


def _standing_poses(
    goal: Goal, points: NDArray[np.float64], seed: int, ground: float
) -> list[tuple[NDArray[np.float64], list[Similarity]]]:
    """For either side of the main plane: the largest thing on it, and poses that lay the plane on the ground."""
    size = float(np.linalg.norm(np.diff(np.percentile(points, [2, 98], axis=0), axis=0)))
    normal, offset = _main_plane(points, 0.006 * size, np.random.default_rng(seed))
    few = goal.samples.points[goal.expected[:2000]]
    groups = []
    for side in (1, -1):
        level = Rotation.align_vectors([[0, 1, 0]], [side * normal])[0].as_matrix()
        part = points[side * (points @ normal - offset) > 0.015 * size]
        part = _largest_piece(part, 0.03 * size)
        if len(part) < 100:
            continue
        tall = float(np.quantile(side * (part @ normal - offset), 0.99))
        starts = []
        for yaw in np.arange(0, 360, 10):
            rotation = Rotation.from_euler("y", yaw, degrees=True).as_matrix() @ level
            for factor in (0.8, 0.9, 1.0, 1.12, 1.25):
                scale = factor * (float(few[:, 1].max()) - ground) / tall
                shift = few.mean(0) - scale * rotation @ part.mean(0)
                shift[1] = ground - scale * side * offset
                starts.append(Similarity(scale, rotation, shift))
        groups.append((part, starts))
    return groups


def _main_plane(
    points: NDArray[np.float64], tolerance: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Unit normal and offset of the plane that most points lie on (Fischler and Bolles 1981, then least squares)."""
    some = points[:4000]
    best = np.zeros(len(some), bool)
    for _ in range(300):
        a, b, c = some[rng.choice(len(some), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal)
        if length > 0:
            on = np.abs((some - a) @ normal) < tolerance * length
            best = on if on.sum() > best.sum() else best
    middle = some[best].mean(0) if best.any() else some.mean(0)
    normal = np.linalg.svd(some[best] - middle, full_matrices=False)[2][2] if best.sum() >= 3 else np.array([0.0, 1, 0])
    return normal, float(middle @ normal)


def _largest_piece(points: NDArray[np.float64], cell: float) -> NDArray[np.float64]:
    """The points in the largest set of occupied cells that touch each other."""
    if not len(points):
        return points
    cells = np.floor(points / cell).astype(np.int64)
    places, index = np.unique(cells, axis=0, return_inverse=True)
    pairs = cKDTree(places).query_pairs(1.8, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), (len(places), len(places)))
    piece = connected_components(graph, directed=False)[1][index.reshape(-1)]
    return points[piece == np.bincount(piece).argmax()]


def _spread(points: NDArray[np.float64]) -> float:
    return max(float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())), 1e-300)


def _trimmed(distance: NDArray[np.float64], keep: float = 0.7) -> float:
    """Mean of the smallest part of distances."""
    count = max(int(keep * len(distance)), 1)
    return float(np.partition(distance, count - 1)[:count].mean())


def _plane_step(
    points: NDArray[np.float64], target: Samples, weight: NDArray[np.float64], unit: float
) -> tuple[Similarity, float]:
    """The small similarity that best brings points [N, 3] onto the planes of their targets, and its size in units."""
    middle = target.points.mean(0)
    a = (points - middle) / unit
    rest = (target.points - points) / unit
    axes = [(np.broadcast_to(axis, a.shape), _POINT_WEIGHT) for axis in np.eye(3)]
    if target.normals is not None:
        axes.append((target.normals, 1.0))
    left, right = np.zeros((7, 7)), np.zeros(7)
    for axis, share in axes:  # unknowns: scale, turn, shift
        row = np.column_stack([(a * axis).sum(1), np.cross(a, axis), axis])
        left += (row * (share * weight)[:, None]).T @ row
        right += row.T @ (share * weight * (rest * axis).sum(1))
    x = np.linalg.solve(left + 1e-9 * np.trace(left) * np.eye(7), right)
    scale = float(np.exp(np.clip(x[0], -0.2, 0.2)))
    rotation = Rotation.from_rotvec(x[1:4]).as_matrix()
    shift = middle - scale * rotation @ middle + unit * x[4:]
    return Similarity(scale, rotation, shift), float(np.abs(x).max())
