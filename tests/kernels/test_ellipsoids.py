"""Ellipsoids under linear maps, against scipy and numpy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mvgen.kernels.ellipsoids import mapped
from tests.core.splats import made

KINDS = {
    "any": np.random.default_rng(3).normal(size=(3, 3)),
    "mirror": np.diag([1.0, -1.0, 1.0]),
    "stretch": np.diag([1.0, 30.0, 1.0]),
    "shear": np.array([[1.0, 5.0, 0], [0, 1, 0], [0, 0, 1]]),
    "turn": Rotation.from_rotvec([0.3, -1, 2]).as_matrix(),
}


@pytest.mark.parametrize("name", KINDS)
def test_covariances_become_those_of_the_map(name):
    before = made.splats(300)
    turns, sizes = mapped(before.quaternions, before.log_scales, KINDS[name][None])
    got = made.covariances(replace(before, quaternions=turns, log_scales=sizes))
    wanted = KINDS[name] @ made.covariances(before) @ KINDS[name].T
    assert (np.abs(got - wanted).max((1, 2)) < 3e-6 * np.abs(wanted).max((1, 2))).all()
    assert np.abs(np.linalg.norm(turns, axis=1) - 1).max() < 1e-6


def test_each_has_a_map_of_its_own():
    before, rng = made.splats(50), np.random.default_rng(0)
    maps = rng.normal(size=(50, 3, 3))
    turns, sizes = mapped(before.quaternions, before.log_scales, maps)
    for i in range(50):
        one = mapped(before.quaternions[i : i + 1], before.log_scales[i : i + 1], maps[i : i + 1])
        assert np.array_equal(turns[i], one[0][0]) and np.array_equal(sizes[i], one[1][0])


def test_flat_ones_keep_their_thickness():
    flat = np.log(np.array([[1.0, 0.5, 1e-7]])).astype(np.float32)
    turn = np.array([[0.5, 0.5, 0.5, 0.5]], np.float32)  # x to y, y to z, z to x
    turns, sizes = mapped(turn, flat, np.diag([1.0, 3.0, 1.0])[None])
    assert np.allclose(np.sort(sizes[0]), np.sort(flat[0] + np.log([3, 1, 1])), atol=1e-5)
    assert np.isfinite(turns).all()


def test_the_identity_changes_nothing_to_speak_of():
    before = made.splats(300)
    turns, sizes = mapped(before.quaternions, before.log_scales, np.eye(3)[None])
    assert np.abs(sizes - before.log_scales).max() < 1e-6
    assert (np.abs((turns * before.quaternions).sum(1)) > 1 - 1e-6).all()
