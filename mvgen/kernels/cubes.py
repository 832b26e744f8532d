"""Neighbours among the filled cubes of a grid, whose names are whole numbers.

A cube's name is x * steps[0] + y * steps[1] + z; names [C] rise, and no cube lies on the border of the grid. The nine
rows of three cubes around one are followed by a pointer each, which only goes up: O(27 C) time, no search.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import strict_kernel


@strict_kernel
def join_touching(names: NDArray[np.int64], x_step: int, y_step: int, root: NDArray[np.int32]) -> None:
    """Set root [C] to one cube of each set of cubes that hang together by faces, edges or corners: its lowest.

    Sets are trees whose parents have lower numbers (Galler and Fischer 1964), with paths halved.
    """
    rows = np.array([-x_step - y_step, -x_step, -x_step + y_step, -y_step])  # the lower half of the neighbours
    at = np.zeros(4, np.int64)
    for i in range(len(names)):
        root[i] = i
        if i > 0 and names[i - 1] == names[i] - 1:
            _join(root, i, i - 1)
        for k in range(4):
            first = names[i] + rows[k] - 1
            while names[at[k]] < first:  # ends at the latest at i, as rows are below 0
                at[k] += 1
            other = at[k]
            while names[other] <= first + 2:
                _join(root, i, other)
                other += 1
    for i in range(len(names)):
        root[i] = root[root[i]]


@strict_kernel
def _join(root: NDArray[np.int32], a: int, b: int) -> None:
    while root[a] != a:
        root[a] = root[root[a]]
        a = root[a]
    while root[b] != b:
        root[b] = root[root[b]]
        b = root[b]
    if a < b:
        root[b] = a
    else:
        root[a] = b


@strict_kernel
def mark_touching(
    names: NDArray[np.int64], x_step: int, y_step: int, full: NDArray[np.bool_], out: NDArray[np.bool_]
) -> None:
    """Set out [C] where a cube is full [C], or touches one that is."""
    at = np.zeros(9, np.int64)
    for i in range(len(names)):
        out[i] = full[i]
        for k in range(9):
            first = names[i] + (k // 3 - 1) * x_step + (k % 3 - 1) * y_step - 1
            while at[k] < len(names) and names[at[k]] < first:
                at[k] += 1
            other = at[k]
            while not out[i] and other < len(names) and names[other] <= first + 2:
                out[i] = full[other]
                other += 1


def touching(names: NDArray[np.int64], x_step: int, y_step: int) -> NDArray[np.int64]:
    """[E, 2]: pairs of cubes that touch; the reference of both."""
    pairs = []
    for x, y, z in ((1, y, z) for y in (-1, 0, 1) for z in (-1, 0, 1)):
        pairs.append(_at(names, x * x_step + y * y_step + z))
    for y, z in ((1, -1), (1, 0), (1, 1), (0, 1)):
        pairs.append(_at(names, y * y_step + z))
    return np.concatenate(pairs)


def _at(names: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    _, first, second = np.intersect1d(names + step, names, assume_unique=True, return_indices=True)
    return np.stack([first, second], 1)
