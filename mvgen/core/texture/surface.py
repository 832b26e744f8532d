"""A triangle mesh as a surface: welded points, the graph of its faces, areas and normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Surface:
    """Points [P, 3] without doubles, faces [F, 3] int32 and what follows from them.

    twins [F, 3] int32: for edge k (corners k, k + 1) of face f the number 3 * g + j of the same edge in its neighbour
    g, -1 at a border; lengths [F, 3] of those edges; areas [F]; normals [F, 3], zero for faces without area;
    scale: the square root of the whole area.
    """

    points: NDArray[np.float64]
    faces: NDArray[np.int32]
    twins: NDArray[np.int32]
    lengths: NDArray[np.float64]
    areas: NDArray[np.float64]
    normals: NDArray[np.float64]
    scale: float

    @staticmethod
    def of(mesh: Mesh) -> Surface:
        """Weld equal vertices, so that seams of an atlas do not cut the surface.

        Raises CannotError for a mesh without faces or with coordinates that are not finite.
        """
        if len(mesh.faces) == 0:
            raise CannotError("the mesh has no faces to texture", hint="give a triangle mesh, not points alone")
        if not np.isfinite(mesh.vertices).all():
            raise CannotError("the mesh has coordinates that are not finite", hint="repair the mesh first")
        points, inverse = np.unique(mesh.vertices, axis=0, return_inverse=True)
        faces = inverse.reshape(-1)[mesh.faces].astype(np.int32)
        corners = points[faces]
        edges = np.roll(corners, -1, axis=1) - corners
        cross = np.cross(edges[:, 0], -edges[:, 2])
        double = np.linalg.norm(cross, axis=1)
        if double.sum() <= 0:
            raise CannotError("the mesh has no area to texture", hint="repair the mesh first")
        return Surface(
            points=points,
            faces=faces,
            twins=edge_twins(faces),
            lengths=np.linalg.norm(edges, axis=2),
            areas=double / 2,
            normals=cross / np.maximum(double, 1e-300)[:, None],
            scale=float(np.sqrt(double.sum() / 2)),
        )

    def links(self) -> csr_array:
        """[P, P]: the points that share an edge, with ones (twos where two faces run along it)."""
        from scipy.sparse import coo_array

        start, end = self.faces.reshape(-1), np.roll(self.faces, -1, axis=1).reshape(-1)
        links = coo_array((np.ones(len(start)), (start, end)), shape=(len(self.points),) * 2)
        return (links + links.T).tocsr()

    def components(self, labels: NDArray[Any]) -> NDArray[np.int32]:
        """[F]: numbers of the connected groups of faces with equal labels [F], in order of their first faces."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        face, edge = np.nonzero(self.twins >= 0)
        other = self.twins[face, edge] // 3
        same = labels[face] == labels[other]
        graph = coo_array((np.ones(same.sum(), bool), (face[same], other[same])), shape=(len(labels), len(labels)))
        return connected_components(graph, directed=False)[1].astype(np.int32)


def edge_twins(faces: NDArray[np.int32]) -> NDArray[np.int32]:
    """[F, 3]: the half-edge on the other side of each edge; where more than two faces meet, the first two pair up."""
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2).astype(np.int64)
    key = ends.min(1) * (int(faces.max()) + 1) + ends.max(1)
    order = np.argsort(key, kind="stable")
    ranked = key[order]
    fresh = np.r_[True, ranked[1:] != ranked[:-1]]
    place = np.arange(len(key)) - np.maximum.accumulate(np.where(fresh, np.arange(len(key)), 0))
    second = np.flatnonzero(place == 1)
    second = second[ends[order[second], 0] != ends[order[second], 1]]
    twins = np.full(len(key), -1, np.int32)
    twins[order[second]] = order[second - 1]
    twins[order[second - 1]] = order[second]
    return twins.reshape(-1, 3)
