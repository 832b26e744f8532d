"""``--set stage.name=value``: expert settings, checked against the dataclasses that hold them."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

from mvgen.commands.options import parse_count
from mvgen.core.errors import UsageError
from mvgen.core.limits import limits_of

T = TypeVar("T")

_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "none"}


def apply_settings(defaults: T, pairs: Iterable[str]) -> T:
    """A copy of the frozen dataclass ``defaults`` (of dataclasses) with each ``stage.name=value`` applied.

    Field types may be bool, int, float, str, Literal, ``X | None`` and tuples of these (``1,2,3``).
    Raises UsageError for an unknown name, with the nearest one that exists, or a value of the wrong type.
    """
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: has no value", "write it as stage.name=value")
        defaults = _replaced(defaults, name.strip().split("."), text.strip(), pair)
    return defaults


def setting_names(defaults: Any, prefix: str = "") -> list[str]:
    """Every name that ``--set`` knows, dotted."""
    names: list[str] = []
    for field in dataclasses.fields(defaults):
        value = getattr(defaults, field.name)
        if dataclasses.is_dataclass(value):
            names += setting_names(value, f"{prefix}{field.name}.")
        else:
            names.append(f"{prefix}{field.name}")
    return names


def _replaced(holder: T, path: list[str], text: str, pair: str, root: Any = None) -> T:
    root = holder if root is None else root
    types_of = typing.get_type_hints(type(holder))
    name, rest = path[0], path[1:]
    known = {field.name: field for field in dataclasses.fields(holder)}  # type: ignore[arg-type]
    value = getattr(holder, name) if name in known else None
    if name not in known or dataclasses.is_dataclass(value) != bool(rest):
        raise _unknown(root, pair)
    new = _replaced(value, rest, text, pair, root) if rest else _parsed(types_of[name], text, pair)
    _check_limits(known[name], new, pair)
    return dataclasses.replace(holder, **{name: new})  # type: ignore[type-var]


def _check_limits(field: dataclasses.Field[Any], value: Any, pair: str) -> None:
    low, high = limits_of(field)
    if isinstance(value, (int, float)) and not low <= value <= high:
        allowed = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise UsageError(f"--set {pair}: the value should be {allowed}", f"the default is {field.default}")


def _unknown(root: Any, pair: str) -> UsageError:
    names = setting_names(root)
    wanted = pair.partition("=")[0].strip()
    near = difflib.get_close_matches(wanted, names, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "known settings: " + ", ".join(names)
    return UsageError(f"--set {wanted}: no such setting", hint)


def _parsed(kind: Any, text: str, pair: str) -> Any:
    try:
        return _parse(kind, text)
    except ValueError:
        raise UsageError(
            f"--set {pair}: the value should be {_described(kind)}", "see the defaults in --help"
        ) from None


def _parse(kind: Any, text: str) -> Any:
    """``text`` as a value of the annotation ``kind``; raises ValueError."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if text.lower() == "none" and type(None) in arguments:
            return None
        return _parse(next(a for a in arguments if a is not type(None)), text)
    if origin is typing.Literal:
        return arguments[[str(a) for a in arguments].index(text)]
    if origin is tuple:
        return _parse_tuple(arguments, text.split(","))
    if kind is bool:
        return _TRUTH[text.lower()] if text.lower() in _TRUTH else _refuse()
    if kind is int:
        return parse_count(text)
    value = kind(text)
    return value if kind is not float or math.isfinite(value) else _refuse()


def _parse_tuple(kinds: tuple[Any, ...], texts: list[str]) -> tuple[Any, ...]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(texts)
    if len(kinds) != len(texts):
        _refuse()
    return tuple(_parse(kind, text.strip()) for kind, text in zip(kinds, texts))


def _refuse() -> NoReturn:
    raise ValueError


def _described(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return "one of " + ", ".join(str(a) for a in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_described(a) for a in arguments)
    if origin is tuple:
        return (
            "values with commas between them ("
            + ", ".join("..." if a is Ellipsis else _described(a) for a in arguments)
            + ")"
        )
    return _WORDS.get(kind, str(kind))
