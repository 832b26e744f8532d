"""Atlases: every face has its place, no two share one, and nothing depends on the run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.texture import unwrap

SIZE = 512


def bumpy_sphere(seed: int, bumps: float, subdivisions: int = 3) -> Mesh:
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions)
    noise = np.random.default_rng(seed).normal(size=(len(sphere.vertices), 1))
    return Mesh(sphere.vertices * (1 + bumps * noise), sphere.faces.astype(np.int32))


def coverage(mesh: Mesh, shrink: float = 1e-3) -> np.ndarray:
    """How many faces cover each texel centre, leaving out the very edge of faces."""
    assert mesh.uv is not None
    count = np.zeros((SIZE, SIZE), int)
    for corners in mesh.uv[mesh.faces] * SIZE:
        x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int), 0)
        x1, y1 = np.ceil(corners.max(0)).astype(int) + 1
        y, x = np.mgrid[y0 : min(y1, SIZE), x0 : min(x1, SIZE)] + 0.5
        first, second = corners[1] - corners[0], corners[2] - corners[0]
        area = first[0] * second[1] - first[1] * second[0]
        if abs(area) < 1e-12:
            continue
        dx, dy = x - corners[0, 0], y - corners[0, 1]
        b, c = (dx * second[1] - dy * second[0]) / area, (dy * first[0] - dx * first[1]) / area
        count[y0:y1, x0:x1] += np.minimum(np.minimum(b, c), 1 - b - c) > shrink
    return count


def check(mesh: Mesh, flat: Mesh) -> None:
    np.testing.assert_array_equal(flat.vertices[flat.faces], mesh.vertices[mesh.faces])
    assert flat.uv is not None and flat.uv.shape == (len(flat.vertices), 2)
    assert flat.uv.min() >= 0 and flat.uv.max() <= 1


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), bumps=st.sampled_from([0.0, 0.02, 0.2]))
@example(seed=36, bumps=0.2)  # faces that lie over each other by less than a texel
@example(seed=187, bumps=0.2)  # charts that take many rounds to be flat
def test_every_face_has_its_own_place(seed: int, bumps: float) -> None:
    mesh = bumpy_sphere(seed, bumps)
    flat = unwrap(mesh, SIZE)
    check(mesh, flat)
    assert coverage(flat).max() == 1


def test_texels_are_about_equally_dense() -> None:
    mesh = bumpy_sphere(0, 0.0)
    flat = unwrap(mesh, SIZE)

    def areas(corners: np.ndarray) -> np.ndarray:
        corners = np.concatenate([corners, np.zeros((*corners.shape[:2], 3 - corners.shape[2]))], axis=2)
        return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)

    density = areas(flat.uv[flat.faces]) / areas(mesh.vertices[mesh.faces])
    assert density.max() / density.min() < 3
    assert areas(flat.uv[flat.faces]).sum() / 2 > 0.4  # of the texture is used


def test_a_helix_covers_itself_and_is_cut() -> None:
    turn, radius = np.meshgrid(np.linspace(0, 6 * np.pi, 120), [0.5, 1.0], indexing="ij")
    vertices = np.stack([radius * np.cos(turn), radius * np.sin(turn), 0.05 * turn], axis=-1).reshape(-1, 3)
    quad = np.array([[0, 1, 3], [0, 3, 2]], np.int32)
    faces = (2 * np.arange(119, dtype=np.int32)[:, None, None] + quad).reshape(-1, 3)
    flat = unwrap(Mesh(vertices, faces), SIZE)
    check(Mesh(vertices, faces), flat)
    assert coverage(flat).max() == 1


def test_same_atlas_every_time() -> None:
    mesh = bumpy_sphere(3, 0.1)
    first, second = unwrap(mesh, SIZE), unwrap(mesh, SIZE)
    np.testing.assert_array_equal(first.uv, second.uv)
    np.testing.assert_array_equal(first.faces, second.faces)


def test_faces_without_area_and_extra_edges_do_no_harm() -> None:
    mesh = bumpy_sphere(0, 0.0, 1)
    extra = np.array([[0, 0, 1], [2, 2, 2], mesh.faces[0], mesh.faces[0][::-1]], np.int32)
    odd = Mesh(mesh.vertices, np.concatenate([mesh.faces, extra]))
    flat = unwrap(odd, SIZE)
    check(odd, flat)
    assert coverage(flat).max() == 1


def test_colours_and_normals_follow_their_vertices() -> None:
    mesh = bumpy_sphere(0, 0.0, 1)
    coloured = Mesh(mesh.vertices, mesh.faces, mesh.vertices.copy(), np.abs(mesh.vertices).astype(np.float32))
    flat = unwrap(coloured, SIZE)
    np.testing.assert_array_equal(flat.normals, flat.vertices)
    np.testing.assert_array_equal(flat.colours, np.abs(flat.vertices).astype(np.float32))


@pytest.mark.parametrize(
    "mesh",
    [
        Mesh(np.zeros((3, 3)), np.zeros((0, 3), np.int32)),
        Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]], np.int32)),
        Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]], np.int32)),
    ],
)
def test_nothing_to_unwrap(mesh: Mesh) -> None:
    with pytest.raises(CannotError):
        unwrap(mesh, SIZE)
