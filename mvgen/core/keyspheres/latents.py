"""Corrections of a network's field near its surface: integers at the nodes of grids, each of twice as many cells.

Only cells that the network's surface comes near have nodes, so a file need not say which. The integers are chosen for
the least mean error of the distance under a price of bits, and the price so that a size is met.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvgen.core.keyspheres.network import Network
from mvgen.core.keyspheres.payload import PER_OCTAVE
from mvgen.kernels.latents import CLASSES, MODELS, add_values, code_values
from mvgen.kernels.rangecoder import bytes_to_read, finish, fresh_models, ran_dry, reader, writer

MOST_FIRST = 64  # cells a side of the coarsest grid
MOST_CELLS = 128
MOST_GRIDS = 3
MOST_NODES = 1 << 17  # of one grid
REACH = 0.9  # a cell has nodes where the field at its middle is below so many sides of it
NEAR_AT = (0.25, 0.6, 1.0)  # sides of a cell: between the classes of a node's distance
_OCTANTS = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
_WEIGHTS = 3  # models that are mixed
Values = Callable[[NDArray[np.floating]], NDArray[np.float32]]  # [N] at points [N, 3], the same digits everywhere


@dataclass(frozen=True, eq=False)
class Grid:
    """cells: a side; nodes [K, 3] in rising order; node_at [cells + 1] * 3: numbers of nodes, -1 for none; near [K]:
    classes of their distance from the network's surface."""

    cells: int
    nodes: NDArray[np.int64]
    node_at: NDArray[np.int32]
    near: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Corrected:
    """A network's field with corrections: values [K] float32 for each grid."""

    network: Network
    grids: list[Grid]
    values: list[NDArray[np.float32]]

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Values [N] at points [N, 3], negative inside."""
        points = np.ascontiguousarray(points, np.float32)
        out = self.network(points)
        for grid, values in zip(self.grids, self.values):
            add_values(points, grid.node_at, values, out)
        return out


@dataclass(frozen=True, eq=False)
class Regions:
    """Cells that a network's surface comes near, by the regions in which they hang together (also across corners).

    side: cells a side; cells [C, 3]; number [C]: the region of each; count: of regions.
    """

    side: int
    cells: NDArray[np.int64]
    number: NDArray[np.int64]
    count: int

    def at(self, points: NDArray[np.floating]) -> NDArray[np.int64]:
        """[N]: the region that each of points [N, 3] lies in, -1 for none."""
        number_at = np.full((self.side,) * 3, -1, np.int64)
        number_at[tuple(self.cells.T)] = self.number
        place = np.floor((np.asarray(points, np.float64) + 1) * (self.side / 2)).astype(np.int64)
        return number_at[tuple(place.clip(0, self.side - 1).T)]


def regions_of(network: Values, box: NDArray[np.int64], side: int) -> Regions:
    """Within a box [2, 3] in 127ths."""
    whole = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    cells = _near(network, box, side, whole)
    used = np.zeros((side,) * 3, bool)
    used[tuple(cells.T)] = True
    number_at, count = ndimage.label(used, np.ones((3, 3, 3)))
    return Regions(side, cells, number_at[tuple(cells.T)].astype(np.int64) - 1, int(count))


def grids_of(
    network: Values, box: NDArray[np.int64], regions: Regions, kept: NDArray[np.bool_], count: int
) -> list[Grid]:
    """So many grids, from the regions' cells on, in those regions that are kept. ValueError where one would have too
    many nodes."""
    out = []
    cells = regions.cells[kept[regions.number]]
    for level in range(count):
        side = regions.side << level
        if level:
            cells = _near(network, box, side, (cells[:, None] * 2 + _OCTANTS).reshape(-1, 3))
        if len(cells) > MOST_NODES:
            raise ValueError("the surface goes through too many cells")
        out.append(_grid(network, cells, side))
    return out


def _near(network: Values, box: NDArray[np.int64], side: int, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of cells [C, 3] that reach into the box and that the surface may go through."""
    low = 127 * (2 * cells - side)  # in units of which box * side has as many, so that this is exact
    cells = cells[((low + 254 > box[0] * side) & (low < box[1] * side)).all(1)]
    middles = ((2 * cells + 1) / side - 1).astype(np.float32)
    return cells[np.abs(network(middles)) < np.float32(REACH * 2 / side)]


def _grid(network: Values, cells: NDArray[np.int64], side: int) -> Grid:
    used = np.zeros((side + 1,) * 3, bool)
    for octant in _OCTANTS:
        used[tuple((cells + octant).T)] = True
    nodes = np.argwhere(used)
    node_at = np.full(used.shape, -1, np.int32)
    node_at[used] = np.arange(len(nodes), dtype=np.int32)
    distance = np.abs(network((2 * nodes / side - 1).astype(np.float32))) * np.float32(side / 2)
    near = np.searchsorted(np.array(NEAR_AT, np.float32), distance).astype(np.int64)
    return Grid(side, nodes, node_at, near)


# ---- bytes


def step_of(exponent: int) -> float:
    """Of a grid's integers."""
    return float(2.0 ** (exponent / PER_OCTAVE))


def encode_values(grids: list[Grid], integers: list[NDArray[np.int64]]) -> bytes:
    """Integers [K] for each grid. Their count follows from the network."""
    room = np.zeros(64 + 12 * sum(map(len, integers)), np.uint8)
    coder = writer()
    _code(coder, room, grids, [values.copy() for values in integers])
    return room[: finish(coder, room)].tobytes()


def decode_values(data: bytes, grids: list[Grid]) -> list[NDArray[np.int64]]:
    """ValueError where the data end too early."""
    integers = [np.zeros(len(grid.nodes), np.int64) for grid in grids]
    read = bytes_to_read(data)
    coder = reader(read)
    _code(coder, read, grids, integers)
    if ran_dry(coder, read):
        raise ValueError("the data end too early")
    return integers


def _code(
    coder: NDArray[np.int64], data: NDArray[np.uint8], grids: list[Grid], integers: list[NDArray[np.int64]]
) -> None:

    none = np.full((1, 1, 1), -1, np.int32), np.zeros(0, np.int64)
    for level, (grid, values) in enumerate(zip(grids, integers)):
        finer = level > 0 and grid.cells == 2 * grids[level - 1].cells
        above = (grids[level - 1].node_at, integers[level - 1]) if finer else none
        weights = np.full((CLASSES, _WEIGHTS), (1 << 16) * 2 // 5, np.int64)
        code_values(coder, data, fresh_models(MODELS), weights, grid.node_at, grid.nodes, grid.near, *above, values)
