"""The fast depth beside the plain one."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.kernels.median_depth import median_depth, median_depth_reference


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_reference(seed):
    rng = np.random.default_rng(seed)
    count = 80
    pixels = rng.uniform(-4, 24, (count, 2)).astype(np.float32)
    depth = np.sort(rng.uniform(-1, 5, count)).astype(np.float32)
    sigma = rng.uniform(0, 3, count).astype(np.float32)
    opacity = rng.uniform(0, 1, count).astype(np.float32)
    found = []
    for draw in (median_depth, median_depth_reference):
        light, z = np.ones((16, 20), np.float32), np.full((16, 20), np.inf, np.float32)
        draw(pixels, depth, sigma, opacity, light, z)
        found.append((light, z))
    assert np.allclose(found[0][0], found[1][0], atol=1e-5) and np.array_equal(found[0][1], found[1][1])
    assert np.isfinite(found[0][1]).any() and (found[0][0] < 0.5).any()
