"""Conditions on measured values: ``f_score@1%>=0.9,psnr>=24``, and not being worse than before."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mvgen.core.errors import UsageError
from mvgen.core.metrics import lower_is_better

_CONDITION = re.compile(r"\s*([a-z_0-9.@%]+?)\s*(>=|<=|>|<)\s*([-+0-9.e]+)\s*(%?)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Requirement:
    """metric, sign (>=, <=, >, <) and limit."""

    metric: str
    sign: str
    limit: float

    def holds(self, value: float) -> bool:
        return {
            ">=": value >= self.limit,
            "<=": value <= self.limit,
            ">": value > self.limit,
            "<": value < self.limit,
        }[self.sign]


def parse_share(text: str) -> float:
    """``1%`` or ``0.01``. Raises ValueError."""
    number = text.strip()
    return float(number.removesuffix("%")) / 100 if number.endswith("%") else float(number)


def parse_requirements(text: str, known: Iterable[str]) -> list[Requirement]:
    """Conditions joined by commas; a limit may be a percentage. Raises UsageError, naming the nearest known metric."""
    known, out = list(known), []
    for part in filter(str.strip, text.split(",")):
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise UsageError(f"--require {part.strip()}: is not a condition", "write it as f_score@1%>=0.9")
        name, sign, number, percent = match.groups()
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.4)
            hint = f"did you mean {near[0]}?" if near else "known metrics: " + ", ".join(known)
            raise UsageError(f"--require {name}: no such metric", hint)
        try:
            out.append(Requirement(name, sign, float(number) / (100 if percent else 1)))
        except ValueError:
            raise UsageError(
                f"--require {part.strip()}: {number} is not a number", "write it as f_score@1%>=0.9"
            ) from None
    return out


def misses(requirements: Iterable[Requirement], values: Mapping[str, float | None]) -> list[str]:
    """One line for each requirement that does not hold; a value that could not be measured does not hold."""
    out = []
    for r in requirements:
        value = values.get(r.metric)
        if value is None:
            out.append(f"{r.metric} could not be measured, required {r.sign} {r.limit:g}")
        elif not r.holds(value):
            out.append(f"{r.metric} is {value:.4g}, required {r.sign} {r.limit:g}")
    return out


def regressions(
    baseline: Mapping[str, float | None], values: Mapping[str, float | None], tolerance: float
) -> list[str]:
    """One line for each value that is gone, or worse than the baseline's by more than ``tolerance`` of it."""
    out = []
    for name, old in baseline.items():
        if old is None:
            continue
        value = values.get(name)
        if value is None:
            out.append(f"{name} could not be measured, was {old:.4g}")
            continue
        worse = (value - old) if lower_is_better(name) else (old - value)
        if worse > tolerance * abs(old) + 1e-12:
            out.append(f"{name} is {value:.4g}, was {old:.4g} (tolerance {100 * tolerance:g} %)")
    return out
