"""The container: what is packed comes back, what is damaged is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.compress.container import (
    Frame,
    Head,
    Packed,
    frame_of,
    pack,
    unpack,
    unpack_head,
)
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh

STEP = st.integers(-(2**40), 2**40)
ERROR = st.floats(0, 10, width=16)
HEADS = st.builds(
    Head,
    codec=st.integers(0, 255),
    frame=st.builds(
        Frame, st.sampled_from([1.0, 0.5, 1.5, 2.0**90, 2.0**-90, 1 + 2.0**-15]), st.tuples(STEP, STEP, STEP)
    ),
    mean=st.sampled_from([0.0, 0.5, 2.0**-20]),
    maximum=st.sampled_from([0.0, 0.75, 2.0**-10]),
    proved=st.booleans(),
    vertices=st.integers(1, 2**28),
    faces=st.integers(1, 2**28),
    sides=st.tuples(*[st.integers(0, 255).map(lambda n: n / 255)] * 3),
    source_bytes=st.integers(0, 128),
    colours=st.booleans(),
    kept=st.booleans(),
    resolution=st.none() | st.integers(2, 4096),
)
HEAD = Head(3, Frame(2.0, (1, -70, 9000)), 0.001, 0.01, True, 1500, 2996, (0.5, 0.5, 0.7), 240_000)


@given(HEADS, st.binary(max_size=300), st.none() | st.binary(max_size=200), st.none() | st.binary(max_size=200))
def test_what_is_packed_comes_back(head: Head, payload: bytes, colours: bytes | None, trim: bytes | None) -> None:
    packed = Packed(head, payload, colours, trim)
    data = pack(packed)
    assert unpack(data, "x") == packed
    assert unpack_head(data[:256], "x") == head


@given(st.floats(1e-9, 1, exclude_min=True), st.floats(1e-9, 1), st.integers(1, 10**12))
def test_errors_and_sizes_are_rounded_up_and_little(mean: float, maximum: float, size: int) -> None:
    head = Head(1, Frame(1.0, (0, 0, 0)), mean, maximum, False, 1, 1, (0, 0, 0), size)
    found = unpack(pack(Packed(head, b"")), "x").head
    assert mean <= found.mean <= mean * 1.008
    assert maximum <= found.maximum <= maximum * 1.008
    assert size <= found.source_bytes + 1 <= size * 1.008 + 2


def test_overhead_is_at_most_40_bytes() -> None:
    assert len(pack(Packed(HEAD, bytes(5000)))) - 5000 <= 40
    far = Head(3, Frame(9.3, (8191, -8191, 8191)), 3e-4, 3e-3, True, 16383, 32700, (0.3, 0.4, 0.8), 10**9)
    assert len(pack(Packed(far, bytes(16383)))) - 16383 <= 40


@given(st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    whole = pack(Packed(HEAD, b"payload " * 5))
    place = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(1, 255))
    changed = bytearray(whole)
    changed[place] ^= bit
    with pytest.raises(InputError, match=r"^x: "):
        unpack(bytes(changed), "x")


def test_any_cut_is_found_that_does_not_lie_between_sections() -> None:
    whole = pack(Packed(HEAD, b"payload"))
    for length in range(len(whole)):
        with pytest.raises(InputError):
            unpack(whole[:length], "x")


def section(number: int, content: bytes) -> bytes:
    import struct
    import zlib

    body = bytes([number, len(content)]) + content
    return body + struct.pack("<I", zlib.crc32(body))


def test_unknown_sections_are_refused_where_critical_and_skipped_where_not() -> None:
    whole = pack(Packed(HEAD, b"payload"))
    assert unpack(whole + section(8, b"new"), "x").payload == b"payload"
    with pytest.raises(InputError, match="does not know"):
        unpack(whole + section(9, b"new"), "x")
    with pytest.raises(InputError, match="two payloads"):
        unpack(whole + section(1, b"new"), "x")
    with pytest.raises(InputError, match="two sections of colours"):
        unpack(whole + 2 * section(3, b"new"), "x")
    with pytest.raises(InputError, match="two trim masks"):
        unpack(whole + 2 * section(5, b"new"), "x")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PK\x03\x04", "not a compressed mesh"),
        (b"MKS", "cut short"),
        (b"MKS\x02aaaa", "version 2"),
        (b"MKS\x01" + b"\xff" * 20, "number that is too long"),
        (b"MKS\x01\xff\xff\xff\xff\x7f", "cut short"),
    ],
)
def test_other_files_are_told(data: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        unpack(data, "x")


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=3, max_size=20), st.floats(-1e9, 1e9))
def test_the_frame_loses_nothing(rows: list[tuple[float, float, float]], away: float) -> None:
    vertices = np.array(rows) + away
    mesh = Mesh(vertices, np.array([[0, 1, 2]], np.int32))
    if not mesh.diagonal > 1e-3 * (1 + abs(away)) / 1e6:
        return
    diagonals = np.abs(mesh.bounds.mean(0)).max() / mesh.diagonal
    if diagonals > 0.999 * 2**28:  # what a frame holds, but for the rounding of its scale
        if diagonals > 1.001 * 2**28:
            with pytest.raises(CannotError, match="too far"):
                frame_of(mesh)
        return
    frame = frame_of(mesh)
    inside = mesh.moved(frame.frame_from_world)
    assert 0.99 < inside.diagonal <= 1.001
    assert np.abs(inside.bounds.mean(0)).max() < 1 / 4096
    back = inside.moved(frame.world_from_frame)
    assert np.abs(back.vertices - vertices).max() <= 1e-14 * (np.abs(vertices).max() + mesh.diagonal) * 8


@pytest.mark.parametrize("vertices", [np.zeros((3, 3)), np.eye(3) * 1e-40, np.eye(3) * 1e200, np.eye(3) * 1e-9 + 1e9])
def test_a_box_that_no_frame_holds_is_refused(vertices: np.ndarray) -> None:
    with pytest.raises(CannotError):
        frame_of(Mesh(vertices, np.array([[0, 1, 2]], np.int32)))
