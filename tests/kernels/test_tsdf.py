"""The compiled fusion of depth maps and its reference say the same."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.kernels.tsdf import fuse_view, fuse_view_reference


def arguments(seed, coloured, size=(20, 26)):
    """A wavy depth map with holes, seen by a tilted camera, and bricks all around its surface."""
    rng = np.random.default_rng(seed)
    h, w = size
    y, x = np.mgrid[:h, :w]
    depth = (2 + 0.3 * np.sin(x / 4 + seed) + 0.2 * np.cos(y / 3)).astype(np.float32)
    depth[rng.random(size) < 0.1] = 0
    normal = rng.normal(size=(h, w, 3))
    normal = (normal / np.linalg.norm(normal, axis=-1, keepdims=True)).astype(np.float32)
    normal[rng.random(size) < 0.2] = 0
    weight = rng.random(size).astype(np.float32)
    weight[rng.random(size) < 0.1] = 0
    turn = np.linalg.qr(np.eye(3) + 0.1 * rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.diag(turn))[:, None]
    pose = np.c_[turn, [0.1, -0.2, 0.3]].astype(np.float32)
    steps = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3) * 8
    first = (steps + np.array([0, 0, 8])).astype(np.int32)
    image = rng.integers(0, 256, (h, w, 3)).astype(np.uint8) if coloured else np.zeros((0, 0, 3), np.uint8)
    sums = np.zeros((len(first), 8, 8, 8, 2), np.float32)
    colours = np.zeros((len(first), 8, 8, 8, 4) if coloured else (0, 0, 0, 0, 4), np.float32)
    lens = np.array([22, 20, w / 2, h / 2, 0.5], np.float32)
    origin = np.array([0.01, 0.02, 0.03], np.float32)
    return [first, origin, np.float32(0.09), pose, lens, depth, normal, weight, image, np.float32(0.35), sums, colours]


@pytest.mark.parametrize("coloured", [True, False])
def test_kernel_and_reference_agree(coloured):
    for seed in range(3):
        fast, slow = arguments(seed, coloured), arguments(seed, coloured)
        fuse_view(*fast)
        fuse_view_reference(*slow)
        for a, b in ((fast[-2], slow[-2]), (fast[-1], slow[-1])):
            # a node on a pixel's border, or at the end of the truncation, may fall to either side
            assert (np.abs(a - b) > 1e-3 * (1 + np.abs(b))).mean() < 1e-3 if a.size else True
        assert (slow[-2][..., 1] > 0).sum() > 2000


def test_a_second_view_adds_to_the_first():
    one, two = arguments(0, True), arguments(0, True)
    fuse_view(*one)
    fuse_view(*two)
    fuse_view(*two)
    assert np.allclose(two[-2], 2 * one[-2], rtol=1e-5) and np.allclose(two[-1], 2 * one[-1], rtol=1e-4)


def test_a_plane_is_measured_along_its_normal():
    """However slanted a plane is, a node's value is its distance from the plane."""
    h, w = 40, 40
    args = arguments(0, False, (h, w))
    normal = np.array([0.5, 0.2, -np.sqrt(1 - 0.29)])
    lens = np.array([40, 40, 20, 20, 0], np.float32)
    y, x = np.mgrid[:h, :w]
    rays = np.stack([(x + 0.5 - 20) / 40, (y + 0.5 - 20) / 40, np.ones_like(x)], -1)
    depth = (-2 / (rays @ normal)).astype(np.float32)
    normals = np.broadcast_to(normal, (h, w, 3)).astype(np.float32)
    sums = np.zeros_like(args[-2])
    pose = np.eye(3, 4, dtype=np.float32)
    ones = np.ones((h, w), np.float32)
    fuse_view(*args[:3], pose, lens, depth, normals, ones, args[8], args[9], sums, args[-1])
    seen = sums[..., 1] > 0
    steps = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), axis=-1)
    nodes = args[1] + (args[0][:, None, None, None] + steps) * args[2]
    truth = np.clip(nodes @ normal + 2, None, args[9])[seen]
    assert seen.sum() > 500
    error = np.abs(sums[..., 0][seen] / sums[..., 1][seen] - truth)
    assert error.mean() < 0.002 and error.max() < 0.03  # half a pixel of the picture's rim is not interpolated
