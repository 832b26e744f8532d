"""Cameras and scenes of points for tests that need no pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.geometry import PointCloud
from mvgen.core.render.orbit import look_at
from mvgen.core.scene import Scene, View

SIZE = (80, 60)
UP = np.array([0.0, 1, 0])


def camera(eye: NDArray[np.floating], target: NDArray[np.floating] | None = None, name: str = "a.png") -> Camera:
    """A camera that looks at a target, by default the origin."""
    k = np.array([[80.0, 0, SIZE[0] / 2], [0, 80, SIZE[1] / 2], [0, 0, 1]])
    return Camera(name, *SIZE, k, look_at(eye, np.zeros(3) if target is None else target, UP))


def around(degrees: list[float], distance: float = 4.0, height: float = 0.5) -> list[Camera]:
    """Cameras that look at the origin from a circle about +Y, 0 being +Z."""
    angles = np.radians(degrees)
    return [
        camera(np.array([distance * np.sin(a), height, distance * np.cos(a)]), name=f"p{i}.png")
        for i, a in enumerate(angles)
    ]


def scene(cameras: list[Camera], points: NDArray[np.float64], seen: list[NDArray[np.integer]] | None = None) -> Scene:
    """A scene whose views see the points that fall into their pictures, or those that are given."""
    tracks = []
    for i, view in enumerate(cameras):
        pixels, depth = view.project(points)
        inside = (depth > 0) & (pixels > 0).all(-1) & (pixels < SIZE).all(-1)
        tracks += [(p, i) for p in (np.flatnonzero(inside) if seen is None else seen[i])]
    views = tuple(View(c, Path(c.name)) for c in cameras)
    return Scene(views, PointCloud(points), np.array(tracks, np.int32).reshape(-1, 2))
