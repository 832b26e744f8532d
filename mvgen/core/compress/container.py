"""The file `.mks`: a head that says what is in it, and checksummed sections.

docs/formats/mks.md describes it byte by byte. This module knows bytes alone, not what the codecs make of them.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from mvgen.core.camera import Similarity
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh

MAGIC = b"MKS"
VERSION = 1
PAYLOAD, COLOURS, TRIM = 1, 3, 5  # sections; odd numbers are critical
MOST_BYTES = 1 << 30  # of a file
MOST_COUNT = 1 << 28  # of vertices and faces
MOST_RESOLUTION = 4096
_KNOWN = {PAYLOAD: "payloads", COLOURS: "sections of colours", TRIM: "trim masks"}
_STEPS = 4096  # of the centre, in a diagonal
_FAR = 1 << 40  # steps
_COLOURED, _PROVED, _KEPT, _RESOLUTION = 1, 2, 4, 8
_FLAGS = _COLOURED | _PROVED | _KEPT | _RESOLUTION
_AGAIN = "copy or download the file again"


@dataclass(frozen=True)
class Frame:
    """Where a mesh was: ``scale`` is about its bounding box's diagonal, ``steps`` about its centre, in scale / 4096.

    Both are rounded, and the mesh is moved by the rounded values, so that nothing is lost by it.
    """

    scale: float
    steps: tuple[int, int, int]

    @property
    def world_from_frame(self) -> Similarity:
        return Similarity(self.scale, np.eye(3), np.array(self.steps, np.float64) * (self.scale / _STEPS))

    @property
    def frame_from_world(self) -> Similarity:
        centre = np.array(self.steps, np.float64) / _STEPS
        return Similarity(1 / self.scale, np.eye(3), -centre)


@dataclass(frozen=True)
class Head:
    """What a file says of itself.

    codec: its number; mean, maximum: errors in diagonals; proved: whether the maximum is proved or estimated; vertices,
    faces: of the decoded mesh (at the default resolution); sides: of the bounding box, in diagonals; source_bytes: of
    the file that was compressed, 0 where unknown; kept: whether vertices and faces are those of the source; resolution:
    the default one of codecs that need one.
    """

    codec: int
    frame: Frame
    mean: float
    maximum: float
    proved: bool
    vertices: int
    faces: int
    sides: tuple[float, float, float]
    source_bytes: int = 0
    colours: bool = False
    kept: bool = False
    resolution: int | None = None


@dataclass(frozen=True)
class Packed:
    """A file: its head, the codec's payload, and colours and the trim mask of a field, where it has them."""

    head: Head
    payload: bytes
    colours: bytes | None = None
    trim: bytes | None = None


def frame_of(mesh: Mesh) -> Frame:
    """The frame of a mesh. Raises CannotError where its size is 0, or its numbers are too large for a frame."""
    scale = _unpack_float(_pack_float(mesh.diagonal, 3)) if math.isfinite(mesh.diagonal) else math.inf
    if not 1e-30 < scale < 1e30:
        raise CannotError(f"a bounding box with a diagonal of {mesh.diagonal:.3g} cannot be held", "scale the mesh")
    x, y, z = (round(float(c)) for c in mesh.bounds.mean(0) / scale * _STEPS)
    if max(abs(x), abs(y), abs(z)) > _FAR:
        raise CannotError("the mesh is too far from the origin for its size", "move it to the origin")
    return Frame(scale, (x, y, z))


def pack(packed: Packed) -> bytes:
    """The bytes of a file."""
    head = _pack_head(packed.head)
    start = MAGIC + bytes([VERSION]) + _varint(len(head)) + head
    sections = ((PAYLOAD, packed.payload), (COLOURS, packed.colours), (TRIM, packed.trim))
    return start + _checksum(start) + b"".join(_section(n, content) for n, content in sections if content is not None)


def unpack(data: bytes, name: str) -> Packed:
    """The parts of a file. Raises InputError, naming the file ``name``, for anything but a whole file."""
    head, at = _read_head(data, name)
    found: dict[int, bytes] = {}
    while at < len(data):
        number, content, at = _read_section(data, at, name)
        if number in _KNOWN:
            if number in found:
                raise InputError(f"{name}: has two {_KNOWN[number]}", _AGAIN)
            found[number] = content
        elif number % 2:
            raise InputError(f"{name}: holds something that this version does not know (section {number})", _UPDATE)
    if PAYLOAD not in found:
        raise InputError(f"{name}: is cut short", _AGAIN)
    return Packed(head, found[PAYLOAD], found.get(COLOURS), found.get(TRIM))


def unpack_head(data: bytes, name: str) -> Head:
    """The head alone, from the first bytes of a file. Raises InputError as `unpack`."""
    return _read_head(data, name)[0]


HEAD_BYTES = 256  # enough for `unpack_head`
_UPDATE = "update mvgen"

# ---- the head


def _pack_head(head: Head) -> bytes:
    flags = _COLOURED * head.colours | _PROVED * head.proved | _KEPT * head.kept
    flags |= _RESOLUTION * (head.resolution is not None)
    return b"".join(
        [
            bytes([head.codec, flags]),
            _pack_float(head.frame.scale, 3),
            *(_varint(_zigzag(c)) for c in head.frame.steps),
            bytes(min(math.ceil(side * 255), 255) for side in head.sides),
            _pack_float(head.mean, 2),
            _pack_float(head.maximum, 2),
            _pack_float(head.source_bytes, 2),
            _varint(head.vertices),
            _varint(_zigzag(head.faces - 2 * head.vertices)),
            b"" if head.resolution is None else _varint(head.resolution),
        ]
    )


def _read_head(data: bytes, name: str) -> tuple[Head, int]:
    """The head, and where the first section begins."""
    if data[:3] != MAGIC:
        raise InputError(f"{name}: is not a compressed mesh (.mks)", "mvgen compress makes one")
    if len(data) > MOST_BYTES:
        raise InputError(f"{name}: is larger than any compressed mesh may be", _AGAIN)
    if data[3:4] and data[3] != VERSION:
        raise InputError(f"{name}: is of version {data[3]}, and this mvgen reads version {VERSION}", _UPDATE)
    reader = _Reader(data, 4, name)
    length = reader.varint()
    start = reader.at
    content = reader.take(length)
    if reader.take(4) != _checksum(data[: start + length]):
        raise InputError(f"{name}: is damaged (the checksum of its head is wrong)", _AGAIN)
    return _parse_head(_Reader(content, 0, name)), reader.at


def _parse_head(reader: _Reader) -> Head:
    codec, flags = reader.take(2)
    scale = _unpack_float(reader.take(3))
    x, y, z = (_unzigzag(reader.varint()) for _ in range(3))
    a, b, c = (side / 255 for side in reader.take(3))
    mean, maximum, source = (_unpack_float(reader.take(2)) for _ in range(3))
    vertices = reader.varint()
    faces = 2 * vertices + _unzigzag(reader.varint())
    resolution = reader.varint() if flags & _RESOLUTION else None
    sound = 1e-30 < scale < 1e30 and max(abs(x), abs(y), abs(z)) <= _FAR
    sound = sound and 0 <= mean < math.inf and 0 <= maximum < math.inf and 0 <= source < 1e18
    sound = sound and 0 < vertices <= MOST_COUNT and 0 < faces <= MOST_COUNT
    if not sound or (resolution is not None and not 2 <= resolution <= MOST_RESOLUTION):
        raise InputError(f"{reader.name}: its head makes no sense", _AGAIN)
    if flags & ~_FLAGS or reader.at != len(reader.data):
        raise InputError(f"{reader.name}: was made by a later version", _UPDATE)
    return Head(
        codec,
        Frame(scale, (x, y, z)),
        mean,
        maximum,
        bool(flags & _PROVED),
        vertices,
        faces,
        (a, b, c),
        round(source),
        bool(flags & _COLOURED),
        bool(flags & _KEPT),
        resolution,
    )


# ---- sections and numbers


def _section(number: int, content: bytes) -> bytes:
    section = bytes([number]) + _varint(len(content)) + content
    return section + _checksum(section)


def _read_section(data: bytes, at: int, name: str) -> tuple[int, bytes, int]:
    reader = _Reader(data, at, name)
    number = reader.take(1)[0]
    content = reader.take(reader.varint())
    if reader.take(4) != _checksum(data[at : reader.at - 4]):
        raise InputError(f"{name}: is damaged (the checksum of section {number} is wrong)", _AGAIN)
    return number, content, reader.at


class _Reader:
    """Takes bytes from data, and never more than there are. Raises InputError."""

    def __init__(self, data: bytes, at: int, name: str):
        self.data, self.at, self.name = data, at, name

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise InputError(f"{self.name}: is cut short", _AGAIN)
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 56:
                raise InputError(f"{self.name}: holds a number that is too long", _AGAIN)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(value: int) -> int:
    return -(value + 1) // 2 if value & 1 else value // 2


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


def _pack_float(value: float, count: int) -> bytes:
    """The upper ``count`` bytes of a float32, rounded up, the lowest byte first."""
    bits = struct.unpack("<I", struct.pack("<f", np.float32(value)))[0] if value < 3e38 else 0x7F800000
    drop = 8 * (4 - count)
    upper = bits >> drop
    if _unpack_float(upper.to_bytes(count, "little")) < value:
        upper += 1
    return int(upper).to_bytes(count, "little")


def _unpack_float(data: bytes) -> float:
    return float(struct.unpack("<f", bytes(4 - len(data)) + data)[0])
