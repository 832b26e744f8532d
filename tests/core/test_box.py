"""Boxes, and what of a shape lies in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.box import Box, cropped
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh, PointCloud
from tests.core.splats import made

ends = st.floats(-3, 3, width=32) | st.just(np.inf)


@given(st.integers(0, 99), st.lists(ends, min_size=6, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_crop_keeps_exactly_what_lies_inside(seed: int, numbers: list[float]) -> None:
    low = tuple(float(min(-numbers[i], numbers[i + 3])) for i in range(3))
    high = tuple(float(max(-numbers[i], numbers[i + 3])) for i in range(3))
    whole = made.splats(50, 1, seed)
    inside = [i for i, m in enumerate(whole.means.tolist()) if all(a <= v <= b for a, v, b in zip(low, m, high))]
    box, cloud = Box(low, high), PointCloud(whole.means.astype(np.float64), colours=whole.colours)
    if not inside:
        with pytest.raises(CannotError, match="nothing"):
            cropped(whole, box, "a")
        return
    some, points = cropped(whole, box, "a"), cropped(cloud, box, "a")
    assert np.array_equal(some.means, whole.means[inside]) and np.array_equal(some.harmonics, whole.harmonics[inside])
    assert np.array_equal(points.points, cloud.points[inside]) and points.colours is not None
    assert np.array_equal(points.colours, whole.colours[inside])


def test_of_a_mesh_whole_faces_are_kept() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], np.float64)
    mesh = Mesh(corners, np.array([[0, 1, 3], [0, 1, 2]], np.int32), metadata={"units": "m"})
    some = cropped(mesh, Box((0, 0, 0), (1, 1, 1)), "a")
    assert some.faces.tolist() == [[0, 1, 2]] and np.array_equal(some.vertices, corners[:3])
    assert some.metadata == {"units": "m"}
    with pytest.raises(CannotError, match="a: nothing of it lies in the box"):
        cropped(mesh, Box((4, 4, 4), (6, 6, 6)), "a")
