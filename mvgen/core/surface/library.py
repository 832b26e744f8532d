"""Meshes to and from pymeshlab, which is used within a unit box around the origin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh


def to_library(mesh: Mesh, marked: NDArray[np.bool_] | None = None) -> Any:
    """A MeshSet with the mesh, centred, its diagonal 1; ``marked`` faces [F] have quality (``fq``) 1, others 0."""
    import pymeshlab

    vertices = (mesh.vertices - _centre(mesh)) / _scale(mesh)
    extra = {} if marked is None else {"f_scalar_array": marked.astype(np.float64)}
    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(vertices, mesh.faces, **extra))
    return meshes


def from_library(meshes: Any, origin: Mesh) -> Mesh:
    """The current mesh, back where ``origin`` was; without colours, normals and uv."""
    found = meshes.current_mesh()
    vertices = found.vertex_matrix() * _scale(origin) + _centre(origin)
    faces = found.face_matrix().astype(np.int32).reshape(-1, 3)
    return replace(origin, vertices=vertices, faces=faces, normals=None, colours=None, uv=None, texture=None)


def _centre(mesh: Mesh) -> NDArray[np.float64]:
    return mesh.bounds.mean(0)


def _scale(mesh: Mesh) -> float:
    return max(mesh.diagonal, 1e-300)
