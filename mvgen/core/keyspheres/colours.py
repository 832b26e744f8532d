"""Colours of a field's surface: one for all of it, and what differs from it as integers on grids near the surface.

The grids and their code are those of `latents`. Which nodes there are follows from the field, so that a file holds
integers alone. Colours are brightness and two differences (YCoCg), each with integers of its own, chosen together.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mvgen.core.compress.surface.fit import barycentric
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres.corrections import Task, choose_with_step, exponent_of, shares_of
from mvgen.core.keyspheres.latents import (
    MOST_CELLS,
    MOST_FIRST,
    MOST_GRIDS,
    Grid,
    Values,
    decode_values,
    grids_of,
    regions_of,
    step_of,
)
from mvgen.core.keyspheres.samples import Normal
from mvgen.core.nearest import sample_surface
from mvgen.kernels.latents import NEAR, add_values

_TOP = 255  # levels of red, green and blue
_WHOLE = 3  # bytes of the colour of all
_TAIL = struct.Struct("<BBb")  # cells of the first grid, grids, exponent of their step
_WEIGHTS = np.array([1.0, 0.5, 0.5])  # of errors in brightness and the two differences, which the eye sees less
_FIRST = (3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64)  # cells a side of the coarser of two grids
_GRIDS = 2
_NODES = 8  # of the finer grid, for each byte
_POINTS = 12  # on the surface, for each node of the finer grid
_FEWEST, _MOST = 20_000, 100_000  # points
_USUAL_STEP, _USUAL_BYTES = 0.04, 2000  # of integers, and falling with the bytes
_POWER = 0.8
_AGAIN = "copy or download the file again"


@dataclass(frozen=True, eq=False)
class Place:
    """Where colours are. field: its values near 0 tell where the surface is; box [2, 3] around it, in 127ths; normal:
    the frame of both."""

    field: Values
    box: NDArray[np.int64]
    normal: Normal

    def grids(self, first: int, count: int) -> list[Grid]:
        """ValueError where there would be too many nodes."""
        regions = regions_of(self.field, self.box, first)
        return grids_of(self.field, self.box, regions, np.ones(regions.count, bool), count)


def encode_colours(place: Place, mesh: Mesh, size: int, seed: int) -> bytes:
    """Those of a mesh in the frame of files, in at most ``size`` bytes, three or more. Raises CannotError."""
    if size < _WHOLE:
        raise CannotError(f"{size} bytes are too few for colours", "allow more bytes")
    whole = np.rint(np.median(_samples(mesh, _FEWEST, seed)[1], axis=0) * _TOP).astype(np.uint8)
    start, room = whole.tobytes(), size - _WHOLE - _TAIL.size
    if room < 1 or np.abs(_clean(mesh) * _TOP - whole).max() <= 1:
        return start
    grids = _grids(place, room)
    count = min(max(_POINTS * len(grids[-1].nodes), _FEWEST), _MOST)
    points, colours = _samples(mesh, count, seed)
    rest = _split(colours) - _split(whole[None] / _TOP)
    task = _task(grids, place.normal.to(points), rest)
    try:
        found, exponent = choose_with_step(task, exponent_of(_USUAL_STEP * (_USUAL_BYTES / room) ** _POWER), room)
    except CannotError:
        return start
    return start + _TAIL.pack(grids[0].cells, len(grids), exponent) + found.data


def coloured(mesh: Mesh, place: Place, data: bytes) -> Mesh:
    """A mesh in the frame of files with its colours. Raises what `decode_colours` does."""
    return replace(mesh, colours=decode_colours(place, data, mesh.vertices))


def decode_colours(place: Place, data: bytes, points: NDArray[np.float64]) -> NDArray[np.float32]:
    """[N, 3] at points [N, 3] in the frame of files. Raises InputError where the bytes are damaged."""
    if not (len(data) == _WHOLE or len(data) >= _WHOLE + _TAIL.size):
        raise InputError("the colours are cut short", _AGAIN)
    out = np.tile(_split(np.frombuffer(data[:_WHOLE], np.uint8) / np.float32(_TOP)), (len(points), 1))
    if len(data) > _WHOLE:
        _add(place, data[_WHOLE:], place.normal.to(points).astype(np.float32), out)
    return (np.rint(_joined(out).clip(0, 1) * _TOP) / _TOP).astype(np.float32)


def _add(place: Place, data: bytes, points: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Adds what the grids say at points [N, 3] to brightness and differences [N, 3]."""
    first, count, exponent = _TAIL.unpack_from(data)
    if not (0 < count <= MOST_GRIDS and 0 < first <= MOST_FIRST and first << (count - 1) <= MOST_CELLS):
        raise InputError("the colours have grids that make no sense", _AGAIN)
    try:
        grids = place.grids(first, count)
        integers = decode_values(data[_TAIL.size :], grids * 3)
    except ValueError as error:
        raise InputError(f"the colours are damaged ({error})", _AGAIN) from None
    step = np.float32(step_of(exponent))
    for channel in range(3):
        column = out[:, channel].copy()
        for grid, values in zip(grids, integers[channel * count :]):
            add_values(points, grid.node_at, values.astype(np.float32) * step, column)
        out[:, channel] = column


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


def _task(grids: list[Grid], points: NDArray[np.float64], rest: NDArray[np.float64]) -> Task:
    """rest [N, 3]: what the colour of all lacks at points [N, 3] in the frame of the grids."""
    shares = sparse.hstack([shares_of(grid, points) for grid in grids])
    kinds = np.concatenate([level * NEAR + grid.near for level, grid in enumerate(grids * 3)])
    weights = np.repeat(_WEIGHTS / (_WEIGHTS.sum() * len(points)), len(points))
    return Task(sparse.block_diag([shares] * 3).tocsc(), rest.T.ravel(), weights, kinds, grids * 3)
