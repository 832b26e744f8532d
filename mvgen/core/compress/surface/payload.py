"""A coded surface as bytes: a short head, then one run of the range coder (docs/formats/mks-surface.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.compress.surface.colours import decode_colours, encode_colours
from mvgen.core.compress.surface.connectivity import Fans
from mvgen.core.compress.surface.fit import Form
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress
from mvgen.kernels import cutborder, jit, rangecoder

BORDERS, REPEATS, COLOURS = 1, 2, 4  # flags of the head
RATIO_UNIT = 8  # the step along the surface is so many eighths of the step across it
MOST_PER_BYTE = 64  # faces and vertices that a decoder believes; a shorter payload is filled up with zeros
SMALLEST_STEP = 2.0**-27
_KERNELS, _COMPILE_SECONDS = "surface coder", 25
FRACTION = 32  # of a step between powers of two


@dataclass(frozen=True)
class Steps:
    """normal: distance of the integers across the surface, of the form (32 + m) / 32 2^-e; ratio: that along it, in
    eighths of it."""

    normal: float
    ratio: int

    @property
    def values(self) -> NDArray[np.float64]:
        along = self.normal * self.ratio / RATIO_UNIT
        return np.array([along, along, self.normal])


def step_at(index: int, ratio: float) -> Steps:
    """The index-th normal step from 1 down: 32 to each halving, evenly between powers of two."""
    exponent, part = -(-index // FRACTION), -index % FRACTION
    return Steps((FRACTION + part) / FRACTION * 2.0**-exponent, min(max(round(ratio * RATIO_UNIT), 1), 63))


def step_index(normal: float) -> int:
    """The index of the coarsest step that is not above ``normal``, or of the finest there is."""
    normal = max(normal, SMALLEST_STEP)
    exponent = 0
    while 2.0**-exponent > normal:
        exponent += 1
    part = min(int((normal * 2.0**exponent - 1) * FRACTION), FRACTION - 1)
    return max(exponent * FRACTION - part, 0)


def steps_near(normal: float, ratio: float) -> Steps:
    """The coarsest step that can be written and is not above ``normal``."""
    return step_at(step_index(normal), ratio)


@dataclass(frozen=True, eq=False)
class Coded:
    """payload; faces [F, 3] and positions [V, 3] as they decode; order [V]: the source's vertex of each."""

    payload: bytes
    faces: NDArray[np.int32]
    positions: NDArray[np.float64]
    order: NDArray[np.int32]


def encode_surface(
    goals: NDArray[np.float64],
    fans: Fans,
    steps: Steps,
    form: Form | None = None,
    rate: float = 0.0,
    colours: NDArray[np.float32] | None = None,
    colour_bits: int = 8,
) -> Coded:
    """A mesh with its vertices near ``goals`` [V, 3], each of which a face uses.

    form: what offsets from the goals cost; with it vertices coded later make up for those before.
    """
    count, vertices = len(fans.corners), len(goals)
    flags = (BORDERS if fans.open else 0) | (REPEATS if fans.split else 0) | (COLOURS if colours is not None else 0)
    head = bytes([flags]) + _step_bytes(steps) + _varint(count) + _varint(_zigzag(2 * vertices - count))
    room = 256 + 40 * count
    while True:
        data = np.zeros(room, np.uint8)
        coder = rangecoder.writer()
        faces, positions = np.zeros((count, 3), np.int32), np.zeros((vertices, 3))
        order, context = np.zeros(vertices, np.int32), np.full((vertices, 3), -1, np.int32)
        rows = _NO_FORM if form is None else (form.indptr, form.indices, form.blocks)
        source = cutborder.Source(fans.corners, fans.twins, fans.owners, np.ascontiguousarray(goals), *rows)
        output = cutborder.Output(faces, positions, order, context)
        state = cutborder.code_surface(coder, data, fans.open, fans.split, steps.values, source, output, rate)
        if state == cutborder.DONE and colours is not None:
            encode_colours(coder, data, colours[order], context, colour_bits)
        end = rangecoder.finish(coder, data)
        if state not in (cutborder.DONE, cutborder.NO_ROOM):
            raise CannotError("the mesh is too tangled or its coordinates too large for the surface coder")
        if end >= 0:
            break
        room *= 2
    jit.mark_warm(_KERNELS)
    body = head + data[:end].tobytes()
    return Coded(body.ljust(-(-max(count, vertices) // MOST_PER_BYTE), b"\0"), faces, positions, order)


_NO_FORM = (np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros((0, 3, 3)))


def announce(progress: Progress) -> None:
    """Tell a person who has to wait for the kernels to be compiled."""
    notice = jit.wait_notice(_KERNELS, _COMPILE_SECONDS)
    if notice is not None:
        progress.warn(notice)


def decode_surface(payload: bytes) -> Mesh:
    """The mesh of a payload; InputError where it is damaged."""
    try:
        flags, place = payload[0], 3
        steps = _steps_from(payload[1:3])
        count, place = _read_varint(payload, place)
        balance, place = _read_varint(payload, place)
    except IndexError:
        raise _damaged("it ends in its head") from None
    vertices = (count + _unzigzag(balance)) // 2
    most = MOST_PER_BYTE * len(payload)
    if flags >= 8 or not 0 < count <= most or not 3 <= vertices <= min(3 * count, most):
        raise _damaged("its head makes no sense")
    data = rangecoder.bytes_to_read(payload[place:])
    coder = rangecoder.reader(data)
    faces, positions = np.zeros((count, 3), np.int32), np.zeros((vertices, 3))
    order, context = np.zeros(0, np.int32), np.full((vertices, 3), -1, np.int32)
    none = np.zeros(0, np.int32)
    source = cutborder.Source(none.reshape(0, 3), none, none, np.zeros((0, 3)), *_NO_FORM)
    output = cutborder.Output(faces, positions, order, context)
    borders, repeats = bool(flags & BORDERS), bool(flags & REPEATS)
    state = cutborder.code_surface(coder, data, borders, repeats, steps.values, source, output, 0.0)
    if state != cutborder.DONE:
        raise _damaged("its faces make no sense")
    colours = decode_colours(coder, data, context) if flags & COLOURS else None
    if rangecoder.ran_dry(coder, data):
        raise _damaged("it ends too early")
    return Mesh(positions, faces, colours=colours)


def _damaged(why: str) -> InputError:
    return InputError(f"the surface is damaged: {why}", "the file may be cut short: compress the mesh again")


def _step_bytes(steps: Steps) -> bytes:
    """5 bits of exponent, 5 of the fraction, 6 of the ratio."""
    exponent = 0
    while 2.0**-exponent > steps.normal:
        exponent += 1
    part = round((steps.normal * 2.0**exponent - 1) * FRACTION)
    return ((exponent << 11) | (part << 6) | steps.ratio).to_bytes(2, "little")


def _steps_from(two: bytes) -> Steps:
    if len(two) < 2:
        raise IndexError
    value = int.from_bytes(two, "little")
    exponent, part, ratio = value >> 11, (value >> 6) & 31, value & 63
    if ratio == 0:
        raise _damaged("its steps make no sense")
    return Steps((FRACTION + part) / FRACTION * 2.0**-exponent, ratio)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 35:
            raise _damaged("a number in its head is too large")


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(value: int) -> int:
    return value // 2 if value % 2 == 0 else -(value + 1) // 2
