"""Surfaces through the codecs `surface` and `mesh`: what comes back is what went in, within the bound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.compress import mesh as mesh_codec
from mvgen.core.compress import surface
from mvgen.core.compress.surface.connectivity import cut_into_fans, pair_half_edges
from mvgen.core.compress.surface.payload import (
    SMALLEST_STEP,
    decode_surface,
    encode_surface,
    step_at,
    step_index,
    steps_near,
)
from mvgen.core.compress.surface.search import cleaned, mean_error
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Silent


@dataclass(frozen=True)
class Goal:
    bytes: int | None = None
    mean: float | None = None
    maximum: float | None = None


def framed(vertices, faces, colours=None) -> Mesh:
    vertices = np.asarray(vertices, float)
    low, high = vertices.min(0), vertices.max(0)
    moved = (vertices - (low + high) / 2) / np.linalg.norm(high - low)
    return Mesh(np.ascontiguousarray(moved), np.asarray(faces, np.int32), colours=colours)


def ball(level: int = 3) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=level)
    return framed(made.vertices * [1.0, 0.8, 1.3], made.faces)


def bumpy(level: int = 4) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=level)
    v = made.vertices
    return framed(v * (1 + 0.1 * np.sin(5 * v[:, :1]) * np.cos(4 * v[:, 1:2])), made.faces)


def canonical(faces) -> np.ndarray:
    turned = np.array([np.roll(f, -int(np.argmin(f))) for f in np.asarray(faces)]).reshape(-1, 3)
    return turned[np.lexsort(turned.T)]


def returned(mesh: Mesh, step: float = 1e-3, ratio: float = 1.0) -> None:
    """Code a mesh, decode it, and compare with what the encoder said and with the source."""
    steps = steps_near(step, ratio)
    coded = encode_surface(mesh.vertices, cut_into_fans(mesh.faces), steps)
    back = decode_surface(coded.payload)
    assert np.array_equal(back.vertices, coded.positions) and np.array_equal(back.faces, coded.faces)
    assert np.array_equal(canonical(coded.order[back.faces]), canonical(mesh.faces))
    away = np.linalg.norm(back.vertices - mesh.vertices[coded.order], axis=1)
    assert away.max() <= mesh_codec.bound(steps.values.max())


def grid(n: int, m: int) -> Mesh:
    x, y = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, m), indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), 0.1 * np.sin(6 * x.ravel())], axis=1)
    i = np.arange(n * m).reshape(n, m)
    a, b, c, d = i[:-1, :-1].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel(), i[:-1, 1:].ravel()
    return framed(points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def test_closed_surfaces_return() -> None:
    returned(ball())
    torus = trimesh.creation.torus(1.0, 0.3, major_sections=24, minor_sections=12)
    returned(framed(torus.vertices, torus.faces))
    returned(ball(1), 1e-5, 2.5)


def test_open_surfaces_and_holes_return() -> None:
    sheet = grid(12, 9)
    returned(sheet)
    keep = np.ones(len(sheet.faces), bool)
    keep[[20, 21, 22, 60, 100, 101]] = False
    returned(cleaned(Mesh(sheet.vertices, sheet.faces[keep])))
    tube = trimesh.creation.annulus(0.5, 1.0, 1.0)
    returned(framed(tube.vertices, tube.faces))
    returned(framed([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]))


def test_several_pieces_return() -> None:
    parts = [trimesh.creation.icosphere(subdivisions=1).apply_translation([3.0 * k, 0, 0]) for k in range(5)]
    joined = trimesh.util.concatenate(parts)
    returned(framed(joined.vertices, joined.faces))


def test_sheets_that_share_points_and_edges_return() -> None:
    """Two tetrahedra at a point, three and four faces at an edge, faces turned against each other, a face twice."""
    points = np.random.default_rng(0).random((7, 3))
    tetrahedron = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
    other = np.array([0, 4, 5, 6])[tetrahedron]
    returned(framed(points, np.concatenate([tetrahedron, other])))
    returned(cleaned(framed(points, [[0, 1, 2], [1, 0, 3], [0, 1, 4], [1, 0, 5], [0, 1, 6]])))
    returned(cleaned(framed(points[:4], [[0, 1, 2], [0, 1, 3], [0, 1, 2], [2, 1, 0]])))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_triangles_return(data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 12))
    corner = st.integers(0, count - 1)
    faces = data.draw(st.lists(st.tuples(corner, corner, corner), min_size=1, max_size=30))
    faces = [f for f in faces if len(set(f)) == 3]
    if not faces:
        return
    points = np.random.default_rng(count).random((count, 3))
    if data.draw(st.booleans()):
        points[:, 2] = 0
        points = np.round(points * 2) / 2 + [[1e-9, 0, 0]]
    returned(cleaned(framed(np.concatenate([points, [[0, 0, 0], [1, 1, 1]]]), faces)), 1e-4)


def test_half_edges_meet_in_pairs() -> None:
    twins = pair_half_edges(ball(2).faces)
    assert (twins >= 0).all() and np.array_equal(twins[twins], np.arange(len(twins)))


def test_steps_are_written_exactly() -> None:
    for index in (0, 1, 31, 32, 33, 500, step_index(0.0)):
        assert step_index(step_at(index, 1.0).normal) == index
    assert step_at(step_index(0.0), 1.0).normal == SMALLEST_STEP
    assert 0.97 * 1e-3 <= steps_near(1e-3, 1.0).normal <= 1e-3


def test_damage_is_refused_or_gives_a_mesh() -> None:
    sheet = grid(12, 9)
    payload = encode_surface(sheet.vertices, cut_into_fans(sheet.faces), steps_near(1e-3, 1.0)).payload
    rng = np.random.default_rng(0)
    refused = 0
    for k in range(300):
        broken = bytearray(payload)
        if k % 3 == 0:
            del broken[rng.integers(len(broken)) :]
        else:
            for _ in range(1 + k % 3):
                broken[rng.integers(len(broken) if k % 2 else 8)] = rng.integers(256)
        try:
            made = decode_surface(bytes(broken))
            assert np.isfinite(made.vertices).all() and made.faces.max() < len(made.vertices)
        except InputError:
            refused += 1
    assert refused > 50


def test_counts_are_checked_before_room_is_made() -> None:
    payload = encode_surface(ball(2).vertices, cut_into_fans(ball(2).faces), steps_near(1e-2, 1.0)).payload
    huge = payload[:3] + b"\xff\xff\xff\x7f" + payload[5:]
    with pytest.raises(InputError, match="makes no sense"):
        decode_surface(huge)
    flat = Mesh(grid(60, 60).vertices * [1, 1, 0], grid(60, 60).faces)
    coded = encode_surface(flat.vertices, cut_into_fans(flat.faces), steps_near(0.5, 1.0))
    assert len(decode_surface(coded.payload).faces) == len(flat.faces) <= 64 * len(coded.payload)


def test_surface_fits_the_size_and_is_repeatable() -> None:
    mesh = bumpy()
    errors = []
    for size in (600, 1500):
        payload = surface.encode(mesh, Goal(bytes=size), 1, 0, Silent())
        assert 0.95 * size < len(payload) <= size
        errors.append(mean_error(mesh, surface.decode(payload), 5))
    assert errors[1] < 0.5 * errors[0] < 2e-3
    assert payload == surface.encode(mesh, Goal(bytes=1500), 1, 0, Silent())


@pytest.mark.slow
def test_surface_keeps_the_mean_error() -> None:
    mesh = bumpy()
    payload = surface.encode(mesh, Goal(mean=4e-4), 1, 0, Silent())
    found = mean_error(mesh, surface.decode(payload), 5)
    assert 3e-4 < found < 4.1e-4 and len(payload) < 2000
    larger = surface.encode(mesh, Goal(maximum=4e-4), 1, 0, Silent())
    assert len(larger) > len(payload)


def test_too_small_a_size_is_refused() -> None:
    with pytest.raises(CannotError, match="does not fit"):
        surface.encode(ball(2), Goal(bytes=5), 1, 0, Silent())
    with pytest.raises(CannotError, match="do not fit"):
        mesh_codec.encode(ball(2), Goal(bytes=20), 1, 0, Silent())


@pytest.mark.parametrize("goal", [Goal(maximum=1e-4), Goal(bytes=3000), Goal(mean=1e-4), Goal()])
def test_mesh_keeps_faces_and_bound(goal: Goal) -> None:
    mesh = bumpy(3)
    payload = mesh_codec.encode(mesh, goal, 5, 0, Silent())
    back = mesh_codec.decode(payload)
    assert len(back.faces) == len(mesh.faces) and len(back.vertices) == len(mesh.vertices)
    if goal.maximum is not None:
        gaps = np.linalg.norm(back.vertices[:, None] - mesh.vertices[None], axis=2)
        assert gaps.min(1).max() <= goal.maximum and gaps.min(0).max() <= goal.maximum
    if goal.bytes is not None:
        assert 0.95 * goal.bytes < len(payload) <= goal.bytes
    if goal.mean is not None:
        assert 0.7 * goal.mean < mean_error(mesh, back, 5) < 1.03 * goal.mean


def test_colours_come_along() -> None:
    mesh = bumpy(3)
    colours = (0.5 + mesh.vertices).astype(np.float32)
    coloured = Mesh(mesh.vertices, mesh.faces, colours=colours)
    back = mesh_codec.decode(mesh_codec.encode(coloured, Goal(maximum=1e-4), 5, 0, Silent()))
    assert back.colours is not None
    assert np.abs(back.colours - (0.5 + back.vertices)).max() < 0.004
    small = surface.decode(surface.encode(coloured, Goal(bytes=900), 1, 0, Silent()))
    assert small.colours is not None and np.abs(small.colours - (0.5 + small.vertices)).mean() < 0.03
