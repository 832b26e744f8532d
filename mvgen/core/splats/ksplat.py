""".ksplat of GaussianSplats3D: sections of records, exact (level 0) or relative to buckets (levels 1 and 2); read only.

The file header is 4096 bytes, that of a section 1024. In the frame "rdf".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.splats.coding import EXPORT_AGAIN, constant_from_colours, joined, logits_from_bytes, sound
from mvgen.core.splats.harmonics import count
from mvgen.core.splats.model import Splats, merged

_HEAD, _SECTION_HEAD = 4096, 1024
_RANGES = (1, 32767, 32767)  # of centres, where a section does not tell


@dataclass(frozen=True)
class _Section:
    splats: int
    room: int  # splats it has bytes for
    bucket_size: int
    buckets: int
    block: float
    bucket_bytes: int
    reach: int
    full: int
    partial: int
    degree: int

    @property
    def lead(self) -> int:
        """Bytes before the records: lengths of partial buckets, then centres."""
        return 4 * self.partial + self.bucket_bytes * self.buckets


def read_ksplat(data: bytes, name: str, warn: Warn = ignore) -> Splats:
    """In the frame "rdf". Raises InputError for a file that is damaged or of an unknown version."""
    if len(data) < _HEAD or data[0] != 0 or data[1] < 1:
        raise InputError(f"{name}: is not a .ksplat file of version 0.1", EXPORT_AGAIN)
    most, _, _, _ = struct.unpack_from("<4I", data, 4)
    level = struct.unpack_from("<H", data, 20)[0]
    low, high = struct.unpack_from("<2f", data, 36)
    start = _HEAD + most * _SECTION_HEAD
    if level > 2 or start > len(data):
        raise InputError(f"{name}: its header claims level {level} and {most} sections", EXPORT_AGAIN)
    parts = []
    for index in range(most):
        section = _section(data, _HEAD + index * _SECTION_HEAD, level)
        if section.degree > 3:
            raise InputError(f"{name}: a section claims harmonics of degree {section.degree}", EXPORT_AGAIN)
        record = _record(level, section.degree)
        end = start + section.lead + section.room * record.itemsize
        if section.splats > section.room or end > len(data):
            raise InputError(f"{name}: ends before the {section.splats} splats of a section", EXPORT_AGAIN)
        if section.splats:
            table = np.frombuffer(data, record, section.splats, start + section.lead)
            means = table["mean"] if level == 0 else _means(table["mean"], section, data, start, name)
            rest = _rest(table, level, section.degree, low or -1.5, high or 1.5)
            parts.append(_splats(table, means, rest, name, warn))
        start = end
    if not parts:
        raise InputError(f"{name}: holds no splats", EXPORT_AGAIN)
    return merged(parts)


def _section(data: bytes, at: int, level: int) -> _Section:
    splats, room, bucket_size, buckets, block, bucket_bytes = struct.unpack_from("<4IfH", data, at)
    (reach,) = struct.unpack_from("<I", data, at + 24)
    full, partial, degree = struct.unpack_from("<IIH", data, at + 32)
    return _Section(
        splats, room, bucket_size, buckets, block, bucket_bytes, reach or _RANGES[level], full, partial, degree
    )


def _record(level: int, degree: int) -> np.dtype[np.void]:
    real, centre = ("<f4", "<f4") if level == 0 else ("<f2", "<u2")
    rest = ("<f4", "<f2", "u1")[level]
    columns = [("mean", centre, 3), ("scale", real, 3), ("turn", real, 4), ("colour", "u1", 3), ("opacity", "u1")]
    return np.dtype([*columns, ("rest", rest, (3 * (count(degree) - 1),))])


def _means(fixed: NDArray[np.uint16], section: _Section, data: bytes, start: int, name: str) -> NDArray[np.float64]:
    """Of whole numbers around the centres of buckets: full ones first, then partial ones of given lengths."""
    rows = np.arange(section.splats)
    lengths = np.frombuffer(data, "<u4", section.partial, start).astype(np.int64)
    first = min(section.full * section.bucket_size, section.splats)
    ends = first + np.cumsum(lengths)
    bucket = np.where(
        rows < first, rows // max(section.bucket_size, 1), section.full + np.searchsorted(ends, rows, side="right")
    )
    if section.bucket_bytes < 12 or bucket.max() >= section.buckets:
        raise InputError(f"{name}: splats lie in buckets that do not exist", EXPORT_AGAIN)
    centres = np.ndarray(
        (section.buckets, 3), "<f4", data, start + 4 * section.partial, (section.bucket_bytes, 4)
    ).astype(np.float64)
    factor = section.block / 2 / section.reach
    with np.errstate(all="ignore"):
        return (fixed.astype(np.float64) - section.reach) * factor + centres[bucket]


def _rest(table: NDArray[np.void], level: int, degree: int, low: float, high: float) -> NDArray[np.float32] | None:
    """[N, K - 1, 3] of values that stand band by band, in each by channel."""
    if not degree:
        return None
    with np.errstate(all="ignore"):
        values = table["rest"].astype(np.float32)
        if level == 2:
            values = (low + values / 255 * (high - low)).astype(np.float32)
    bands, at = [], 0
    for band in range(1, degree + 1):
        width = 2 * band + 1
        bands.append(values[:, at : at + 3 * width].reshape(-1, 3, width).transpose(0, 2, 1))
        at += 3 * width
    return np.concatenate(bands, axis=1)


def _splats(
    table: NDArray[np.void], means: NDArray[np.floating], rest: NDArray[np.float32] | None, name: str, warn: Warn
) -> Splats:
    with np.errstate(all="ignore"):
        log_scales = np.log(table["scale"].astype(np.float32))
    return sound(
        name,
        warn,
        "rdf",
        means,
        table["turn"],
        log_scales,
        logits_from_bytes(table["opacity"]),
        joined(constant_from_colours(table["colour"] / 255), rest),
    )
