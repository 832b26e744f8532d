"""Shortest ways beside Dijkstra's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from mvgen.kernels.paths import ways, ways_reference


@pytest.mark.parametrize("step", [1e-3, 0.05, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_they_are_as_short_as_the_reference(seed, step):
    points = np.random.default_rng(seed).uniform(0, 1, (300, 3)) * [1, 1, 0.1]
    length, index = cKDTree(points).query(points, 6)
    found = np.empty(300)
    ways(index, length, 0.15, 7, 0.8, step, found)
    wanted = ways_reference(index, length, 0.15, 7, 0.8)
    assert np.array_equal(found, wanted)
    assert 50 < np.isfinite(found).sum() < 300


def test_a_link_goes_both_ways():
    index, length = np.array([[0, 1], [1, 1], [2, 1]]), np.array([[0.0, 1], [0, 0], [0, 2]])
    found = np.empty(3)
    ways(index, length, 5.0, 2, 10.0, 1.0, found)
    assert found.tolist() == [3, 2, 0]
    ways(index, length, 1.5, 2, 10.0, 1.0, found)
    assert found.tolist() == [np.inf, np.inf, 0]
