"""Grids of values in space: signed distances or occupancies, as .npy or .npz.

A .npz has ``values`` [X, Y, Z], the first index along x; where its nodes lie (``bounds`` [2, 3], the first and the last
node; or ``origin`` [3] and ``spacing``, one number or [3]); and, where given, ``kind`` (sdf or occupancy), ``level``.
A .npy has the values alone: nodes lie at whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh
from mvgen.core.io.arrays import read_arrays

Kind = Literal["sdf", "occupancy"]

LARGEST = 1 << 31  # values of a grid
LEVELS: dict[str, float] = {"sdf": 0.0, "occupancy": 0.5}
_BLOCK = 64  # cells a side that marching cubes sees at a time


@dataclass(frozen=True, eq=False)
class Grid:
    """values [X, Y, Z] at origin [3] + index * spacing [3]; NaN where nothing is known.

    Inside are values below the level of a signed distance, and above that of an occupancy.
    """

    values: NDArray[Any]
    origin: NDArray[np.float64]
    spacing: NDArray[np.float64]
    kind: Kind
    level: float


def load_grid(path: Path, kind: Kind | None = None, level: float | None = None) -> Grid:
    """A grid from a file. kind and level come before what the file says.

    A file that says no kind is a signed distance when it has values below 0, else an occupancy. Raises InputError for a
    file that is missing, damaged, too large, or holds no grid.
    """
    path = Path(path)
    arrays = _read(path)
    values = arrays.get("values")
    if values is None or values.ndim != 3 or min(values.shape) < 2 or values.dtype.kind not in "fiub":
        raise InputError(f"{path}: holds no grid of numbers [X, Y, Z]", 'a .npz should have an array "values"')
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise InputError(f"{path}: has infinite values", "use NaN where nothing is known")
    if values.dtype.kind == "f" and np.isnan(values).all():
        raise InputError(f"{path}: is NaN everywhere, which says that nothing is known", "write the field anew")
    origin, spacing = _placed(arrays, values.shape, path)
    kind = kind or _kind(arrays, values, path)
    if level is None:
        level = _number(arrays["level"], path) if "level" in arrays else LEVELS[kind]
    return Grid(values, origin, spacing, kind, level)


def grid_surface(grid: Grid, method: str = "marching-cubes") -> Mesh:
    """The surface at the level by marching-cubes or flexicubes; may be without faces.

    Of an occupancy, everything beyond the grid is empty. Marching cubes of distances keeps walls thinner than cells.
    """
    sign = 1.0
    if grid.kind == "occupancy":
        sign = -1.0
        empty = np.pad(grid.values.astype(np.float32), 1, constant_values=min(0.0, 2 * grid.level - 1))
        grid = replace(grid, values=empty, origin=grid.origin - grid.spacing)
    if method == "flexicubes":
        return _flexicubes(grid, sign)
    from mvgen.core.surface.march import march

    if grid.kind == "sdf" and (mesh := _walled(grid)):
        return mesh
    found = march(_blocks(grid, sign), sign * grid.level)
    return Mesh(grid.origin + found.places() * grid.spacing, found.faces)


def _walled(grid: Grid) -> Mesh | None:
    """Marching cubes that sees walls thinner than cells, where the grid holds distances."""
    from mvgen.core.surface.march import march
    from mvgen.core.surface.walls import mended

    if grid.values.dtype.kind != "f":
        return None
    shown = mended(grid.values - grid.level if grid.level else grid.values, grid.spacing)
    if shown is None:
        return None
    found = march(_blocks(replace(grid, values=shown.distance), 1.0))
    return Mesh(grid.origin + shown.places(found) * grid.spacing, found.faces)


def _flexicubes(grid: Grid, sign: float) -> Mesh:
    """FlexiCubes with all weights 1, on the cubes that hold a part of the surface and know all their corners."""
    import torch

    from mvgen.core.surface.flexicubes import extract

    cubes = _surface_cubes(grid, sign)
    nodes, corners = np.unique(cubes, return_inverse=True)
    places = np.stack(np.unravel_index(nodes, grid.values.shape), 1).astype(np.float64)
    distance = sign * (grid.values.reshape(-1)[nodes].astype(np.float64) - grid.level)
    found = extract(torch.from_numpy(places), torch.from_numpy(corners.reshape(-1, 8)), torch.from_numpy(distance))
    used, faces = np.unique(found.faces.numpy(), return_inverse=True)  # not those at the end of the grid
    vertices = found.vertices.numpy()[used]
    return Mesh(grid.origin + vertices * grid.spacing, faces.reshape(-1, 3).astype(np.int32))


def _surface_cubes(grid: Grid, sign: float) -> NDArray[np.int64]:
    """[K, 8] nodes of the cubes with corners on both sides of the level; corner k has bit 0 for x, 1 for y, 2 for z."""
    shape = np.array(grid.values.shape)
    side = np.where(np.isnan(grid.values), 2, sign * grid.values < sign * grid.level).astype(np.int8)
    count, known = np.zeros(shape - 1, np.int8), np.ones(shape - 1, bool)
    for k in range(8):
        part = side[tuple(np.s_[b : n - 1 + b] for b, n in zip((k & 1, k >> 1 & 1, k >> 2), shape))]
        count += part == 1
        known &= part < 2
    first = np.stack(np.nonzero((count > 0) & (count < 8) & known), 1)
    steps = np.array([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)])
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    return ((first[:, None] + steps) @ strides).astype(np.int64)


def _blocks(grid: Grid, sign: float) -> Iterator[tuple[NDArray[np.int64], NDArray[np.floating]]]:
    shape = grid.values.shape
    for x in range(0, shape[0] - 1, _BLOCK):
        for y in range(0, shape[1] - 1, _BLOCK):
            for z in range(0, shape[2] - 1, _BLOCK):
                part = grid.values[x : x + _BLOCK + 1, y : y + _BLOCK + 1, z : z + _BLOCK + 1]
                yield np.array([x, y, z]), sign * part.astype(np.float64)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    hint = "write it again with numpy.savez"
    arrays = read_arrays(path, "grid", 8 * LARGEST, ("values", "bounds", "origin", "spacing", "kind", "level"), hint)
    return {"values": arrays["array"]} if "array" in arrays else arrays


def _placed(
    arrays: dict[str, NDArray[Any]], shape: tuple[int, ...], path: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where node 0 is, and the distance of the nodes, [3] each."""
    try:
        if "bounds" in arrays:
            bounds = np.asarray(arrays["bounds"], np.float64).reshape(2, 3)
            origin, spacing = bounds[0], (bounds[1] - bounds[0]) / (np.array(shape) - 1)
        else:
            origin = np.asarray(arrays.get("origin", np.zeros(3)), np.float64).reshape(3)
            spacing = np.broadcast_to(np.asarray(arrays.get("spacing", 1.0), np.float64), (3,))
    except ValueError as error:
        raise InputError(f"{path}: its bounds, origin or spacing are malformed", "bounds are [2, 3]") from error
    if not (np.isfinite(origin).all() and np.isfinite(spacing).all() and (spacing > 0).all()):
        raise InputError(
            f"{path}: its nodes have no distance from each other", "bounds are the lowest and highest node"
        )
    return origin, np.array(spacing)


def _kind(arrays: dict[str, NDArray[Any]], values: NDArray[Any], path: Path) -> Kind:
    told = str(arrays["kind"]).lower() if "kind" in arrays else None
    if told in ("sdf", "occupancy"):
        return "sdf" if told == "sdf" else "occupancy"
    if told is not None:
        raise InputError(f"{path}: its kind {told[:40]!r} is not known", "use sdf or occupancy")
    return "sdf" if values.dtype.kind in "fi" and bool((values < 0).any()) else "occupancy"


def _number(value: NDArray[Any], path: Path) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        raise InputError(f"{path}: its level is not a number", "give one finite number")
    return float(value.reshape(-1)[0])
