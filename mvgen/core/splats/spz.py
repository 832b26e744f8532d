"""SPZ of Niantic, versions 1 to 4, and version 3 out: columns of fixed-point numbers, packed, in the frame "rub".

Versions 1 to 3 are one gzip stream; version 4 has a plain header and a Zstandard stream a column. A coordinate has
24 bits (version 1: a 16-bit float), a rotation x, y and z in bytes (from version 3 on: three components in 10 bits).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError, InputError
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.splats.coding import EXPORT_AGAIN, bytes_of, from_three, joined, logits_from_bytes, sound, to_three
from mvgen.core.splats.harmonics import count
from mvgen.core.splats.model import Splats

MAGIC = b"NGSP"
_MOST = 1 << 26  # splats
_SPARE = 1 << 20  # bytes that may follow the columns
_ANTIALIASED = 1
_FRACTION = 12  # bits of a position after the point, as others write them
_LEVEL = 6  # of gzip: 9 takes more than twice as long for a percent
_COLOUR = 0.15  # share of a byte's range that a coefficient of 1 takes


@dataclass(frozen=True)
class _Head:
    version: int
    count: int
    degree: int
    fraction: int
    flags: int

    def sizes(self) -> list[int]:
        """Bytes of a splat in each column: position, opacity, colour, scale, rotation, harmonics."""
        turn = 3 if self.version < 3 else 4
        return [6 if self.version == 1 else 9, 1, 3, 3, turn, 3 * (count(self.degree) - 1)]


def read_spz(data: bytes, name: str, warn: Warn = ignore) -> Splats:
    """In the frame "rub". Raises InputError for a damaged file, and for version 4 where no decoder is installed."""
    if data.startswith(MAGIC) and len(data) >= 8 and struct.unpack_from("<I", data, 4)[0] >= 4:
        head = _head(data, name)
        columns = _streams(data, head, name)
    else:
        head, columns = _one_stream(data, name)
    position, opacity, colour, scale, turn, rest = columns
    return sound(
        name,
        warn,
        "rub",
        _positions(position, head),
        _rotations(turn, head.version),
        scale / 16 - 10,
        logits_from_bytes(opacity[:, 0]),
        joined((colour / 255 - 0.5) / _COLOUR, (rest.astype(np.float32) / 128 - 1).reshape(head.count, -1, 3)),
        {"antialiased": True} if head.flags & _ANTIALIASED else None,
    )


def _head(data: bytes, name: str) -> _Head:
    if len(data) < 16 or not data.startswith(MAGIC):
        raise InputError(f"{name}: is not an SPZ file", EXPORT_AGAIN)
    head = _Head(*struct.unpack_from("<IIBBB", data, 4))
    if not 1 <= head.version <= 4:
        raise InputError(f"{name}: is SPZ version {head.version}", "mvgen reads versions 1 to 4")
    if not 0 < head.count <= _MOST or head.degree > 4 or head.fraction > 24:
        raise InputError(f"{name}: its header claims {head.count} splats of degree {head.degree}", EXPORT_AGAIN)
    return head


def _one_stream(data: bytes, name: str) -> tuple[_Head, list[NDArray[np.uint8]]]:
    """Versions 1 to 3, of which nothing is unpacked beyond what the header asks for."""
    try:
        if data.startswith(MAGIC):  # never packed, or unpacked by another
            head, body = _head(data, name), data[16:]
        else:
            stream = zlib.decompressobj(31)
            head = _head(stream.decompress(data, 16), name)
            body = stream.decompress(stream.unconsumed_tail, head.count * sum(head.sizes()))
            stream.decompress(stream.unconsumed_tail, _SPARE)
            if not stream.eof:
                raise zlib.error("no end of the stream")
    except zlib.error:
        raise InputError(f"{name}: cannot be unpacked", EXPORT_AGAIN) from None
    if head.version == 4:
        raise InputError(f"{name}: is SPZ version 4 within gzip", EXPORT_AGAIN)
    if len(body) < head.count * sum(head.sizes()):
        raise InputError(f"{name}: ends before its {head.count} splats", EXPORT_AGAIN)
    columns, start = [], 0
    for size in head.sizes():
        columns.append(np.frombuffer(body, np.uint8, head.count * size, start).reshape(head.count, size))
        start += head.count * size
    return head, columns


def _streams(data: bytes, head: _Head, name: str) -> list[NDArray[np.uint8]]:
    """Version 4: a table of (packed, unpacked) sizes, then the streams."""
    cut_short = InputError(f"{name}: ends before its {head.count} splats", EXPORT_AGAIN)
    if len(data) < 32:
        raise cut_short
    number, at = data[15], struct.unpack_from("<I", data, 16)[0]
    sizes = [size for size in head.sizes() if size]
    if number < len(sizes) or at < 32 or at + 16 * number > len(data):
        raise cut_short
    start, columns = at + 16 * number, []
    for i, size in enumerate(sizes):
        packed, raw = struct.unpack_from("<QQ", data, at + 16 * i)
        if raw != head.count * size or packed > len(data) - start:
            raise cut_short
        body = _zstandard(data[start : start + packed], raw, name)
        columns.append(np.frombuffer(body, np.uint8).reshape(head.count, size))
        start += packed
    return columns if head.degree else [*columns, np.zeros((head.count, 0), np.uint8)]


def _zstandard(data: bytes, size: int, name: str) -> bytes:
    """Exactly ``size`` bytes of a Zstandard stream."""
    try:
        import zstandard
    except ImportError:
        raise InputError(
            f"{name}: is SPZ version 4, whose Zstandard streams need a decoder",
            "pip install zstandard, or export it as SPZ version 3 or PLY",
        ) from None
    try:
        if zstandard.frame_content_size(data) not in (size, -1):  # -1: not told
            raise ValueError("another size")
        body = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
        if len(body) != size:
            raise ValueError("another size")
    except (zstandard.ZstdError, ValueError):
        raise InputError(f"{name}: cannot be unpacked", EXPORT_AGAIN) from None
    return bytes(body)


def _positions(column: NDArray[np.uint8], head: _Head) -> NDArray[np.float64]:
    if head.version == 1:
        return np.ascontiguousarray(column).view("<f2").astype(np.float64)
    wide = np.zeros((head.count, 3, 4), np.uint8)
    wide[..., 1:] = column.reshape(head.count, 3, 3)
    return (wide.view("<i4")[..., 0] >> 8) / 2.0**head.fraction


def _rotations(column: NDArray[np.uint8], version: int) -> NDArray[np.float64]:
    if version < 3:
        xyz = column / 127.5 - 1
        return np.column_stack([np.sqrt(np.maximum(1 - (xyz**2).sum(1), 0)), xyz])
    word = np.ascontiguousarray(column).view("<u4")[:, 0]
    parts = np.stack([_signed(word >> np.uint32(shift)) for shift in (20, 10, 0)], axis=1)
    return np.roll(from_three((word >> np.uint32(30)).astype(np.int64), parts), 1, axis=1)  # from x, y, z, w


def _signed(bits: NDArray[np.uint32]) -> NDArray[np.float64]:
    """A sign and 9 bits, up to the square root of one half."""
    size = (bits & np.uint32(511)) / 511 * 0.5**0.5
    return np.where(bits & np.uint32(512), -size, size)


def spz_bytes(splats: Splats) -> bytes:
    """Version 3, in the frame "rub". Raises CannotError where a coordinate needs more than 24 bits."""
    splats = splats.in_frame("rub")
    farthest = float(np.abs(splats.means).max(initial=0))
    fraction = min(_FRACTION, int(np.floor(np.log2(((1 << 23) - 1) / max(farthest, 1e-30)))))
    if fraction < 0:
        raise CannotError(f"SPZ holds no coordinate as large as {farthest:.3g}", "scale the splats down")
    fixed = np.rint(splats.means.astype(np.float64) * 2**fraction).astype("<i4")
    largest, parts = to_three(np.roll(splats.quaternions.astype(np.float64), -1, axis=1))
    size = np.minimum(np.rint(np.abs(parts) * 2**0.5 * 511), 511).astype(np.uint32) | (parts < 0) * np.uint32(512)
    word = largest.astype(np.uint32) << np.uint32(30)
    for column, shift in zip(size.T, (20, 10, 0)):
        word |= column << np.uint32(shift)
    flags = _ANTIALIASED if splats.metadata.get("antialiased") is True else 0
    columns = [
        np.ascontiguousarray(fixed).view(np.uint8).reshape(-1, 3, 4)[..., :3],
        bytes_of(255 * splats.opacities),
        bytes_of(255 * (_COLOUR * splats.harmonics[:, 0].astype(np.float64) + 0.5)),
        bytes_of(16 * (splats.log_scales.astype(np.float64) + 10)),
        word.astype("<u4"),
        _coarse(splats),
    ]
    head = struct.pack("<4sIIBBBB", MAGIC, 3, len(splats), splats.degree, fraction, flags, 0)
    return gzip.compress(head + b"".join(c.tobytes() for c in columns), _LEVEL, mtime=0)


def _coarse(splats: Splats) -> NDArray[np.uint8]:
    """[N, K - 1, 3] bytes of the higher harmonics: 5 bits of degree 1, 4 bits of the rest, which packs well."""
    step = np.where(np.arange(1, count(splats.degree)) < count(1), 8, 16).astype(np.float32)[:, None]
    return bytes_of(np.rint((splats.harmonics[:, 1:] + 1) * (128 / step)) * step)
