"""From a network back to a mesh."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh
from mvgen.core.nearest import face_normals
from mvgen.core.progress import Progress, Silent
from mvgen.core.surface.poisson import keep_faces
from mvgen.core.surface.simplify import face_parts
from mvgen.core.surface.sparse import extract

_EDGE = 1e-6  # by which the box is smaller than the bounds, so that nodes on these lie outside
Field = Callable[[NDArray[np.float64]], NDArray[np.floating]]


def surface_of(
    field: Field,
    bounds: NDArray[np.floating],
    resolution: int,
    projections: int = 2,
    pieces: int | None = None,
    progress: Progress | None = None,
) -> Mesh:
    """Where a field is 0, by marching cubes on ``resolution`` nodes along the longest side, then moved onto it.

    pieces: how many are kept, the largest; None keeps all. What reaches beyond the bounds is cut off there, so that
    the surface is closed.
    """
    field = within(field, bounds)
    mesh = extract(field, bounds, resolution, progress=progress or Silent())
    if pieces is not None:
        mesh = largest_pieces(mesh, pieces)
    if not projections or not len(mesh.vertices):
        return mesh
    cell = float(np.ptp(np.asarray(bounds), axis=0).max()) / (resolution - 1)
    return Mesh(projected(field, mesh.vertices, cell, projections), mesh.faces)


def within(field: Field, bounds: NDArray[np.floating]) -> Field:
    """The field, cut by a box [2, 3]: positive on its sides and beyond."""
    low, high = np.asarray(bounds, np.float64)

    def cut(points: NDArray[np.float64]) -> NDArray[np.floating]:
        values = field(points)
        beyond = np.maximum(low - points, points - high).max(1) + _EDGE
        return np.maximum(values, beyond.astype(values.dtype))

    return cut


def largest_pieces(mesh: Mesh, count: int) -> Mesh:
    """The ``count`` pieces of a mesh with the most area; what else floats around was not in the source."""
    if not len(mesh.faces):
        return mesh
    piece = face_parts(mesh)
    area = np.bincount(piece, face_normals(mesh.vertices[mesh.faces])[1])
    kept = np.zeros(len(area), bool)
    kept[np.argsort(-area, kind="stable")[:count]] = True
    return mesh if kept.all() else keep_faces(mesh, kept[piece])


def projected(field: Field, points: NDArray[np.float64], cell: float, times: int) -> NDArray[np.float64]:
    """Points [N, 3] moved towards field = 0 by steps of Newton along the gradient, none farther than half a cell."""
    steps = np.concatenate([np.eye(3), -np.eye(3)]) * (0.1 * cell)
    for _ in range(times):
        around = np.stack([field(points + step) for step in steps]).astype(np.float64)
        slope = (around[:3] - around[3:]).T / (0.2 * cell)
        value = around.mean(0)
        move = -slope * (value / np.maximum((slope**2).sum(1), 1e-12))[:, None]
        length = np.linalg.norm(move, axis=1, keepdims=True)
        points = points + move * np.minimum(1, 0.5 * cell / np.maximum(length, 1e-300))
    return points
