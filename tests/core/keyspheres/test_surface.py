"""Surfaces of fields."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.keyspheres.surface import projected, surface_of, within
from mvgen.core.surface.topology import topology

BOX = np.array([[-1.0, -1, -0.6], [1, 1, 0.65]])


def ball(points):
    return (np.linalg.norm(points, axis=1) - 0.5).astype(np.float32)


@pytest.mark.parametrize("resolution", [24, 33])
def test_a_surface_that_leaves_the_box_is_closed_there(resolution):
    mesh = surface_of(lambda points: ball(points) - np.float32(0.2), BOX, resolution)
    shape = topology(mesh, welded=True)
    assert shape.watertight and shape.genus == 0 and shape.components == 1
    assert (mesh.vertices >= BOX[0] - 0.01).all() and (mesh.vertices <= BOX[1] + 0.01).all()


def test_one_that_stays_inside_is_as_it_would_be_without_the_box():
    points = np.random.default_rng(0).uniform(-0.55, 0.55, (1000, 3))
    near = points[np.abs(ball(points)) < 0.03]
    assert len(near) > 50 and np.array_equal(within(ball, BOX)(near), ball(near))
    assert np.array_equal(projected(within(ball, BOX), near, 0.05, 2), projected(ball, near, 0.05, 2))
