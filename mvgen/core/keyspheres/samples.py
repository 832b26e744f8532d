"""Signed distances of a mesh, and the points at which networks learn them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress

RADIUS = 0.9  # of the ball around the shape, in the frame that networks see
STEEP = 60.0  # a point at distance d is kept with a chance that falls as exp(-60 d)
NEAR = 0.9  # share of the points that are chosen so; the others lie evenly in the cube
COARSE = 48  # nodes a side of the grid that tells which points are too far to measure
BATCH = 1 << 18


class Distance:
    """The signed distance to a mesh, negative where its winding number is above one half."""

    def __init__(self, mesh: Mesh):
        import igl

        self.vertices = np.ascontiguousarray(mesh.vertices, np.float64)
        self.faces = np.ascontiguousarray(mesh.faces, np.int64)
        self.tree = igl.AABB()
        self.tree.init(self.vertices, self.faces)

    def unsigned(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """[N]: distances of points [N, 3]."""
        points = np.ascontiguousarray(points, np.float64)
        squared, _, _ = self.tree.squared_distance(self.vertices, self.faces, points)
        return np.sqrt(np.maximum(squared, 0))

    def winding(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """[N]: winding numbers at points [N, 3]: how often the surface goes around them."""
        import igl

        points = np.ascontiguousarray(points, np.float64)
        return np.asarray(igl.fast_winding_number(self.vertices, self.faces, points), np.float64).reshape(-1)

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """[N]: signed distances of points [N, 3]."""
        return np.where(self.winding(points) > 0.5, -1.0, 1.0) * self.unsigned(points)


# ---- the frame


@dataclass(frozen=True, eq=False)
class Normal:
    """The frame of networks: x -> (x - centre) * scale brings the shape into a ball of radius 0.9 around 0."""

    centre: NDArray[np.float64]
    scale: float

    def to(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        return (points - self.centre) * self.scale

    def back(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        return points / self.scale + self.centre

    def stored(self) -> bytes:
        """Eight bytes."""
        return np.array([*self.centre, self.scale], "<f2").tobytes()

    @staticmethod
    def read(data: bytes) -> Normal:
        """ValueError where the bytes are no frame."""
        values = np.frombuffer(data, "<f2").astype(np.float64)
        if len(values) != 4 or not np.isfinite(values).all() or values[3] <= 0:
            raise ValueError("not a frame")
        return Normal(values[:3], float(values[3]))

    @staticmethod
    def of(vertices: NDArray[np.float64]) -> Normal:
        """By the smallest ball around vertices [V, 3] whose extent is about 1, in the digits that a file keeps."""
        centre, radius = smallest_ball(vertices)
        if not radius > 0:
            raise CannotError("the shape has no extent")
        return Normal.read(Normal(centre, RADIUS / radius).stored())


def smallest_ball(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Centre [3] and radius of the smallest ball around points [N, 3]: the farthest point joins those that hold the
    ball, until none is outside."""
    held = points[:1]
    centre, radius = held[0], 0.0
    for _ in range(1000):
        distance = np.linalg.norm(points - centre, axis=1)
        far = int(distance.argmax())
        if distance[far] <= radius * (1 + 1e-9) + 1e-12:
            break
        centre, radius, held = _ball_through(np.concatenate([held, points[far : far + 1]]))
    return centre, radius


def _ball_through(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """The smallest ball around at most five points, and those of them on its border."""
    best: tuple[NDArray[np.float64], float, NDArray[np.float64]] | None = None
    for size in range(1, min(4, len(points)) + 1):
        for chosen in combinations(range(len(points)), size):
            some = points[list(chosen)]
            across = some[1:] - some[0]
            shift = np.linalg.lstsq(2 * across, (across**2).sum(1), rcond=None)[0] if size > 1 else np.zeros(3)
            radius = float(np.linalg.norm(shift))
            inside = np.linalg.norm(points - some[0] - shift, axis=1) <= radius * (1 + 1e-9) + 1e-12
            if inside.all() and (best is None or radius < best[1]):
                best = some[0] + shift, radius, some
    assert best is not None
    return best


# ---- samples


def published_samples(
    distance: Distance, count: int, rng: np.random.Generator, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points [N, 3] in [-1, 1] and their signed distances [N], in random order.

    Nine of ten are drawn from the cube with a density that falls as exp(-60 |distance|), the others evenly.
    """
    near = round(NEAR * count)
    progress.stage("samples", count)
    grid = _coarse(distance)
    points, values, have = [rng.uniform(-1, 1, (count - near, 3))], [], 0
    values.append(distance(points[0]))
    progress.advance(count - near)
    while have < near:
        draft = rng.uniform(-1, 1, (BATCH * 4, 3))
        least = np.maximum(_nearest_node(grid, draft), 0)
        chance = rng.random(len(draft))
        draft, chance = draft[chance < np.exp(-STEEP * least)], chance[chance < np.exp(-STEEP * least)]
        length = distance.unsigned(draft)
        draft = draft[chance < np.exp(-STEEP * length)][: near - have]
        if not len(draft):
            continue
        points.append(draft)
        values.append(distance(draft))
        have += len(draft)
        progress.advance(len(draft))
    order = rng.permutation(count)
    return (
        np.concatenate(points).astype(np.float32)[order],
        np.concatenate(values).astype(np.float32)[order],
    )


def _coarse(distance: Distance) -> NDArray[np.float64]:
    """[n, n, n]: distances at nodes over the cube, made smaller so that what is interpolated is never too large."""
    axis = np.linspace(-1, 1, COARSE)
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    half = np.sqrt(3) / (COARSE - 1)  # half a cell's diagonal
    return (distance.unsigned(nodes) - half).reshape(COARSE, COARSE, COARSE)


def _nearest_node(grid: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value of the nearest node."""
    index = np.rint((points + 1) * ((COARSE - 1) / 2)).astype(np.int64)
    return grid[index[:, 0], index[:, 1], index[:, 2]]
