"""The texturing kernels against their references, on random inputs."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.kernels import texture as k


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_depth_map(rng):
    points = np.c_[rng.uniform(-5, 45, (60, 2)), rng.uniform(1, 3, 60)].astype(np.float32)
    points[:, :2] *= points[:, 2:]
    points[0, 2] = -1  # behind the camera
    faces = rng.integers(0, 60, (30, 3)).astype(np.int32)
    faces[0] = [0, 1, 2]
    fast, slow = (f(points, faces, 40, 30) for f in (k.depth_map, k.depth_map_reference))
    assert (fast < k.EMPTY).mean() > 0.3
    np.testing.assert_allclose(fast, slow, rtol=1e-4)


@pytest.mark.parametrize("margin", [0.0, 1.5])
def test_face_map(rng, margin):
    corners = rng.uniform(0, 64, (10, 3, 2)).astype(np.float32)
    corners[3, 2] = corners[3, 1]  # no area
    fast, slow = (f(corners, 64, margin) for f in (k.face_map, k.face_map_reference))
    assert (fast >= 0).any() and (fast < 0).any()
    np.testing.assert_array_equal(fast, slow)


def test_hidden_faces(rng):
    corners = rng.uniform(20, 44, (24, 1, 2)) + rng.uniform(-6, 6, (24, 3, 2))
    heights = rng.integers(0, 12, 24).astype(np.float64)  # some are equal
    grids = np.array([[0, 64], [4096, 64], [8192, 0]], np.int64)
    arguments = (corners, heights, grids, rng.integers(0, 2, 24).astype(np.int32))
    fast, slow = k.hidden_faces(*arguments), k.hidden_faces_reference(*arguments)
    assert fast.any() and not fast.all()
    np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("step, hides", [(1e-4, True), (1e-9, False), (0.0, False), (-1e-4, False)])
def test_a_face_is_hidden_by_the_thinnest_overlap(step, hides):
    corners = np.array([[[1, 1], [3, 1], [1, 3]], [[1 + step, 1], [1 + step, 3], [0, 2]]], float)
    arguments = (corners, np.array([0.0, 1.0]), np.array([[0, 4], [16, 0]], np.int64), np.zeros(2, np.int32))
    for find in (k.hidden_faces, k.hidden_faces_reference):
        np.testing.assert_array_equal(find(*arguments), [hides, False])


def ring(count):
    """Twins of faces that stand in a ring."""
    twins = np.full((count, 3), -1, np.int32)
    for f in range(count):
        g = (f + 1) % count
        twins[f, 1], twins[g, 0] = 3 * g, 3 * f + 1
    return twins


def test_smooth_labels(rng):
    costs = rng.uniform(size=(20, 4)).astype(np.float32)
    weights = np.full((20, 3), 0.3, np.float32)
    fast, slow = (f(costs, ring(20), weights, 6) for f in (k.smooth_labels, k.smooth_labels_reference))
    np.testing.assert_array_equal(fast, slow)

    def energy(labels):
        return costs[np.arange(20), labels].sum() + 0.3 * (labels != np.roll(labels, 1)).sum()

    assert energy(fast) < energy(costs.argmin(1))


def photo_and_texels(rng):
    texels = np.c_[rng.integers(0, 10, 500), rng.integers(0, 64 * 64, 500)].astype(np.int32)
    planes = (rng.normal(size=(10, 4, 4)) * 0.005).astype(np.float32)
    planes[:, 0, :2] = rng.uniform(20, 80, (10, 2))
    planes[:, 0, 2:] = 2, 1
    planes[:, 1:3, :2] = rng.normal(size=(10, 2, 2)) * 2
    planes[:, 3, :2] = 32
    planes[9, :3, 3] = 0  # a face that this photo does not texture
    image = rng.integers(0, 256, (50, 60, 3)).astype(np.uint8)
    limit, trust = rng.uniform(1.7, 3, (25, 30)), rng.uniform(size=(25, 30))
    return texels, 64, planes, limit.astype(np.float32), trust.astype(np.float32), image


def test_add_view(rng):
    arguments = photo_and_texels(rng)
    fast, slow = np.zeros((2, 500, 4), np.float32)
    k.add_view(fast, *arguments)
    k.add_view_reference(slow, *arguments)
    assert 0.1 < (fast[:, 3] > 0).mean() < 0.9
    np.testing.assert_allclose(fast, slow, atol=0.02)


def test_bilinear(rng):
    image = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    at = rng.uniform(-2, 32, (100, 2)).astype(np.float32)
    np.testing.assert_allclose(k.bilinear(image, at), k.bilinear_reference(image, at), atol=0.01)
    centre = k.bilinear(image, np.array([[4.5, 7.5]], np.float32))
    np.testing.assert_array_equal(centre[0], image[7, 4])


def test_paint(rng):
    texels = np.c_[rng.integers(0, 5, 200), rng.permutation(32 * 32)[:200]].astype(np.int32)
    total = rng.uniform(0, 200, (200, 4)).astype(np.float32)
    total[:, :3] *= total[:, 3:]
    total[:50] = 0
    planes = rng.normal(size=(5, 4, 3)).astype(np.float32)
    planes[:, 0] = 128
    fast, slow = np.zeros((2, 32, 32, 3), np.uint8)
    k.paint(fast, texels, total, planes)
    k.paint_reference(slow, texels, total, planes)
    assert np.abs(fast.astype(int) - slow).max() <= 1  # rounding
    assert fast.reshape(-1, 3)[texels[:50, 1]].min() > 30


def test_spread(rng):
    textures = np.repeat(rng.integers(0, 256, (1, 40, 40, 3)).astype(np.uint8), 2, axis=0)
    masks = np.repeat((rng.uniform(size=(1, 40, 40)) < 0.02).astype(np.uint8), 2, axis=0)
    textures[masks == 0] = 0
    for step in (1, 2, 3):
        k.spread(textures[0], masks[0], step)
        k.spread_reference(textures[1], masks[1], step)
    assert masks[0].max() == 4 and (masks[0] == 0).any()
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(textures[0], textures[1])
