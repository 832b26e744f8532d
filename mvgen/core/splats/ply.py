"""3DGS PLY: one vertex a splat, columns by name, numbers before exponential and sigmoid, in the frame "rdf".

Files of 2D splats have two scales; gsgen's own have raw colours in place of harmonics, and z up.
Layout: Kerbl et al., "3D Gaussian Splatting for Real-Time Radiance Field Rendering" (2023), files of its authors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.companions import Warn, ignore, shown
from mvgen.core.io.ply import head_bytes, read_elements
from mvgen.core.splats import compressed
from mvgen.core.splats.coding import constant_from_colours, joined, render_mode, sound
from mvgen.core.splats.harmonics import MOST_DEGREE, count
from mvgen.core.splats.model import Splats

_MEAN, _NORMAL = ("x", "y", "z"), ("nx", "ny", "nz")
_CONSTANT, _RAW = ("f_dc_0", "f_dc_1", "f_dc_2"), ("red", "green", "blue")
_SCALE, _TURN = ("scale_0", "scale_1", "scale_2"), ("rot_0", "rot_1", "rot_2", "rot_3")
_NEEDED = (*_MEAN, "opacity", "scale_0", "scale_1", *_TURN)
_FLAT = float(np.log(1e-6))  # logarithm of the third scale of a splat without one
_BLOCK = 1 << 14  # rows whose columns are gathered together, small enough for a cache


def holds_splats(columns: list[str]) -> bool:
    """Whether a PLY file's vertices with these columns are splats, plain or compressed."""
    plain = {"opacity", "scale_0", "rot_0"} <= set(columns) and bool({"f_dc_0", "red"} & set(columns))
    return plain or "packed_position" in columns


def read_ply(data: bytes, name: str, warn: Warn = ignore) -> Splats:
    """Splats of a PLY file of any of these kinds. ``warn`` is told of columns that are not known.

    Raises InputError for a file that is not sound, or holds something else.
    """
    elements, comments, metadata = read_elements(data, name)
    metadata = dict(metadata)
    if any(text.split() in (["SplatRenderMode:", "mip"], ["antialiased", "1"]) for text in comments):
        metadata["antialiased"] = True
    vertex = {key: column for key, column in elements.get("vertex", {}).items() if np.ndim(column) == 1}
    if "packed_position" in vertex:
        return compressed.unpacked(elements, name, warn, metadata)
    missing = [key for key in _NEEDED if key not in vertex]
    raw = not set(_CONSTANT) <= vertex.keys()
    if missing or (raw and not set(_RAW) <= vertex.keys()):
        raise InputError(
            f"{name}: holds no splats (no column {(*missing, 'f_dc_0')[0]})", "give a PLY file of Gaussian splats"
        )
    rest = _rest_columns(vertex)
    _tell_unused(
        [c for c in vertex if c not in {*_NEEDED, *_NORMAL, *_SCALE, *(_RAW if raw else _CONSTANT), *rest}], name, warn
    )
    scales = _table(vertex, _SCALE[: 3 if "scale_2" in vertex else 2])
    if scales.shape[1] == 2:
        scales = np.column_stack([scales, np.full(len(scales), _FLAT)])
    if raw:  # of gsgen: the sigmoid of a colour was left to be done
        constant = constant_from_colours(0.5 + 0.5 * np.tanh(0.5 / 255 * _table(vertex, _RAW)))
    return sound(
        name,
        warn,
        "rfu" if raw else "rdf",
        _table(vertex, _MEAN),
        _table(vertex, _TURN),
        scales,
        _table(vertex, ("opacity",))[:, 0],
        joined(constant) if raw else _harmonics(vertex, rest),
        metadata,
    )


def _rest_columns(vertex: dict[str, Any]) -> list[str]:
    """f_rest_0, f_rest_1 ... without a gap, as many as make whole triples."""
    number = 0
    while f"f_rest_{number}" in vertex:
        number += 1
    return [f"f_rest_{i}" for i in range(number // 3 * 3)]


def _harmonics(vertex: dict[str, Any], rest: list[str]) -> NDArray[np.float32]:
    """[N, K, 3]: the columns hold the coefficients of red, then of green, then of blue; a degree that is not whole is
    filled with zeros."""
    each = len(rest) // 3
    held = min(each, count(MOST_DEGREE) - 1)
    whole = next(count(d) for d in range(MOST_DEGREE + 1) if count(d) - 1 >= held)
    wanted = list(_CONSTANT) + [rest[c * each + k] for k in range(held) for c in range(3)]
    out = np.zeros((len(vertex["x"]), 3 * whole), np.float32)
    _table(vertex, wanted, out)
    return out.reshape(-1, whole, 3)


def _table(
    vertex: dict[str, Any], names: tuple[str, ...] | list[str], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """[N, len(names)] of columns, in the first columns of ``out`` where it is given."""
    rows = len(vertex[names[0]])
    out = np.empty((rows, len(names)), np.float32) if out is None else out
    with np.errstate(all="ignore"):
        for start in range(0, rows, _BLOCK):
            block = slice(start, start + _BLOCK)
            for i, key in enumerate(names):
                out[block, i] = vertex[key][block]
    return out


def _tell_unused(columns: list[str], name: str, warn: Warn) -> None:
    if columns:
        more = f" and {len(columns) - 8} more" if len(columns) > 8 else ""
        warn(f"{name}: left out: {', '.join(map(shown, columns[:8]))}{more}")


def ply_bytes(splats: Splats) -> bytes:
    """As the reference implementation of 3DGS writes them, with normals of 0; metadata in a comment."""
    splats = splats.in_frame("rdf")
    rest = [f"f_rest_{i}" for i in range(3 * (count(splats.degree) - 1))]
    names = [*_MEAN, *_NORMAL, *_CONSTANT, *rest, "opacity", *_SCALE, *_TURN]
    parts: list[NDArray[np.float32]] = [
        splats.means,
        np.zeros((len(splats), 3), np.float32),
        splats.harmonics[:, 0],
        splats.harmonics[:, 1:].transpose(0, 2, 1).reshape(len(splats), -1),
        splats.logits[:, None],
        splats.log_scales,
        splats.quaternions,
    ]
    rows = np.ascontiguousarray(np.concatenate(parts, axis=1), "<f4")
    vertex = rows.view(np.dtype([(key, "<f4") for key in names]))[:, 0]
    return head_bytes(vertex, render_mode(splats), splats.metadata) + rows.tobytes()
