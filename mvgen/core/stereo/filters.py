"""Islands of depth that deserve no trust."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SPECKLE = 4e-5  # share of the picture under which an island of depth is a speckle


def speckles(rho: NDArray[np.float32], rho_px: float) -> NDArray[np.bool_]:
    """True on small islands of an inverse depth map [H, W] (0: unknown), cut where it jumps by over a pixel."""
    area = max(16, round(SPECKLE * rho.size))
    lowest = float(rho[rho > 0].min()) if (rho > 0).any() else 0.0
    steps = np.where(rho > 0, 8 + (rho - lowest) / rho_px * 8, 0)
    levels = np.clip(steps, 0, 32000).astype(np.int16)
    kept, _ = cv2.filterSpeckles(levels, 0, area, 8)
    return (rho > 0) & (kept == 0)
