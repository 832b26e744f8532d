"""Vertices that lie as a thin plate would, where nothing tells their place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mvgen.core.refine.integrate import FLAT, solved

LEAST, MOST = 0.02, 5.0  # weight of an edge: keeps slivers from pulling neighbours apart
SMALL = 0.1  # of the mean area: a vertex with less around it counts as one of this size, so that slivers stay mild
TOLERANCE, ROUNDS = 1e-4, 1000  # of conjugate gradients: plates need more than sheets


def bent(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    free: NDArray[np.bool_],
    hold: NDArray[np.float64],
    wave: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Vertices [V, 3] of a plate that bends as little as it can and is held where they are.

    free [V]: who may move; hold [V]: how fast each is held, above 0. Of waves of length ``wave`` [V], in scene units,
    half is left where hold is 1; of those of length wave / hold^(1/4), where it is more (bi-Laplacian smoothing,
    Desbrun et al. 1999, "Implicit fairing of irregular meshes using diffusion and curvature flow").
    """
    if not free.any():
        return vertices
    laplacian, area = _laplacian(vertices, faces)
    bend = sparse.diags((wave / (2 * np.pi)) ** 2) @ laplacian
    stiff = (bend.T @ sparse.diags(1 / area) @ bend).tocsr()
    rows = np.flatnonzero(free)
    system = (sparse.diags(hold * area) + stiff).tocsr()[rows][:, rows]
    out = vertices.copy()
    out[rows] += solved(system, -(stiff @ vertices)[rows], TOLERANCE, ROUNDS)
    return out


def _laplacian(
    vertices: NDArray[np.float64], faces: NDArray[np.int32]
) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
    """[V, V]: differences to neighbours, by cotangents; [V]: the area around each vertex."""
    count = len(vertices)
    corners = vertices[faces]
    double = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    double = np.maximum(double, FLAT * max(float(double.mean()), 1e-300))
    links = sparse.csr_matrix((count, count))
    for corner in range(3):
        i, j = faces[:, (corner + 1) % 3], faces[:, (corner + 2) % 3]
        to_i, to_j = (vertices[k] - vertices[faces[:, corner]] for k in (i, j))
        weight = np.clip(0.5 * (to_i * to_j).sum(1) / double, LEAST, MOST)
        both = (np.concatenate([i, j]), np.concatenate([j, i]))
        links = links + sparse.csr_matrix((np.tile(weight, 2), both), shape=(count, count))
    area = np.bincount(faces.reshape(-1), np.repeat(double / 6, 3), count)
    area = np.maximum(area, SMALL * area.mean())
    return (sparse.diags(np.asarray(links.sum(1)).ravel()) - links).tocsr(), area
