"""Smaller faces on the same surface."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.geometry import Mesh
from mvgen.core.surface.subdivide import split_long
from mvgen.core.surface.topology import edges_of, topology
from tests.core.region.made import sphere


def cube() -> Mesh:
    box = trimesh.creation.box((1, 1, 1))
    return Mesh(np.asarray(box.vertices, np.float64), np.asarray(box.faces, np.int32))


def longest(mesh: Mesh) -> float:
    ends = mesh.vertices[edges_of(mesh.faces).ends]
    return float(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).max())


def areas(mesh: Mesh) -> np.ndarray:
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    return np.cross(b - a, c - a) / 2


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.floats(0.15, 1.5))
def test_any_triangles_become_small_ones_on_the_same_surface(seed, length):
    rng = np.random.default_rng(seed)
    mesh = Mesh(rng.random((9, 3)), np.stack([rng.permutation(9)[:3] for _ in range(6)]).astype(np.int32))
    fine = split_long(mesh, length, 10**6)
    assert longest(fine) <= length
    assert np.array_equal(fine.vertices[:9], mesh.vertices)
    # sums of areas with their directions tell of gaps and of turned faces, those without of overlaps
    assert np.allclose(areas(fine).sum(0), areas(mesh).sum(0))
    assert np.isclose(np.linalg.norm(areas(fine), axis=1).sum(), np.linalg.norm(areas(mesh), axis=1).sum())


def test_a_closed_mesh_stays_closed():
    fine = topology(split_long(cube(), 0.05, 10**6))
    assert fine.open_edges == 0 and fine.genus == 0 and fine.components == 1


def test_what_vertices_have_is_between_that_of_the_ends():
    mesh = cube()
    place = mesh.vertices + 0.5
    normals = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    mesh = Mesh(mesh.vertices, mesh.faces, normals, place.astype(np.float32), place[:, :2], metadata={"up": "+Y"})
    fine = split_long(mesh, 0.3, 10**6)
    assert np.allclose(fine.colours, fine.vertices + 0.5, atol=1e-6) and fine.colours.dtype == np.float32
    assert np.allclose(fine.uv, fine.vertices[:, :2] + 0.5) and fine.metadata == mesh.metadata
    assert np.allclose(np.linalg.norm(fine.normals, axis=1), 1)


def test_a_mesh_without_long_edges_is_the_same_one():
    ball = sphere(4)
    assert split_long(ball, longest(ball), 10**6) is ball


@pytest.mark.parametrize("most", [8, 9, 100, 5000])
def test_there_are_no_more_vertices_than_allowed(most):
    fine = split_long(cube(), 0.01, most)
    assert len(fine.vertices) == most
    assert most < 5000 or longest(fine) < 0.1
