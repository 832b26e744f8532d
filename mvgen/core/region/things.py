"""What an input holds, as places of which some can be selected."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.io.grids import Grid, load_grid
from mvgen.core.io.meshes import load_any
from mvgen.core.nearest import face_normals
from mvgen.core.region import interactive3d
from mvgen.core.region.model import NAME, Axes, Kind, Places, Region, region_of
from mvgen.core.render.orbit import Shape, robust_points, up_of
from mvgen.core.splats import seen
from mvgen.core.splats.files import holds_splats, load_splats
from mvgen.core.splats.model import FRAMES, UP, Splats
from mvgen.core.surface.subdivide import split_long

Mask = NDArray[np.bool_]
MOST = 100_000  # places that a file tells, and that faces are given
FINE = 0.01  # of the diagonal: longer edges have places between their ends
_ARRAYS = (b"PK\x03\x04", b"\x93NUMPY")


@dataclass(frozen=True, eq=False)
class Things:
    """N places [N, 3], in the numbers of the file: vertices, points, means of splats, or middles of occupied cells.

    shape: they themselves; of cells, their middles as points. count: of all things; places stand for those numbered
    ``among`` [N], which of cells are the occupied ones; else None, for all. grid: that of the cells. name: of the file.
    own: the mesh as the file has it, where ``shape`` has places on its large faces, too, behind its vertices.
    """

    name: str
    kind: Kind
    shape: Shape
    count: int
    among: NDArray[np.int64] | None = None
    grid: Grid | None = None
    own: Mesh | None = None

    @property
    def whole(self) -> Shape:
        """As the file has it."""
        return self.shape if self.own is None else self.own

    @property
    def selectable(self) -> int:
        """How many of those that count can be selected: empty cells cannot."""
        return self.count if self.among is None else len(self.among)

    @property
    def places(self) -> NDArray[np.floating]:
        if isinstance(self.shape, Mesh):
            return self.shape.vertices
        return self.shape.means if isinstance(self.shape, Splats) else self.shape.points

    @property
    def diagonal(self) -> float:
        """Of the bounding box; without the few far places where these stretch it by half."""
        return float(np.linalg.norm(np.ptp(robust_points(self.whole), axis=0)))

    @property
    def up(self) -> NDArray[np.float64]:
        """[3], as the file has it."""
        return seen.up_of(self.shape) if isinstance(self.shape, Splats) else up_of(self.shape.metadata)

    @property
    def axes(self) -> Axes:
        """As the file, or the custom of its format, has them."""
        return axes_of(self.shape)

    @cached_property
    def sample(self) -> NDArray[np.int64]:
        """[P], rising: numbers of the places that a file tells: all on large faces, and others at random, always the
        same ones."""
        rest = len(self.places) if self.own is None else self.count
        room = MOST - (len(self.places) - rest)
        some = np.arange(rest)
        if rest > room:
            some = np.sort(np.random.default_rng(0).choice(rest, room, replace=False, shuffle=False))
        return np.concatenate([some, np.arange(rest, len(self.places))])

    @property
    def told(self) -> Places:
        """The places of the sample."""
        return Places(self.places[self.sample].astype(np.float64), self.axes)

    def border(self, mask: Mask) -> float:
        """Share of a mesh's area in faces with corners both in a mask [N] and out of it; 0 of other things."""
        mesh = self.whole
        if not isinstance(mesh, Mesh) or not len(mesh.faces):
            return 0.0
        inside = mask[mesh.faces]
        area = face_normals(mesh.vertices[mesh.faces])[1]
        return float(area[inside.any(1) & ~inside.all(1)].sum() / max(float(area.sum()), 1e-300))

    def region(self, mask: Mask, name: str = NAME) -> Region:
        """The region of the places in a mask [N]."""
        whole = mask[: self.count]
        if self.among is not None:
            whole = np.zeros(self.count, np.bool_)
            whole[self.among[mask]] = True
        bounds = region_of(self.kind, mask, self.places).bounds
        return Region(self.kind, whole, bounds, name, mask[self.sample])

    def mask(self, region: Region) -> Mask:
        """[N]: the places of a region; empty cells have none, and places on faces are not told by it."""
        return region.mask if self.among is None else region.mask[self.among]


def finer(things: Things) -> Things:
    """Things with places on faces that are large, so that what holds there is not left to their corners. Others stay
    the same."""
    mesh = things.shape
    if not isinstance(mesh, Mesh) or not len(mesh.faces):
        return things
    own = len(mesh.vertices)
    fine = split_long(mesh, FINE * diagonal_of(mesh.vertices), own + max(MOST - own, MOST // 2))
    return things if fine is mesh else replace(things, shape=fine, own=mesh)


def diagonal_of(points: NDArray[np.floating]) -> float:
    """Of the bounding box of points [N, 3], without the few far ones where these stretch it by half."""
    return float(np.linalg.norm(np.ptp(robust_points(PointCloud(points.astype(np.float64, copy=False))), axis=0)))


def axes_of(shape: Shape) -> Axes:
    """As metadata tell them, or the format of splats."""
    scene = shape.metadata.get(seen.SCENE_FRAME)
    scene = scene if scene in FRAMES else ""
    if isinstance(shape, Splats):
        return Axes(shape.frame, scene)
    about = shape.metadata.get("mvgen", shape.metadata)
    up = str(about.get("up") if isinstance(about, dict) else "").lower().lstrip("+")
    name = next((frame for frame, axis in UP.items() if axis == up), "")
    by_custom = set(shape.metadata) == {"units", "up"}  # as 3MF says of itself, turned or not
    return Axes(name, (scene or ("" if by_custom else name)) if name else "")


def load_things(path: Path, name: str, warn: Warn = ignore) -> Things:
    """Of a mesh, points, splats, a grid (.npz, .npy), or a folder with Interactive3D's grid.

    Raises InputError for what is missing, damaged or of another kind, CannotError for a grid without occupied cells.
    """
    if path.is_dir() and (path / interactive3d.OCCUPIED).exists():
        return _cells(interactive3d.load_cells(path / interactive3d.OCCUPIED), name)
    if holds_splats(path):
        splats = load_splats(path, warn, None)
        return Things(name, "splats", splats, len(splats))
    if path.is_dir():
        raise InputError(f"{path}: holds neither splats nor {interactive3d.OCCUPIED}", "name a file")
    if _holds_arrays(path):
        is_theirs = path.name == interactive3d.OCCUPIED
        return _cells(interactive3d.load_cells(path) if is_theirs else load_grid(path), name)
    shape = load_any(path, warn)
    if isinstance(shape, Mesh):
        return Things(name, "vertices", shape, len(shape.vertices))
    return Things(name, "points", shape, len(shape))


def _holds_arrays(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return False
    return head.startswith(_ARRAYS[1]) or (head.startswith(_ARRAYS[0]) and zipfile.is_zipfile(path) and b".npy" in head)


def _cells(grid: Grid, name: str) -> Things:
    with np.errstate(invalid="ignore"):
        inside = grid.values < grid.level if grid.kind == "sdf" else grid.values > grid.level
    among = np.flatnonzero(inside)
    if not len(among):
        raise CannotError(f"{name}: none of its cells is occupied", "its values should be above 0.5 inside")
    places = grid.origin + np.stack(np.unravel_index(among, inside.shape), 1) * grid.spacing
    return Things(name, "cells", PointCloud(places), inside.size, among, grid)
