"""Affine maps as people write them: a file with a matrix, or steps such as ``scale=2 rotate=x:90 translate=0,0,1``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError, UsageError

_HINT = "write scale=2, rotate=x:90, translate=0,0,1 with blanks between, or name a file with 4 rows of 4 numbers"
_AXES = {"x": 0, "y": 1, "z": 2}
_LARGEST_FILE = 1 << 16


def read_transform(text: str) -> NDArray[np.float64]:
    """[4, 4]: the map of a file (.json, .npy, or text), or of steps, the first of which is done first.

    Raises UsageError for steps that cannot be understood, InputError for a file that holds no such matrix.
    """
    matrix = _of_steps(text) if "=" in text else _of_file(Path(text))
    with np.errstate(all="ignore"):
        size = abs(np.linalg.det(matrix[:3, :3]))
    if not np.isfinite(matrix).all() or not np.isfinite(size) or size <= 1e-300:
        raise UsageError(f"--transform {text}: flattens everything, or is not finite", _HINT)
    return matrix


def _of_steps(text: str) -> NDArray[np.float64]:
    out = np.eye(4)
    for step in text.replace(";", " ").split():
        name, _, value = step.partition("=")
        try:
            out = {"scale": _scale, "rotate": _rotate, "translate": _translate}[name](value) @ out
        except (KeyError, ValueError):
            raise UsageError(f"--transform {step}: is not a step", _HINT) from None
    return out


def _scale(value: str) -> NDArray[np.float64]:
    numbers = [float(n) for n in value.split(",")]
    if len(numbers) not in (1, 3):
        raise ValueError
    return np.diag([*(numbers * 3)[:3], 1.0])


def _rotate(value: str) -> NDArray[np.float64]:
    axis, colon, degrees = value.partition(":")
    if not colon:
        raise ValueError
    angle = np.radians(float(degrees))
    i, j = (_AXES[axis.lower()] + 1) % 3, (_AXES[axis.lower()] + 2) % 3
    out = np.eye(4)
    out[i, i] = out[j, j] = np.cos(angle)
    out[j, i], out[i, j] = np.sin(angle), -np.sin(angle)
    return out


def _translate(value: str) -> NDArray[np.float64]:
    out = np.eye(4)
    numbers = [float(n) for n in value.split(",")]
    if len(numbers) != 3:
        raise ValueError
    out[:3, 3] = numbers
    return out


def _of_file(path: Path) -> NDArray[np.float64]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError("it is too large for 16 numbers")
        if path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False)
        elif path.suffix.lower() == ".json":
            values = np.array(json.loads(path.read_text(encoding="utf-8")), np.float64)
        else:
            values = np.array([float(n) for n in path.read_text(encoding="utf-8").replace(",", " ").split()])
        matrix = np.asarray(values, np.float64).reshape(4, 4)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", _HINT) from error
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise InputError(f"{path}: holds no matrix of 4 rows of 4 numbers ({error})", _HINT) from error
    if not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise InputError(f"{path}: its last row is not 0 0 0 1", "give an affine map, rows first")
    return matrix
