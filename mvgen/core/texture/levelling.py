"""Make photos of different exposure agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.texture.observe import Sight

FEWEST_SHARED = 30  # points that two photos must share before their exposure is compared
DARK = 4.0  # grey levels; darker pixels say little about exposure
HIGHLIGHT, BRIGHTEST = 99.5, 245.0  # this percentile stays below this grey level, if it did before
STRONGEST = 2.5  # gains are kept within 1 / STRONGEST ... STRONGEST


def exposure_gains(sight: Sight) -> NDArray[np.float32]:
    """[V, 3]: factors on each photo's colours that make shared points agree, near 1 in all.

    Least squares on the median ratios of all pairs of photos, which a few moving things or highlights cannot disturb.
    """
    views = sight.believed.shape[1]
    usable = sight.believed & (sight.colours.min(axis=2) > DARK) & (sight.colours.max(axis=2) < 250)
    logs = np.log(np.maximum(sight.colours, 1))
    normal, right = np.eye(views) * 1e-3, np.zeros((views, 3))
    for a in range(views):
        for b in range(a + 1, views):
            both = usable[:, a] & usable[:, b]
            weight = np.sqrt(both.sum() / FEWEST_SHARED)
            if weight < 1:
                continue
            ratio = np.median(logs[both, a] - logs[both, b], axis=0)
            normal[[a, b], [a, b]] += weight
            normal[[a, b], [b, a]] -= weight
            right[a] -= weight * ratio
            right[b] += weight * ratio
    gains = np.linalg.solve(normal, right)
    limit = np.log(STRONGEST)
    levelled = np.exp(np.clip(gains - gains.mean(axis=0), -limit, limit)).astype(np.float32)
    return levelled * _headroom(sight, levelled)


def _headroom(sight: Sight, gains: NDArray[np.float32]) -> np.float32:
    """A factor up to 1 that keeps the highlights of photos with a high gain from burning out."""
    if not sight.believed.any():
        return np.float32(1)
    bright = sight.colours.max(axis=2), (sight.colours * gains).max(axis=2)
    before, after = (np.percentile(values[sight.believed], HIGHLIGHT) for values in bright)
    return np.float32(min(1, max(before, BRIGHTEST) / max(after, 1)))
