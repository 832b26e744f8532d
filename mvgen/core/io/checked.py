"""JSON files of a few known objects, whose values are checked one by one before anything is done with them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mvgen.core.errors import InputError

LARGEST_FILE = 1 << 24
MOST = 10_000_000  # of a whole number

Check = Callable[[Any], Any]


class Bad(ValueError):
    """A value that is not as it should be."""


def numbers(count: int) -> Check:
    """A check of a list of so many numbers, which become a tuple."""

    def read(value: Any) -> tuple[float, ...]:
        if not isinstance(value, (list, tuple)) or len(value) != count:
            raise Bad(f"should be {count} numbers")
        return tuple(map(number, value))

    return read


def number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e30:
        raise Bad("should be a number")
    return float(value)


def positive(value: Any) -> float:
    if not number(value) > 1e-12:
        raise Bad("should be a number above 0")
    return float(value)


def whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
        raise Bad("should be a whole number of at least 1")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise Bad("should be text")
    return value


def one_of(*choices: str) -> Check:
    """A check of a text that is one of a few."""

    def read(value: Any) -> str:
        if value not in choices:
            raise Bad("should be one of " + ", ".join(choices))
        return str(value)

    return read


def load_json(path: Path, what: str, hint: str) -> Any:
    """What a JSON file holds. Raises InputError, in which ``what`` it should be, for one that is missing or damaged."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise InputError(f"{path}: is too large for a {what}")
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "check the name and the current folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no {what} ({error})", hint) from error


def from_fields(
    kind: type[Any], given: Any, at: str, checks: Mapping[str, Check], read: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    """A dataclass from the values of a JSON object, each checked; null is none where that is the default.

    at: where the object stands, for messages; read: values that have been read already. Raises InputError.
    """
    if not isinstance(given, dict):
        raise InputError(f"{at}: should be an object with names and values")
    known = {f.name: f for f in fields(kind)}
    strange = [key for key in (*given, *read) if key not in known]
    if strange:
        raise InputError(f"{at}: {strange[0][:40]} is not known", "it has " + ", ".join(known))
    values = dict(read)
    for key, value in given.items():
        try:
            values[key] = None if value is None and known[key].default is None else checks[key](value)
        except Bad as error:
            raise InputError(f"{at}: {key}: {error}") from error
    try:
        return kind(**values)
    except TypeError:
        required = [f.name for f in fields(kind) if f.default is dataclasses.MISSING and f.name not in values]
        raise InputError(f"{at}: {', '.join(required)} is missing") from None


def plain(value: Any) -> Any:
    """Dataclasses as objects without what is None, tuples as lists, whole floats as integers."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(v) for f in fields(value) if (v := getattr(value, f.name)) is not None}
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
