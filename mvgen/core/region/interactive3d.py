"""The arrays of Interactive3D's region tool, in a folder.

``binaries.npy`` bool [1, R, R, R]: which cells are occupied; ``occs.npy`` float32 [R^3]: how much; ``grid_coords.npy``
int64 [R^3, 3]: their places; cells are counted with z fastest and fill the cube from -1.2 to 1.2. For part i,
``occ_index_i_gs.npy`` int64 has the numbers of its cells, and ``occ_mask_i_gs.npy`` bool marks them among the occupied
cells that no part before it took.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mvgen.core.errors import InputError
from mvgen.core.io.arrays import read_arrays
from mvgen.core.io.grids import LARGEST, Grid
from mvgen.core.region.model import Region

OCCUPIED = "binaries.npy"
HALF = 1.2  # half a side of the cube


def load_cells(path: Path) -> Grid:
    """The grid in binaries.npy. Raises InputError."""
    values = read_arrays(path, "grid", LARGEST, (), "save it again with numpy.save").get("array", np.zeros(0))
    shape = values.shape[1:] if values.ndim == 4 and len(values) == 1 else values.shape
    is_cube = len(shape) == 3 and len(set(shape)) == 1 and shape[0] > 1
    if not is_cube or values.dtype.kind not in "bui":
        raise InputError(f"{path}: holds no cube of cells", "it should be an array of bool [1, R, R, R]")
    spacing = 2 * HALF / shape[0]
    return Grid(values.reshape(shape) > 0, np.full(3, -HALF + spacing / 2), np.full(3, spacing), "occupancy", 0.5)


def save_parts(regions: Sequence[Region], grid: Grid, folder: Path) -> None:
    """Fill a folder with a grid and the parts of it."""
    values = grid.values
    occupied = values < grid.level if grid.kind == "sdf" else values > grid.level
    np.save(folder / OCCUPIED, occupied[None])
    np.save(folder / "occs.npy", np.where(occupied, 1, 0).astype(np.float32).reshape(-1))
    np.save(folder / "grid_coords.npy", np.stack(np.unravel_index(np.arange(values.size), values.shape), 1))
    left = occupied.reshape(-1)
    for i, region in enumerate(regions):
        np.save(folder / f"occ_index_{i}_gs.npy", region.indices)
        np.save(folder / f"occ_mask_{i}_gs.npy", region.mask[left])
        left = left & ~region.mask
