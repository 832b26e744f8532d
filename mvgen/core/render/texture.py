"""Textures in levels of halved size, sampled without aliasing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.colour import linear_from_srgb, srgb_from_linear

_LINEAR = linear_from_srgb(np.arange(256) / 255).astype(np.float32)


class Texture:
    """A picture [H, W, 3] uint8 sRGB as a pyramid (Williams, "Pyramidal parametrics", 1983) of linear-light means."""

    def __init__(self, picture: NDArray[np.uint8], repeats: bool):
        self.repeats = repeats
        self.levels = [np.ascontiguousarray(picture)]
        while max(self.levels[-1].shape[:2]) > 1:
            self.levels.append(_halved(self.levels[-1]))

    def sample(self, uv: NDArray[np.floating], texels: NDArray[np.floating]) -> NDArray[np.float32]:
        """Linear colour [N, 3] at uv [N, 2] for footprints of ``texels`` [N] pixels of the picture a side."""
        level = np.clip(np.log2(np.maximum(texels, 1e-6)), 0, len(self.levels) - 1).astype(np.float32)
        fine = np.floor(level).astype(np.int64)
        out = np.empty((len(uv), 3), np.float32)
        for k in np.unique(fine):
            pick = np.flatnonzero(fine == k)
            colour = self._bilinear(uv[pick], k)
            part = level[pick] - k
            mixed = np.flatnonzero(part > 0)
            if len(mixed):
                coarse = self._bilinear(uv[pick[mixed]], min(k + 1, len(self.levels) - 1))
                colour[mixed] += part[mixed, None] * (coarse - colour[mixed])
            out[pick] = colour
        return out

    def _bilinear(self, uv: NDArray[np.floating], level: int) -> NDArray[np.float32]:
        picture = self.levels[level]
        height, width = picture.shape[:2]
        x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
        left, top = np.floor(x), np.floor(y)
        across, down = (x - left).astype(np.float32)[:, None], (y - top).astype(np.float32)[:, None]
        x0, x1 = self._columns(left, width), self._columns(left + 1, width)
        y0, y1 = self._columns(top, height), self._columns(top + 1, height)
        flat = picture.reshape(-1, 3)

        def at(row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.float32]:
            return _LINEAR[flat[row * width + column]]

        upper = at(y0, x0) * (1 - across) + at(y0, x1) * across
        lower = at(y1, x0) * (1 - across) + at(y1, x1) * across
        return upper * (1 - down) + lower * down

    def _columns(self, place: NDArray[np.floating], size: int) -> NDArray[np.int64]:
        index = place.astype(np.int64)
        return index % size if self.repeats else np.clip(index, 0, size - 1)


def _halved(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every 2 x 2 pixels averaged; an odd last row or column joins the one before it."""
    height, width = picture.shape[:2]
    rows = np.arange(0, max(height - 1, 1), 2)
    columns = np.arange(0, max(width - 1, 1), 2)
    out = np.empty((len(rows), len(columns), 3), np.uint8)
    step = max(1, (1 << 20) // (4 * width))  # rows at a time, so that memory stays small
    for first in range(0, len(rows), step):
        some = rows[first : first + step]
        total = np.zeros((len(some), len(columns), 3), np.float32)
        for dy in (0, 1):
            for dx in (0, 1):
                y, x = np.minimum(some + dy, height - 1), np.minimum(columns + dx, width - 1)
                total += _LINEAR[picture[y[:, None], x[None, :]]]
        out[first : first + step] = np.rint(255 * srgb_from_linear(total / 4))
    return out
