"""Choosing the integers of `latents`: least squares with weights that make them a mean, then one integer at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg

from mvgen.core.errors import CannotError
from mvgen.core.keyspheres.latents import Grid, encode_values, step_of
from mvgen.core.keyspheres.payload import PER_OCTAVE
from mvgen.kernels.latents import NEAR, SIZES, descend

_ROUNDS = 6  # of least squares
_START = 0.2
_TRIES = 14  # prices
_SWEEPS = 3  # through all integers for each price
_SPARE = 0.99  # of the size is near enough
_STEEP = 1.4  # bytes fall about as price^(-1 / 1.4)
_STEP = 4.0  # of the mean error that is left
_STEPS_TRIED = 4


@dataclass(frozen=True, eq=False)
class Task:
    """shares [N, K]: of the nodes of all grids in the field at each point; rest [N]: what the network lacks there;
    weights [N]: of the points, with sum 1; kinds [K]: which table of costs a node uses."""

    shares: sparse.csc_matrix
    rest: NDArray[np.float64]
    weights: NDArray[np.float64]
    kinds: NDArray[np.int64]
    grids: list[Grid]

    @staticmethod
    def of(
        grids: list[Grid], points: NDArray[np.floating], rest: NDArray[np.floating], weights: NDArray[np.floating]
    ) -> Task:
        shares = sparse.hstack([shares_of(grid, points) for grid in grids]).tocsc()
        kinds = np.concatenate([level * NEAR + grid.near for level, grid in enumerate(grids)])
        whole = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
        return Task(shares, np.asarray(rest, np.float64), whole, kinds, grids)

    def split(self, integers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return np.split(integers, np.cumsum([len(grid.nodes) for grid in self.grids])[:-1])


@dataclass(frozen=True, eq=False)
class Choice:
    """integers [K] for each grid, their code, and the mean error that is left at the points."""

    integers: list[NDArray[np.int64]]
    data: bytes
    error: float


def shares_of(grid: Grid, points: NDArray[np.floating]) -> sparse.csr_matrix:
    """[N, K]: what each node counts at points [N, 3]."""
    place = (np.asarray(points, np.float64) + 1) * (grid.cells / 2)
    cell = np.floor(place).astype(np.int64).clip(0, grid.cells - 1)
    part = place - cell
    rows, columns, shares = [], [], []
    for octant in np.ndindex(2, 2, 2):
        node = grid.node_at[tuple((cell + octant).T)]
        share = np.where(octant, part, 1 - part).prod(1)
        some = np.flatnonzero(node >= 0)
        rows.append(some)
        columns.append(node[some])
        shares.append(share[some])
    index = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_matrix((np.concatenate(shares), index), shape=(len(points), len(grid.nodes)))


def choose_with_step(task: Task, exponent: int, size: int) -> tuple[Choice, int]:
    """As `choose`, and the exponent of a step that serves better than the first, if one does."""
    best, best_at = choose(task, step_of(exponent), size), exponent
    for _ in range(_STEPS_TRIED):
        exponent = exponent_of(_STEP * best.error)
        if abs(exponent - best_at) <= PER_OCTAVE // 2:
            break
        other = choose(task, step_of(exponent), size)
        if other.error >= best.error:
            break
        best, best_at = other, exponent
    return best, best_at


def exponent_of(step: float) -> int:
    """The exponent of the step that comes nearest."""
    return int(np.clip(np.rint(PER_OCTAVE * np.log2(step)), -127, 127))


def choose(task: Task, step: float, size: int, start: float = _START) -> Choice:
    """Integers in units of step whose code has at most ``size`` bytes. start: the first price of all bytes, in mean
    errors; a low one suits few integers that must fit together. Raises CannotError where none fit."""
    error = float(task.weights @ np.abs(task.rest))
    price = start * error / size  # of a byte
    integers = np.rint(_solved(task, step, price) / step).astype(np.int64)
    best: Choice | None = None
    for _ in range(_TRIES):
        found = _descended(task, step, price, integers)
        integers = np.concatenate(found.integers)
        full = len(found.data) / size
        if full <= 1 and (best is None or found.error < best.error):
            best = found
        if _SPARE < full <= 1:
            break
        price *= (full / (0.995 if full < 1 else 0.99)) ** _STEEP
    if best is None:
        raise CannotError(f"{size} bytes are too few for the corrections of a network", "allow more bytes")
    return best


def _solved(task: Task, step: float, price: float) -> NDArray[np.float64]:
    """[K]: numbers for the least sum weights |rest - shares x| + price of log2(1 + |x| / step) bits, by least squares
    whose weights follow from the round before."""
    shares, turned = task.shares.tocsr(), task.shares.T.tocsr()
    squares = turned.multiply(turned).tocsr()
    x, rest = np.zeros(shares.shape[1]), task.rest
    least = 0.3 * float(task.weights @ np.abs(rest))
    pull = price / 8 * 2 / np.log(2)
    for k in range(_ROUNDS):
        weights = task.weights / np.maximum(np.abs(rest), least)
        size = np.abs(x)
        hold = pull / (size + step) / np.maximum(size, 0.2 * step) if k else np.full(len(x), 0.1 * pull / step**2)
        diagonal = squares @ weights + hold
        form = (len(x), len(x))
        matrix = LinearOperator(form, lambda v, w=weights, h=hold: turned @ (w * (shares @ v)) + h * v)
        inverse = LinearOperator(form, lambda v, d=diagonal: v / d)
        x, _ = cg(matrix, turned @ (weights * task.rest), x0=x, rtol=1e-2, maxiter=60, M=inverse)
        rest = task.rest - shares @ x
        least = 0.3 * float(task.weights @ np.abs(rest))
    return np.asarray(x, np.float64)


def _descended(task: Task, step: float, price: float, integers: NDArray[np.int64]) -> Choice:
    """Integers that no change of a single one improves much, at a price."""
    integers = integers.copy()
    shares = task.shares
    rest = task.rest - shares @ (integers * step)
    for _ in range(_SWEEPS):
        costs = price / 8 * _bits(integers, task.kinds)
        form = (shares.indptr, shares.indices, shares.data, task.weights, step, costs, task.kinds)
        descend(*form, rest, integers)
    parts = task.split(integers)
    return Choice(parts, encode_values(task.grids, parts), float(task.weights @ np.abs(rest)))


def _bits(integers: NDArray[np.int64], kinds: NDArray[np.int64]) -> NDArray[np.float64]:
    """[kinds, SIZES]: about what an integer of size 0, 1, ... costs where the others are as they are."""
    out = np.empty((int(kinds.max()) + 1, SIZES))
    for kind in range(len(out)):
        size = np.abs(integers[kinds == kind])
        used = np.count_nonzero(size)
        share = (used + 0.5) / (len(size) + 1)
        further = 1 - (used + 1) / (size.sum() + 2)  # geometric
        out[kind, 0] = -np.log2(1 - share)
        beyond = np.arange(SIZES - 1)
        out[kind, 1:] = 1 - np.log2(share) - np.log2(1 - further) - np.log2(max(further, 1e-3)) * beyond
    return out
