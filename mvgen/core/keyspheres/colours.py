"""Colours of a field's surface: one for all of it, and what differs from it as integers on grids near the surface.

The grids are those of `place`. Colours are brightness and two differences (YCoCg), each with integers of its own,
chosen together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.compress.surface.fit import barycentric
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres.corrections import choose_with_step, exponent_of
from mvgen.core.keyspheres.latents import Grid
from mvgen.core.keyspheres.place import HEAD, Place, add_stored, stored, task_for
from mvgen.core.nearest import sample_surface

_TOP = 255  # levels of red, green and blue
_WHOLE = 3  # bytes of the colour of all
_WEIGHTS = np.array([1.0, 0.5, 0.5])  # of errors in brightness and the two differences, which the eye sees less
_FIRST = (3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64)  # cells a side of the coarser of two grids
_GRIDS = 2
_NODES = 8  # of the finer grid, for each byte
_POINTS = 12  # on the surface, for each node of the finer grid
_FEWEST, _MOST = 20_000, 100_000  # points
_USUAL_STEP, _USUAL_BYTES = 0.04, 2000  # of integers, and falling with the bytes
_POWER = 0.8
_AGAIN = "copy or download the file again"


def encode_colours(place: Place, mesh: Mesh, size: int, seed: int) -> bytes:
    """Those of a mesh in the frame of files, in at most ``size`` bytes, three or more. Raises CannotError."""
    if size < _WHOLE:
        raise CannotError(f"{size} bytes are too few for colours", "allow more bytes")
    whole = np.rint(np.median(_samples(mesh, _FEWEST, seed)[1], axis=0) * _TOP).astype(np.uint8)
    start, room = whole.tobytes(), size - _WHOLE - HEAD
    if room < 1 or np.abs(_clean(mesh) * _TOP - whole).max() <= 1:
        return start
    grids = _grids(place, room)
    count = min(max(_POINTS * len(grids[-1].nodes), _FEWEST), _MOST)
    points, colours = _samples(mesh, count, seed)
    rest = _split(colours) - _split(whole[None] / _TOP)
    weights = np.tile(_WEIGHTS / (_WEIGHTS.sum() * len(points)), (len(points), 1))
    task = task_for(grids, place.normal.to(points), rest, weights)
    try:
        found, exponent = choose_with_step(task, exponent_of(_USUAL_STEP * (_USUAL_BYTES / room) ** _POWER), room)
    except CannotError:
        return start
    return start + stored(grids, exponent, found)


def coloured(mesh: Mesh, place: Place, data: bytes) -> Mesh:
    """A mesh in the frame of files with its colours. Raises what `decode_colours` does."""
    return replace(mesh, colours=decode_colours(place, data, mesh.vertices))


def decode_colours(place: Place, data: bytes, points: NDArray[np.float64]) -> NDArray[np.float32]:
    """[N, 3] at points [N, 3] in the frame of files. Raises InputError where the bytes are damaged."""
    if not (len(data) == _WHOLE or len(data) >= _WHOLE + HEAD):
        raise InputError("the colours are cut short", _AGAIN)
    out = np.tile(_split(np.frombuffer(data[:_WHOLE], np.uint8) / np.float32(_TOP)), (len(points), 1))
    if len(data) > _WHOLE:
        add_stored(place, data[_WHOLE:], place.normal.to(points).astype(np.float32), out, "colours")
    return (np.rint(_joined(out).clip(0, 1) * _TOP) / _TOP).astype(np.float32)


# ---- red, green and blue as brightness and differences


def _split(colours: NDArray[np.floating]) -> NDArray[np.floating]:
    """Y, Co, Cg [..., 3] of red, green, blue [..., 3]."""
    red, green, blue = np.moveaxis(colours, -1, 0)
    return np.stack([(red + blue) / 4 + green / 2, (red - blue) / 2, green / 2 - (red + blue) / 4], axis=-1)


def _joined(parts: NDArray[np.floating]) -> NDArray[np.floating]:
    """What `_split` takes."""
    y, co, cg = np.moveaxis(parts, -1, 0)
    return np.stack([y - cg + co, y + cg, y - cg - co], axis=-1)


# ---- choosing


def _samples(mesh: Mesh, count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points [N, 3] of a mesh, evenly by area, and their colours [N, 3]."""
    samples, face = sample_surface(mesh, count, np.random.default_rng(seed))
    corners = mesh.faces[face]
    weights = barycentric(mesh.vertices[corners], samples.points)
    return samples.points, np.einsum("nk,nkc->nc", weights, _clean(mesh)[corners]).clip(0, 1)


def _clean(mesh: Mesh) -> NDArray[np.float64]:
    """Colours [V, 3] of the vertices, all from 0 to 1."""
    assert mesh.colours is not None
    return np.nan_to_num(mesh.colours.astype(np.float64)).clip(0, 1)


def _grids(place: Place, room: int) -> list[Grid]:
    """As fine as so many bytes can use."""
    found: list[Grid] = []
    for first in _FIRST:
        try:
            found = place.grids(first, _GRIDS)
        except ValueError as error:
            if not found:
                raise CannotError(f"the colours have no place ({error})", "a higher --effort may do") from None
            break
        if len(found[-1].nodes) >= _NODES * room:
            break
    return found
