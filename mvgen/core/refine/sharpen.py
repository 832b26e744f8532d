"""Detail of a mesh made stronger or weaker, by its normals alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.progress import Progress
from mvgen.core.refine.integrate import face_normals, towards_normals
from mvgen.core.surface.topology import edges_of

ROUNDS = 8  # of smoothing
ALIKE = 0.45  # the standard deviation between normals that are smoothed together: about 26 degrees
STEPS = 4  # of the vertices
REACH = 0.25  # in longest sides: longer waves are form, not detail


def sharpened(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    amount: float,
    free: NDArray[np.bool_],
    progress: Progress,
) -> NDArray[np.float64]:
    """Vertices [V, 3] so that the normals of faces [F, 3] differ from smooth ones by 1 + amount times as much.

    Smooth normals are those of a bilateral filter (Zheng et al. 2011, "Bilateral normal filtering for mesh denoising"),
    which keeps creases. amount -1 leaves the smooth surface. free [V]: who may move.
    """
    normals = face_normals(vertices, faces)
    smooth = smooth_normals(vertices, faces)
    wanted = normals + amount * (normals - smooth)
    length = np.linalg.norm(wanted, axis=1, keepdims=True)
    wanted = np.where(length > 1e-6, wanted / np.maximum(length, 1e-300), normals)
    reach = REACH * float(np.ptp(vertices, axis=0).max())
    progress.stage("sharpen", STEPS)
    for _ in range(STEPS):
        vertices = towards_normals(vertices, faces, wanted, free, reach)
        progress.advance()
    return vertices


def smooth_normals(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """[F, 3]: normals after rounds of means with the neighbours that look alike, by area."""
    from scipy.sparse import coo_matrix

    edges = edges_of(faces)
    order = np.argsort(edges.of, kind="stable")
    first = np.searchsorted(edges.of[order], np.flatnonzero(edges.count == 2))
    one, two = order[first] // 3, order[first + 1] // 3
    rows, columns = np.concatenate([one, two]), np.concatenate([two, one])
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    normals = start = face_normals(vertices, faces)
    for _ in range(ROUNDS):
        apart = ((normals[rows] - normals[columns]) ** 2).sum(1)
        weight = area[columns] * np.exp(-apart / (2 * ALIKE**2))
        mean = coo_matrix((weight, (rows, columns)), (len(faces), len(faces))).tocsr() @ normals
        mean += area[:, None] * normals
        length = np.linalg.norm(mean, axis=1, keepdims=True)
        normals = np.where(length > 0, mean / np.maximum(length, 1e-300), start)
    return normals
