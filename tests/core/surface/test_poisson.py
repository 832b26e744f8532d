"""Surfaces through points of known shapes."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.surface import SurfaceOptions, poisson_surface
from mvgen.core.surface.poisson import DEEPEST, keep_faces, octree_depth, spacing

OPTIONS = SurfaceOptions(depth=6)


def ball(count: int = 4000, offset: float = 0.0) -> PointCloud:
    """Points on the unit sphere."""
    n = np.random.default_rng(0).normal(size=(count, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    return PointCloud(n + offset, n.astype(np.float32))


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_ball(offset: float) -> None:
    mesh = poisson_surface(ball(offset=offset), OPTIONS)
    radius = np.linalg.norm(mesh.vertices - offset, axis=1)
    assert np.abs(radius - 1).max() < 0.02
    edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()  # closed
    corners = mesh.vertices[mesh.faces] - offset
    volume = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi, rel=0.03)  # outside is out


def test_same_points_same_surface() -> None:
    one, two = (poisson_surface(ball(), OPTIONS) for _ in range(2))
    assert np.array_equal(one.vertices, two.vertices) and np.array_equal(one.faces, two.faces)


@pytest.mark.parametrize("cloud", [ball(40), PointCloud(ball().points)], ids=["few", "no normals"])
def test_what_spans_no_surface_is_explained(cloud: PointCloud) -> None:
    with pytest.raises(CannotError) as caught:
        poisson_surface(cloud, OPTIONS)
    assert "--as points" in str(caught.value.hint)


def test_spacing_and_depth() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(20.0)] * 2, [0.0]), -1).reshape(-1, 3)
    assert spacing(grid) == 1
    assert octree_depth(grid, 1.0) == 6  # never coarser than this
    cells = 1.1 * 950 / 2 ** octree_depth(grid * 50, 1.0)
    assert 2 <= cells <= 4
    assert octree_depth(grid, 0.0) == octree_depth(grid, 1e-9) == DEEPEST


def test_kept_faces_keep_everything_about_their_vertices() -> None:
    v = np.arange(15.0).reshape(5, 3)
    mesh = Mesh(v, np.array([[0, 1, 2], [2, 3, 4]], np.int32), v / 10, v.astype(np.float32), v[:, :2])
    kept = keep_faces(mesh, np.array([False, True]))
    assert kept.faces.tolist() == [[0, 1, 2]] and kept.faces.dtype == np.int32
    assert np.array_equal(kept.vertices, v[2:]) and np.array_equal(kept.uv, v[2:, :2])
    assert np.array_equal(kept.normals, v[2:] / 10) and np.array_equal(kept.colours, v[2:])
    assert len(keep_faces(mesh, np.zeros(2, bool)).vertices) == 0
