"""Splats as data: turns, frames, merging, and the harmonics that turn with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mvgen.core.camera import Similarity
from mvgen.core.splats.harmonics import basis, colours, turning
from mvgen.core.splats.model import FRAMES, Splats, axes, matrices, merged, product, quaternion
from tests.core.splats import made

seeds = st.integers(0, 2**32 - 1)


def directions(number: int, seed: int = 5) -> np.ndarray:
    out = np.random.default_rng(seed).normal(size=(number, 3))
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def test_the_basis_is_orthonormal() -> None:
    z, weight = np.polynomial.legendre.leggauss(8)
    angle = np.arange(16) * np.pi / 8
    radius = np.sqrt(1 - z * z)[:, None]
    sphere = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.broadcast_to(z[:, None], (8, 16))], axis=-1)
    values = basis(sphere, 3)
    inner = np.einsum("i,ijk,ijl->kl", weight, values, values) * np.pi / 8
    assert np.allclose(inner, np.eye(16), atol=1e-12)


def test_signs_of_the_first_band() -> None:
    assert np.allclose(basis(np.eye(3), 1)[:, 1:] / 0.4886025119029199, [[0, 0, -1], [-1, 0, 0], [0, 1, 0]])


@given(seeds, st.booleans())
@settings(max_examples=40, deadline=None)
def test_turned_harmonics_show_the_same_colours(seed: int, mirrored: bool) -> None:
    rotation = Rotation.random(rng=seed).as_matrix() * (-1 if mirrored else 1)
    coefficients = np.random.default_rng(seed).normal(size=(50, 16, 3))
    seen = directions(50)
    turned = np.einsum("kl,nlc->nkc", turning(rotation, 3), coefficients)
    assert np.abs(colours(turned, seen @ rotation.T) - colours(coefficients, seen)).max() < 1e-12


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_moving_moves_everything(degree: int) -> None:
    before = made.splats(60, degree)
    similarity = Similarity(2.5, Rotation.random(rng=3).as_matrix(), np.array([1.0, -2, 3]))
    after = before.moved(similarity)
    assert np.allclose(after.means, similarity.apply(before.means), atol=1e-5)
    expected = 2.5**2 * similarity.rotation @ made.covariances(before) @ similarity.rotation.T
    assert np.allclose(made.covariances(after), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    seen = directions(60)
    shown = colours(after.harmonics, seen @ similarity.rotation.T)
    assert np.abs(shown - colours(before.harmonics, seen)).max() < 1e-5
    back = after.moved(similarity.inverse())
    assert np.allclose(back.means, before.means, atol=1e-5) and np.allclose(
        back.log_scales, before.log_scales, atol=1e-5
    )
    assert np.allclose(back.harmonics, before.harmonics, atol=1e-5)
    assert after.means.dtype == after.harmonics.dtype == after.quaternions.dtype == np.float32


@given(seeds, st.floats(0.01, 100), st.floats(0, 50))
@settings(max_examples=30, deadline=None)
def test_a_move_and_its_inverse_change_nothing(seed: int, scale: float, far: float) -> None:
    before = made.splats(40, seed=seed)
    shift = far * np.random.default_rng(seed).normal(size=3)
    move = Similarity(scale, Rotation.random(rng=seed).as_matrix(), shift)
    there = before.moved(move)
    back = there.moved(move.inverse())
    reach = max(np.abs(before.means).max(), np.abs(there.means).max() / scale)
    assert np.abs(back.means - before.means).max() < 1e-6 * reach
    assert np.abs(back.log_scales - before.log_scales).max() < 2e-6  # of numbers up to 12
    assert np.abs(back.harmonics - before.harmonics).max() < 1e-6
    assert np.abs((back.quaternions * before.quaternions).sum(1)).min() > 1 - 1e-6


def test_quaternions_turn_like_matrices() -> None:
    a, b = Rotation.random(rng=1).as_matrix(), Rotation.random(rng=2).as_matrix()
    assert np.allclose(matrices(product(quaternion(a), quaternion(b))[None])[0], a @ b)
    assert np.allclose(matrices(quaternion(a)[None])[0], a)


def test_frames_name_their_axes() -> None:
    one = made.splats(1)
    lies = {"rdf": [1, 2, 3], "rub": [1, -2, -3], "rfu": [1, 3, -2]}  # right 1, down 2, forward 3
    for source in FRAMES:
        assert np.isclose(np.linalg.det(axes(source)), 1)
        for target in FRAMES:
            start = type(one)(
                np.array([lies[source]], np.float32), one.quaternions, one.log_scales, one.logits, one.harmonics, source
            )
            got = start.in_frame(target)
            assert got.means.tolist() == [lies[target]] and got.frame == target


def test_changing_y_and_z_changes_signs_alone() -> None:
    """What other tools do between "rdf" and "rub": y and z of means and quaternions, odd harmonics in y and z."""
    before = made.splats(20)
    after = before.in_frame("rub")
    assert np.array_equal(after.means, before.means * np.float32([1, -1, -1]))
    assert np.allclose(after.quaternions, before.quaternions * [1, 1, -1, -1], atol=1e-7)
    even = basis(directions(200) * [1, -1, -1], 3) / basis(directions(200), 3)
    assert np.allclose(even, np.sign(even[0]))
    assert np.array_equal(after.harmonics, before.harmonics * np.float32(np.sign(even[0]))[:, None])
    again = after.in_frame("rdf")
    assert np.array_equal(again.means, before.means) and np.array_equal(again.harmonics, before.harmonics)


def test_z_up_becomes_y_down() -> None:
    before = made.splats(20)
    after = before.in_frame("rfu")
    rotation = axes("rfu").T
    assert np.allclose(made.covariances(after), rotation @ made.covariances(before) @ rotation.T, atol=1e-9)
    seen = directions(20)
    assert np.allclose(colours(after.harmonics, seen @ rotation.T), colours(before.harmonics, seen), atol=1e-6)


def test_merging_keeps_order_and_frame() -> None:
    a, b = made.splats(5, 1), made.splats(7, 3, seed=1)
    whole = merged([a, b.in_frame("rub")])
    assert len(whole) == 12 and whole.degree == 3 and whole.frame == "rdf"
    assert np.array_equal(whole.means[:5], a.means) and np.allclose(whole.means[5:], b.means)
    assert np.array_equal(whole.harmonics[:5, :4], a.harmonics) and not whole.harmonics[:5, 4:].any()
    assert np.allclose(whole.harmonics[5:], b.harmonics, atol=1e-6)


def test_picking_and_degrees() -> None:
    whole = made.splats(9)
    some = whole[np.array([3, 1])]
    assert np.array_equal(some.means, whole.means[[3, 1]]) and len(some) == 2 and some.degree == 3
    assert len(whole[whole.means[:, 0] > 0]) == (whole.means[:, 0] > 0).sum()
    less = whole.with_degree(1)
    assert less.degree == 1 and np.array_equal(less.harmonics, whole.harmonics[:, :4])
    assert not less.with_degree(2).harmonics[:, 4:].any() and less.with_degree(1) is less
    assert np.allclose(whole.bounds, [whole.means.min(0), whole.means.max(0)])
    assert np.allclose(whole.opacities, 1 / (1 + np.exp(-whole.logits)), atol=1e-6)
    cloud = whole.points()
    assert np.allclose(cloud.points, whole.means) and cloud.colours is not None
    assert np.allclose(cloud.colours, np.clip(0.5 + 0.28209479 * whole.harmonics[:, 0], 0, 1), atol=1e-6)


def test_conventions_are_those_of_the_kernel() -> None:
    """A picture of splats stays the same when splats and camera move together."""
    import torch

    from mvgen.kernels.splatting import blend, harmonics_basis, harmonics_colours, project, rotations

    splats, seen = made.splats(30), directions(30)
    assert np.allclose(harmonics_basis(torch.from_numpy(seen), 16).numpy(), basis(seen, 3), atol=1e-12)
    turns = torch.from_numpy(splats.quaternions.astype(np.float64))
    assert np.allclose(rotations(turns).numpy(), matrices(splats.quaternions), atol=1e-6)

    def picture(of: Splats, world_to_camera: np.ndarray) -> np.ndarray:
        names = ("means", "quaternions", "log_scales", "logits", "harmonics")
        means, turn, scales, logits, harmonics = (torch.from_numpy(getattr(of, n).astype(np.float32)) for n in names)
        pose = torch.from_numpy(world_to_camera.astype(np.float32))
        intrinsics = torch.tensor([[60.0, 0, 24], [0, 60, 20], [0, 0, 1]])
        colour = harmonics_colours(harmonics, means, -pose[:3, :3].T @ pose[:3, 3])
        return blend(project(means, turn, scales, logits, pose, intrinsics, 40, 48), colour, 40, 48)[0].numpy()

    pose = np.eye(4)
    pose[2, 3] = 5
    move = Similarity(1.0, Rotation.random(rng=9).as_matrix(), np.array([0.5, -1, 2]))
    before = picture(splats, pose)
    assert before.max() > 0.05
    assert np.abs(picture(splats.moved(move), pose @ np.linalg.inv(move.matrix())) - before).max() < 1e-4
    turn = np.eye(4)
    turn[:3, :3] = axes("rfu")  # cameras of "rdf" see the world of "rfu"
    assert np.abs(picture(splats.in_frame("rfu"), pose @ turn) - before).max() < 1e-4
