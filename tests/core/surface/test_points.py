"""Surfaces through points without normals, and noisy ones."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.errors import CannotError
from mvgen.core.geometry import PointCloud
from mvgen.core.nearest import sample_surface
from mvgen.core.progress import Silent
from mvgen.core.surface import SurfaceOptions, drop_small_parts
from mvgen.core.surface.normals import estimate_normals, orient_normals, roughness
from mvgen.core.surface.points import ball_surface, colours_of_points, points_surface
from mvgen.core.surface.topology import topology
from tests.core.surface.shapes import mesh_of, torus


@pytest.fixture(scope="module")
def ring():
    mesh = mesh_of(torus, 64)
    return mesh.diagonal, sample_surface(mesh, 20_000, np.random.default_rng(0))[0]


def noisy(points, sigma):
    return points + sigma * np.random.default_rng(1).normal(size=points.shape)


@pytest.mark.parametrize("share", [0.0, 0.0025, 0.01])
def test_noise_is_measured(ring, share):
    diagonal, samples = ring
    found = roughness(noisy(samples.points, share * diagonal))
    assert found.noise == pytest.approx(share * diagonal, rel=0.5, abs=0.001 * diagonal)


@pytest.mark.parametrize("share", [0.0, 0.01])
def test_normals_point_outwards(ring, share):
    diagonal, samples = ring
    points = noisy(samples.points, share * diagonal)
    normals = orient_normals(points, estimate_normals(points, roughness(points).neighbours))
    cosine = (normals * samples.normals).sum(1)
    assert (cosine > 0).mean() > 0.999 and np.median(cosine) > 0.95


def test_normals_of_a_sheet_agree_and_point_to_cameras():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 5000))
    sheet = np.stack([x, y, 0.2 * np.sin(3 * x)], axis=1)
    axes = estimate_normals(sheet, 16) * rng.choice([-1, 1], (5000, 1))
    alone = orient_normals(sheet, axes)
    assert abs(np.sign(alone[:, 2]).mean()) > 0.99
    for z in (5.0, -5.0):
        assert (orient_normals(sheet, axes, [np.array([0, 0, z])])[:, 2] * z > 0).mean() > 0.99


@pytest.mark.parametrize(("share", "error"), [(0.0, 0.001), (0.0025, 0.003), (0.01, 0.006)])
def test_a_clean_surface_comes_of_noisy_points(ring, share, error):
    diagonal, samples = ring
    cloud = PointCloud(noisy(samples.points, share * diagonal))
    mesh = drop_small_parts(points_surface(cloud, SurfaceOptions(), [], Silent()))
    found = topology(mesh)
    assert found.watertight and found.genus == 1 and found.components == 1
    assert np.abs(torus(mesh.vertices)).mean() < error * diagonal


def test_balls_roll_over_even_points():
    points = mesh_of(torus, 48).vertices
    mesh = ball_surface(PointCloud(points), [], Silent())
    assert np.abs(torus(mesh.vertices)).max() < 0.01
    assert len(mesh.faces) > len(points) and topology(mesh).components == 1


def test_colours_are_those_of_the_points_near():
    points = mesh_of(torus, 32).vertices
    colours = np.where(points[:, :1] > 0, [1.0, 0, 0], [0, 1.0, 0]).astype(np.float32)
    mesh = colours_of_points(mesh_of(torus, 40), PointCloud(points, colours=colours))
    clear = np.abs(mesh.vertices[:, 0]) > 0.15
    assert mesh.colours is not None and ((mesh.colours[:, 0] > 0.5) == (mesh.vertices[:, 0] > 0))[clear].all()


def test_the_same_points_the_same_surface(ring):
    cloud = PointCloud(ring[1].points[:3000])
    one, two = (points_surface(cloud, SurfaceOptions(), [], Silent()) for _ in range(2))
    assert np.array_equal(one.vertices, two.vertices) and np.array_equal(one.faces, two.faces)


def test_one_place_a_thousand_times_is_no_surface():
    with pytest.raises(CannotError, match="too few"):
        points_surface(PointCloud(np.ones((1000, 3))), SurfaceOptions(), [], Silent())


@pytest.mark.slow
@pytest.mark.parametrize("normals", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.0025])
def test_drilled_holes_stay(normals, share):
    def drilled(points):
        x, y, z = points.T
        slab = np.maximum(np.maximum(abs(x), abs(y)) - 0.8, abs(z) - 0.15)
        for a, b in ((-0.4, -0.4), (0.4, 0.4), (-0.4, 0.4)):
            slab = np.maximum(slab, 0.1 - np.hypot(x - a, y - b))
        return slab

    mesh = mesh_of(drilled, 96)
    samples = sample_surface(mesh, 50_000, np.random.default_rng(0))[0]
    points = noisy(samples.points, share * mesh.diagonal)
    cloud = PointCloud(points, samples.normals.astype(np.float32) if normals else None)
    found = topology(drop_small_parts(points_surface(cloud, SurfaceOptions(), [], Silent())), welded=True)
    assert found.watertight and found.genus == 3


@pytest.mark.parametrize("share", [0.0, 0.003])
def test_both_sides_of_a_thin_plate_face_outwards(share):
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (15_000, 3)) * [1, 0.7, 0]
    up = rng.choice([-1.0, 1.0], len(points))
    points[:, 2] = 0.02 * up
    points = noisy(points, share * np.sqrt(4 * 1.49))
    normals = orient_normals(points, estimate_normals(points, roughness(points).neighbours))
    assert (normals[:, 2] * up > 0).mean() > (0.97 if not share else 0.9)
    mesh = points_surface(PointCloud(points), SurfaceOptions(), [], Silent())
    shape = topology(mesh, welded=True)
    assert shape.watertight and shape.components == 1
    assert np.ptp(mesh.vertices[np.abs(mesh.vertices[:, :2]).max(1) < 0.5, 2]) > 0.025


@pytest.mark.parametrize("share", [0.003, 0.01])
def test_a_scattered_sheet_stays_one_sheet(share):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 20_000))
    points = noisy(np.stack([x, y, 0.15 * np.sin(4 * x) * np.cos(3 * y)], axis=1), share * np.sqrt(8))
    mesh = points_surface(PointCloud(points), SurfaceOptions(), [], Silent())
    inner = np.abs(mesh.vertices[:, :2]).max(1) < 0.9
    found = mesh.vertices[inner]
    off = np.abs(found[:, 2] - 0.15 * np.sin(4 * found[:, 0]) * np.cos(3 * found[:, 1]))
    assert off.mean() < 0.6 * share * np.sqrt(8)
    corners = mesh.vertices[mesh.faces][inner[mesh.faces].all(1)]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] / 2
    assert abs(area.sum()) == pytest.approx(np.abs(area).sum(), rel=0.01)
    assert np.abs(area).sum() == pytest.approx(1.8**2, rel=0.05)
