"""The frame of a result: upright, centred, of a handy size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, Similarity

GROUND_SHARE = 0.15  # a plane through this share of the points is taken for the ground
TILT = 45.0  # degrees between it and the cameras' idea of up, at most
NEARLY = 30.0  # degrees between an axis and a direction that is taken for it
SIZE = 2.0  # longest side of the result's box


def upright_frame(
    cameras: Sequence[Camera],
    points: NDArray[np.floating],
    seed: int,
    scale: float | None = None,
    up: NDArray[np.float64] | None = None,
) -> Similarity:
    """The similarity from the cameras' world to the result: +Y up, +Z towards the first camera, box centred at 0.

    Up [3] is the normal of the ground where a large plane lies under the cameras, else the photos' own idea of up,
    unless it is given. The longest side of the box becomes SIZE, unless a scale is given.
    """
    if up is None:
        up = cameras_up(cameras)
        normal = _ground_normal(points, up, cameras, np.random.default_rng(seed))
        up = up if normal is None else normal
    middle = np.median(points, axis=0)
    front = cameras[0].centre - middle
    front = front - up * (front @ up)
    if np.linalg.norm(front) < 1e-6 * max(float(np.linalg.norm(cameras[0].centre - middle)), 1e-30):
        front = cameras[0].rotation[0] - up * (cameras[0].rotation[0] @ up)
    front /= np.linalg.norm(front)
    rotation = np.stack([np.cross(up, front), up, front])
    turned = points @ rotation.T
    low, high = np.percentile(turned, [0.5, 99.5], axis=0)
    if scale is None:
        scale = SIZE / max(float((high - low).max()), 1e-30)
    return Similarity(scale, rotation, -scale * (low + high) / 2)


def cameras_up(cameras: Sequence[Camera]) -> NDArray[np.float64]:
    """Photos are held level: up is across all their x axes; where these are nearly parallel, the mean of their up."""
    mean = -np.mean([c.rotation[1] for c in cameras], axis=0)
    x_axes = np.array([c.rotation[0] for c in cameras])
    _, spread, axes = np.linalg.svd(x_axes, full_matrices=True)
    up = axes[2] * np.sign(axes[2] @ mean or 1.0)
    if len(cameras) < 3 or spread[1] < 0.3 * spread[0] or abs(up @ mean) < 0.3 * np.linalg.norm(mean):
        up = mean
    if np.linalg.norm(up) < 1e-6:
        up = -cameras[0].rotation[1]
    return up / np.linalg.norm(up)


def level(up: NDArray[np.float64]) -> NDArray[np.float64]:
    """The axis that a unit vector nearly follows, else the vector itself."""
    axis = np.zeros(3)
    strongest = np.argmax(np.abs(up))
    axis[strongest] = np.sign(up[strongest])
    return axis if axis @ up > np.cos(np.radians(NEARLY)) else up


def _ground_normal(
    points: NDArray[np.floating], up: NDArray[np.float64], cameras: Sequence[Camera], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Unit normal of the largest plane that is about level, with few points below it, or None."""
    sample = points[rng.permutation(len(points))[:4000]]
    size = float(np.linalg.norm(np.diff(np.percentile(sample, [5, 95], axis=0), axis=0)))
    best: tuple[float, NDArray[np.bool_]] | None = None
    for _ in range(300):
        p = sample[rng.choice(len(sample), 3, replace=False)]
        normal = np.cross(p[1] - p[0], p[2] - p[0])
        length = np.linalg.norm(normal)
        if length < 1e-12 * size * size:
            continue
        normal *= np.sign(normal @ up) / length
        if normal @ up < np.cos(np.radians(TILT)):
            continue
        height = (sample - p[0]) @ normal
        on = np.abs(height) < 0.01 * size
        below = np.mean(height < -0.03 * size)
        if below < 0.05 and (best is None or on.mean() > best[0]):
            best = float(on.mean()), on
    if best is None or best[0] < GROUND_SHARE:
        return None
    ground = sample[best[1]]
    normal = np.linalg.svd(ground - ground.mean(axis=0), full_matrices=False)[2][2]
    return normal * np.sign(normal @ up)
