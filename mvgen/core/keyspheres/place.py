"""Numbers on a field's surface, as integers on grids near it: what colours and trim masks share.

The grids and their code are those of `latents`. Which nodes there are follows from the field, so that a file holds
integers alone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mvgen.core.errors import InputError
from mvgen.core.keyspheres.corrections import Choice, Task, shares_of
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
from mvgen.kernels.latents import NEAR, add_values

_HEAD = struct.Struct("<BBb")  # cells of the first grid, grids, exponent of their step
HEAD = _HEAD.size
_AGAIN = "copy or download the file again"


@dataclass(frozen=True, eq=False)
class Place:
    """Where a surface is. field: its values near 0 tell; box [2, 3] around it, in 127ths; normal: the frame of both."""

    field: Values
    box: NDArray[np.int64]
    normal: Normal

    def grids(self, first: int, count: int) -> list[Grid]:
        """ValueError where there would be too many nodes."""
        regions = regions_of(self.field, self.box, first)
        return grids_of(self.field, self.box, regions, np.ones(regions.count, bool), count)


def task_for(
    grids: list[Grid], points: NDArray[np.floating], rest: NDArray[np.float64], weights: NDArray[np.float64]
) -> Task:
    """Numbers rest [N, C] to be kept at points [N, 3] in the frame of the grids, each of C with integers of its own;
    weights [N, C] of their errors, with sum 1."""
    channels = rest.shape[1]
    shares = sparse.hstack([shares_of(grid, points) for grid in grids])
    kinds = np.concatenate([level * NEAR + grid.near for level, grid in enumerate(grids * channels)])
    shares = sparse.block_diag([shares] * channels).tocsc()
    return Task(shares, rest.T.ravel(), weights.T.ravel(), kinds, grids * channels)


def stored(grids: list[Grid], exponent: int, found: Choice) -> bytes:
    """What `add_stored` reads."""
    return _HEAD.pack(grids[0].cells, len(grids), exponent) + found.data


def first_of(data: bytes, what: str) -> int:
    """Cells a side of the first grid. Raises InputError, naming ``what``, where the head is damaged."""
    return _read_head(data, what)[0]


def add_stored(place: Place, data: bytes, points: NDArray[np.float32], out: NDArray[np.float32], what: str) -> None:
    """Adds the numbers at points [N, 3], in the frame of the grids, to out [N, C]. Raises InputError, naming ``what``,
    where the bytes are damaged."""
    first, count, exponent = _read_head(data, what)
    try:
        grids = place.grids(first, count)
        integers = decode_values(data[HEAD:], grids * out.shape[1])
    except ValueError as error:
        raise InputError(f"the grids of the {what} are damaged ({error})", _AGAIN) from None
    step = np.float32(step_of(exponent))
    for channel in range(out.shape[1]):
        column = out[:, channel].copy()
        for grid, values in zip(grids, integers[channel * count :]):
            add_values(points, grid.node_at, values.astype(np.float32) * step, column)
        out[:, channel] = column


def _read_head(data: bytes, what: str) -> tuple[int, int, int]:
    if len(data) < HEAD:
        raise InputError(f"the {what} is cut short", _AGAIN)
    first, count, exponent = _HEAD.unpack_from(data)
    if not (0 < count <= MOST_GRIDS and 0 < first <= MOST_FIRST and first << (count - 1) <= MOST_CELLS):
        raise InputError(f"the grids of the {what} make no sense", _AGAIN)
    return first, count, exponent
