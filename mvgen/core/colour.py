"""sRGB and linear light (IEC 61966-2-1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def linear_from_srgb(srgb: NDArray[np.floating]) -> NDArray[Any]:
    """Linear light of sRGB values in [0, 1], any shape."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(linear: NDArray[np.floating]) -> NDArray[Any]:
    """sRGB values in [0, 1] of linear light, any shape; values outside [0, 1] are clipped."""
    clipped = np.clip(linear, 0, 1)
    return np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)
