"""Quadric decimation in stages, whose meshes are kept for whoever asks for another number of faces."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from mvgen.core.compress.prepare import prepared
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh

_STAGE = 0.9  # of the faces stay


class Stages:
    """A mesh with fewer and fewer faces, a tenth less at a time: quadrics taken afresh at each stage give a sixth to a
    third less error than one pass to the end.

    quality: how much the library shuns thin triangles (0 to 1).
    """

    def __init__(self, mesh: Mesh, quality: float = 0.3):
        self.meshes = [mesh]
        self.quality = quality
        self._asked: dict[int, Mesh] = {}
        self._places: cKDTree | None = None

    def stage(self, number: int) -> Mesh | None:
        """The mesh after so many stages, None where the library cannot go on."""
        while len(self.meshes) <= number:
            last = self.meshes[-1]
            smaller = _collapsed(last, int(len(last.faces) * _STAGE), self.quality)
            if smaller is None or len(smaller.faces) > 0.97 * len(last.faces):
                return None
            self.meshes.append(self._coloured(smaller))
        return self.meshes[number]

    def nearest_stage(self, faces: int) -> int:
        """The number of the first stage with at most so many faces, as far as the library goes."""
        number = max(0, math.ceil(math.log(max(faces, 4) / len(self.meshes[0].faces)) / math.log(_STAGE)))
        while self.stage(number) is None:
            number = len(self.meshes) - 1
        counts = [-len(m.faces) for m in self.meshes]
        return min(bisect_left(counts, -faces), len(self.meshes) - 1)

    def with_faces(self, faces: int) -> Mesh:
        """A mesh with about so many faces."""
        if faces >= len(self.meshes[0].faces):
            return self.meshes[0]
        if faces not in self._asked:
            number = self.nearest_stage(faces)
            finer = self.meshes[max(number - 1, 0)]
            found = _collapsed(finer, faces, self.quality)
            self._asked[faces] = self.meshes[number] if found is None else self._coloured(found)
        return self._asked[faces]

    def _coloured(self, mesh: Mesh) -> Mesh:
        """With the colours of the nearest vertices of the first mesh, if it has any."""
        if self.meshes[0].colours is None:
            return mesh
        if self._places is None:
            self._places = cKDTree(self.meshes[0].vertices)
        return replace(mesh, colours=self.meshes[0].colours[self._places.query(mesh.vertices)[1]])


def _collapsed(mesh: Mesh, faces: int, quality: float) -> Mesh | None:
    """About so many faces by quadric edge collapse (Garland & Heckbert 1997), None where nothing would be left."""
    import pymeshlab

    meshes: Any = pymeshlab.MeshSet(verbose=False)
    meshes.add_mesh(pymeshlab.Mesh(mesh.vertices, mesh.faces))
    meshes.meshing_decimation_quadric_edge_collapse(
        targetfacenum=faces, qualitythr=quality, optimalplacement=True, preservenormal=True, preserveboundary=True
    )
    found = meshes.current_mesh()
    small = Mesh(found.vertex_matrix(), found.face_matrix().astype(np.int32).reshape(-1, 3))
    try:
        return prepared(small)
    except CannotError:
        return None
