"""Changes of a sound mesh: parts, smoothing, even triangles, another place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, diags

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.surface.library import from_library, to_library
from mvgen.core.surface.poisson import keep_faces
from mvgen.core.surface.simplify import face_parts
from mvgen.core.surface.topology import edges_of, weld
from mvgen.core.surface.trim import face_areas

MOST_FACES = 20_000_000  # that remeshing may make
INWARD, OUTWARD = 0.5, -0.53  # Taubin's steps
ROUNDS = 10  # of remeshing


def keep_parts(mesh: Mesh, count: int | None, share: float = 0.0, welded: bool = False) -> Mesh:
    """The ``count`` parts with the largest area, or those with at least a share of the largest one's area.

    Faces are of one part when they share a place, or a vertex of a mesh that is ``welded`` already. uv, colours stay.
    """
    part = face_parts(mesh if welded else weld(mesh))
    area = np.bincount(part, face_areas(mesh))
    order = np.argsort(-area, kind="stable")
    keep = np.zeros(len(area), bool)
    keep[order[:count] if count is not None else np.flatnonzero(area >= share * area.max())] = True
    return keep_faces(mesh, keep[part])


def smooth(mesh: Mesh, rounds: int) -> Mesh:
    """Taubin's smoothing (1995), which does not shrink: each round a step towards the mean of the neighbours and one
    back. Vertices at the same place move together, borders along themselves only; uv stay, normals are dropped."""
    places, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    edges = edges_of(faces)
    border = np.zeros(len(places), bool)
    border[edges.ends[edges.count == 1]] = True
    both = border[edges.ends]
    inner = edges.count > 1
    # a vertex at the border follows its neighbours along the border alone
    pairs = np.concatenate([edges.ends, edges.ends[:, ::-1]])
    follows = ~border[pairs[:, 0]] | np.tile(~inner & both.all(1), 2)
    pairs = pairs[follows]
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(places), len(places))).tocsr()
    degree = np.asarray(links.sum(axis=1)).reshape(-1)
    mean = diags(1 / np.maximum(degree, 1)) @ links
    held = (degree == 0)[:, None]
    for _ in range(rounds):
        for step in (INWARD, OUTWARD):
            places = places + step * np.where(held, 0, mean @ places - places)
    return replace(mesh, vertices=places[index.reshape(-1)], normals=None)


def remesh(mesh: Mesh, length: float) -> Mesh:
    """Even triangles with edges about ``length`` (in diagonals) long, on the old surface (isotropic remeshing).

    The mesh is welded; colours, uv and normals are lost. Raises CannotError for more than MOST_FACES.
    """
    import pymeshlab

    expected = float(face_areas(mesh).sum()) / (np.sqrt(3) / 4 * (length * mesh.diagonal) ** 2)
    if expected > MOST_FACES:
        raise CannotError(f"edges of that length make about {expected:.2g} faces", "give a larger --remesh")
    meshes = to_library(mesh)
    meshes.meshing_isotropic_explicit_remeshing(iterations=ROUNDS, targetlen=pymeshlab.PureValue(length))
    meshes.meshing_remove_unreferenced_vertices()
    return from_library(meshes, mesh)


def transformed(mesh: Mesh, matrix: NDArray[np.float64]) -> Mesh:
    """A mesh after an affine map [4, 4] that is not singular; mirrored faces are turned to stay outward."""
    linear = matrix[:3, :3]
    normals = mesh.normals
    if normals is not None:
        normals = normals @ np.linalg.inv(linear)
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    mirrored = np.linalg.det(linear) < 0
    faces = np.ascontiguousarray(mesh.faces[:, ::-1]) if mirrored else mesh.faces
    return replace(mesh, vertices=mesh.vertices @ linear.T + matrix[:3, 3], normals=normals, faces=faces)
