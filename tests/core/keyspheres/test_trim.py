"""Trim masks: cutting, what comes back of holes, sizes, damage."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.compress.holes import Closed, closed
from mvgen.core.compress.measure import Surface, measure
from mvgen.core.compress.prepare import openness, prepared
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres.place import Place
from mvgen.core.keyspheres.samples import Normal
from mvgen.core.keyspheres.surface import surface_of
from mvgen.core.keyspheres.trim import cut, encode_trim, trimmed
from mvgen.core.nearest import face_normals
from mvgen.core.surface.topology import topology

RADIUS, SCALE = 0.4, 2.0
BOX = np.array([[-110] * 3, [110] * 3])


def ball_field(points: np.ndarray) -> np.ndarray:
    """A ball cut flat below, by a third of its radius."""
    points = np.asarray(points, np.float32)
    inside = np.sqrt((points**2).sum(1)) - np.float32(RADIUS * SCALE)
    return np.maximum(inside, -points[:, 2] - np.float32(0.3 * SCALE)).astype(np.float32)


PLACE = Place(ball_field, BOX, Normal(np.zeros(3), SCALE))


@pytest.fixture(scope="module")
def whole() -> Mesh:
    """The field's surface in the frame of files."""
    found = surface_of(PLACE.field, BOX / 127, 96)
    return Mesh(PLACE.normal.back(found.vertices), found.faces)


@pytest.fixture(scope="module")
def holed(whole: Mesh) -> Closed:
    """The same without its flat bottom, and with a round hole."""
    bottom = cut(whole, whole.vertices[:, 2] + 0.299)
    mesh = prepared(cut(bottom, np.linalg.norm(bottom.vertices - [RADIUS, 0, 0], axis=1) - 0.15))
    found = closed(mesh, openness(mesh))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def data(holed: Closed) -> bytes:
    return encode_trim(PLACE, holed, 250, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_plane_cuts_straight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ball = trimesh.creation.icosphere(2)
    mesh = Mesh(np.asarray(ball.vertices), np.asarray(ball.faces, np.int32))
    normal, level = rng.normal(size=3), rng.uniform(-0.7, 0.7)
    normal /= np.linalg.norm(normal)
    height = mesh.vertices @ normal - level
    out = cut(mesh, height)
    found = topology(out, welded=True)
    assert found.holes == 1 and found.crowded_edges == 0 and found.components == 1
    assert (out.vertices @ normal - level).min() > -0.01, "borders keep 2 % of an edge off its ends"
    assert (face_normals(out.vertices[out.faces])[1] > 0).all()
    both = [face_normals(m.vertices[m.faces])[1].sum() for m in (out, cut(mesh, -height), mesh)]
    assert abs(both[0] + both[1] - both[2]) < 0.01 * both[2]


def test_what_is_whole_stays_whole_and_what_is_gone_is_gone() -> None:
    ball = trimesh.creation.icosphere(2)
    mesh = Mesh(np.asarray(ball.vertices), np.asarray(ball.faces, np.int32))
    same = cut(mesh, np.ones(len(mesh.vertices)))
    assert np.array_equal(same.vertices, mesh.vertices) and np.array_equal(same.faces, mesh.faces)
    assert not len(cut(mesh, -np.ones(len(mesh.vertices))).faces)


def test_holes_come_back_within_the_size(whole: Mesh, holed: Closed, data: bytes) -> None:
    assert len(data) <= 250 and data == encode_trim(PLACE, holed, 250, 0)
    assert tuple(data[:2]) == (1, 2)
    mesh = trimmed(whole, PLACE, data)
    found = topology(mesh, welded=True)
    assert found.holes == 2 and found.components == 1 and found.crowded_edges == 0
    errors = measure(Surface(holed.source), Surface(mesh), 20_000, prove=False)
    assert errors.mean < 3e-4 and errors.maximum < 0.02, "in diagonals, and the surface itself is the same"
    filled = measure(Surface(holed.source), Surface(whole), 20_000, prove=False)
    assert errors.mean < 0.02 * filled.mean


def test_specks_are_no_holes_and_no_pieces(whole: Mesh, data: bytes) -> None:
    """With fewer pieces and holes than there are the largest stay."""
    assert topology(trimmed(whole, PLACE, bytes([1, 1]) + data[2:]), welded=True).holes == 1
    assert topology(trimmed(whole, PLACE, bytes([255, 255]) + data[2:]), welded=True).holes >= 2
    with pytest.raises(InputError, match="no surface"):
        trimmed(whole, PLACE, bytes([0, 255]) + data[2:])


def test_too_few_bytes_are_told(holed: Closed) -> None:
    for size in (0, 5, 8):
        with pytest.raises(CannotError, match="too few"):
            encode_trim(PLACE, holed, size, 0)


def test_damage_is_told(whole: Mesh, data: bytes) -> None:
    for length in (0, 1, 2, 4):
        with pytest.raises(InputError, match="cut short"):
            trimmed(whole, PLACE, data[:length])
    for at, value in ((2, 0), (2, 65), (2, 255), (3, 0), (3, 4), (3, 255)):
        with pytest.raises(InputError, match="no sense"):
            trimmed(whole, PLACE, data[:at] + bytes([value]) + data[at + 1 :])
    early = 0
    for at in range(4, len(data), 3):
        try:
            found = trimmed(whole, PLACE, data[:at] + bytes([data[at] ^ 0x5A]) + data[at + 1 :])
        except InputError as failure:
            early += "too early" in failure.message
            assert "trim mask" in failure.message
        else:
            assert np.isfinite(found.vertices).all() and found.faces.max() < len(found.vertices)
    assert early
