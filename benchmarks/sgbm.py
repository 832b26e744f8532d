"""OpenCV's semi-global matching (StereoSGBM) of a rectified pair, with a left-right check."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BLOCK = 5


def disparities(
    left: NDArray[np.uint8], right: NDArray[np.uint8], levels: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Disparity [H, W] of the left picture, and how far the right picture's disparity is from it [H, W].

    Pictures are [H, W, 3]; disparities from 0 to levels (a multiple of 16). Both are inf where nothing was found.
    The settings are those of OpenCV's own sample: P1 and P2 of 8 and 32 times the block's size, and all eight paths.
    The pictures are widened, so that no column is lost to the disparity range.
    """
    ours, theirs = _match(left, right, levels), _match(right[:, ::-1], left[:, ::-1], levels)[:, ::-1]
    height, width = ours.shape
    x = np.arange(width)[None, :] - np.where(np.isfinite(ours), ours, 0)
    near = np.clip(np.rint(x).astype(int), 0, width - 1)
    other = theirs[np.arange(height)[:, None], near]
    both = np.isfinite(ours) & np.isfinite(other) & (x > -0.5)
    with np.errstate(invalid="ignore"):
        return ours, np.where(both, np.abs(ours - other), np.inf).astype(np.float32)


def _match(left: NDArray[np.uint8], right: NDArray[np.uint8], levels: int) -> NDArray[np.float32]:
    matcher = cv2.StereoSGBM_create(
        minDisparity=0,
        numDisparities=levels,
        blockSize=BLOCK,
        P1=8 * 3 * BLOCK**2,
        P2=32 * 3 * BLOCK**2,
        disp12MaxDiff=-1,
        uniquenessRatio=0,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_HH,
    )
    wide = [cv2.copyMakeBorder(np.ascontiguousarray(p), 0, 0, levels, 0, cv2.BORDER_REPLICATE) for p in (left, right)]
    found = matcher.compute(*wide)[:, levels:].astype(np.float32) / 16
    return np.where(found < 0, np.inf, found).astype(np.float32)
