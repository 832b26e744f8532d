"""Draco as a codec, by the optional package DracoPy: the mesh with fewer faces, or (`draco_mesh`) with those it has.

Draco rounds positions to a grid with 2^bits steps along the longest side, and codes faces and positions without further
loss. Which number of faces goes with how many bits is searched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mvgen.core.compress.codec import Goal
from mvgen.core.compress.decimate import Stages
from mvgen.core.compress.measure import Surface, is_within, mean_distance
from mvgen.core.compress.prepare import prepared
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress

_LEVEL = 10  # of compression: the slowest, which is fast
_BITS = range(8, 18)
_WHOLE_BITS = range(8, 21)  # of meshes that keep their faces
_SAMPLES = 20_000  # for the search
_GRID_ERROR = 0.14  # mean error of rounding, in grid steps of the diagonal: 0.14 / 2^bits
_FEWEST = 12  # faces


@dataclass(frozen=True)
class _Try:
    """The bytes of one setting, and the mean error where that was measured."""

    data: bytes
    error: float


def encode(mesh: Mesh, goal: Goal, effort: int, seed: int, progress: Progress) -> bytes:
    """Raises CannotError where not even the coarsest setting has the size."""
    qualities = (0.3,) if effort < 4 else (0.3, 0.1)
    source = Surface(mesh)
    found = [t for quality in qualities for t in _search(Stages(mesh, quality), source, goal, seed)]
    whole = _whole(mesh, source, goal, seed)
    found += [] if whole is None else [whole]
    if not found:
        raise CannotError(f"{goal.bytes} bytes are too few for Draco", "allow more")
    if goal.bytes is None:
        return min(found, key=lambda t: len(t.data)).data
    return min(found, key=lambda t: t.error).data


def encode_whole(mesh: Mesh, goal: Goal, seed: int) -> bytes:
    """The mesh with all its faces. Raises CannotError where that has not the size."""
    found = _whole(mesh, Surface(mesh), goal, seed)
    if found is None:
        raise CannotError(f"{goal.bytes} bytes are too few to keep all {len(mesh.faces)} faces", "allow more")
    return found.data


def may_beat(mesh: Mesh, size: int, mean: float) -> bool:
    """Whether Draco may do better than a mesh with a mean error, coded in so many bytes: only if it codes the
    same faces in fewer where rounding alone gives that error."""
    bits = int(np.clip(np.floor(np.log2(_GRID_ERROR / max(mean, 1e-9))), _BITS[0], _WHOLE_BITS[-1]))
    return len(_coded(mesh, bits)) < size


def decode(payload: bytes) -> Mesh:
    """Raises InputError."""
    import DracoPy

    try:
        found = DracoPy.decode(payload)
        vertices = np.asarray(found.points, np.float64).reshape(-1, 3)
        faces = np.asarray(found.faces, np.int64).reshape(-1, 3)
        colours = None if found.colors is None else np.asarray(found.colors)[:, :3]
    except Exception as error:  # the decoder raises kinds of its own
        raise InputError("its Draco data is damaged", "copy or download the file again") from error
    sound = len(faces) and faces.min() >= 0 and faces.max() < len(vertices) and np.isfinite(vertices).all()
    if not sound:
        raise InputError("its Draco data holds no mesh", "copy or download the file again")
    if colours is not None:
        if colours.dtype != np.uint8 or colours.shape != vertices.shape:
            raise InputError("its Draco data has odd colours", "copy or download the file again")
        colours = colours.astype(np.float32) / np.float32(255)
    return Mesh(vertices, faces.astype(np.int32), colours=colours)


# ---- the search


def _coded(mesh: Mesh, bits: int) -> bytes:
    import DracoPy

    points, faces = mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32)
    colours = None if mesh.colours is None else np.rint(mesh.colours.clip(0, 1) * 255).astype(np.uint8)
    data: bytes = DracoPy.encode(points, faces, bits, _LEVEL, colors=colours)
    return data


def _whole(mesh: Mesh, source: Surface, goal: Goal, seed: int) -> _Try | None:
    """The whole mesh with the most bits that fit, or, without a size, the fewest that are good enough."""
    best = None
    for bits in _WHOLE_BITS:
        data = _coded(mesh, bits)
        if goal.bytes is not None and len(data) > goal.bytes:
            break
        best = data
        if goal.bytes is None and _meets(data, source, goal, seed):
            break
    return None if best is None else _Try(best, _error(best, source, seed))


def _search(ladder: Stages, source: Surface, goal: Goal, seed: int) -> list[_Try]:
    """For several numbers of bits, the faces that fill the size, or the fewest that are good enough."""
    if goal.bytes is None:
        mean = goal.mean if goal.mean is not None else (goal.maximum or 1.0) / 10
        least = int(np.clip(np.ceil(np.log2(_GRID_ERROR / max(mean, 1e-7))), 6, 18))
        tries = [_sufficing(ladder, bits, source, goal, seed) for bits in range(least, least + 4)]
        return [_Try(data, math.inf) for data in tries if data is not None]
    found: list[_Try] = []
    for bits in _BITS:
        data = _filling(ladder, bits, goal.bytes)
        if data is None:
            break
        found.append(_Try(data, _error(data, source, seed)))
        if len(found) > 2 and found[-1].error > found[-2].error > found[-3].error:
            break
    return found


def _filling(ladder: Stages, bits: int, size: int) -> bytes | None:
    """The most faces that fit the size."""

    def fits(mesh: Mesh) -> bool:
        return len(_coded(mesh, bits)) <= size

    stage = _first(ladder, fits)
    if stage is None:
        return None
    small = ladder.meshes[stage]
    if stage:  # between this stage and the one before
        large = ladder.meshes[stage - 1]
        one, other = len(_coded(small, bits)), len(_coded(large, bits))
        share = (size - one) / max(other - one, 1)
        for part in (share, 0.7 * share):
            between = ladder.with_faces(int(len(small.faces) + part * (len(large.faces) - len(small.faces))))
            if fits(between):
                small = between
                break
    return _coded(small, bits)


def _sufficing(ladder: Stages, bits: int, source: Surface, goal: Goal, seed: int) -> bytes | None:
    """The fewest faces that are good enough."""

    def fails(mesh: Mesh) -> bool:
        return not _meets(_coded(mesh, bits), source, goal, seed)

    stage = _first(ladder, fails)
    number = len(ladder.meshes) - 1 if stage is None else stage - 1
    if number < 0:
        return None
    return _coded(ladder.meshes[number], bits)


def _first(ladder: Stages, holds: Callable[[Mesh], bool]) -> int | None:
    """The number of the first stage for which something holds that holds for all later ones; None if for none."""
    step, high = 8, 0
    while not holds(ladder.meshes[high]):
        following = ladder.stage(high + step)
        if following is None or len(following.faces) < _FEWEST:
            step //= 2
            if not step:
                return None
            continue
        high += step
    low = max(high - step, -1) if high else -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(ladder.meshes[middle]) else (middle, high)
    return high


def _meets(data: bytes, source: Surface, goal: Goal, seed: int) -> bool:
    """Whether the errors are within the goal, by a search's few samples."""
    result = Surface(prepared(decode(data)))
    if goal.mean is not None and mean_distance(source, result, _SAMPLES, seed) > 0.985 * goal.mean:
        return False
    return goal.maximum is None or is_within(source, result, 0.999 * goal.maximum)


def _error(data: bytes, source: Surface, seed: int) -> float:
    return mean_distance(source, Surface(prepared(decode(data))), _SAMPLES, seed)
