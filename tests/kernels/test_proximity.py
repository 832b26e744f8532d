"""Bounds of distances beside the plain distance from points to triangles."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.nearest import point_triangle_distance
from mvgen.kernels.proximity import farthest_corner, least_farthest_corner


@pytest.fixture
def made():
    """Points [P, 3], triangles [N, 3] of them, and others [F, 3, 3], some without area or extent."""
    rng = np.random.default_rng(0)
    points, corners = rng.normal(size=(60, 3)), rng.normal(size=(40, 3, 3))
    corners[:5, 2] = corners[:5, 1]
    corners[5:8] = corners[5:8, :1]
    return points, rng.integers(0, 60, (500, 3)), corners, rng


def test_the_farthest_corner(made):
    points, faces, corners, rng = made
    triangle, out = rng.integers(0, 40, 500), np.empty(500)
    farthest_corner(points, faces, triangle, corners, out)
    want = np.max([point_triangle_distance(points[faces[:, k]], corners[triangle]) for k in range(3)], axis=0)
    assert np.allclose(out, want, atol=1e-12)


def test_the_least_of_three(made):
    points, faces, corners, rng = made
    near, out = rng.integers(0, 40, 60), np.empty(500)
    distance = point_triangle_distance(points, corners[near])
    least_farthest_corner(points, faces, distance, near, corners, out)
    each = [
        np.max([point_triangle_distance(points[faces[:, c]], corners[near[faces[:, k]]]) for c in range(3)], axis=0)
        for k in range(3)
    ]
    assert np.allclose(out, np.min(each, axis=0), atol=1e-12)
