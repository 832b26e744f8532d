"""Points in the cubes of a grid, so that much can be said of many at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Cubes:
    """Space in cubes. of [N]: the number of the cube that holds each point, among the C that hold any; names [C],
    rising: their places in a grid with ``steps`` from one to the next along x and along y; low [3]: the middle of the
    first one."""

    of: NDArray[np.int64]
    names: NDArray[np.int64]
    steps: tuple[int, int]
    low: tuple[float, ...]
    side: float

    @property
    def middles(self) -> NDArray[np.float64]:
        """[C, 3]"""
        x, rest = np.divmod(self.names, self.steps[0])
        return (np.stack([x, *np.divmod(rest, self.steps[1])], 1) - 1) * self.side + self.low


def in_cubes(points: NDArray[np.floating], side: float) -> Cubes:
    """Of points [N, 3], N > 0; the side may become longer, so that names are numbers of 64 bits."""
    columns = [points[:, axis].astype(np.float64) for axis in range(3)]
    low = tuple(float(c.min()) for c in columns)
    longest = max(float(c.max()) - v for c, v in zip(columns, low))
    side = max(side, longest / (1 << 20), 1e-300)
    # half a side off: what lies in rows falls amid cubes; from 1, so that neighbours beyond the ends have no name
    x, y, z = (((c - v) / side + 0.5).astype(np.int64) + 1 for c, v in zip(columns, low))
    steps = (int(y.max() + 2) * int(z.max() + 2), int(z.max() + 2))
    names, of = np.unique(x * steps[0] + y * steps[1] + z, return_inverse=True)
    return Cubes(of.reshape(-1), names, steps, low, side)
