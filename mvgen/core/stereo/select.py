"""Which pictures to match with which, and how deep to look: both from the sparse points."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.scene import Scene

BEST_ANGLE = 10.0  # degrees between two rays where matching is both sure and precise
MARGIN = (0.75, 1.4)  # how far the depth range reaches before the nearest and behind the farthest sparse point


def visibility(scene: Scene) -> list[NDArray[np.int32]]:
    """Per view, the indices of the sparse points that it saw, rising."""
    order = np.lexsort((scene.tracks[:, 0], scene.tracks[:, 1]))
    tracks = scene.tracks[order]
    starts = np.searchsorted(tracks[:, 1], np.arange(len(scene.views) + 1))
    return [tracks[a:b, 0] for a, b in pairwise(starts)]


def source_views(scene: Scene, count: int) -> list[list[int]]:
    """For each view the best `count` others to match it with, best first.

    A shared sparse point counts by its angle: fully at BEST_ANGLE, little at 0 (no depth) and at 60 (no likeness).
    Views that share no points are ranked behind by the angle between their axes.
    """
    seen = visibility(scene)
    centres = np.array([v.camera.centre for v in scene.views])
    forward = np.array([v.camera.forward for v in scene.views])
    out = []
    for i in range(len(scene.views)):
        scores = np.full(len(scene.views), -np.inf)
        for j in range(len(scene.views)):
            if i != j:
                shared = np.intersect1d(seen[i], seen[j], assume_unique=True)
                points = scene.points.points[shared]
                angle = angle_deg(points - centres[i], points - centres[j])
                scores[j] = _angle_weight(angle).sum() - 1e-3 * angle_deg(forward[i], forward[j])
        order = np.argsort(-scores, kind="stable")
        out.append([int(j) for j in order[: min(count, len(order) - 1)]])
    return out


def angle_deg(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Angles between vectors [..., 3]."""
    cosine = (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-30)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _angle_weight(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    width = np.where(angle < BEST_ANGLE, 4.0, 20.0)
    return np.exp(-((angle - BEST_ANGLE) ** 2) / (2 * width**2))


def inverse_depth_range(scene: Scene, view: int, seen: NDArray[np.int32]) -> tuple[float, float]:
    """(lowest, highest) inverse depth worth searching in a view.

    From the sparse points that it saw, or, when those are few, from all that fall into its picture.
    """
    camera = scene.views[view].camera
    points = scene.points.points
    depth = _depths_inside(camera, points[seen])
    if len(depth) < 30:
        depth = _depths_inside(camera, points)
    if not len(depth):
        depth = np.linalg.norm(points - camera.centre, axis=1)
    near, far = np.percentile(depth, [1, 99])
    return float(1 / (far * MARGIN[1])), float(1 / (near * MARGIN[0]))


def _depths_inside(camera: Camera, points: NDArray[np.floating]) -> NDArray[np.float64]:
    pixels, depth = camera.project(points)
    inside = (depth > 0) & (pixels >= 0).all(-1) & (pixels < [camera.width, camera.height]).all(-1)
    return depth[inside]
