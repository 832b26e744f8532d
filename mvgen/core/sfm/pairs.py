"""Which photos to match with which, when there are too many for all pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def choose_pairs(
    descriptors: Sequence[NDArray[np.float32]], neighbours: int = 15, window: int = 5, ratio: float = 0.85
) -> list[tuple[int, int]]:
    """Pairs (a < b): each photo with the next few in order, and with those that look most alike.

    descriptors [<= 256, D]: of the largest features of each photo; two photos look alike by the number of their mutual
    nearest neighbours that pass the ratio test (preemptive matching, Wu, "Towards linear-time incremental structure
    from motion", 2013).
    """
    count = len(descriptors)
    alike = np.zeros((count, count), np.int32)
    for a in range(count):
        for b in range(a + 1, count):
            alike[a, b] = alike[b, a] = _mutual_matches(descriptors[a], descriptors[b], ratio)
    pairs = {(a, b) for a in range(count) for b in range(a + 1, min(count, a + window + 1))}
    for a in range(count):
        order = np.argsort(-alike[a], kind="stable")[:neighbours]
        pairs |= {(min(a, int(b)), max(a, int(b))) for b in order if b != a and alike[a, b] > 0}
    return sorted(pairs)


def _mutual_matches(a: NDArray[np.float32], b: NDArray[np.float32], ratio: float) -> int:
    """Mutual nearest neighbours by angle that are clearly nearer than the second. The products of byte descriptors are
    integers that float32 holds exactly, so the order of summation cannot change them."""
    if len(a) < 2 or len(b) < 2:
        return 0
    scale = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    angle = np.arccos(np.clip(a @ b.T / np.maximum(scale, 1e-12), -1, 1))
    forward, backward = angle.argmin(1), angle.argmin(0)
    nearest = np.partition(angle, 1, axis=1)[:, :2]
    mutual = backward[forward] == np.arange(len(a))
    return int((mutual & (nearest[:, 0] < ratio * nearest[:, 1])).sum())
