"""Screened Poisson reconstruction (Kazhdan & Hoppe 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.limits import between

DEEPEST = 9  # one level more takes four times as long
FEWEST = 100  # points from which a surface is worth trying


@dataclass(frozen=True)
class SurfaceOptions:
    """How the surface is drawn through the points."""

    depth: int = between(0, 0, 12)  # octree depth; 0 chooses it from the spacing of the points
    point_weight: float = between(4.0, 0)
    trim: float = between(8.0, 0)  # surface farther than this many spacings from any point is removed
    gap: float = between(40.0, 0)  # but gaps smaller than a square of this many spacings stay closed


def spacing(points: NDArray[np.float64]) -> float:
    """Median distance of a point to its nearest neighbour (of at most 20,000 points)."""
    step = max(1, len(points) // 20_000)
    return float(np.median(cKDTree(points).query(points[::step], k=2)[0][:, 1]))


def octree_depth(points: NDArray[np.float64], gap: float) -> int:
    """The depth at which a cell is two to four spacings wide, between 6 and DEEPEST."""
    extent = 1.1 * float(np.ptp(points, axis=0).max())
    return int(np.clip(np.floor(np.log2(extent / (2 * max(gap, 1e-30)))), 6, DEEPEST))


def poisson_surface(cloud: PointCloud, options: SurfaceOptions) -> Mesh:
    """A closed surface through oriented points, also where there are none: see `trim`.

    Runs on one thread: the library's parallel sums would change the last digits from run to run.
    Raises CannotError when there are too few points or none with a normal.
    """
    import pymeshlab

    if len(cloud) < FEWEST or cloud.normals is None:
        raise CannotError(
            f"only {len(cloud)} points were found, too few for a surface",
            "write them as they are with --as points, or add photos",
        )
    centre = cloud.points.mean(axis=0)
    gap = spacing(cloud.points)
    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(
        pymeshlab.Mesh(vertex_matrix=(cloud.points - centre) / gap, v_normals_matrix=cloud.normals.astype(np.float64))
    )
    meshes.generate_surface_reconstruction_screened_poisson(
        depth=options.depth or octree_depth(cloud.points, gap),
        pointweight=options.point_weight,
        preclean=False,
        threads=1,
    )
    raw = meshes.current_mesh()
    vertices = raw.vertex_matrix() * gap + centre
    faces = raw.face_matrix()
    if not len(faces):
        raise CannotError("the points do not span a surface", "write them as they are with --as points")
    return Mesh(vertices, faces.astype(np.int32))


def keep_faces(mesh: Mesh, keep: NDArray[np.bool_]) -> Mesh:
    """Some faces, and the vertices they use, in the old order."""
    faces = mesh.faces[keep]
    used = np.zeros(len(mesh.vertices), np.bool_)
    used[faces] = True
    index = np.cumsum(used) - 1

    def part(values: NDArray | None) -> NDArray | None:
        return None if values is None else values[used]

    return Mesh(
        mesh.vertices[used],
        index[faces].astype(np.int32),
        normals=part(mesh.normals),
        colours=part(mesh.colours),
        uv=part(mesh.uv),
        texture=mesh.texture,
        metadata=mesh.metadata,
    )
