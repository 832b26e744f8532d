"""Vertices that give faces the normals they should have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg

from mvgen.core.geometry import Mesh

TOLERANCE, MOST_ROUNDS = 3e-3, 300  # of conjugate gradients
FLAT = 1e-6  # of the mean area: a smaller face counts as one of this size


@dataclass(frozen=True, eq=False)
class Pull:
    """targets [V, 3]: where vertices should be; weight [V]: how much, against 1 for the shape of a face; 0 for not."""

    targets: NDArray[np.float64]
    weight: NDArray[np.float64]


def face_normals(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """[F, 3], unit; 0 for faces without area."""
    across = _across(vertices, faces)
    return across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-300)


def vertex_normals(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """[V, 3], unit: means of the faces' by area; 0 for vertices without faces."""
    out = sums_at(faces, np.repeat(_across(vertices, faces), 3, axis=0), len(vertices))
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-300)


def towards_normals(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    wanted: NDArray[np.float64],
    free: NDArray[np.bool_],
    reach: float,
    home: NDArray[np.float64] | None = None,
    pull: Pull | None = None,
    trust: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Vertices [V, 3] moved so that faces [F, 3] turn to the normals wanted [F, 3] and else keep their shape.

    Each face is turned by itself, by the least rotation; then the edges of the surface that fits all turned faces best
    are found, by area (Yu et al. 2004, "Mesh editing with Poisson-based gradient field manipulation"). free [V]: who
    may move. Waves longer than about 6 ``reach`` stay as they are in home [V, 3], or else in the vertices. trust [F]:
    how much the shapes of faces count, 1 where it is not given.
    """
    count = len(vertices)
    turned = least_rotations(face_normals(vertices, faces), wanted) - np.eye(3)
    area = np.linalg.norm(_across(vertices, faces), axis=1)
    area = np.maximum(area, FLAT * area.mean())
    rows, columns, values = list[Any](), list[Any](), list[Any]()
    force = np.zeros((count, 3))
    for corner in range(3):
        i, j = faces[:, (corner + 1) % 3], faces[:, (corner + 2) % 3]
        to_i, to_j = vertices[i] - vertices[faces[:, corner]], vertices[j] - vertices[faces[:, corner]]
        weight = 0.5 * (to_i * to_j).sum(1) / area  # half of the cotangent of the angle at the corner
        weight = weight if trust is None else trust * weight
        change = weight[:, None] * np.einsum("fab,fb->fa", turned, vertices[i] - vertices[j])
        force += sums_at(i, change, count) - sums_at(j, change, count)
        rows += [i, j, i, j]
        columns += [j, i, i, j]
        values += [-weight, -weight, weight, weight]
    hold = np.bincount(faces.reshape(-1), np.repeat(area / 6, 3), count) / reach**2
    if home is not None:
        force += hold[:, None] * (home - vertices)
    if pull is not None:
        hold = hold + pull.weight
        force += pull.weight[:, None] * (pull.targets - vertices)
    rows.append(np.arange(count))
    columns.append(np.arange(count))
    places = (np.concatenate(rows), np.concatenate(columns))
    system = sparse.coo_matrix((np.concatenate([*values, hold]), places), (count, count)).tocsr()
    out = vertices.copy()
    out[free] += solved(system[free][:, free], force[free])
    return out


def least_rotations(normals: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 3, 3]: the smallest rotations that take unit vectors [N, 3] to others."""
    axis = np.cross(normals, wanted)
    cosine = np.maximum((normals * wanted).sum(1), -0.99)
    cross = np.zeros((len(axis), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross -= cross.transpose(0, 2, 1)
    return np.eye(3) + cross + cross @ cross / (1 + cosine)[:, None, None]


def sums_at(index: NDArray[np.integer], rows: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """[count, C]: sums of rows [N, C] that have the same index."""
    flat = index.reshape(-1)
    # of nothing, bincount makes whole numbers
    return np.stack([np.bincount(flat, column, count) for column in rows.T], axis=1).astype(np.float64, copy=False)


def edge_lengths(mesh: Mesh) -> NDArray[np.float64]:
    """[V]: the mean length of the edges at each vertex; the mean of all where there are none."""
    start, end = mesh.faces, np.roll(mesh.faces, -1, axis=1)
    length = np.linalg.norm(mesh.vertices[start] - mesh.vertices[end], axis=2).reshape(-1)
    both = np.concatenate([start.reshape(-1), end.reshape(-1)])
    sums = np.bincount(both, np.tile(length, 2), len(mesh.vertices))
    number = np.bincount(both, minlength=len(mesh.vertices))
    return np.where(sums > 0, sums / np.maximum(number, 1), length.mean())


def _across(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    corners = vertices[faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def solved(
    system: sparse.csr_matrix, force: NDArray[np.float64], tolerance: float = TOLERANCE, rounds: int = MOST_ROUNDS
) -> NDArray[np.float64]:
    """Moves [N, 3], by conjugate gradients from no move."""
    if not len(force):
        return force
    scale = sparse.diags(1 / np.maximum(system.diagonal(), 1e-300))
    columns = [cg(system, column, rtol=tolerance, maxiter=rounds, M=scale)[0] for column in force.T]
    return np.stack(columns, axis=1)
