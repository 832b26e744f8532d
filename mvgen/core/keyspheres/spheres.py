"""Key spheres: a few balls that tell the rough shape (Zhang et al., "SN-Graph: a minimalist 3D object representation
for classification", ICME 2021).

They live on a grid of 128 voxels a side over [-1, 1]; voxel v has its middle at (v - 64) / 64.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.metrics import occupied
from mvgen.core.nearest import sample_surface

GRID = 128
SURFACE_BALLS = 2048
TINY = 0.5  # radius of a ball on the surface, in voxels
LEAST = 1.0  # radius of the smallest ball inside, in voxels
MOST = 2048  # spheres of one object


@dataclass(frozen=True, eq=False)
class Spheres:
    """voxels [M, 3] int64: centres in voxels, 0 to 127; radii [M] float64, in voxels; outer [M] bool: lies outside."""

    voxels: NDArray[np.int64]
    radii: NDArray[np.float64]
    outer: NDArray[np.bool_]

    @property
    def centres(self) -> NDArray[np.float64]:
        """[M, 3] in [-1, 1]."""
        return (self.voxels - GRID // 2) / (GRID // 2)

    def __len__(self) -> int:
        return len(self.voxels)


def key_spheres(mesh: Mesh, count: int = 128, seed: int = 0, outer: int = 0) -> Spheres:
    """``count`` spheres inside a closed mesh that lies in [-1, 1], and ``outer`` more in the space around it.

    Fewer where the shape has fewer balls. Raises CannotError for a mesh that encloses no voxel.
    """
    solid = _solid(mesh)
    if not solid.any():
        raise CannotError("the shape is too thin for key spheres: it encloses no voxel of a grid of 128")
    parts = [_choose(mesh, solid, count, seed)]
    if outer:
        parts.append(_choose(mesh, ~solid, outer, seed))
    flags = np.repeat([False, True], [len(parts[0][1]), sum(len(p[1]) for p in parts[1:])])
    return Spheres(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), flags)


def _solid(mesh: Mesh) -> NDArray[np.bool_]:
    """[128, 128, 128]: whether the middle of a voxel is inside the mesh."""
    cell = 2 / GRID
    origin = np.full(3, -1 - cell / 2)  # of the first voxel's lowest corner
    jitter = cell * 1e-6 * np.array([0.3819660113, 0.4142135624, 0.4472135955])  # off round numbers, where edges lie
    return occupied(mesh, origin - jitter, cell, (GRID, GRID, GRID))


def _choose(
    mesh: Mesh, space: NDArray[np.bool_], count: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    from mvgen.kernels.keyspheres import apart, farthest

    centres, radii = _candidates(mesh, space, seed)
    kept = np.zeros(len(radii), bool)
    apart(centres.astype(np.float64), radii, radii <= TINY, kept)
    centres, radii = centres[kept], radii[kept]
    order = np.zeros(min(count, len(radii)), np.int64)
    if len(order):
        farthest(centres.astype(np.float64), radii, _first(centres, radii), order)
    return centres[order], radii[order]


def _candidates(mesh: Mesh, space: NDArray[np.bool_], seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Balls around voxels of a space that reach its border, and tiny ones on the surface; the largest first."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(space)
    voxels = np.argwhere(depth >= LEAST)
    samples, _ = sample_surface(mesh, SURFACE_BALLS, np.random.default_rng(seed))
    surface = np.rint((samples.points + 1) * (GRID / 2)).astype(np.int64).clip(0, GRID - 1)
    radii = np.concatenate([depth[tuple(voxels.T)], np.full(len(surface), TINY)])
    order = np.argsort(-radii, kind="stable")
    return np.concatenate([voxels, surface])[order], radii[order]


def _first(centres: NDArray[np.int64], radii: NDArray[np.float64]) -> int:
    """The ball to begin with: large and near the middle of the grid."""
    largest = radii.max()
    value = radii / largest * (radii - 1) - np.linalg.norm(centres - GRID / 2, axis=1)
    value[radii <= largest / 2] = -np.inf
    return int(value.argmax())


# ---- files


def write_spheres(spheres: Spheres) -> str:
    """The text format: how many inner spheres, a line ``x y z r 0`` each, in voxels; then the outer ones so."""
    lines = []
    for chosen in (~spheres.outer, spheres.outer):
        lines.append(str(int(chosen.sum())))
        for (x, y, z), radius in zip(spheres.voxels[chosen], spheres.radii[chosen]):
            lines.append(f"{x} {y} {z} {radius:.9g} 0")
    return "\n".join(lines) + "\n"


def read_spheres(path: Path, name: str | None = None) -> Spheres:
    """The text format of `write_spheres`; the outer part may be missing, and the fifth number of a line is not used.

    Raises InputError for another kind of file.
    """
    name = name or str(path)
    try:
        if path.stat().st_size > 100 * (MOST + 1):
            raise InputError(f"{name}: is too large for a file of spheres", f"at most {MOST} spheres are read")
        words = path.read_text(encoding="utf-8").split()
        inner = _rows(words)
        outer = _rows(words[1 + 5 * len(inner) :]) if len(words) > 1 + 5 * len(inner) else inner[:0]
    except (OSError, ValueError, IndexError):
        raise InputError(f"{name}: is not a file of spheres", _FORMAT) from None
    rows = np.concatenate([inner, outer])
    places = rows[:, :3]
    if not 1 <= len(rows) <= MOST:
        raise InputError(f"{name}: has {len(rows)} spheres", f"1 to {MOST} are read")
    fine = np.isfinite(rows[:, :4]).all() and (places == np.rint(places)).all() and (rows[:, 3] > 0).all()
    if not (fine and places.min() >= 0 and places.max() < GRID):
        raise InputError(f"{name}: has a sphere outside the grid or without extent", _FORMAT)
    return Spheres(places.astype(np.int64), rows[:, 3], np.arange(len(rows)) >= len(inner))


def _rows(words: list[str]) -> NDArray[np.float64]:
    """[N, 5]: as many lines as the first word says."""
    count = int(words[0])
    rows = words[1 : 1 + 5 * count] if count >= 0 else []
    if len(rows) != 5 * count:
        raise ValueError("lines are missing")
    return np.array(rows, np.float64).reshape(count, 5)


_FORMAT = "the first line is a number of spheres; then a line x y z r 0 for each, with x y z from 0 to 127"
