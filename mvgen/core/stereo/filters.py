"""Masks of pixels whose depth deserves no trust: speckles and sky."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SPECKLE = 4e-5  # share of the picture under which an island of depth is a speckle
SKY_SHARE = 0.03  # a sky is at least this much of the picture
SKY_DETAIL = 6.0 / 255  # steepest step of grey per pixel in a sky (clouds, compression)


def speckles(rho: NDArray[np.float32], rho_px: float) -> NDArray[np.bool_]:
    """True on small islands of an inverse depth map [H, W] (0: unknown), cut where it jumps by over a pixel."""
    area = max(16, round(SPECKLE * rho.size))
    lowest = float(rho[rho > 0].min()) if (rho > 0).any() else 0.0
    steps = np.where(rho > 0, 8 + (rho - lowest) / rho_px * 8, 0)
    levels = np.clip(steps, 0, 32000).astype(np.int16)
    kept, _ = cv2.filterSpeckles(levels, 0, area, 8)
    return (rho > 0) & (kept == 0)


def sky(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """True on the sky of an upright picture [H, W, 3]: smooth, not dark, no colour above blue, touching the top."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(8, width // 2), max(8, height // 2)), interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small, (3, 3), 0).astype(np.float32) / 255
    grey = smooth.mean(axis=-1)
    detail = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125))
    blue_enough = smooth[..., 2] >= smooth[..., :2].max(axis=-1) - 0.02
    candidate = (detail < SKY_DETAIL) & (grey > 0.35) & blue_enough
    _, labels = cv2.connectedComponents(candidate.astype(np.uint8), connectivity=4)
    top = np.unique(labels[0][labels[0] > 0])
    mask = np.isin(labels, top).astype(np.uint8)
    if mask.mean() < SKY_SHARE:
        return np.zeros((height, width), np.bool_)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    wider = cv2.dilate(closed, np.ones((3, 3), np.uint8))
    return cv2.resize(wider, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.bool_)
