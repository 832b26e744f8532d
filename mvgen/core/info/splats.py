"""Facts about Gaussian splats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mvgen.core.info.describe import Facts
from mvgen.core.splats.files import load_splats
from mvgen.core.splats.seen import up_name

_WORDS = {"r": "right", "l": "left", "u": "up", "d": "down", "f": "forward", "b": "back"}


def describe_splats(path: Path) -> Facts:
    """Lengths and places are those of the file, in its own frame. Raises InputError."""
    notes: list[str] = []
    splats = load_splats(path, notes.append, frame=None)
    low, high = splats.bounds
    values: dict[str, Any] = {
        "splats": len(splats),
        "degree": splats.degree,
        **{"lowest": low, "highest": high, "size": high - low, "diagonal": splats.diagonal},
        "scale": float(np.median(splats.scales)),
        "opacity": float(np.median(splats.opacities)),
        "antialiased": splats.metadata.get("antialiased") is True,
        "axes": ", ".join(f"{axis} {_WORDS[letter]}" for axis, letter in zip("xyz", splats.frame)),
        "up": up_name(splats),
    }
    rest = {key: value for key, value in splats.metadata.items() if key != "antialiased"}
    if rest:
        values["metadata"] = rest
    kind = "SOG" if path.is_dir() else path.suffix.lstrip(".").upper()
    summary = f"{len(splats)} splats, spherical harmonics of degree {splats.degree}"
    return Facts("splats", kind, summary, values, tuple(text.removeprefix(f"{path}: ") for text in notes))
