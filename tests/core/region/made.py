"""Things to select from."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.region.query import Eyes
from mvgen.core.region.sight import sight_of, standard_cameras
from mvgen.core.region.things import Things
from mvgen.core.splats.model import Splats


def sphere(level: int = 4, radius: float = 1.0) -> Mesh:
    ball = trimesh.creation.icosphere(level, radius)
    return Mesh(np.asarray(ball.vertices, np.float64), np.asarray(ball.faces, np.int32))


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    faces = [m.faces + start for m, start in zip(meshes, starts)]
    return Mesh(np.concatenate([m.vertices for m in meshes]), np.concatenate(faces).astype(np.int32))


def shifted(mesh: Mesh, by: tuple[float, float, float]) -> Mesh:
    return Mesh(mesh.vertices + by, mesh.faces)


def on_sphere(count: int, seed: int = 0) -> NDArray[np.float64]:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def splats_at(points: NDArray[np.floating], size: float = 0.03, opacity: float = 0.95) -> Splats:
    count = len(points)
    return Splats(
        points.astype(np.float32),
        np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        np.full((count, 3), np.log(size), np.float32),
        np.full(count, np.log(opacity / (1 - opacity)), np.float32),
        np.zeros((count, 1, 3), np.float32),
    )


def things(shape: Mesh | PointCloud | Splats) -> Things:
    if isinstance(shape, Mesh):
        return Things("a.glb", "vertices", shape, len(shape.vertices))
    return Things("a.ply", "splats" if isinstance(shape, Splats) else "points", shape, len(shape))


def eyes(of: Things) -> Eyes:
    sight = sight_of(of, False)
    return Eyes(sight, standard_cameras(of, 3), standard_cameras(of, 3))
