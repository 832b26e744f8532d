"""Recipes: the steps of an edit as plain data, in JSON files that can be replayed on other shapes.

{"recipe": "mvgen edit", "version": 1, "steps": [{"operation": "rotate", "axis": "x", "degrees": 90, "about": null,
"region": {"sphere": [0, 1, 0, 0.5]}}, ...]}
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.checked import (
    Bad,
    Check,
    from_fields,
    load_json,
    number,
    numbers,
    one_of,
    plain,
    positive,
    text,
    whole,
)
from mvgen.core.units import axis as unit_vector
from mvgen.core.units import turn

KIND, VERSION = "mvgen edit", 1
Three = tuple[float, float, float]
Axis = Literal["x", "y", "z"]


def _maybe(value: Any) -> str:
    return "" if value == "" else str(text(value))


def _share(value: Any) -> float:
    if not positive(value) <= 1:
        raise Bad("should be above 0 and at most 1")
    return float(value)


# how the value of each field of a step is checked; None is one where it is the default
_axis = one_of("x", "y", "z")
_CHECKS: dict[str, Check] = {
    **{"file": text, "sha256": text, "part": text, "scene": text},
    **{"source": numbers(3), "target": numbers(3), "about": numbers(3), "shift": numbers(3)},
    **{"colour": numbers(3), "matrix": numbers(16), "radius": positive, "factor": positive},
    **{"axis": _axis, "by": _axis, "degrees": number, "amount": number},
    **{"mode": one_of("rigid", "deform"), "iterations": whole, "size": whole},
    **{"prompt": text, "negative": _maybe, "weights": text, "scale": positive, "strength": _share},
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
class Guidance:
    """What a diffusion model should see, by score distillation.

    prompt: in words, and negative: what should not be seen; views: a file of orbits, some with prompts of their own, in
    place of a view near what is edited; weights: the model's name or folder, None: the best one on the machine; scale:
    of classifier-free guidance; strength: the most noise, 1 allows for any change.
    """

    prompt: str | None = None
    negative: str = ""
    views: FileReference | None = None
    weights: str | None = None
    scale: float = 100.0
    strength: float = 0.98


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
    """Steps of a fit to the photos of a scene, for what the region selects, or what the steps before have changed or
    laid open."""

    scene: str
    iterations: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Imagine(Step):
    """Steps towards what a prompt says, for what the region selects, or what the steps before have changed or laid
    open, or for what is selected where they have not."""

    guidance: Guidance
    iterations: int


@dataclass(frozen=True, kw_only=True)
class Drag(Step):
    """Parts are dragged, all at once. mode: "rigid": what is within the radius moves as one body; "deform": it is
    stretched like plasticine. With a scene or guidance, each step of a fit to its photos, or towards what the prompt
    says, drags a little."""

    mode: str
    handles: tuple[Handle, ...] = ()
    scene: str | None = None
    iterations: int | None = None
    size: int | None = None
    guidance: Guidance | None = None


_STEPS = (
    Select, Remove, Keep, Duplicate, Add, Rotate, Translate, Scale, Stretch, Shear, Mirror, Recolor, Refit, Imagine,
    Drag,
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
    tree = load_json(path, "recipe", "give a file that mvgen edit wrote")
    if not isinstance(tree, dict) or tree.get("recipe") != KIND or not isinstance(tree.get("steps"), list):
        raise InputError(f"{path}: is no recipe of mvgen edit", "give a file that mvgen edit wrote")
    if tree.get("version") != VERSION:
        raise InputError(f"{path}: is a recipe of version {tree.get('version')}", f"this mvgen reads version {VERSION}")
    return Recipe(tuple(_step(value, f"{path}: step {i + 1}") for i, value in enumerate(tree["steps"])))


def _plain_step(step: Step) -> dict[str, Any]:
    return {"operation": type(step).__name__.lower()} | plain(step)


def _step(value: Any, at: str) -> Step:
    if not isinstance(value, dict) or value.get("operation") not in OPERATIONS:
        shown = str(value.get("operation"))[:40] if isinstance(value, dict) else "this"
        raise InputError(f"{at}: {shown} is no operation", "operations: " + ", ".join(OPERATIONS))
    given = {key: v for key, v in value.items() if key != "operation"}
    special: dict[str, Callable[[Any, str], Any]] = {"region": _where, "handles": _handles, "file": _file}
    special["guidance"] = _guidance
    read = {key: special[key](given.pop(key), f"{at}: {key}") for key in list(given) if key in special}
    found = from_fields(OPERATIONS[value["operation"]], given, at, _CHECKS, read)
    if isinstance(found, Drag) and not found.handles:
        raise InputError(f"{at}: has no handles", 'write {"source": [0, 0, 0], "target": [0, 1, 0]}')
    if isinstance(found, Drag) and found.guidance is not None and found.scene is not None:
        raise InputError(f"{at}: has a scene and guidance", "leave one of them out")
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
            x, y, z, r = numbers(4)(value["sphere"])
            return Where(sphere=(x, y, z, positive(r)))
        if "box" in value:
            low_x, low_y, low_z, high_x, high_y, high_z = numbers(6)(value["box"])
            return Where(box=(low_x, low_y, low_z, high_x, high_y, high_z))
    except Bad as error:
        raise InputError(f"{at}: {error}") from error
    return Where(_file(value["region"], at))


def _handles(value: Any, at: str) -> tuple[Handle, ...]:
    if not isinstance(value, list):
        raise InputError(f"{at}: should be a list")
    return tuple(from_fields(Handle, v, f"{at}: {i + 1}", _CHECKS) for i, v in enumerate(value))


def _guidance(value: Any, at: str) -> Guidance | None:
    if value is None:
        return None
    given = dict(value) if isinstance(value, dict) else value
    read = {}
    if isinstance(given, dict) and given.get("views") is not None:
        read["views"] = _file(given.pop("views"), f"{at}: views")
    found: Guidance = from_fields(Guidance, given, at, _CHECKS, read)
    if found.prompt is None and found.views is None:
        raise InputError(f"{at}: has neither a prompt nor views", 'write {"prompt": "a red hat"}')
    return found


def _file(value: Any, at: str) -> FileReference:
    found: FileReference = from_fields(FileReference, value, at, _CHECKS)
    return found
