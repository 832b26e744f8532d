"""What a rendering knows of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Buffers:
    """One rendered view of H x W pixels.

    color [H, W, 3] float32 sRGB in [0, 1], of the covered part of the pixel (0 where nothing is); alpha [H, W]
    float32, the covered share of the pixel. At the pixel's centre: depth [H, W] float32 along the optical axis (0:
    nothing there), normal [H, W, 3] float32 unit in camera axes, facing the camera, and id [H, W] int32 of the face or
    point (-1: none).
    """

    color: NDArray[np.float32]
    depth: NDArray[np.float32]
    normal: NDArray[np.float32]
    alpha: NDArray[np.float32]
    id: NDArray[np.int32]


def clay(normal: NDArray[np.floating]) -> NDArray[np.float32]:
    """Linear colour [..., 3] of matt clay by its camera-axes normal [..., 3]; light comes from the upper left."""
    lamp = np.array([-0.4, -0.65, -0.65])
    lamp /= np.linalg.norm(lamp)
    toward_eye, toward_lamp = -normal[..., 2], normal @ lamp
    light = 0.12 + 0.28 * np.clip(toward_eye, 0, 1) + 0.42 * np.clip(toward_lamp, 0, 1)
    return (light[..., None] * np.array([0.98, 0.95, 0.9])).astype(np.float32)


def block_mean(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """[H, W, ...] from [H * size, W * size, ...]: means of size x size blocks."""
    total = values[::size, ::size].astype(np.float32)
    for i in range(1, size * size):
        total += values[i // size :: size, i % size :: size]
    return total / np.float32(size * size)
