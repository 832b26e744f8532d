"""Buffers as pictures: colour maps, backgrounds, contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.render.buffers import Buffers

What = Literal["color", "depth", "normal", "alpha", "id"]


def picture(buffers: Buffers, what: What, depth_range: tuple[float, float]) -> NDArray[np.uint8]:
    """[H, W, 4] RGBA, transparent where nothing is.

    depth: viridis over depth_range (near, far), near bright; normal: x right, y up and z to the eye as red, green,
    blue; alpha: white on black, opaque; id: one colour per face or point.
    """
    alpha = buffers.alpha if what == "color" else (buffers.id >= 0).astype(np.float32)
    if what == "color":
        rgb = buffers.color
    elif what == "depth":
        near, far = depth_range
        rgb = viridis(1 - (buffers.depth - near) / max(far - near, 1e-12))
    elif what == "normal":
        rgb = (buffers.normal * [0.5, -0.5, -0.5] + 0.5).astype(np.float32)
    elif what == "alpha":
        rgb, alpha = np.repeat(buffers.alpha[..., None], 3, axis=2), np.ones_like(alpha)
    else:
        rgb = id_colours(buffers.id)
    out = np.concatenate([rgb, alpha[..., None]], axis=2)
    out[..., :3][alpha <= 0] = 0
    return np.rint(255 * np.clip(out, 0, 1)).astype(np.uint8)


def over(rgba: NDArray[np.uint8], background: Sequence[float]) -> NDArray[np.uint8]:
    """A picture [H, W, 4] on a plain background (sRGB in [0, 1]): [H, W, 3]."""
    alpha = rgba[..., 3:] / np.float32(255)
    mixed = rgba[..., :3] * alpha + 255 * np.asarray(background, np.float32) * (1 - alpha)
    return np.rint(mixed).astype(np.uint8)


def viridis(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """[..., 3] for values [...], from dark violet at 0 to yellow at 1."""
    import cv2

    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    index = np.rint(255 * np.clip(np.nan_to_num(values), 0, 1)).astype(np.uint8)
    return (table[index] / 255).astype(np.float32)


def id_colours(index: NDArray[np.int32]) -> NDArray[np.float32]:
    """[..., 3]: a bright colour for each number, far from those of its neighbours; black for -1."""
    golden = np.array([0.61803398875, 0.7548776662, 0.5698402910])  # steps that spread evenly in one and two dimensions
    phase = index[..., None].astype(np.float64) * golden % 1
    return np.where(index[..., None] >= 0, 0.25 + 0.7 * phase, 0).astype(np.float32)


def depth_range(points: NDArray[np.floating], cameras: Sequence[Camera]) -> tuple[float, float]:
    """(near, far) that holds the points [N, 3] for all the cameras, but for the outermost percent."""
    some = points[:: max(1, len(points) // 5000)]
    depth = np.concatenate([camera.project(some)[1] for camera in cameras])
    depth = depth[depth > 0]
    if not len(depth):
        return 0.0, 1.0
    near, far = np.percentile(depth, [0.5, 99.5])
    return float(near), float(far)


def sheet(pictures: Sequence[NDArray[np.uint8]], gap: int = 4) -> NDArray[np.uint8]:
    """Pictures [h, w, C] side by side in rows, as one picture; the gaps are zero."""
    height = max(p.shape[0] for p in pictures)
    width = max(p.shape[1] for p in pictures)
    columns = sheet_columns(len(pictures), width, height)
    rows = -(-len(pictures) // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, pictures[0].shape[2])
    out = np.zeros(shape, np.uint8)
    for i, one in enumerate(pictures):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        out[y : y + one.shape[0], x : x + one.shape[1]] = one
    return out


def sheet_columns(count: int, width: int, height: int) -> int:
    """Columns of a sheet of ``count`` pictures: few empty places, and about 8:5."""
    return min(
        range(1, count + 1),
        key=lambda c: (-(-count // c) * c - count) / count + abs(np.log(c * width / (-(-count // c) * height) / 1.6)),
    )
