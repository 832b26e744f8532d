"""Splats made up for tests of edits: a limb, upright, with colours that change with the direction."""

from __future__ import annotations

import numpy as np

from mvgen.core.splats.fit.start import _facing
from mvgen.core.splats.model import Splats

LONG, RADIUS = 2.0, 0.25


def limb(count: int = 3000, seed: int = 0) -> Splats:
    """The surface of a capsule along y."""
    rng = np.random.default_rng(seed)
    around = rng.uniform(0, 2 * np.pi, count)
    height = rng.uniform(-LONG / 2 - RADIUS, LONG / 2 + RADIUS, count)
    middle = np.clip(height, -LONG / 2, LONG / 2)
    wide = np.sqrt(np.maximum(RADIUS**2 - (height - middle) ** 2, 0))
    places = np.stack([wide * np.cos(around), height, wide * np.sin(around)], 1)
    normals = (places - np.stack([0 * middle, middle, 0 * middle], 1)) / RADIUS
    size = 1.3 * np.sqrt(4 * np.pi * RADIUS * (LONG / 2 + RADIUS) / count)
    return Splats(
        places.astype(np.float32),
        _facing(normals).astype(np.float32),
        np.log(np.tile([size, size, 0.2 * size], (count, 1))).astype(np.float32),
        np.full(count, 3.0, np.float32),
        rng.normal(0, 0.1, (count, 16, 3)).astype(np.float32),
        "rub",
    )


def same_rows(first: Splats, second: Splats, rows: np.ndarray, others: np.ndarray | None = None) -> bool:
    """Whether rows of both are alike bit for bit; others: the rows of the second, where they have moved."""
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    names = ("means", "quaternions", "log_scales", "logits", "harmonics")
    others = rows if others is None else others
    return all(np.array_equal(getattr(first, n)[rows], getattr(second, n)[others]) for n in names)
