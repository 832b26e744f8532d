"""Closing the holes of a mesh, for codecs that need an inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.compress.prepare import Openness, openness
from mvgen.core.errors import MvgenError
from mvgen.core.geometry import Mesh
from mvgen.core.surface.repair import fill_holes
from mvgen.core.surface.simplify import face_parts
from mvgen.core.surface.topology import edges_of

_THIN = 0.002  # of the diagonal: slits that are narrower, on average, are cracks


@dataclass(frozen=True, eq=False)
class Closed:
    """mesh: the source with its holes filled, its own faces first; fill [F]: which faces fill holes, cracks apart."""

    mesh: Mesh
    fill: NDArray[np.bool_]

    @property
    def source(self) -> Mesh:
        return Mesh(self.mesh.vertices, self.mesh.faces[~self.fill])

    @property
    def fills(self) -> Mesh:
        return Mesh(self.mesh.vertices, self.mesh.faces[self.fill])


def closed(mesh: Mesh, opened: Openness, seed: int = 0) -> Closed | None:
    """A prepared mesh with its holes filled. None where it has none, or has no inside even so."""
    if not opened.open_edges or opened.crowded_edges or opened.twisted_edges:
        return None
    try:
        filled, _ = fill_holes(mesh, None)
    except MvgenError:
        return None
    fill = np.arange(len(filled.faces)) >= len(mesh.faces)
    after = openness(filled, seed)
    if not after.has_inside or after.sided < opened.sided:
        return None
    fill[fill] = _wide(Mesh(filled.vertices, filled.faces[fill]), mesh.diagonal)
    return Closed(filled, fill) if fill.any() else None


def _wide(fills: Mesh, diagonal: float) -> NDArray[np.bool_]:
    """[F]: whether a face is of a fill that is no crack, by the fill's area over half the length around it."""
    corners = fills.vertices[fills.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    part, ends, side = face_parts(fills), *border_of(fills)
    length = np.linalg.norm(fills.vertices[ends[:, 0]] - fills.vertices[ends[:, 1]], axis=1)
    around = np.bincount(part[side], length, part.max() + 1)
    width = 2 * np.bincount(part, area) / np.maximum(around, 1e-300)
    return (width > _THIN * diagonal)[part]


def border_of(mesh: Mesh) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ends [B, 2] of the edges with one face, and those faces [B]."""
    edges = edges_of(mesh.faces)
    sides = np.flatnonzero(edges.count[edges.of] == 1)
    return edges.ends[edges.of[sides]], sides // 3
