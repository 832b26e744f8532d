"""Units of length and up axes, and the similarities between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Similarity

METRES = {"um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254, "ft": 0.3048}
UP_AXES = ("x", "y", "z", "-x", "-y", "-z")


def unit_scale(source: str, target: str) -> float:
    """What a length in ``source`` units is multiplied by to be in ``target`` units (keys of METRES)."""
    ratio = METRES[source] / METRES[target]
    return float(round(ratio)) if ratio >= 1 and np.isclose(ratio, round(ratio), rtol=1e-12, atol=0) else ratio


def up_rotation(source: str, target: str) -> NDArray[np.float64]:
    """[3, 3]: the smallest turn that takes the ``source`` axis to the ``target`` axis; exact, of 0, 1 and -1.

    A half turn goes round x, or round y where x itself is turned.
    """
    a, b = axis(source), axis(target)
    if np.array_equal(a, b):
        return np.eye(3)
    if np.array_equal(a, -b):
        return np.diag([-1.0, 1.0, -1.0]) if a[0] else np.diag([1.0, -1.0, -1.0])
    n = np.cross(a, b)
    cross = np.array([[0, -n[2], n[1]], [n[2], 0, -n[0]], [-n[1], n[0], 0]])
    return np.outer(n, n) + cross


def axis(name: str) -> NDArray[np.float64]:
    """[3]: the unit vector of ``y`` or ``-z``."""
    out = np.zeros(3)
    out["xyz".index(name[-1])] = -1.0 if name.startswith("-") else 1.0
    return out


def turn(axis_name: str, degrees: float) -> NDArray[np.float64]:
    """[3, 3]: the rotation about an axis, counter-clockwise seen from its tip; exact at quarter turns."""
    from scipy.spatial.transform import Rotation

    if degrees % 90 == 0:
        return np.rint(Rotation.from_rotvec(axis(axis_name) * np.radians(degrees)).as_matrix())
    return np.asarray(Rotation.from_rotvec(axis(axis_name) * np.radians(degrees)).as_matrix())


def scaled(scale: float, rotation: NDArray[np.float64] | None = None) -> Similarity:
    """A similarity without translation."""
    return Similarity(scale, np.eye(3) if rotation is None else rotation, np.zeros(3))


def moved(shift: NDArray[np.floating]) -> Similarity:
    """A similarity that moves by a shift [3] alone."""
    return Similarity(1.0, np.eye(3), np.asarray(shift, np.float64))
