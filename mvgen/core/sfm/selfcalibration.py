"""A first focal length for photos without EXIF, from their matches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RATIOS = (0.5, 0.57, 0.65, 0.74, 0.84, 0.96, 1.1, 1.26, 1.44, 1.65, 1.9, 2.4)  # focal length over the longer side
CLEAR = 1.05  # another focal length must win so many times the default's inliers
THRESHOLD = 1.5  # pixels of a picture 1024 wide

Matches = tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int], tuple[int, int]]


def guess_focal(pairs: Sequence[Matches], default: float, seed: int) -> tuple[float, bool]:
    """The focal length, over the picture's longer side, whose essential matrices explain most matches.

    pairs: pixels [m, 2] in two pictures, and the sizes (width, height) of these. Returns ``default`` unless another
    is better by 5 % of the matches, and whether that was so: a facade or an orbit around an object hardly tell.
    """
    if not pairs:
        return default, False
    support = {ratio: sum(_inliers(pair, ratio, seed) for pair in pairs) for ratio in RATIOS}
    best = max(RATIOS, key=lambda ratio: support[ratio])
    nearest = min(RATIOS, key=lambda ratio: abs(ratio - default))
    clear = support[best] > CLEAR * support[nearest]
    return (best if clear else default), clear


def _inliers(pair: Matches, ratio: float, seed: int) -> int:
    import cv2

    rays = []
    for pixels, size in zip(pair[:2], pair[2:]):
        rays.append((pixels - np.array(size) / 2) / (ratio * max(size)))
    if len(rays[0]) < 8:
        return 0
    cv2.setRNGSeed(seed)
    threshold = THRESHOLD / (1024 * ratio)
    essential, mask = cv2.findEssentialMat(
        rays[0], rays[1], np.eye(3), cv2.RANSAC, prob=0.999, threshold=threshold, maxIters=300
    )
    return 0 if essential is None else int(mask.sum())
