"""Colours on grids near a field's surface: what comes back, sizes, damage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres import colours
from mvgen.core.keyspheres.colours import Place, decode_colours, encode_colours
from mvgen.core.keyspheres.latents import decode_values, encode_values
from mvgen.core.keyspheres.samples import Normal

RADIUS, SCALE = 0.3, 2.0
PLACE = Place(
    lambda points: (np.sqrt((np.asarray(points, np.float32) ** 2).sum(1)) - np.float32(RADIUS * SCALE)).astype("f4"),
    np.array([[-90] * 3, [90] * 3]),
    Normal(np.zeros(3), SCALE),
)
BALL = trimesh.creation.icosphere(3, RADIUS)


def painted(paint) -> Mesh:
    vertices = np.asarray(BALL.vertices)
    return Mesh(vertices, np.asarray(BALL.faces, np.int32), colours=paint(vertices).astype(np.float32))


def bands(points: np.ndarray) -> np.ndarray:
    """Red, a dark green and white one above another, with soft borders."""
    first, second = (1 / (1 + np.exp(-60 * (points[:, 2:] - z))) for z in (-0.1, 0.1))
    low, middle, high = np.array([0.9, 0.1, 0.1]), np.array([0.1, 0.3, 0.2]), np.ones(3)
    return low + (middle - low) * first + (high - middle) * second


def error(mesh: Mesh, data: bytes) -> float:
    """Mean absolute, at the vertices."""
    return float(np.abs(decode_colours(PLACE, data, mesh.vertices) - mesh.colours).mean())


@pytest.fixture(scope="module")
def data() -> bytes:
    """The bands in 150 bytes."""
    return encode_colours(PLACE, painted(bands), 150, 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 9), st.integers(1, 2), st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.5, 1.0]))
def test_integers_of_three_channels_come_back(first: int, count: int, seed: int, share: float) -> None:
    grids = PLACE.grids(first, count) * 3
    rng = np.random.default_rng(seed)
    integers = [rng.integers(-40, 41, len(g.nodes)) * (rng.random(len(g.nodes)) < share) for g in grids]
    found = decode_values(encode_values(grids, integers), grids)
    assert all(np.array_equal(one, other) for one, other in zip(found, integers))


@given(st.integers(0, 2**32 - 1))
def test_brightness_and_differences_are_another_form_of_colours(seed: int) -> None:
    rgb = np.random.default_rng(seed).random((9, 3))
    parts = colours._split(rgb)
    assert np.allclose(colours._joined(parts), rgb) and np.ptp(colours._split(rgb[:1, :1].repeat(3, 1))[:, 1:]) == 0
    assert (np.abs(parts) <= 1).all()


def test_sizes_are_kept_and_more_bytes_leave_less_error(data: bytes) -> None:
    mesh = painted(bands)
    codes = [encode_colours(PLACE, mesh, 3, 0), encode_colours(PLACE, mesh, 60, 0), data]
    assert len(codes[0]) == 3 and 50 < len(codes[1]) <= 60 and 130 < len(data) <= 150
    errors = [error(mesh, code) for code in codes]
    assert errors[1] < 0.5 * errors[0] and errors[2] < 0.8 * errors[1]
    assert codes[1] == encode_colours(PLACE, mesh, 60, 0)


def test_one_colour_takes_three_bytes_and_is_exact() -> None:
    mesh = painted(lambda points: np.full((len(points), 3), [10 / 255, 200 / 255, 1]))
    data = encode_colours(PLACE, mesh, 500, 0)
    assert data == bytes([10, 200, 255]) and np.array_equal(decode_colours(PLACE, data, mesh.vertices), mesh.colours)
    odd = replace(mesh, colours=np.full_like(mesh.colours, np.nan))
    assert encode_colours(PLACE, odd, 500, 0) == bytes(3)


def test_a_small_spot_is_not_passed_over() -> None:
    mesh = painted(lambda points: np.where(np.arange(len(points)) == 7, 0.0, 1.0)[:, None].repeat(3, 1))
    assert len(encode_colours(PLACE, mesh, 60, 0)) > 3


def test_where_the_bytes_are_too_few_one_colour_is_left() -> None:
    mesh = painted(bands)
    assert len(encode_colours(PLACE, mesh, 8, 0)) == 3
    with pytest.raises(CannotError, match="too few"):
        encode_colours(PLACE, mesh, 2, 0)


def test_away_from_all_nodes_is_the_colour_of_all(data: bytes) -> None:
    found = decode_colours(PLACE, data, np.array([[0, 0, 0], [99.0, 0, 0]]))
    assert np.array_equal(found * 255, np.tile(np.frombuffer(data[:3], np.uint8), (2, 1)))


def test_damage_is_told(data: bytes) -> None:
    mesh = painted(bands)
    for cut in (0, 1, 2, 4, 5):
        with pytest.raises(InputError, match="cut short"):
            decode_colours(PLACE, data[:cut], mesh.vertices)
    for at, value in ((3, 0), (3, 65), (3, 255), (4, 0), (4, 4), (4, 255)):
        with pytest.raises(InputError, match="no sense"):
            decode_colours(PLACE, data[:at] + bytes([value]) + data[at + 1 :], mesh.vertices)
    early = 0
    for at in range(5, len(data)):
        try:
            found = decode_colours(PLACE, data[:at] + bytes([data[at] ^ 0x5A]) + data[at + 1 :], mesh.vertices)
        except InputError as failure:
            assert "too early" in failure.message
            early += 1
        else:
            assert ((found >= 0) & (found <= 1)).all()
    assert early
    with pytest.raises(InputError, match="too many cells"):
        everywhere = replace(PLACE, field=lambda points: np.zeros(len(points), np.float32))
        decode_colours(everywhere, data[:3] + bytes([64, 2]) + data[5:], mesh.vertices)
