"""Harmonics turned by the kernel beside the plain product."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mvgen.core.splats.harmonics import turning
from mvgen.kernels.harmonics import turn, turn_reference


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_it_is_the_reference(degree):
    before = np.random.default_rng(degree).normal(size=(200, (degree + 1) ** 2, 3)).astype(np.float32)
    matrix = turning(Rotation.random(random_state=degree).as_matrix(), degree).astype(np.float32)
    after = np.empty_like(before)
    turn(before, matrix, after)
    assert np.allclose(after, turn_reference(before, matrix), atol=2e-6)
    assert np.array_equal(after[:, 0], before[:, 0])
