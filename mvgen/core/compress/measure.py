"""How far a decoded mesh is from its source: the mean over both surfaces, and the largest distance, with a proof."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.nearest import Triangles, face_normals, sample_surface

NONE = 4e-6  # of the diagonal: mean errors below it are as good as none
SAMPLES = 100_000  # on each surface, for what is reported
_SLACK = 0.02  # a proved maximum is at most so much above a distance that was found,
_FLOOR = 1e-6  # and this, which is below what a float32 file resolves
_MOST_PIECES = 1_500_000  # triangles that a proof may look at


@dataclass(frozen=True)
class Errors:
    """mean: of the distances of points drawn evenly by area on each surface to the other, averaged over the two; doubt:
    its standard error; maximum: the largest distance from either surface to the other; proved: whether no point of
    either is farther, or it is the largest that was found. Lengths are those of the meshes."""

    mean: float
    doubt: float
    maximum: float
    proved: bool


class Surface:
    """A mesh without its empty faces that can be asked for distances, which are exact. Raises CannotError for one
    without area."""

    def __init__(self, mesh: Mesh):
        solid = face_normals(mesh.vertices[mesh.faces])[1] > 0
        if not solid.any():
            raise CannotError("the mesh has no area", "are its faces degenerate?")
        used, index = np.unique(mesh.faces[solid], return_inverse=True)
        self.vertices = np.ascontiguousarray(mesh.vertices[used])
        self.faces: NDArray[np.int64] = index.reshape(-1, 3).astype(np.int64)
        self.corners = self.vertices[self.faces]
        self._triangles = Triangles(self.vertices, self.faces)

    def nearest(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Distances [N] of points [N, 3], and the nearest of ``corners`` [N]."""
        return self._triangles.query(points)[:2]

    def sample(self, count: int, seed: int) -> NDArray[np.float64]:
        """[count, 3]: points drawn evenly by area."""
        return sample_surface(Mesh(self.vertices, self.faces.astype(np.int32)), count, np.random.default_rng(seed))[
            0
        ].points


def measure(source: Surface, result: Surface, samples: int = SAMPLES, seed: int = 0, prove: bool = True) -> Errors:
    """The distance between two surfaces.

    Without ``prove`` the maximum is the largest over the samples and all vertices; `with_proof` makes up for it.
    """
    there = result.nearest(source.sample(samples, seed))[0]
    back = source.nearest(result.sample(samples, seed + 1))[0]
    mean = float((there.mean() + back.mean()) / 2)
    doubt = float(np.hypot(there.std(), back.std()) / 2 / np.sqrt(samples))
    found = max(float(there.max()), float(back.max()))
    if prove:
        return with_proof(source, result, Errors(mean, doubt, found, False))
    one = largest_distance(source, result, found, prove=False)[0]
    return Errors(mean, doubt, max(one, largest_distance(result, source, one, prove=False)[0]), False)


def with_proof(source: Surface, result: Surface, errors: Errors) -> Errors:
    """Errors between two surfaces with a proof of their maximum, where one is found."""
    found = errors.maximum
    one, proved_one = largest_distance(source, result, found)
    found = max(found, (one - _FLOOR) / (1 + _SLACK))
    other, proved_other = largest_distance(result, source, found)
    return replace(errors, maximum=max(found, one, other), proved=proved_one and proved_other)


def mean_distance(source: Surface, result: Surface, samples: int, seed: int) -> float:
    """The symmetric mean alone, for searches."""
    there = result.nearest(source.sample(samples, seed))[0]
    back = source.nearest(result.sample(samples, seed + 1))[0]
    return float((there.mean() + back.mean()) / 2)


def largest_distance(
    one: Surface, other: Surface, found: float = 0.0, prove: bool = True, enough: float = math.inf
) -> tuple[float, bool]:
    """The largest distance of a point of ``one`` from ``other``, and whether it is a proved bound.

    found: a distance that is known to occur between the two, in either direction; what is below is not looked for. One
    of more than ``enough`` ends the search.

    The distance to one triangle is convex, so over a triangle it is largest at a corner. Hence the least over a few
    near triangles of ``other`` of the largest over three corners bounds a triangle of ``one``; where that is more than
    2 % above what was found, the triangle is cut in four. (Lengths are in diagonals.)
    """
    pieces = Pieces(one.vertices, one.faces)
    best, looked = found, len(one.faces)
    while True:
        distance, near = other.nearest(pieces.points)
        best = max(best, float(distance.max()))
        if not prove or best > enough:
            return best, False
        proved = best * (1 + _SLACK) + _FLOOR
        wide = _corner_bounds(pieces, distance, near, other) > proved
        wide[wide] = _middle_bounds(pieces.only(wide), other) > proved
        looked += 4 * int(wide.sum())
        if not wide.any() or looked > len(one.faces) + _MOST_PIECES:
            return (best, False) if wide.any() else (proved, True)
        pieces = _cut(pieces, wide)


def is_within(source: Surface, result: Surface, limit: float) -> bool:
    """Whether no point of either surface is found farther than a limit from the other: quick, as only what may be
    farther is looked at closely."""
    known = max((limit - _FLOOR) / (1 + _SLACK), 0.0)

    def near(one: Surface, other: Surface) -> bool:
        return largest_distance(one, other, known, enough=limit)[0] <= limit

    return near(source, result) and near(result, source)


@dataclass(frozen=True, eq=False)
class Pieces:
    """Triangles [N, 3] of points [P, 3]."""

    points: NDArray[np.float64]
    faces: NDArray[np.int64]

    def only(self, some: NDArray[np.bool_]) -> Pieces:
        """Some [N] of them."""
        return Pieces(self.points, self.faces[some])


def _corner_bounds(
    pieces: Pieces, distance: NDArray[np.float64], near: NDArray[np.int64], other: Surface
) -> NDArray[np.float64]:
    """[N]: no point of a triangle is farther than this, by the triangles near [P] that are nearest to the points, at
    distances [P]."""
    from mvgen.kernels.proximity import least_farthest_corner

    out = np.empty(len(pieces.faces))
    least_farthest_corner(pieces.points, pieces.faces, distance, near, other.corners, out)
    return out


def _middle_bounds(pieces: Pieces, other: Surface) -> NDArray[np.float64]:
    """[N]: the same by the triangle that is nearest to the middle."""
    from mvgen.kernels.proximity import farthest_corner

    out = np.empty(len(pieces.faces))
    middle = pieces.points[pieces.faces].mean(1)
    farthest_corner(pieces.points, pieces.faces, other.nearest(middle)[1], other.corners, out)
    return out


def _cut(pieces: Pieces, wide: NDArray[np.bool_]) -> Pieces:
    """Some of the triangles, in four each."""
    count = len(pieces.points)
    ends = np.sort(pieces.faces[wide][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, middle = np.unique(ends[:, 0] * count + ends[:, 1], return_inverse=True)
    first, second = edges // count, edges % count
    points = np.concatenate([pieces.points, (pieces.points[first] + pieces.points[second]) / 2])
    (a, b, c), (d, e, f) = pieces.faces[wide].T, (count + middle.reshape(-1, 3)).T
    faces = np.concatenate([np.stack(t, axis=1) for t in ((a, d, f), (d, b, e), (f, e, c), (d, e, f))])
    used, index = np.unique(faces, return_inverse=True)
    return Pieces(points[used], index.reshape(-1, 3))
