"""Signed distances with known surfaces, and what may be asked of a mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh
from mvgen.core.surface import extract

BOX = np.array([[-1.0, -1, -1], [1, 1, 1]])


def sphere(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.norm(points, axis=1) - 0.8


def torus(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hypot(np.hypot(points[:, 0], points[:, 1]) - 0.6, points[:, 2]) - 0.25


def bunny(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A body with head, ears and a tail: the nearest of several balls and capsules."""

    def capsule(a: list[float], b: list[float], radius: float) -> NDArray[np.float64]:
        start, along = np.array(a), np.array(b) - a
        t = np.clip((points - start) @ along / max(along @ along, 1e-12), 0, 1)
        return np.linalg.norm(points - start - t[:, None] * along, axis=1) - radius

    parts = [
        capsule([0, -0.4, 0], [0, -0.3, 0.1], 0.42),
        capsule([0, 0.25, 0.25], [0, 0.25, 0.3], 0.26),
        capsule([-0.1, 0.4, 0.2], [-0.25, 0.85, 0.1], 0.07),
        capsule([0.1, 0.4, 0.2], [0.25, 0.85, 0.1], 0.07),
        capsule([0, -0.45, -0.45], [0, -0.45, -0.45], 0.12),
    ]
    return np.min(parts, axis=0)


def mesh_of(field: object, nodes: int = 48) -> Mesh:
    """A closed mesh of a signed distance in BOX."""
    return extract(field, BOX, nodes, lipschitz=1.0)  # type: ignore[arg-type]


def euler(mesh: Mesh) -> int:
    """Vertices less edges plus faces: 2 for a sphere, 0 for a torus."""
    edges = np.unique(np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    return len(np.unique(mesh.faces)) - len(edges) + len(mesh.faces)


def volume(mesh: Mesh) -> float:
    corners = mesh.vertices[mesh.faces]
    return float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)
