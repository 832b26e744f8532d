"""The codec `mesh`: all faces of the source, and no vertex farther from where it was than half a step times root 3.

Offsets are rounded in an orthonormal frame with one step along all axes, and against decoded positions, so that errors
do not add up. The distance between the surfaces is at most that of the vertices. Holds any triangles; the order of
vertices and faces changes, and where a point joins several sheets it stays one vertex.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvgen.core.compress.surface.connectivity import cut_into_fans
from mvgen.core.compress.surface.payload import (
    FRACTION,
    Coded,
    announce,
    decode_surface,
    encode_surface,
    step_at,
    step_index,
)
from mvgen.core.compress.surface.search import cleaned, mean_error
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress

if TYPE_CHECKING:
    from mvgen.core.compress.codec import Goal

__all__ = ["bound", "decode", "encode"]

_FINE = 1e-7  # the largest error where no goal is given
_STEPS = 6.5  # the least step over the mean error that it gives
_CLOSE = 0.002  # of the size: near enough


def bound(step: float) -> float:
    """How far a vertex may be from where it was."""
    return math.sqrt(3) / 2 * step * (1 + 1e-9)


def encode(mesh: Mesh, goal: Goal, effort: int, seed: int, progress: Progress) -> bytes:
    """The payload of a mesh in the container's frame. Raises CannotError where the faces do not fit into the size, or
    the steps would have to be finer than the format knows."""
    announce(progress)
    mesh = cleaned(mesh)
    fans = cut_into_fans(mesh.faces)

    def code(index: int) -> Coded:
        coded = encode_surface(mesh.vertices, fans, step_at(index, 1.0), colours=mesh.colours)
        _check(coded, mesh, bound(step_at(index, 1.0).normal))
        progress.advance()
        return coded

    if goal.bytes is not None:
        return _finest(code, goal.bytes, len(mesh.vertices)).payload
    largest = math.inf if goal.maximum is None else goal.maximum
    if goal.mean is None:
        largest = min(largest, _FINE if goal.maximum is None else largest)
    index = step_index(min(largest / bound(1.0), 1.0) if largest < math.inf else _STEPS * (goal.mean or _FINE))
    if largest < math.inf and bound(step_at(index, 1.0).normal) > largest:
        raise CannotError(f"an error of {largest:.3g} of the diagonal is finer than the format's steps", "allow more")
    coded = code(index)
    while goal.mean is not None:
        found = mean_error(mesh, Mesh(coded.positions, coded.faces), seed)
        if found <= goal.mean:
            break
        if index >= step_index(0.0):
            raise CannotError(f"a mean error of {goal.mean:.3g} of the diagonal is out of reach", "allow more")
        index = min(index + max(1, math.ceil(FRACTION * math.log2(found / goal.mean))), step_index(0.0))
        coded = code(index)
    return coded.payload


def decode(payload: bytes) -> Mesh:
    """The mesh of a payload; InputError where it is damaged."""
    return decode_surface(payload)


def _finest(code: Callable[[int], Coded], size: int, vertices: int) -> Coded:
    low, high, index = -1, step_index(0.0) + 1, step_index(1 / 2000)
    best: Coded | None = None
    while high - low > 1:
        coded = code(index)
        spare = size - len(coded.payload)
        if spare >= 0:
            low, best = index, coded
        else:
            high = index
        if 0 <= spare < _CLOSE * size:
            break
        move = round(FRACTION * 8 * spare / (3 * vertices))
        move = max(1, move) if spare >= 0 else min(-1, move)
        index = min(max(index + move, low + 1), high - 1)
    if best is None:
        raise CannotError(f"all faces do not fit into {size} bytes", "allow more bytes, or let faces be merged")
    return best


def _check(coded: Coded, mesh: Mesh, largest: float) -> None:
    """What is promised, looked up in the coded mesh."""
    offset = np.linalg.norm(coded.positions - mesh.vertices[coded.order], axis=1).max()
    if offset > largest or not np.array_equal(_sorted(coded.order[coded.faces]), _sorted(mesh.faces)):
        raise CannotError("the coded mesh is not within its bound: this is a defect of the codec")


def _sorted(faces: NDArray[np.integer]) -> NDArray[np.integer]:
    """Faces in an order of their own, each from its lowest vertex on."""
    first = faces.argmin(1)
    turned = np.stack([faces[np.arange(len(faces)), (first + k) % 3] for k in range(3)], axis=1)
    return turned[np.lexsort(turned.T)]
