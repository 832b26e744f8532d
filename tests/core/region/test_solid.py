"""What is within a mesh: told for cubes at once, as for each point alone."""

from __future__ import annotations

import igl
import numpy as np
import pytest

from mvgen.core.geometry import Mesh
from mvgen.core.region import solid
from mvgen.core.region.solid import inside
from mvgen.kernels.voxels import winding_reference
from tests.core.region.made import joined, on_sphere, shifted, sphere


def with_hole() -> Mesh:
    ball = sphere(4)
    return Mesh(ball.vertices, ball.faces[ball.vertices[ball.faces][:, :, 1].mean(1) < 0.6])


def soup() -> Mesh:
    ball = sphere(3)
    corners = ball.vertices[ball.faces].reshape(-1, 3)
    return Mesh(corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3))


MESHES = {
    "closed": sphere(4),
    "soup": soup(),
    "with a hole": with_hole(),
    "overlapping": joined(sphere(3), shifted(sphere(3), (0.8, 0, 0))),
    "inside out": Mesh(sphere(3).vertices, sphere(3).faces[:, ::-1].copy()),
    "one face": Mesh(np.eye(3), np.array([[0, 1, 2]], np.int32)),
}


@pytest.mark.parametrize("name", MESHES)
@pytest.mark.parametrize("spread", [0.002, 1.0])
def test_many_points_are_told_as_each_alone(name, spread):
    mesh = MESHES[name]
    rng = np.random.default_rng(0)
    points = mesh.vertices[rng.integers(len(mesh.vertices), size=60_000)] + spread * rng.normal(size=(60_000, 3))
    low, high = mesh.bounds
    one_by_one = igl.fast_winding_number(mesh.vertices, mesh.faces.astype(np.int64), points) > 0.5
    wanted = one_by_one & ((points >= low) & (points <= high)).all(1)
    assert np.array_equal(inside(points, mesh), wanted)
    assert wanted.any() or name in ("inside out", "one face")


def test_few_are_measured(monkeypatch):
    measured = []
    monkeypatch.setattr(
        solid, "_winding", lambda mesh: lambda points: measured.append(len(points)) or np.ones(len(points))
    )
    points = np.random.default_rng(0).uniform(-1, 1, (1_000_000, 3))
    inside(points, sphere(4))
    assert sum(measured) < 0.3 * len(points)


def test_points_in_and_out_of_a_sphere():
    points = on_sphere(500) * np.random.default_rng(1).uniform(0, 2, (500, 1))
    away = np.linalg.norm(points, axis=1)
    sure = np.abs(away - 1) > 0.02
    assert np.array_equal(inside(points, sphere())[sure], (away < 1)[sure])
    assert not inside(points + 10, sphere()).any()
    assert not inside(points[:0], sphere()).any()
    assert not inside(points, Mesh(np.eye(3), np.zeros((0, 3), np.int32))).any()


def test_winding_numbers_change_by_no_more_than_rims_allow():
    rng = np.random.default_rng(2)
    mesh = with_hole()
    rims = solid._rims(mesh)
    assert len(solid._rims(sphere(3))) == len(solid._rims(soup())) == 0 < len(rims)
    points = rng.uniform(-1.5, 1.5, (300, 3))
    points = points[np.abs(np.linalg.norm(points, axis=1) - 1) > 0.2]
    step = 0.01 * rng.normal(size=points.shape)
    corners = mesh.vertices[mesh.faces]
    change = np.abs(winding_reference(corners, points + step) - winding_reference(corners, points))
    far = np.linalg.norm(step, axis=1)
    most = solid._most_change(points, rims, float(far.max()))
    assert (change <= far * most + 1e-12).all() and (change > 0.02 * far * most).any()
