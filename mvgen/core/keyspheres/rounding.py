"""Choosing the steps of a network's weights for a size, and learning on with rounded weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.keyspheres.payload import PER_OCTAVE, Packed, pack_rounded, rows_of, steps_of

_FINEST, _COARSEST = -24 * PER_OCTAVE, 4 * PER_OCTAVE


@dataclass(frozen=True, eq=False)
class Rounding:
    """exponents [R] of the rows' steps, and the steps [P] of the weights."""

    exponents: NDArray[np.int64]
    steps: NDArray[np.float32]

    def integers(self, theta: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.rint(theta.astype(np.float64) / self.steps).astype(np.int64)

    def payload(self, packed: Packed, theta: NDArray[np.float32]) -> bytes:
        return pack_rounded(packed, self.integers(theta), self.exponents)


def choose_rounding(
    packed: Packed, theta: NDArray[np.float32], sensitivity: NDArray[np.float64], size: int
) -> Rounding:
    """The finest steps for at most ``size`` bytes.

    Steps of rows are in inverse proportion to the root mean square of the output's change with their weights,
    ``sensitivity`` [P]: the same bits then cost the same error everywhere. Raises CannotError for a size too small.
    """
    rows = rows_of(packed.network.sizes)
    power = np.bincount(rows, sensitivity**2) / np.bincount(rows)
    relative = -0.5 * np.log2(np.maximum(power, power.max() * 1e-9) / np.median(power))
    shape = np.rint(PER_OCTAVE * relative).astype(np.int64)

    def fits(level: int) -> bool:
        return len(_at(packed, shape, level).payload(packed, theta)) <= size

    level = _first(fits, _FINEST, _COARSEST)
    if level is None:
        raise CannotError(
            f"{size} bytes are too few for this network", "allow more bytes, or give --width and --layers"
        )
    return _at(packed, shape, level)


def coarser(packed: Packed, rounding: Rounding, by: int = 1) -> Rounding:
    """All steps larger by so many eighths of an octave."""
    return _at(packed, rounding.exponents, by)


def _at(packed: Packed, shape: NDArray[np.int64], level: int) -> Rounding:
    exponents = (shape + level).clip(_FINEST, _COARSEST)
    return Rounding(exponents, steps_of(exponents, packed.network.sizes))


def _first(true: Callable[[int], bool], low: int, high: int) -> int | None:
    """The least number from low to high for which a rising condition is true."""
    if not true(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if true(middle) else (middle + 1, high)
    return low
