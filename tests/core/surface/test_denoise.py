"""Noisy points brought back to thin parts without joining their sides."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.geometry import PointCloud
from mvgen.core.progress import Silent
from mvgen.core.surface import SurfaceOptions, drop_small_parts
from mvgen.core.surface.denoise import is_thin, settled, sharpened
from mvgen.core.surface.points import points_surface
from mvgen.core.surface.topology import topology

SIGMA = 0.02


def slab(thickness, count=20_000):
    """Points and normals of a box of 2 x 1 x thickness."""
    rng = np.random.default_rng(0)
    half = np.array([1.0, 0.5, thickness / 2])
    area = np.array([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
    axis = rng.choice(3, count, p=area / area.sum())
    side = rng.choice([-1.0, 1.0], count)
    points = rng.uniform(-1, 1, (count, 3)) * half
    normals = np.zeros((count, 3))
    normals[np.arange(count), axis] = side
    points[np.arange(count), axis] = side * half[axis]
    return points, normals


def scattered(points, sigma=SIGMA):
    return points + sigma * np.random.default_rng(1).normal(size=points.shape)


def inner_heights(points):
    """How high above the middle the points lie that are not near the rim."""
    inner = (np.abs(points[:, 0]) < 0.8) & (np.abs(points[:, 1]) < 0.35)
    return np.abs(points[inner, 2])


def test_two_sides_three_scatters_apart_are_told_apart():
    points = scattered(slab(3 * SIGMA)[0])
    found = sharpened(points, SIGMA)
    assert len(found) <= len(points)
    before, after = inner_heights(points) / SIGMA, inner_heights(found) / SIGMA
    assert np.median(after) == pytest.approx(1.5, abs=0.25)
    assert (after < 0.5).mean() < 0.7 * (before < 0.5).mean()  # fewer are left between the sides
    assert after.std() < 0.8 * before.std()


def test_sharpened_places_are_the_same_each_time():
    points = scattered(slab(0.3, 4000)[0])
    assert np.array_equal(sharpened(points, SIGMA), sharpened(points, SIGMA))


def test_points_with_normals_settle_on_their_own_side():
    thickness = SIGMA  # far too thin to be seen without normals
    points, normals = slab(thickness)
    cloud = PointCloud(scattered(points), normals.astype(np.float32))
    found = settled(cloud, 2 * SIGMA)
    flat = (np.abs(normals[:, 2]) > 0.5) & (np.abs(points[:, :2]) < [0.8, 0.35]).all(1)
    off = found.points[flat, 2] - points[flat, 2]
    assert np.abs(off).mean() < 0.3 * SIGMA


def test_thin_parts_are_noticed():
    for thickness, least, most in ((2 * SIGMA, 0.9, 1.0), (20 * SIGMA, 0.0, 0.1)):
        points, normals = slab(thickness)
        share = is_thin(PointCloud(points, normals.astype(np.float32)), 4 * SIGMA).mean()
        assert least <= share <= most


@pytest.mark.parametrize("normals", [True, False])
def test_a_thin_slab_comes_out_closed_and_as_thick_as_it_is(normals):
    thickness = 5 * SIGMA
    points, known = slab(thickness)
    cloud = PointCloud(scattered(points), known.astype(np.float32) if normals else None)
    mesh = drop_small_parts(points_surface(cloud, SurfaceOptions(), [], Silent()))
    found = topology(mesh)
    assert found.watertight and found.components == 1 and (found.genus == 0 or not normals)
    assert np.median(inner_heights(mesh.vertices)) == pytest.approx(thickness / 2, rel=0.15)
