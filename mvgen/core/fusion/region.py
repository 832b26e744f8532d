"""The part of the world that the photos are of: what lies far behind it costs much and shows little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, aimed_at
from mvgen.core.scene import Scene

FAR = 2.5  # a picture may span this many times as much of the surface as at the middle one of the sparse points
CONVERGED = 0.15  # axes that miss their common point by less than this share of the distance are aimed at it
AROUND = 60.0  # degrees between two of the axes from which on photos were taken around a thing


@dataclass(frozen=True, eq=False)
class Region:
    """Points within radius of centre [3] where a picture is at most `footprint` scene units wide (infinite: any)."""

    centre: NDArray[np.float64]
    radius: float
    footprint: float

    def contains(self, points: NDArray[np.floating], footprint: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Mask [N] of points [N, 3] where the picture that saw them is footprint [N] wide."""
        near = np.linalg.norm(points - self.centre, axis=-1) <= self.radius
        return near & (footprint <= self.footprint)


def region_of_interest(scene: Scene) -> Region:
    """What the photos are of, from the cameras and the sparse points.

    Photos taken around a thing give the sphere that fits into all pictures about the point they are aimed at.
    """
    centre, radius = ball_of_interest([v.camera for v in scene.views])
    return Region(centre, radius, FAR * _middle_footprint(scene))


def ball_of_interest(cameras: Sequence[Camera]) -> tuple[NDArray[np.float64], float]:
    """Centre [3] and radius of the ball that fits into all pictures about the point they are aimed at; the radius is
    infinite where they are not taken around anything."""
    centre = aimed_at(cameras)
    distance = np.array([np.linalg.norm(c.centre - centre) for c in cameras])
    axes = np.array([c.forward for c in cameras])
    centres = np.array([c.centre for c in cameras])
    miss = np.linalg.norm(np.cross(centre - centres, axes), axis=1)
    ahead = ((centre - centres) * axes).sum(axis=1) > 0
    widest = np.degrees(np.arccos(np.clip((axes @ axes.T).min(), -1, 1)))
    if not ahead.all() or miss.mean() > CONVERGED * distance.mean() or widest < AROUND:
        return centre, np.inf
    half = [np.arctan(max(c.width, c.height) / (2 * c.intrinsics[0, 0])) for c in cameras]
    return centre, float(np.median(distance * np.sin(half)))


def _middle_footprint(scene: Scene) -> float:
    """Median over the sparse points of the width of the nearest picture at their depth."""
    if not len(scene.tracks):
        return np.inf
    best = np.full(len(scene.points), np.inf)
    for i, view in enumerate(scene.views):
        points = scene.tracks[scene.tracks[:, 1] == i, 0]
        depth = view.camera.project(scene.points.points[points])[1]
        best[points] = np.minimum(best[points], depth / view.camera.intrinsics[0, 0] * view.camera.width)
    return float(np.median(best[np.isfinite(best)]))
