"""Splatting against its reference."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.kernels.points_raster import splat, splat_reference


@pytest.mark.parametrize("seed", range(5))
def test_splat_agrees_with_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(-4, 24, (60, 2)).astype(np.float32)
    depth = np.round(rng.uniform(-1, 4, 60), 1).astype(np.float32)  # some behind the camera, some equally far
    radius = rng.uniform(0.1, 4, 60).astype(np.float32)
    results = []
    for function in (splat, splat_reference):
        z, index = np.full((18, 20), np.inf, np.float32), np.full((18, 20), -1, np.int32)
        function(pixels, depth, radius, z, index)
        results.append((z, index))
    assert np.array_equal(results[0][0], results[1][0]) and np.array_equal(results[0][1], results[1][1])
    assert (results[0][1] >= 0).any() and (results[0][1] < 0).any()
