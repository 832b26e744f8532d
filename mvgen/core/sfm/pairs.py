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
    lengths = [np.maximum(np.linalg.norm(d, axis=1), 1e-12).astype(np.float32) for d in descriptors]
    alike = np.zeros((count, count), np.int32)
    for a in range(count):
        for b in range(a + 1, count):
            if min(len(descriptors[a]), len(descriptors[b])) > 1:
                # Products of byte descriptors are integers that float32 holds exactly, in any order of summation.
                cosine = (descriptors[a] @ descriptors[b].T) / lengths[a][:, None] / lengths[b][None]
                alike[a, b] = alike[b, a] = _mutual_matches(cosine, ratio)
    pairs = {(a, b) for a in range(count) for b in range(a + 1, min(count, a + window + 1))}
    for a in range(count):
        order = np.argsort(-alike[a], kind="stable")[:neighbours]
        pairs |= {(min(a, int(b)), max(a, int(b))) for b in order if b != a and alike[a, b] > 0}
    return sorted(pairs)


def _mutual_matches(cosine: NDArray[np.float32], ratio: float) -> int:
    """How many rows and columns are each other's nearest, with the row's second nearest clearly farther. Distances are
    those of unit vectors: d^2 = 2 - 2 cosine."""
    rows = np.arange(len(cosine))
    forward, backward = cosine.argmax(1), cosine.argmax(0)
    first = cosine[rows, forward]
    cosine[rows, forward] = -1
    clear = 1 - first < ratio**2 * (1 - cosine.max(1))
    return int((clear & (backward[forward] == rows)).sum())
