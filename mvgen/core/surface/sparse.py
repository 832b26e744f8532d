"""The surface of a function of points, evaluated only near that surface.

The grid is cut into leaves of LEAF cells a side. Which leaves are looked at follows one of two rules:

- With a Lipschitz bound (a signed distance has 1) boxes are halved from coarse to fine, and a box is left out when the
  value at its middle is farther from the level than the bound allows within the box. Nothing can be missed.
- Without one (occupancy, density, a network's output) the function is sampled at the corners and middles of all leaves.
  A leaf is looked at when these lie on both sides, and then every neighbour into which the surface goes on, until none
  is left. So a piece of surface is found whole, however thin it gets, if it anywhere parts two samples of one leaf;
  lost are only whole pieces that slip between samples LEAF cells apart.

Either way what is found equals marching cubes on the whole grid.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress, Silent
from mvgen.core.surface.march import march

Field = Callable[[NDArray[np.float64]], NDArray[np.floating]]  # points [N, 3] to signed values [N], negative inside

LEAF = 4  # cells
LARGEST = 2049  # nodes along one axis
BATCH = 1 << 18  # points handed to the function at a time
_LEAVES = 1 << 15  # leaves whose nodes are gathered at a time


@dataclass(frozen=True, eq=False)
class Lattice:
    """A grid of nodes: origin [3], spacing [3], and shape, the nodes along each axis."""

    origin: NDArray[np.float64]
    spacing: NDArray[np.float64]
    shape: tuple[int, int, int]

    @staticmethod
    def of(bounds: NDArray[np.floating], resolution: int | tuple[int, int, int]) -> Lattice:
        """Nodes from one corner of bounds [2, 3] to the other.

        A single number is the nodes along the longest side; cells are then cubes, and the last ones along the other
        sides may reach beyond the bounds. Raises CannotError for bounds without extent or too many nodes.
        """
        bounds = np.asarray(bounds, np.float64)
        size = bounds[1] - bounds[0]
        if not (np.isfinite(bounds).all() and (size > 0).all()):
            raise CannotError("the bounds of the surface enclose nothing", "give a lowest and a highest corner")
        if isinstance(resolution, tuple):
            shape = resolution
            spacing = size / (np.maximum(shape, 2) - 1)
        else:
            spacing = np.full(3, float(size.max()) / (max(resolution, 2) - 1))
            counts = np.ceil(size / spacing - 1e-9).astype(int) + 1
            shape = (int(counts[0]), int(counts[1]), int(counts[2]))
        if min(shape) < 2 or max(shape) > LARGEST:
            raise CannotError(f"a grid of {shape} nodes cannot be searched", f"use 2 to {LARGEST} nodes a side")
        return Lattice(bounds[0], spacing, shape)

    def points(self, nodes: NDArray[np.number]) -> NDArray[np.float64]:
        """[..., 3] from nodes [..., 3]."""
        return self.origin + np.asarray(nodes, np.float64) * self.spacing

    @property
    def leaves(self) -> NDArray[np.int64]:
        """[3]: leaves along each axis."""
        return -(-(np.array(self.shape, np.int64) - 1) // LEAF)


def extract(
    field: Field,
    bounds: NDArray[np.floating],
    resolution: int | tuple[int, int, int],
    level: float = 0.0,
    block: int = 16,
    lipschitz: float | None = None,
    progress: Progress | None = None,
    batch: int = BATCH,
) -> Mesh:
    """The surface field = level in bounds [2, 3], as marching cubes on a grid of ``resolution`` nodes finds it.

    field: points [N, 3] to values [N], below the level inside (negate an occupancy or a density); never called with
    more than ``batch`` points; NaN where it knows nothing. block: cells a side that PyMCubes sees at a time, a multiple
    of 4. lipschitz: the most the field changes per unit of length, where that is known; see the head of this module.
    The mesh is empty when nothing is found. Raises CannotError as `Lattice.of`.
    """
    progress = progress or Silent()
    lattice = Lattice.of(bounds, resolution)
    nodes = _Nodes(field, lattice, batch)
    if lipschitz is None:
        leaves, values = _followed(nodes, level)
    else:
        leaves, values = _crossed(nodes, _within_reach(nodes, level, lipschitz, block), level)
    share = nodes.asked / np.prod([float(n) for n in lattice.shape])
    progress.note(f"the field was evaluated at {nodes.asked:,} points, {share:.1%} of the grid")
    found = march(_blocks(leaves, values, lattice, block), level)
    return Mesh(lattice.points(found.places()), found.faces)


@dataclass(eq=False)
class _Nodes:
    """Values at nodes, each asked for once. asked counts the points that the field was called with."""

    field: Field
    lattice: Lattice
    batch: int
    asked: int = 0
    known: list[tuple[NDArray[np.int64], NDArray[np.floating]]] = dataclasses.field(default_factory=list)

    def sample(self, nodes: NDArray[np.number]) -> NDArray[np.floating]:
        """The field at nodes [N, 3], in batches."""
        parts = []
        for first in range(0, len(nodes), self.batch):
            some = nodes[first : first + self.batch]
            values = np.asarray(self.field(self.lattice.points(some))).reshape(-1)
            if len(values) != len(some):
                raise ValueError(f"the field gave {len(values)} values for {len(some)} points")
            parts.append(values)
        self.asked += len(nodes)
        return np.concatenate(parts) if parts else np.zeros(0)

    def of_leaves(self, leaves: NDArray[np.int64]) -> NDArray[np.floating]:
        """[L, 5, 5, 5]: values at the nodes of leaves [L, 3]; NaN beyond the grid."""
        corners = np.stack(np.meshgrid(*[np.arange(LEAF + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        nodes = (leaves[:, None] * LEAF + corners).reshape(-1, 3)
        shape = np.array(self.lattice.shape)
        inside = (nodes < shape).all(1)
        keys = (nodes[inside, 0] * shape[1] + nodes[inside, 1]) * shape[2] + nodes[inside, 2]
        unique, index = np.unique(keys, return_inverse=True)
        values = self._at(unique)
        out = np.full(len(nodes), np.nan, values.dtype)
        out[inside] = values[index]
        return out.reshape(-1, LEAF + 1, LEAF + 1, LEAF + 1)

    def _at(self, keys: NDArray[np.int64]) -> NDArray[np.floating]:
        """Values at nodes by their sorted numbers [K]; those of earlier leaves are remembered."""
        new = np.ones(len(keys), bool)
        old: list[tuple[NDArray[np.bool_], NDArray[np.floating]]] = []
        for before, values in self.known:
            place = np.searchsorted(before, keys).clip(0, len(before) - 1)
            same = before[place] == keys
            old.append((same, values[place[same]]))
            new &= ~same
        _, height, width = self.lattice.shape
        fresh = keys[new]
        nodes = np.stack([fresh // width // height, fresh // width % height, fresh % width], axis=1)
        asked = self.sample(nodes)
        out = np.empty(len(keys), asked.dtype if len(asked) or not old else old[0][1].dtype)
        for same, values in old:
            out[same] = values
        out[new] = asked
        if len(fresh):
            self.known.append((fresh, asked))
        return out


def _crossed(nodes: _Nodes, leaves: NDArray[np.int64], level: float) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Those of leaves [L, 3] that have nodes on both sides of the level, with their values."""
    kept, found = [np.zeros((0, 3), np.int64)], []
    for first in range(0, len(leaves), _LEAVES):
        some = leaves[first : first + _LEAVES]
        values = nodes.of_leaves(some)
        flat = values.reshape(len(values), -1)
        mixed = (flat <= level).any(1) & (flat > level).any(1)
        kept.append(some[mixed])
        found.append(values[mixed])
    size = LEAF + 1
    return np.concatenate(kept), np.concatenate(found) if found else np.zeros((0, size, size, size))


# ---- which leaves


def _within_reach(nodes: _Nodes, level: float, lipschitz: float, block: int) -> NDArray[np.int64]:
    """Leaves [L, 3] that a field with a Lipschitz bound may cross; boxes begin at the size of a block."""
    width = LEAF
    while width < block:
        width *= 2
    count = -(-(np.array(nodes.lattice.shape) - 1) // width)
    boxes = np.stack(np.meshgrid(*[np.arange(n) for n in count], indexing="ij"), axis=-1).reshape(-1, 3)
    last = np.array(nodes.lattice.shape) - 1
    octants = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    while True:
        low, high = boxes * width, np.minimum((boxes + 1) * width, last)
        radius = np.linalg.norm((high - low) * nodes.lattice.spacing, axis=1) / 2
        value = nodes.sample((low + high) / 2)
        boxes = boxes[~(np.abs(value - level) > lipschitz * radius * (1 + 1e-6))]
        if width == LEAF:
            return boxes
        width //= 2
        boxes = (boxes[:, None] * 2 + octants).reshape(-1, 3)
        boxes = boxes[(boxes * width < last).all(1)]


def _followed(nodes: _Nodes, level: float) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Leaves whose coarse samples lie on both sides, and all to which the surface in them goes on."""
    seeds = _seeds(nodes, level)
    seen = np.zeros(tuple(nodes.lattice.leaves), bool)
    leaves: list[NDArray[np.int64]] = [np.zeros((0, 3), np.int64)]
    values: list[NDArray[np.floating]] = [np.zeros((0, *[LEAF + 1] * 3), np.float32)]
    while len(seeds):
        seen[tuple(seeds.T)] = True
        some, found = _crossed(nodes, seeds, level)
        leaves.append(some)
        values.append(found)
        seeds = _beyond(some, found <= level, seen)
    return np.concatenate(leaves), np.concatenate(values)


def _seeds(nodes: _Nodes, level: float) -> NDArray[np.int64]:
    """Leaves [L, 3] whose corners and middle are not all on one side of the level."""
    shape = nodes.lattice.leaves
    last = np.array(nodes.lattice.shape) - 1
    corner = _below_on(nodes, shape + 1, lambda n: np.minimum(n * LEAF, last), level)
    middle = _below_on(nodes, shape, lambda n: np.minimum(n * LEAF + LEAF // 2, last), level)
    low, high = middle.copy(), middle.copy()
    for dx in (0, 1):
        for dy in (0, 1):
            for dz in (0, 1):
                part = corner[dx : dx + shape[0], dy : dy + shape[1], dz : dz + shape[2]]
                low &= part
                high |= part
    return np.argwhere(high & ~low)


def _below_on(
    nodes: _Nodes,
    shape: NDArray[np.int64],
    place: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    level: float,
) -> NDArray[np.bool_]:
    """[shape]: whether the field is at or below the level, at the nodes that ``place`` gives for each index."""
    out = np.empty(int(np.prod(shape)), bool)
    for first in range(0, len(out), nodes.batch):
        index = np.arange(first, min(first + nodes.batch, len(out)))
        cells = np.stack(np.unravel_index(index, tuple(shape)), axis=1)
        out[index] = nodes.sample(place(cells)) <= level
    return out.reshape(tuple(shape))


def _beyond(leaves: NDArray[np.int64], below: NDArray[np.bool_], seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Neighbours [N, 3], not seen before, across those sides of leaves [L, 3] whose nodes are on both sides."""
    out = [np.zeros((0, 3), np.int64)]
    for axis in range(3):
        for end, step in ((0, -1), (-1, 1)):
            side = np.take(below, end, axis + 1).reshape(len(below), (LEAF + 1) ** 2)
            mixed = side.any(1) & ~side.all(1)
            out.append(leaves[mixed] + step * np.eye(3, dtype=np.int64)[axis])
    found = np.unique(np.concatenate(out), axis=0)
    found = found[((found >= 0) & (found < seen.shape)).all(1)]
    return found[~seen[tuple(found.T)]]


# ---- blocks for marching cubes


def _blocks(
    leaves: NDArray[np.int64], values: NDArray[np.floating], lattice: Lattice, block: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.floating]]]:
    """Blocks of (block + 1)^3 nodes that hold leaves [L, 3]; NaN at nodes of no leaf, where nothing crosses."""
    per_side = max(1, block // LEAF)
    home = leaves // per_side
    order = np.lexsort(home.T[::-1])
    starts = np.flatnonzero((np.diff(home[order], axis=0) != 0).any(1)) + 1
    for group in np.split(order, starts) if len(order) else []:
        first = home[group[0]] * per_side
        whole = np.full([per_side * LEAF + 1] * 3, np.nan, values.dtype)
        for leaf, part in zip((leaves[group] - first) * LEAF, values[group]):
            x, y, z = leaf
            whole[x : x + LEAF + 1, y : y + LEAF + 1, z : z + LEAF + 1] = part
        size = np.minimum(np.array(whole.shape), np.array(lattice.shape) - first * LEAF)
        yield first * LEAF, whole[: size[0], : size[1], : size[2]]
