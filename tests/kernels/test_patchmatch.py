"""The stereo kernels against their plain versions, and on scenes whose depth is known."""

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.stereo.match import (
    GATE,
    TONE,
    MatchOptions,
    Planes,
    improve,
    match_view,
    motion,
    pack_sources,
    picture_of,
    pixel_step,
)
from mvgen.kernels import jit, reference
from mvgen.kernels import patchmatch as pm
from mvgen.kernels.consistency import confirm
from mvgen.kernels.patchmatch_pixel import OUTSIDE, WORST

SIZE = (96, 72)


def camera(x=0.0, turn=0.0):
    w2c = np.eye(4)
    c, s = np.cos(turn), np.sin(turn)
    w2c[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    w2c[:3, 3] = w2c[:3, :3] @ [-x, 0, 0]
    k = np.array([[90.0, 0, SIZE[0] / 2], [0, 90.0, SIZE[1] / 2], [0, 0, 1]])
    return Camera(f"{x}.png", *SIZE, k, w2c)


def plane_scene(normal, offset, cameras, seed=0):
    """Pictures [H, W] and depths of the textured plane normal . X = offset."""
    rng = np.random.default_rng(seed)
    waves = [(rng.normal(size=3) * f, rng.uniform(0, 6)) for f in (4, 8, 14, 22) for _ in range(4)]
    pictures, depths = [], []
    for cam in cameras:
        rays = cam.rays()
        depth = (offset - normal @ cam.centre) / (rays @ normal)
        points = cam.centre + rays * depth[..., None]
        grey = sum(np.sin(points @ k + p) for k, p in waves)
        pictures.append((0.5 + 0.06 * grey).clip(0, 1).astype(np.float32))
        depths.append(depth)
    return pictures, depths


def seen_by_all(cameras, depth, margin):
    """Mask [H, W] of the first camera's pixels that lie at least a margin inside every picture."""
    points = cameras[0].centre + cameras[0].rays() * depth[..., None]
    pixels = np.stack([c.project(points)[0] for c in cameras])
    return ((pixels > margin) & (pixels < np.array(SIZE) - margin)).all(axis=(0, -1))


@pytest.fixture(scope="module")
def slanted():
    cameras = [camera(), camera(0.25, -0.05), camera(-0.22, 0.04)]
    pictures, depths = plane_scene(np.array([0.3, 0.2, 1.0]), 2.0, cameras)
    return cameras, pictures, depths


def state_after_pass(slanted, seed=0):
    cameras, pictures, depths = slanted
    rng = np.random.default_rng(seed)
    planes = rng.normal(0, [0.02, 0.002, 0.002], (*pictures[0].shape, 3)).astype(np.float32)
    planes[..., 0] += 1 / depths[0]
    state = Planes(planes.astype(np.float32), np.full(pictures[0].shape, -1, np.float32))
    image, *others = map(picture_of, pictures)
    sources = pack_sources(cameras[0], cameras[1:], others)
    step = pixel_step(cameras[0], cameras[1:], 0.5)
    return improve(image, cameras[0], sources, state, (0.2, 1.0), step, (1.0, 0.3), 1, MatchOptions(), 5)


@pytest.mark.parametrize("views", [2, 3])
def test_stored_costs_are_those_of_the_reference(slanted, views):
    cameras, pictures, depths = (part[:views] for part in slanted)
    state = state_after_pass((cameras, pictures, depths))
    assert np.median(state.cost) < 0.3
    motions = [motion(cameras[0], c) for c in cameras[1:]]
    rng = np.random.default_rng(1)
    sharp = np.argwhere(picture_of(pictures[0]).support == 0)
    assert len(sharp) > 0.9 * state.cost.size
    for y, x in rng.choice(sharp, 60):
        costs = [
            reference.plane_cost(pictures[0], p, m, x, y, state.planes[y, x].astype(float), TONE, GATE)
            for p, m in zip(pictures[1:], motions)
        ]
        judged = [OUTSIDE if c < 0 else c for c in costs]
        expected = np.mean(judged) if any(0 <= c < WORST for c in costs) else WORST
        assert state.cost[y, x] == pytest.approx(expected, abs=2e-3)


def test_result_does_not_depend_on_threads(slanted):
    jit.set_num_threads(1)
    one = state_after_pass(slanted)
    jit.set_num_threads(2)
    two = state_after_pass(slanted)
    assert np.array_equal(one.planes, two.planes)
    assert np.array_equal(one.cost, two.cost)


@pytest.mark.parametrize("views", [2, 3])
def test_slanted_plane_is_found_from_nothing(slanted, views):
    cameras, pictures, depths = (part[:views] for part in slanted)
    found = match_view(cameras, [[picture_of(p)] for p in pictures], (0.25, 1.0), MatchOptions(), 0)
    inner = seen_by_all(cameras, depths[0], margin=8)
    assert inner.mean() > 0.35
    error = np.abs(1 / found.planes[..., 0] - depths[0])[inner] / depths[0][inner]
    assert np.mean(error < 0.02) > 0.98  # a fifth of a pixel of disparity
    slope = np.gradient(1 / depths[0], axis=1)[inner]
    assert np.median(np.abs(found.planes[..., 1][inner] - slope)) < 0.25 * np.abs(slope).mean()


def test_textureless_pictures_leave_the_worst_cost(slanted):
    cameras, pictures, _ = slanted
    flat = [[picture_of(np.full_like(p, 0.5))] for p in pictures]
    assert (match_view(cameras, flat, (0.25, 1.0), MatchOptions(), 0).cost == 2).all()


def test_packed_words_hold_the_four_neighbours():
    grey = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    words = pm.pack_picture(grey)
    level = np.round(grey * 65535).astype(np.uint64)
    assert (words[1:4, 2] & np.uint64(0xFFFF) == level[1:4, 2]).all()
    assert (words[1:4, 2] >> np.uint64(16) & np.uint64(0xFFFF) == level[1:4, 3]).all()
    assert (words[1:4, 2] >> np.uint64(32) & np.uint64(0xFFFF) == level[2:5, 2]).all()
    assert (words[1:4, 2] >> np.uint64(48) == level[2:5, 3]).all()


def test_aggregation_is_that_of_the_reference():
    rng = np.random.default_rng(3)
    volume = rng.integers(0, 255, (7, 9, 6)).astype(np.uint8)
    image = rng.random((7, 9)).astype(np.float32)
    assert np.array_equal(pm.aggregate(volume, image, 10, 120, 20.0), reference.aggregate(volume, image, 10, 120, 20.0))


def test_confirmations_are_those_of_the_reference(slanted):
    cameras, _, depths = slanted
    rng = np.random.default_rng(2)
    rho, other = (
        np.where(rng.random(d.shape) < 0.9, 1 / d * rng.normal(1, 0.006, d.shape), 0).astype(np.float32)
        for d in depths[:2]
    )
    forward, backward = motion(cameras[0], cameras[1]), motion(cameras[1], cameras[0])
    shape = rho.shape
    votes, average, conflicts = np.empty(shape, np.uint8), np.empty(shape, np.float32), np.empty(shape, np.uint8)
    confirm(
        rho, other.ravel(), np.zeros(1, np.int64), np.array([other.shape], np.int32), forward[None], backward[None],
        np.float32(1.5), np.float32(0.01), votes, average, conflicts,
    )  # fmt: skip
    expected = reference.votes(rho, other, forward, backward, 1.5, 0.01)
    assert 0.3 < expected.mean() < 0.95
    assert np.mean((votes > 0) == expected) > 0.995  # float32 against float64 at the thresholds
    truth = 1 / depths[0]
    many = votes > 0
    assert np.abs(average - truth)[many].mean() < np.abs(rho - truth)[many].mean()


def test_points_before_another_surface_are_conflicts(slanted):
    cameras, _, depths = slanted
    rho = (1 / depths[0] * 1.2).astype(np.float32)  # floats in front of what the other view sees
    other = (1 / depths[1]).astype(np.float32)
    shape = rho.shape
    votes, average, conflicts = np.empty(shape, np.uint8), np.empty(shape, np.float32), np.empty(shape, np.uint8)
    confirm(
        rho, other.ravel(), np.zeros(1, np.int64), np.array([other.shape], np.int32),
        motion(cameras[0], cameras[1])[None], motion(cameras[1], cameras[0])[None],
        np.float32(1.5), np.float32(0.01), votes, average, conflicts,
    )  # fmt: skip
    assert (conflicts[10:-10, 20:-10] == 1).mean() > 0.9
    assert not votes.any()
