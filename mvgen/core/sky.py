"""The sky of an upright photo."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 640  # pixels: size at which the sky is looked for
LEAST = 0.02  # of the picture: less is no sky
DETAIL = 6.0 / 255  # steepest step of brightness per pixel of a sky with soft clouds
DARKEST, OVERCAST = 0.3, 0.6  # brightness of an evening sky; of one that is not blue
BLUE = 0.02  # by which blue exceeds red and green in a blue sky
WARMEST = 0.03  # by which they may exceed blue in a grey one
HANGING = 0.75  # of a sky lies with hardly anything else above it


def sky(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """[H, W]: true on the sky of an upright picture [H, W, 3]: smooth, blue or bright and almost grey, and reaching
    from its top downwards with little in between. All false where there is none."""
    height, width = image.shape[:2]
    ratio = min(1.0, SIDE / max(height, width))
    size = max(8, round(width * ratio)), max(8, round(height * ratio))
    found = _from_top(_sky_coloured(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)))
    if found.mean() < LEAST or _hanging_share(found) < HANGING:
        return np.zeros((height, width), np.bool_)
    closed = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    wider = cv2.dilate(closed, np.ones((3, 3), np.uint8)).astype(np.float32)
    return np.asarray(cv2.resize(wider, (width, height), interpolation=cv2.INTER_LINEAR)) > 0.5


def _sky_coloured(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    soft = np.asarray(cv2.GaussianBlur(image, (3, 3), 0), np.float32) / 255
    grey = soft.mean(-1)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125))
    excess = soft[..., 2] - soft[..., :2].max(-1)
    colour = ((excess >= BLUE) & (grey > DARKEST)) | ((excess >= -WARMEST) & (grey > OVERCAST))
    return np.asarray((slope < DETAIL) & colour)


def _from_top(candidate: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What hangs together with the top, not through gaps of a pixel."""
    framed = np.pad(candidate.astype(np.uint8), 1, mode="edge")
    opened = cv2.morphologyEx(framed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    _, labels = cv2.connectedComponents(opened, connectivity=4)
    top = labels[: max(1, len(labels) // 100)]
    return np.isin(labels, np.unique(top[top > 0]))


def _hanging_share(found: NDArray[np.bool_]) -> float:
    """The share of a region above whose pixels nine tenths belong to it too."""
    above = np.cumsum(found, axis=0) / np.arange(1, len(found) + 1)[:, None]
    return float((above[found] >= 0.9).mean()) if found.any() else 0.0
