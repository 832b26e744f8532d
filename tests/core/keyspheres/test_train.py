"""Samples and the published recipe, on shapes with known distances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres.samples import Distance, Normal, published_samples, smallest_ball
from mvgen.core.keyspheres.train import DIRECT, Plateau, train_published
from mvgen.core.progress import Silent

SMALL = replace(DIRECT, batch=256, epochs=12, warm_epochs=2, tries=2)


def ball(radius=0.6):
    shape = trimesh.creation.icosphere(3, radius)
    return Mesh(np.asarray(shape.vertices), np.asarray(shape.faces, np.int32))


@pytest.fixture(scope="module")
def learnt():
    """Spheres [M, 4], points and distances of a ball of radius 0.6."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (4000, 3)).astype(np.float32)
    values = np.linalg.norm(points, axis=1) - 0.6
    centres = rng.uniform(-0.3, 0.3, (8, 3))
    spheres = np.concatenate([centres, np.linalg.norm(centres, axis=1, keepdims=True) - 0.6], axis=1)
    return spheres.astype(np.float32), points, values.astype(np.float32)


def test_the_smallest_ball_holds_all_and_no_smaller_one_does():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(300, 3)) * [3, 1, 0.2]
    centre, radius = smallest_ball(points)
    distance = np.linalg.norm(points - centre, axis=1)
    assert distance.max() <= radius * (1 + 1e-9)
    for shift in rng.normal(size=(200, 3)) * 1e-3:
        assert np.linalg.norm(points - centre - shift, axis=1).max() > radius
    assert smallest_ball(np.array([[0.0, 0, 0], [2, 0, 0]]))[1] == pytest.approx(1)
    assert smallest_ball(np.zeros((4, 3)))[1] == 0


def test_the_frame_brings_a_shape_into_its_ball_and_back():
    vertices = np.random.default_rng(3).normal(size=(100, 3)) * 0.2
    normal = Normal.of(vertices)
    inside = normal.to(vertices)
    assert 0.89 < np.linalg.norm(inside, axis=1).max() < 0.905
    assert np.allclose(normal.back(inside), vertices, atol=1e-12)
    again = Normal.read(normal.stored())
    assert np.array_equal(again.centre, normal.centre) and again.scale == normal.scale
    for wrong in (b"", b"12345678"[:7], np.array([0, 0, 0, -1], "<f2").tobytes(), np.full(4, np.nan, "<f2").tobytes()):
        with pytest.raises(ValueError):
            Normal.read(wrong)


def test_distances_are_signed():
    points = np.array([[0, 0, 0], [0.3, 0, 0], [0.9, 0, 0]])
    assert np.allclose(Distance(ball())(points), [-0.6, -0.3, 0.3], atol=0.01)


def test_samples_crowd_near_the_surface():
    points, values = published_samples(Distance(ball()), 20_000, np.random.default_rng(0), Silent())
    assert points.shape == (20_000, 3) and np.abs(points).max() <= 1
    assert np.allclose(np.linalg.norm(points, axis=1) - 0.6, values, atol=0.01)
    # nine of ten fall as exp(-60 d) from a surface that is nearly flat at that scale
    within = (np.abs(values) < np.log(2) / 60).mean()
    assert 0.43 < within < 0.5
    evenly = (np.abs(values) > 0.2).mean()
    assert 0.05 < evenly < 0.1


def test_plateau_lowers_the_rate_after_eleven_bad_epochs_and_rests():
    state = Plateau(5e-3).after(1.0, DIRECT)
    rates = []
    for _ in range(40):
        state = state.after(1.0, DIRECT)
        rates.append(state.rate)
    drops = [k for k in range(1, 40) if rates[k] < rates[k - 1]]
    assert drops == [10, 26] and rates[-1] == pytest.approx(5e-3 * 0.7**2)


@pytest.mark.slow
def test_training_learns_and_repeats(learnt):
    network = train_published(*learnt, 16, 2, False, SMALL, 0, Silent())
    again = train_published(*learnt, 16, 2, False, SMALL, 0, Silent())
    other = train_published(*learnt, 16, 2, False, SMALL, 1, Silent())
    assert np.array_equal(network.theta, again.theta) and not np.array_equal(network.theta, other.theta)
    assert np.abs(network(learnt[1]) - learnt[2]).mean() < 0.06


@pytest.mark.slow
def test_the_latent_form_learns(learnt):
    network = train_published(*learnt, 16, 2, True, SMALL, 0, Silent())
    assert network.latent and np.abs(network(learnt[1]) - learnt[2]).mean() < 0.06


class Killed(Silent):
    """Ends the process's work after so many epochs."""

    def __init__(self, epochs):
        self.left = epochs

    def advance(self, steps=1):
        self.left -= steps
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_a_killed_training_goes_on_to_the_same_result(learnt, tmp_path, epochs):
    whole = train_published(*learnt, 8, 2, False, SMALL, 0, Silent())
    with pytest.raises(KeyboardInterrupt):
        train_published(*learnt, 8, 2, False, SMALL, 0, Killed(epochs), checkpoint=tmp_path)
    rest = train_published(*learnt, 8, 2, False, SMALL, 0, Silent(), checkpoint=tmp_path)
    assert np.array_equal(whole.theta, rest.theta)
    for file in tmp_path.glob("*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    anew = train_published(*learnt, 8, 2, False, SMALL, 0, Silent(), checkpoint=tmp_path)
    assert np.array_equal(whole.theta, anew.theta)
