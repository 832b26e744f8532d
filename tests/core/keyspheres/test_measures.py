"""The published measures, where they are known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres.measures import NAMES, keysphere_measures


def ball(radius: float) -> Mesh:
    made = trimesh.creation.icosphere(4, radius)
    return Mesh(np.asarray(made.vertices) + np.array([7.0, 0, 0]), np.asarray(made.faces, np.int32))


def test_measures_of_a_smaller_ball() -> None:
    found = keysphere_measures(ball(1.9), ball(2.0), np.random.default_rng(0))
    assert tuple(found) == NAMES
    gap = 0.9 * 0.05  # in the frame where the truth has radius 0.9
    assert found["surface_error"] == pytest.approx(gap, rel=0.03)
    assert found["importance_error"] == pytest.approx(gap, rel=0.03)
    assert found["grid_error"] == pytest.approx(gap, rel=0.03)
    assert found["g_iou"] == pytest.approx(0.95**3, rel=0.02)
    assert found["chamfer_squared"] == pytest.approx(2 * gap**2, rel=0.1)


def test_an_open_surface_has_no_inside() -> None:
    whole = ball(1.0)
    with pytest.raises(CannotError, match="result has no inside"):
        keysphere_measures(Mesh(whole.vertices, whole.faces[800:]), whole, np.random.default_rng(0))
