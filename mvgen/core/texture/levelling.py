"""Make photos of different exposure agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.texture.observe import Sight

FEWEST_SHARED = 30  # points that two photos must share before their exposure is compared
DARK = 12.0  # grey levels; darker pixels say little about exposure
STRONGEST = 2.5  # gains are kept within 1 / STRONGEST ... STRONGEST


def exposure_gains(sight: Sight) -> NDArray[np.float32]:
    """[V, 3]: factors on each photo's colours that make shared points agree; their geometric mean is 1.

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
    return np.exp(np.clip(gains - gains.mean(axis=0), -limit, limit)).astype(np.float32)
