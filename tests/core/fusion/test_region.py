"""What the photos are of."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.camera import aimed_at
from mvgen.core.fusion.region import region_of_interest
from tests.core.views import around, camera, scene

BALL = np.random.default_rng(0).uniform(-0.5, 0.5, (300, 3))


def test_cameras_around_a_thing_give_a_ball_about_it() -> None:
    found = region_of_interest(scene(around([0, 60, 120, 180, 240, 300]), BALL))
    assert np.linalg.norm(found.centre) < 0.01
    half = np.arctan(80 / (2 * 80))
    assert found.radius == pytest.approx(np.hypot(4, 0.5) * np.sin(half), rel=1e-6)
    inside = found.contains(np.array([[0.0, 0, 0], [3, 0, 0]]), np.array([4.0, 4.0]))
    assert inside.tolist() == [True, False]


def test_cameras_in_a_row_set_no_ball() -> None:
    row = [camera(np.array([x, 0.0, 4.0]), np.array([x, 0.0, 0.0]), f"{x}.png") for x in (-0.5, 0.0, 0.5)]
    found = region_of_interest(scene(row, BALL))
    assert found.radius == np.inf
    assert np.isfinite(found.footprint)


def test_what_is_seen_very_coarsely_is_left_out() -> None:
    found = region_of_interest(scene(around([-20, 0, 20]), BALL))
    assert found.radius == np.inf
    wide = found.contains(np.array([[0.0, 0, 0], [0, 0, -40.0]]), np.array([4.0, 44.0]))
    assert wide.tolist() == [True, False]


def test_no_sparse_points_no_limit() -> None:
    found = region_of_interest(scene(around([-20, 0, 20]), BALL, [np.arange(0)] * 3))
    assert found.footprint == np.inf


def test_aim_is_the_common_point_of_the_axes() -> None:
    target = np.array([0.3, -0.2, 0.1])
    cameras = [camera(np.array(e, float), target) for e in ((4, 0, 0), (0, 1, 4), (-3, 2, 1))]
    assert aimed_at(cameras) == pytest.approx(target, abs=1e-9)


def test_parallel_axes_have_an_aim_too() -> None:
    cameras = [camera(np.array([x, 0.0, 4.0]), np.array([x, 0.0, 0.0])) for x in (0.0, 1.0)]
    assert np.isfinite(aimed_at(cameras)).all()
