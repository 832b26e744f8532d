"""The frame of a result: upright, centred, of a handy size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mvgen.core.camera import Camera, Similarity
from mvgen.core.frame import SIZE, upright_frame
from tests.core.views import around

CAMERAS = around([0, 40, 80, 200], height=1.5)


def still_life(seed: int = 0) -> np.ndarray:
    """A box on a floor."""
    rng = np.random.default_rng(seed)
    floor = np.stack([rng.uniform(-1.5, 1.5, 600), np.full(600, -0.5), rng.uniform(-1.5, 1.5, 600)], -1)
    return np.concatenate([floor, rng.uniform(-0.5, 0.5, (400, 3))])


def moved(cameras: list[Camera], points: np.ndarray, by: Similarity) -> tuple[list[Camera], np.ndarray]:
    return [c.moved(by) for c in cameras], by.apply(points)


def test_result_is_upright_centred_and_two_units_long() -> None:
    points = still_life()
    frame = upright_frame(CAMERAS, points, 0)
    placed = frame.apply(points)
    assert frame.rotation @ [0, 1, 0] == pytest.approx([0, 1, 0], abs=1e-3)
    low, high = np.percentile(placed, [0.5, 99.5], axis=0)
    assert (high - low).max() == pytest.approx(SIZE)
    assert (low + high) / 2 == pytest.approx(np.zeros(3), abs=1e-9)


def test_first_camera_is_in_front() -> None:
    frame = upright_frame(CAMERAS, still_life(), 0)
    x, _, z = frame.apply(CAMERAS[0].centre)
    assert z > 1 and abs(x) < 0.1 * z


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_result_does_not_depend_on_the_cameras_own_world(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    world = Similarity(scale, Rotation.random(random_state=seed).as_matrix(), scale * rng.normal(size=3))
    points = still_life()
    cameras, elsewhere = moved(CAMERAS, points, world)
    expected, found = upright_frame(CAMERAS, points, 0), upright_frame(cameras, elsewhere, 0)
    turn = found.rotation @ world.rotation @ expected.rotation.T
    assert np.degrees(np.arccos(np.clip(turn[1, 1], -1, 1))) < 0.5  # the same up
    assert np.degrees(np.arccos(np.clip(turn[2, 2], -1, 1))) < 5  # about the same front
    assert found.scale * scale == pytest.approx(expected.scale, rel=0.05)


def test_the_ground_beats_a_photographer_who_tilts_the_camera() -> None:
    points = still_life()
    lean = Similarity(1.0, Rotation.from_euler("z", 12, degrees=True).as_matrix(), np.zeros(3))
    leaning = [c.moved(lean) for c in CAMERAS]  # every photo is tilted the same way
    up = upright_frame(leaning, points, 0).rotation[1]
    assert np.degrees(np.arccos(up @ [0, 1, 0])) < 1


def test_a_wall_is_not_taken_for_the_ground() -> None:
    rng = np.random.default_rng(0)
    wall = np.stack([rng.uniform(-2, 2, 800), rng.uniform(-1, 1, 800), np.zeros(800)], -1)
    up = upright_frame(around([-20, 0, 20], height=0.0), wall, 0).rotation[1]
    assert up @ [0, 1, 0] > 0.999


@pytest.mark.parametrize("count", [2, 3])
def test_few_cameras_have_an_up(count: int) -> None:
    ball = np.random.default_rng(0).normal(size=(300, 3)) * 0.3
    up = upright_frame(around([0, 10, 20][:count], height=0.0), ball, 0).rotation[1]
    assert up @ [0, 1, 0] > 0.99


def test_camera_that_looks_straight_down() -> None:
    """Its way to the scene is along up: the front is chosen from the picture."""
    down = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 5], [0, 0, 0, 1]])
    cameras = [Camera(f"{x}.png", 80, 60, CAMERAS[0].intrinsics, down + 0) for x in range(3)]
    for i, camera in enumerate(cameras):
        camera.world_to_camera[0, 3] = 0.5 * i
    frame = upright_frame(cameras, still_life(), 0)
    assert np.allclose(frame.rotation @ frame.rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(frame.rotation) == pytest.approx(1)
    assert np.isfinite(frame.matrix()).all()
