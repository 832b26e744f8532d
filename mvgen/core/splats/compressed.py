"""Compressed PLY of SuperSplat: 16 bytes a splat, relative to the ranges of chunks of 256, in the frame "rdf".

A splat is four words: mean (11, 10, 11 bits), rotation (index of the largest component, 3 x 10), scale (11, 10, 11),
colour and opacity (4 x 8). Harmonics above degree 0, where there are any, are bytes of -4 to 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.companions import Warn
from mvgen.core.io.ply import head_bytes
from mvgen.core.splats.coding import (
    EXPORT_AGAIN,
    bytes_of,
    colours_from_constant,
    constant_from_colours,
    from_three,
    joined,
    logits_from_bytes,
    render_mode,
    sound,
    to_three,
)
from mvgen.core.splats.harmonics import count
from mvgen.core.splats.model import Splats

CHUNK = 256
_SCALE_REACH = 20.0  # logarithms of scales beyond it are clipped
_SH_REACH = 4.0
_RANGES = {"mean": ("x", "y", "z"), "scale": ("scale_x", "scale_y", "scale_z"), "colour": ("r", "g", "b")}
_WORDS = ("packed_position", "packed_rotation", "packed_scale", "packed_color")


def unpacked(elements: dict[str, dict[str, Any]], name: str, warn: Warn, metadata: dict[str, Any]) -> Splats:
    """Splats of the elements of a compressed PLY file. Raises InputError where a column is missing or too short."""
    vertex, chunk, rest = (elements.get(key, {}) for key in ("vertex", "chunk", "sh"))
    words = [_column(vertex, key, name).astype(np.uint32) for key in _WORDS]
    size = len(words[0])
    chunks = -(-size // CHUNK)

    def placed(key: str, shares: NDArray[np.floating]) -> NDArray[np.float64]:
        """Shares [N, 3] of the ranges of the splats' chunks."""
        low, high = (
            np.stack([_column(chunk, f"{end}_{axis}", name) for axis in _RANGES[key]], axis=1).astype(np.float64)
            for end in ("min", "max")
        )
        if len(low) < chunks:
            raise InputError(f"{name}: has {len(low)} of the {chunks} chunks it should have", EXPORT_AGAIN)
        low, high = (np.repeat(end[:chunks], CHUNK, axis=0)[:size] for end in (low, high))
        return low + shares * (high - low)

    with np.errstate(all="ignore"):
        colour = _fields(words[3], (8, 8, 8, 8))
        rgb = colour[:, :3] / 255
        turn = _fields(words[1], (2, 10, 10, 10))
        return sound(
            name,
            warn,
            "rdf",
            placed("mean", _shares(words[0], (11, 10, 11))),
            from_three(turn[:, 0].astype(np.int64), (turn[:, 1:] / 1023 - 0.5) * 2**0.5),
            placed("scale", _shares(words[2], (11, 10, 11))),
            logits_from_bytes(colour[:, 3].astype(np.uint8)),
            joined(constant_from_colours(placed("colour", rgb) if "min_r" in chunk else rgb), _rest(rest, size, name)),
            metadata,
        )


def _column(element: dict[str, Any], key: str, name: str) -> NDArray[Any]:
    column = element.get(key)
    if not isinstance(column, np.ndarray) or column.ndim != 1:
        raise InputError(f"{name}: its compressed splats lack the column {key}", EXPORT_AGAIN)
    return column


def _rest(element: dict[str, Any], size: int, name: str) -> NDArray[np.float32] | None:
    """[N, K - 1, 3]"""
    degree = max(d for d in range(4) if d == 0 or f"f_rest_{3 * (count(d) - 1) - 1}" in element)
    if not degree:
        return None
    columns = [_column(element, f"f_rest_{i}", name) for i in range(3 * (count(degree) - 1))]
    if len(columns[0]) != size:
        raise InputError(f"{name}: has harmonics for {len(columns[0])} of its {size} splats", EXPORT_AGAIN)
    values = np.stack([np.clip(column, 0, 255).astype(np.uint8) for column in columns], axis=1)
    steps = (np.arange(256) + 0.5) / 256
    steps[[0, 255]] = 0, 1
    book = ((steps - 0.5) * 2 * _SH_REACH).astype(np.float32)
    return book[values.reshape(size, 3, -1).transpose(0, 2, 1)]


def _fields(words: NDArray[np.uint32], bits: tuple[int, ...]) -> NDArray[np.uint32]:
    """[N, len(bits)] numbers in words, the highest bits first."""
    ends = np.cumsum(bits[::-1])[::-1]
    return np.stack([words >> np.uint32(e - b) & np.uint32((1 << b) - 1) for e, b in zip(ends, bits)], axis=1)


def _shares(words: NDArray[np.uint32], bits: tuple[int, ...]) -> NDArray[np.float64]:
    return _fields(words, bits) / [(1 << b) - 1 for b in bits]


def _packed(shares: NDArray[np.floating], bits: tuple[int, ...]) -> NDArray[np.uint32]:
    """What `_fields` takes apart, of shares [N, len(bits)] in [0, 1]."""
    whole = np.rint(np.clip(shares, 0, 1) * [(1 << b) - 1 for b in bits]).astype(np.uint32)
    out = np.zeros(len(shares), np.uint32)
    for column, b in zip(whole.T, bits):
        out = out << np.uint32(b) | column
    return out


def compressed_bytes(splats: Splats) -> bytes:
    """A compressed PLY file; the splats in the order of `morton_order`, so that chunks are small."""
    splats = splats.in_frame("rdf")
    splats = splats[morton_order(splats.means)]
    ranges, words = [], {}
    largest, parts = to_three(splats.quaternions)
    colour = colours_from_constant(splats.harmonics)
    for key, word, values in (
        ("mean", "packed_position", splats.means.astype(np.float64)),
        ("scale", "packed_scale", np.clip(splats.log_scales, -_SCALE_REACH, _SCALE_REACH).astype(np.float64)),
        ("colour", "packed_color", colour),
    ):
        bounds, share = _within_chunks(values)
        ranges += [
            (f"{end}_{axis}", b[:, i]) for end, b in zip(("min", "max"), bounds) for i, axis in enumerate(_RANGES[key])
        ]
        bits = (11, 10, 11)
        if key == "colour":
            share, bits = np.column_stack([share, splats.opacities]), (8, 8, 8, 8)  # type: ignore[assignment]
        words[word] = _packed(share, bits)
    words["packed_rotation"] = largest.astype(np.uint32) << np.uint32(30) | _packed(parts / 2**0.5 + 0.5, (10, 10, 10))
    chunk = np.empty(len(ranges[0][1]), [(key, "<f4") for key, _ in ranges])
    for key, column in ranges:
        chunk[key] = column
    vertex = np.empty(len(splats), [(key, "<u4") for key in _WORDS])
    for key in _WORDS:
        vertex[key] = words[key]
    return _assembled(splats, chunk, vertex)


def _assembled(splats: Splats, chunk: NDArray[Any], vertex: NDArray[Any]) -> bytes:
    rest = splats.harmonics[:, 1:].transpose(0, 2, 1).reshape(len(splats), -1)
    lines = [f"element chunk {len(chunk)}", *(f"property float {key}" for key in chunk.dtype.names or ())]
    more = render_mode(splats)
    if rest.shape[1]:
        more += [f"element sh {len(rest)}", *(f"property uchar f_rest_{i}" for i in range(rest.shape[1]))]
    head = head_bytes(vertex, more, splats.metadata)
    before, mark, after = head.partition(b"element vertex")
    head = before + "\n".join([*lines, ""]).encode() + mark + after
    packed = bytes_of(np.floor((rest / (2 * _SH_REACH) + 0.5) * 256))
    return head + chunk.tobytes() + vertex.tobytes() + packed.tobytes()


def _within_chunks(
    values: NDArray[np.float64],
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float64]]:
    """The ranges [chunks, 3] of values [N, 3], and the values as shares of them."""
    starts = np.arange(0, len(values), CHUNK)
    low, high = (f.reduceat(values, starts, axis=0).astype(np.float32) for f in (np.minimum, np.maximum))
    first, last = (np.repeat(end.astype(np.float64), CHUNK, axis=0)[: len(values)] for end in (low, high))
    return (low, high), (values - first) / np.where(last > first, last - first, 1)


def morton_order(means: NDArray[np.floating]) -> NDArray[np.int64]:
    """[N] indices along a curve that winds through the bounding box (bits of the coordinates taken in turn)."""
    low = means.min(0).astype(np.float64)
    size = np.maximum(means.max(0) - low, 1e-300)
    cells = np.clip((means - low) / size * 1023, 0, 1023).astype(np.uint32)
    code = np.zeros(len(means), np.uint32)
    for bit in range(10):
        for axis in range(3):
            code |= (cells[:, axis] >> np.uint32(bit) & np.uint32(1)) << np.uint32(3 * bit + axis)
    return np.argsort(code, kind="stable")
