""".splat: records of 32 bytes and nothing else; colours and rotations in bytes, no harmonics beyond degree 0."""

from __future__ import annotations

import numpy as np

from mvgen.core.errors import InputError
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.splats.coding import (
    EXPORT_AGAIN,
    bytes_of,
    colours_from_constant,
    constant_from_colours,
    joined,
    logits_from_bytes,
    sound,
)
from mvgen.core.splats.model import Splats

_RECORD = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("colour", "u1", 3), ("opacity", "u1"), ("turn", "u1", 4)])


def read_splat(data: bytes, name: str, warn: Warn = ignore) -> Splats:
    """In the frame "rdf". Raises InputError for a size that is no multiple of 32."""
    if not data or len(data) % _RECORD.itemsize:
        raise InputError(f"{name}: its {len(data)} bytes are no whole number of 32-byte splats", EXPORT_AGAIN)
    table = np.frombuffer(data, _RECORD)
    with np.errstate(all="ignore"):  # the logarithm of 0 is sound, that of less is left out
        log_scales = np.log(table["scale"])
    return sound(
        name,
        warn,
        "rdf",
        table["mean"],
        table["turn"].astype(np.float32) - 128,
        log_scales,
        logits_from_bytes(table["opacity"]),
        joined(constant_from_colours(table["colour"] / 255)),
    )


def splat_bytes(splats: Splats) -> bytes:
    """The largest and most opaque first, as viewers that load while they show expect it."""
    splats = splats.in_frame("rdf")
    splats = splats[splat_order(splats)]
    table = np.empty(len(splats), _RECORD)
    table["mean"], table["scale"] = splats.means, splats.scales
    table["colour"] = bytes_of(255 * colours_from_constant(splats.harmonics))
    table["opacity"] = bytes_of(255 * splats.opacities)
    table["turn"] = bytes_of(128 + 128 * splats.quaternions)
    return table.tobytes()


def splat_order(splats: Splats) -> np.ndarray:
    """[N] indices by falling volume times opacity."""
    return np.argsort(-splats.log_scales.sum(1) - np.log(splats.opacities + 1e-30), kind="stable")
