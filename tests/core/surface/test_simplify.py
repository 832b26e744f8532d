"""Clean-up and decimation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh
from mvgen.core.surface import drop_small_parts, simplify
from mvgen.core.surface.simplify import face_parts
from mvgen.core.surface.topology import topology
from tests.core.surface.shapes import mesh_of


def sheet(cells: int, origin: tuple[float, float, float] = (0, 0, 0), bumps: float = 0.0) -> Mesh:
    """A square of 2 cells^2 triangles with side 1, red where x < 0.5."""
    u, v = np.meshgrid(np.linspace(0, 1, cells + 1), np.linspace(0, 1, cells + 1))
    vertices = np.stack([u, v, bumps * np.sin(6 * u) * np.sin(5 * v)], -1).reshape(-1, 3) + origin
    at = np.arange(len(vertices)).reshape(u.shape)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    colours = np.where(u.reshape(-1, 1) < 0.5, [1.0, 0, 0], [0, 0, 1.0]).astype(np.float32)
    return Mesh(vertices, faces, colours=colours)


def joined(*parts: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(p.vertices) for p in parts)])
    return Mesh(
        np.concatenate([p.vertices for p in parts]),
        np.concatenate([p.faces + s for p, s in zip(parts, starts)]).astype(np.int32),
        colours=np.concatenate([p.colours for p in parts if p.colours is not None]),
    )


def test_small_parts_are_dropped_and_large_ones_kept() -> None:
    mesh = joined(sheet(20), sheet(1, (5, 0, 0)), sheet(5, (0, 5, 0)))
    clean = drop_small_parts(mesh, 0.01)
    assert len(clean.faces) == 800 + 50
    assert clean.vertices[:, 0].max() <= 1
    assert len(drop_small_parts(mesh, 0.2).faces) == 800


def test_a_small_thing_on_a_large_ground_stays() -> None:
    """An object's front, seen by a few views, is often an island: what joins it to the ground is hidden."""
    mesh = joined(sheet(40), sheet(3, (0, 0, 1)), sheet(1, (0, 0, 2)))
    assert len(drop_small_parts(mesh).faces) == 3200 + 18


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
def test_decimation_keeps_the_shape(scale: float) -> None:
    mesh = sheet(40, bumps=0.1)
    mesh = Mesh(mesh.vertices * scale + 3 * scale, mesh.faces, colours=mesh.colours)
    small = simplify(mesh, 500)
    assert len(small.faces) <= 500 and small.faces.dtype == np.int32
    v = small.vertices / scale - 3
    assert np.abs(v[:, 2] - 0.1 * np.sin(6 * v[:, 0]) * np.sin(5 * v[:, 1])).max() < 0.01
    corners = small.vertices[small.faces] / scale
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    assert 1.0 < area < 1.2  # the border is still there
    assert small.colours is not None
    clear = np.abs(v[:, 0] - 0.5) > 0.05
    assert ((small.colours[:, 0] > 0.5) == (v[:, 0] < 0.5))[clear].all()


def sponge(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A gyroid in a ball."""
    x, y, z = (9 * points).T
    gyroid = np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x)
    return np.maximum(gyroid / 18, np.linalg.norm(points, axis=1) - 0.8)


def test_handles_stay_and_no_edge_gets_a_third_face() -> None:
    mesh = mesh_of(sponge, 64)
    whole = topology(mesh)
    assert whole.watertight and whole.genus == 22
    for faces in (600, 300):
        few = topology(simplify(mesh, faces))
        assert few.watertight and few.faces <= faces
        assert (few.genus, few.components) == (22, whole.components)
    assert 2 <= len(simplify(mesh, 100).faces) <= 100  # too few for all of them


def test_few_faces_are_few() -> None:
    assert 2 <= len(simplify(sheet(40, bumps=0.1), 20).faces) <= 20


def test_a_mesh_that_is_small_enough_is_left_alone() -> None:
    mesh = sheet(4)
    assert simplify(mesh, 32) is mesh


def test_same_mesh_same_result() -> None:
    one, two = (simplify(sheet(30, bumps=0.1), 300) for _ in range(2))
    assert np.array_equal(one.vertices, two.vertices) and np.array_equal(one.faces, two.faces)


def test_vertices_without_faces_are_no_parts() -> None:
    vertices = np.random.default_rng(0).normal(size=(9, 3))
    mesh = Mesh(vertices, np.array([[1, 2, 3], [5, 6, 7]], np.int32))
    assert face_parts(mesh).tolist() == [0, 1]
    assert topology(mesh).components == topology(mesh, welded=True).components == 2
