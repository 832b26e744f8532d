"""Bounds of settings, kept beside their defaults so that whoever sets one can be told."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

_KEY = "limits"


def between(default: float, low: float, high: float = math.inf) -> Any:
    """A dataclass field with a default whose values should lie from low to high."""
    return dataclasses.field(default=default, metadata={_KEY: (low, high)})


def limits_of(field: dataclasses.Field[Any]) -> tuple[float, float]:
    """(low, high) of a field; infinite where it has none."""
    low, high = field.metadata.get(_KEY, (-math.inf, math.inf))
    return low, high
