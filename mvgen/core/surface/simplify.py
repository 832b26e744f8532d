"""Clean-up and decimation of meshes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from mvgen.core.geometry import Mesh
from mvgen.core.surface.poisson import keep_faces


def face_parts(mesh: Mesh) -> NDArray[np.int32]:
    """[F]: the number of the part that each face belongs to, from 0 on without gaps; faces that share a vertex are of
    one part."""
    count = len(mesh.vertices)
    a, b = mesh.faces[:, [0, 1]].reshape(-1), mesh.faces[:, [1, 2]].reshape(-1)
    graph = coo_matrix((np.ones(len(a), np.int8), (a, b)), (count, count))
    part = connected_components(graph, directed=False)[1][mesh.faces[:, 0]]
    used = np.zeros(count, np.bool_)  # vertices without faces have numbers of their own
    used[part] = True
    return (np.cumsum(used, dtype=np.int32) - 1)[part]


def drop_small_parts(mesh: Mesh, share: float = 0.003) -> Mesh:
    """Remove connected parts with less than a share of the faces of the largest part."""
    of_face = face_parts(mesh)
    sizes = np.bincount(of_face)
    return keep_faces(mesh, sizes[of_face] >= share * sizes.max())


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """At most `faces` faces by quadric edge collapse (Garland & Heckbert 1997); colours from the nearest old vertex.

    Parts, holes and handles stay, and what was a manifold is one, unless so few faces cannot have them."""
    import pymeshlab

    if len(mesh.faces) <= faces:
        return mesh
    meshes = pymeshlab.MeshSet()
    scale = max(mesh.diagonal, 1e-30)
    centre = mesh.vertices.mean(axis=0)
    meshes.add_mesh(pymeshlab.Mesh((mesh.vertices - centre) / scale, mesh.faces))
    for shape, same in ((True, True), (False, True), (False, False)):  # each holds back a small target
        meshes.meshing_decimation_quadric_edge_collapse(
            targetfacenum=faces,
            qualitythr=0.5,
            preserveboundary=shape,
            preservenormal=shape,
            preservetopology=same,
            planarquadric=True,
        )
        if meshes.current_mesh().face_number() <= faces:
            break
    meshes.meshing_remove_unreferenced_vertices()
    small = meshes.current_mesh()
    vertices = small.vertex_matrix() * scale + centre
    colours = mesh.colours
    if colours is not None:
        colours = colours[cKDTree(mesh.vertices).query(vertices, workers=-1)[1]]
    return replace(mesh, vertices=vertices, faces=small.face_matrix().astype(np.int32), colours=colours)
