"""Lenses with distortion, and the pinhole cameras that replace them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

NEGLIGIBLE = 0.25  # pixels: lens distortion below this is left in the picture


@dataclass(frozen=True)
class Lens:
    """A camera with OpenCV's distortion (COLMAP's OPENCV), in pixels of a width x height picture.

    params: fx, fy, cx, cy, k1, k2, p1, p2.
    """

    width: int
    height: int
    params: tuple[float, ...]

    @staticmethod
    def simple(width: int, height: int, focal: float, radial: float = 0.0) -> Lens:
        """One focal length, one radial term, and the centre of the picture as its centre (SIMPLE_RADIAL)."""
        return Lens(width, height, (focal, focal, width / 2, height / 2, radial, 0.0, 0.0, 0.0))

    @staticmethod
    def of(width: int, height: int, intrinsics: NDArray[np.float64], distortion: NDArray[np.float64]) -> Lens:
        """From intrinsics [3, 3] and k1, k2, p1, p2."""
        k = intrinsics
        values = (k[0, 0], k[1, 1], k[0, 2], k[1, 2], *distortion)
        return Lens(width, height, tuple(float(v) for v in values))

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """[3, 3], without the distortion."""
        fx, fy, cx, cy = self.params[:4]
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)

    @property
    def focal(self) -> float:
        return self.params[0]

    def resized(self, width: int, height: int) -> Lens:
        """The same lens for its picture resampled to width x height."""
        x, y = width / self.width, height / self.height
        fx, fy, cx, cy = self.params[:4]
        return Lens(width, height, (fx * x, fy * y, cx * x, cy * y, *self.params[4:]))

    def distort(self, pixels: NDArray[np.float64], pinhole: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the pixels [..., 2] of a pinhole camera with some intrinsics [3, 3] lie in the distorted picture."""
        fx, fy, cx, cy, k1, k2, p1, p2 = self.params
        x = (pixels[..., 0] - pinhole[0, 2]) / pinhole[0, 0]
        y = (pixels[..., 1] - pinhole[1, 2]) / pinhole[1, 1]
        square = x * x + y * y
        radial = 1 + square * (k1 + k2 * square)
        u = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)
        v = y * radial + 2 * p2 * x * y + p1 * (square + 2 * y * y)
        return np.stack([fx * u + cx, fy * v + cy], -1)

    def undistort(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where pixels [N, 2] of the distorted picture lie in the picture of `pinhole`, by fixed-point iteration."""
        zoom = self.pinhole[[0, 1], [0, 1]] / self.params[:2]
        found = np.asarray(pixels, np.float64)
        for _ in range(100):
            found = found + (pixels - self.distort(found, self.pinhole)) * zoom
        return found

    @cached_property
    def pinhole(self) -> NDArray[np.float64]:
        """Intrinsics [3, 3] of a pinhole camera of the same picture size that keeps as much of the picture as it can
        without showing anything beyond its border; the lens's own where distortion is negligible."""
        border = _border(self.width, self.height)
        if np.abs(self.distort(border, self.intrinsics) - border).max() < NEGLIGIBLE:
            return self.intrinsics
        low, high = self._least_zoom(border), 3.0
        for _ in range(50):
            middle = (low + high) / 2
            seen = self.distort(border, self._zoomed(middle))
            inside = (seen >= 0.5).all() and (seen <= [self.width - 0.5, self.height - 0.5]).all()
            low, high = (low, middle) if inside else (middle, high)
        return self._zoomed(high)

    def _zoomed(self, zoom: float) -> NDArray[np.float64]:
        return self.intrinsics * np.array([[zoom, 1, 1], [1, zoom, 1], [1, 1, 1]])

    def _least_zoom(self, border: NDArray[np.float64]) -> float:
        """The least zoom for which the border lies where the radial terms are still invertible."""
        fx, fy, cx, cy, k1, k2 = self.params[:6]
        inside = (3 * k1) ** 2 - 20 * k2
        turning = (inside**0.5 - 3 * k1) / 2 if inside >= 0 else 0.0  # 1 / r^2 where 1 + 3 k1 r^2 + 5 k2 r^4 = 0
        if turning <= 0:
            return 0.5
        reach = np.linalg.norm((border - [cx, cy]) / [fx, fy], axis=1).max()
        return max(0.5, float(reach) * turning**0.5)


def _border(width: int, height: int) -> NDArray[np.float64]:
    """[N, 2]: pixel centres around a picture."""
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    sides = [(x, 0 * x + 0.5), (x, 0 * x + height - 0.5), (0 * y + 0.5, y), (0 * y + width - 0.5, y)]
    return np.concatenate([np.stack(side, -1) for side in sides]).astype(np.float64)
