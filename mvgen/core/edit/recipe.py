"""Recipes: the steps of an edit as plain data, in JSON files that can be replayed on other shapes.

{"recipe": "mvgen edit", "version": 1, "steps": [{"operation": "rotate", "axis": "x", "degrees": 90, "about": null,
"region": {"sphere": [0, 1, 0, 0.5]}}, ...]}
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.units import axis as unit_vector
from mvgen.core.units import turn

KIND, VERSION = "mvgen edit", 1
Three = tuple[float, float, float]
Axis = Literal["x", "y", "z"]
_LARGEST_FILE = 1 << 24
_MOST_ITERATIONS = 10_000_000


class _Bad(ValueError):
    """A value of a recipe that is not as it should be."""


def _numbers(count: int) -> Callable[[Any], tuple[float, ...]]:
    def read(value: Any) -> tuple[float, ...]:
        if not isinstance(value, (list, tuple)) or len(value) != count:
            raise _Bad(f"should be {count} numbers")
        return tuple(map(_number, value))

    return read


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e30:
        raise _Bad("should be a number")
    return float(value)


def _positive(value: Any) -> float:
    if not _number(value) > 1e-12:
        raise _Bad("should be a number above 0")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_ITERATIONS:
        raise _Bad("should be a whole number of at least 1")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _Bad("should be text")
    return value


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise _Bad("should be one of " + ", ".join(choices))
        return str(value)

    return read


# how the value of each field of a step is checked; None is one where it is the default
_axis = _one_of("x", "y", "z")
_CHECKS: dict[str, Callable[[Any], Any]] = {
    **{"file": _text, "sha256": _text, "part": _text, "scene": _text},
    **{"source": _numbers(3), "target": _numbers(3), "about": _numbers(3), "shift": _numbers(3)},
    **{"colour": _numbers(3), "matrix": _numbers(16), "radius": _positive, "factor": _positive},
    **{"axis": _axis, "by": _axis, "degrees": _number, "amount": _number},
    **{"mode": _one_of("rigid", "deform"), "iterations": _whole, "size": _whole},
}


@dataclass(frozen=True)
class FileReference:
    """A file by its name and the SHA-256 of its bytes, so that a replay notices another one; part: of a region file
    that has several, the one that is meant."""

    file: str
    sha256: str | None = None
    part: str | None = None


@dataclass(frozen=True)
class Where:
    """What a step works on: a region file, or what lies in a sphere (centre, radius) or a box (lowest, highest)."""

    region: FileReference | None = None
    sphere: tuple[float, float, float, float] | None = None
    box: tuple[float, float, float, float, float, float] | None = None


@dataclass(frozen=True)
class Handle:
    """source: what is taken hold of; target: where it goes; radius: how far around the source, or None."""

    source: Three
    target: Three
    radius: float | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation. region: what it works on; None: what is selected, which is everything at first, and what was
    added or duplicated thereafter."""

    region: Where | None = None


@dataclass(frozen=True, kw_only=True)
class Select(Step):
    """Nothing is changed; later steps work on the region."""


@dataclass(frozen=True, kw_only=True)
class Remove(Step):
    """The selected are dropped."""


@dataclass(frozen=True, kw_only=True)
class Keep(Step):
    """All but the selected are dropped."""


@dataclass(frozen=True, kw_only=True)
class Duplicate(Step):
    """Copies of the selected, which are selected then."""


@dataclass(frozen=True, kw_only=True)
class Add(Step):
    """Splats of another file, moved by an affine map, are put behind the others and selected. A region of the result
    says where among the others they belong instead."""

    file: FileReference
    matrix: tuple[float, ...] = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Affine(Step):
    """x' = linear (x - about) + about + shift; about: the mean of the selected, unless given."""

    about: Three | None = None

    @property
    def linear(self) -> NDArray[np.float64]:
        """[3, 3]"""
        return np.eye(3)

    def matrix(self, middle: NDArray[np.float64]) -> NDArray[np.float64]:
        """[4, 4], for things whose mean is ``middle`` [3]."""
        about = np.array(middle if self.about is None else self.about)
        out = np.eye(4)
        out[:3, :3] = self.linear
        out[:3, 3] = about - self.linear @ about
        return out


@dataclass(frozen=True, kw_only=True)
class Rotate(Affine):
    """Counter-clockwise, seen from the axis' tip."""

    axis: Axis
    degrees: float

    @property
    def linear(self) -> NDArray[np.float64]:
        return turn(self.axis, self.degrees)


@dataclass(frozen=True, kw_only=True)
class Translate(Affine):
    shift: Three

    def matrix(self, middle: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.eye(4)
        out[:3, 3] = self.shift
        return out


@dataclass(frozen=True, kw_only=True)
class Scale(Affine):
    factor: float

    @property
    def linear(self) -> NDArray[np.float64]:
        return self.factor * np.eye(3)


@dataclass(frozen=True, kw_only=True)
class Stretch(Affine):
    """Longer, or shorter, along one axis."""

    axis: Axis
    factor: float

    @property
    def linear(self) -> NDArray[np.float64]:
        return np.eye(3) + (self.factor - 1) * np.diag(unit_vector(self.axis))


@dataclass(frozen=True, kw_only=True)
class Shear(Affine):
    """Along one axis, by an amount times the place along another."""

    axis: Axis
    by: Axis
    amount: float

    @property
    def linear(self) -> NDArray[np.float64]:
        return np.eye(3) + self.amount * np.outer(unit_vector(self.axis), unit_vector(self.by))


@dataclass(frozen=True, kw_only=True)
class Mirror(Affine):
    """At a plane at right angles to an axis."""

    axis: Axis

    @property
    def linear(self) -> NDArray[np.float64]:
        return np.eye(3) - 2 * np.diag(unit_vector(self.axis))


@dataclass(frozen=True, kw_only=True)
class Recolor(Step):
    """The mean colour becomes another, sRGB in [0, 1]; differences from it stay."""

    colour: Three


@dataclass(frozen=True, kw_only=True)
class Refit(Step):
    """Steps of a fit to the photos of a scene, for what the region selects, or what the steps before have changed."""

    scene: str
    iterations: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Drag(Step):
    """Parts are dragged, all at once. mode: "rigid": what is within the radius moves as one body; "deform": it is
    stretched like plasticine. With a scene, each step of a fit to its photos drags a little."""

    mode: str
    handles: tuple[Handle, ...] = ()
    scene: str | None = None
    iterations: int | None = None
    size: int | None = None


_STEPS = (
    Select, Remove, Keep, Duplicate, Add, Rotate, Translate, Scale, Stretch, Shear, Mirror, Recolor, Refit, Drag
)  # fmt: skip
OPERATIONS: dict[str, type[Step]] = {step.__name__.lower(): step for step in _STEPS}


@dataclass(frozen=True)
class Recipe:
    steps: tuple[Step, ...]


def reference(path: Path, name: str | None = None, part: str | None = None) -> FileReference:
    """Of a file as it is now, under the name that a person gave it."""
    digest = None if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    return FileReference(name or str(path), digest, part)


def recipe_text(recipe: Recipe) -> str:
    """JSON, a line for each step."""
    steps = ",\n    ".join(json.dumps(_plain_step(step)) for step in recipe.steps)
    return f'{{\n  "recipe": "{KIND}",\n  "version": {VERSION},\n  "steps": [\n    {steps}\n  ]\n}}\n'


def load_recipe(path: Path) -> Recipe:
    """Raises InputError for a file that is missing, damaged, of a later version, or has steps that are not known."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise InputError(f"{path}: is too large for a recipe")
        tree = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "check the name and the current folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no recipe ({error})", "give a file that mvgen edit wrote") from error
    if not isinstance(tree, dict) or tree.get("recipe") != KIND or not isinstance(tree.get("steps"), list):
        raise InputError(f"{path}: is no recipe of mvgen edit", "give a file that mvgen edit wrote")
    if tree.get("version") != VERSION:
        raise InputError(f"{path}: is a recipe of version {tree.get('version')}", f"this mvgen reads version {VERSION}")
    return Recipe(tuple(_step(value, f"{path}: step {i + 1}") for i, value in enumerate(tree["steps"])))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _plain_step(step: Step) -> dict[str, Any]:
    return {"operation": type(step).__name__.lower()} | _plain(step)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(v) for f in fields(value) if (v := getattr(value, f.name)) is not None}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def _step(value: Any, at: str) -> Step:
    if not isinstance(value, dict) or value.get("operation") not in OPERATIONS:
        shown = str(value.get("operation"))[:40] if isinstance(value, dict) else "this"
        raise InputError(f"{at}: {shown} is no operation", "operations: " + ", ".join(OPERATIONS))
    given = {key: v for key, v in value.items() if key != "operation"}
    special: dict[str, Callable[[Any, str], Any]] = {"region": _where, "handles": _handles, "file": _file}
    read = {key: special[key](given.pop(key), f"{at}: {key}") for key in list(given) if key in special}
    found = _fields(OPERATIONS[value["operation"]], given, at, read)
    if isinstance(found, Drag) and not found.handles:
        raise InputError(f"{at}: has no handles", 'write {"source": [0, 0, 0], "target": [0, 1, 0]}')
    if isinstance(found, Shear) and found.axis == found.by:
        raise InputError(f"{at}: shears along {found.axis} by {found.by}", "use two axes, or stretch")
    if isinstance(found, Add) and not _invertible(found.matrix):
        raise InputError(f"{at}: its matrix flattens everything, or its last row is not 0 0 0 1", "give an affine map")
    return found


def _invertible(matrix: tuple[float, ...]) -> bool:
    rows = np.array(matrix).reshape(4, 4)
    return bool(np.array_equal(rows[3], [0, 0, 0, 1]) and math.isfinite(d := np.linalg.det(rows)) and abs(d) > 1e-30)


def _where(value: Any, at: str) -> Where | None:
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) != 1 or not set(value) <= {"region", "sphere", "box"}:
        raise InputError(f"{at}: should be one of region, sphere, box", '{"sphere": [0, 1, 0, 0.5]}')
    try:
        if "sphere" in value:
            x, y, z, r = _numbers(4)(value["sphere"])
            return Where(sphere=(x, y, z, _positive(r)))
        if "box" in value:
            low_x, low_y, low_z, high_x, high_y, high_z = _numbers(6)(value["box"])
            return Where(box=(low_x, low_y, low_z, high_x, high_y, high_z))
    except _Bad as error:
        raise InputError(f"{at}: {error}") from error
    return Where(_file(value["region"], at))


def _handles(value: Any, at: str) -> tuple[Handle, ...]:
    if not isinstance(value, list):
        raise InputError(f"{at}: should be a list")
    return tuple(_fields(Handle, v, f"{at}: {i + 1}", {}) for i, v in enumerate(value))


def _file(value: Any, at: str) -> FileReference:
    found: FileReference = _fields(FileReference, value, at, {})
    return found


def _fields(kind: type[Any], given: Any, at: str, read: dict[str, Any]) -> Any:
    """A dataclass from the values of a JSON object, each checked; ``read`` are those that have been read."""
    if not isinstance(given, dict):
        raise InputError(f"{at}: should be an object with names and values")
    known = {f.name: f for f in fields(kind)}
    strange = [key for key in (*given, *read) if key not in known]
    if strange:
        raise InputError(f"{at}: {strange[0][:40]} is not known", "it has " + ", ".join(known))
    values = dict(read)
    for key, value in given.items():
        try:
            values[key] = None if value is None and known[key].default is None else _CHECKS[key](value)
        except _Bad as error:
            raise InputError(f"{at}: {key}: {error}") from error
    try:
        return kind(**values)
    except TypeError:
        required = [f.name for f in fields(kind) if f.default is dataclasses.MISSING and f.name not in values]
        raise InputError(f"{at}: {', '.join(required)} is missing") from None
