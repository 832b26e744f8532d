"""Vertices moved so that few faces follow a surface as closely as they can.

The mean distance between the two surfaces is minimised by reweighted least squares: points of either are tied to the
nearest points of the other along the line between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh
from mvgen.core.nearest import Triangles, face_normals, sample_surface
from mvgen.kernels.surfacefit import add_distances, block_inverse, solve

_PULL = 1e-2  # towards the last position, in mean diagonals of the form
_STIFF = 3e-3  # added to the form that offsets are judged by, in its mean diagonals
_SAMPLES, _SAMPLES_PER_FACE = 20_000, 7  # points of either surface that are tied, at most those of the target
_FLOOR = 0.3  # distances below so many means count as that much


@dataclass(frozen=True, eq=False)
class Form:
    """A quadratic form over vertices (see `kernels.surfacefit`)."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    blocks: NDArray[np.float64]


class Target:
    """The surface to follow."""

    def __init__(self, mesh: Mesh, samples: int, rng: np.random.Generator):
        self.points = sample_surface(mesh, samples, rng)[0].points
        self._triangles = Triangles(mesh.vertices, mesh.faces)

    def nearest(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._triangles.query(points)[2]

    def errors(self, result: Mesh, probes: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
        """Mean and largest distance between the surface and another, from probes [N, 3] on it and as many back."""
        there = Triangles(result.vertices, result.faces).query(probes)[0]
        points = sample_surface(result, len(probes), rng)[0].points
        back = np.linalg.norm(points - self.nearest(points), axis=1) if len(points) else np.array([np.inf])
        return float(there.mean() + back.mean()) / 2, float(max(there.max(), back.max()))


class Pattern:
    """Which vertices of faces [F, 3] share an edge, as rows of a form."""

    def __init__(self, faces: NDArray[np.integer], count: int):
        pairs = np.concatenate([faces[:, [i, j]] for i in range(3) for j in range(3)]).astype(np.int64)
        keys, inverse = np.unique(pairs[:, 0] * count + pairs[:, 1], return_inverse=True)
        self.count = count
        self.rows, self.indices = keys // count, keys % count
        self.indptr = np.searchsorted(self.rows, np.arange(count + 1)).astype(np.int64)
        self.slots = np.ascontiguousarray(inverse.reshape(3, 3, len(faces)).transpose(2, 0, 1))
        self.diagonal = np.flatnonzero(self.rows == self.indices)


def fit(target: Target, start: Mesh, rounds: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], Form]:
    """Fitted positions [V, 3] of the vertices of a mesh, and the last form that they minimise."""
    pattern = Pattern(start.faces, len(start.vertices))
    x = np.ascontiguousarray(start.vertices)
    for _ in range(rounds):
        blocks, right = distance_form(target, Mesh(x, start.faces), pattern, rng)
        scale = _scale(blocks, pattern)
        tied = blocks.copy()
        tied[pattern.diagonal] += scale * _PULL * np.eye(3)
        pulled = right + scale * _PULL * x
        inverse = block_inverse(pattern.indptr, pattern.indices, tied)
        x = solve(pattern.indptr, pattern.indices, tied, inverse, pulled, x, 120, 1e-2)
    return x, form_at(target, Mesh(x, start.faces), rng, pattern)


def form_at(target: Target, mesh: Mesh, rng: np.random.Generator, pattern: Pattern | None = None) -> Form:
    """What moving the vertices of a mesh costs, near where they are."""
    pattern = pattern or Pattern(mesh.faces, len(mesh.vertices))
    blocks, _ = distance_form(target, mesh, pattern, rng)
    blocks[pattern.diagonal] += _scale(blocks, pattern) * _STIFF * np.eye(3)
    return Form(pattern.indptr, pattern.indices, blocks)


def _scale(blocks: NDArray[np.float64], pattern: Pattern) -> float:
    return float(np.trace(blocks[pattern.diagonal], axis1=1, axis2=2).mean() / 3)


def distance_form(
    target: Target, mesh: Mesh, pattern: Pattern, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Blocks and right-hand side of the mean distance between target and mesh, both ways."""
    faces = np.ascontiguousarray(mesh.faces, np.int64)
    corners = mesh.vertices[faces]
    normals = face_normals(corners)[0]
    count = min(len(target.points), max(_SAMPLES, _SAMPLES_PER_FACE * len(faces)))
    points = target.points[:count]
    _, near, closest = Triangles(mesh.vertices, faces).query(points)
    blocks, right = np.zeros((len(pattern.rows), 3, 3)), np.zeros((pattern.count, 3))
    _add(blocks, right, pattern, faces, corners, normals, near, closest, points)
    samples, face = sample_surface(mesh, count, rng)
    _add(blocks, right, pattern, faces, corners, normals, face, samples.points, target.nearest(samples.points))
    return blocks, right


def _add(
    blocks: NDArray[np.float64],
    right: NDArray[np.float64],
    pattern: Pattern,
    faces: NDArray[np.int64],
    corners: NDArray[np.float64],
    normals: NDArray[np.float64],
    face: NDArray[np.int64],
    own: NDArray[np.float64],
    other: NDArray[np.float64],
) -> None:
    """Tie own points on faces to others. All arrays are [N] or [N, 3]."""
    away = other - own
    distance = np.linalg.norm(away, axis=1)
    far = distance > 1e-9
    direction = np.where(far[:, None], away / np.maximum(distance, 1e-300)[:, None], normals[face])
    weight = 1 / (2 * len(face) * np.maximum(distance, _FLOOR * max(distance.mean(), 1e-9)))
    value = np.einsum("ij,ij->i", direction, other)
    add_distances(faces, pattern.slots, face, weight, barycentric(corners[face], own), direction, value, blocks, right)


def barycentric(corners: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 3]: weights of the corners [N, 3, 3] that give points in their planes."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    p = points - corners[:, 0]
    aa, ab, bb = (np.einsum("ij,ij->i", *s) for s in ((a, a), (a, b), (b, b)))
    pa, pb = np.einsum("ij,ij->i", p, a), np.einsum("ij,ij->i", p, b)
    bottom = aa * bb - ab * ab
    solid = bottom > 1e-30 * (aa * bb + 1e-300)
    bottom = np.where(solid, bottom, 1.0)
    u, v = np.where(solid, (bb * pa - ab * pb) / bottom, 0.0), np.where(solid, (aa * pb - ab * pa) / bottom, 0.0)
    return np.stack([1 - u - v, u, v], axis=1)
