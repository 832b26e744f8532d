"""A mesh as the codecs want it: vertices shared, nothing empty; and whether it has an inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.nearest import sample_surface

_SIDES = 4000  # points whose two sides are asked
_OFF = 1e-4  # of the diagonal: how far beside the surface
_NEAR = 0.1  # of a whole winding number: holes of a tenth of all directions or more leave no inside
_SHARE = 0.98  # of them that must lie between inside and outside


def prepared(mesh: Mesh) -> Mesh:
    """Vertices at exactly one place are one (their colours averaged), faces with two corners at one place and unused
    vertices are gone; normals, uv and texture too. Raises CannotError where no face is left."""
    places, index = np.unique(mesh.vertices + 0.0, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    if not len(faces):
        raise CannotError("no face has an area", "were its vertices lost?")
    used, packed = np.unique(faces, return_inverse=True)
    colours = None
    if mesh.colours is not None:
        count = np.maximum(np.bincount(index.reshape(-1), minlength=len(places)), 1)
        sums = [np.bincount(index.reshape(-1), mesh.colours[:, k], len(places)) for k in range(3)]
        colours = (np.stack(sums, axis=1) / count[:, None])[used].astype(np.float32)
    return Mesh(places[used], packed.reshape(-1, 3).astype(np.int32), colours=colours)


@dataclass(frozen=True)
class Openness:
    """open_edges: with a face on one side only; crowded_edges: with more than two; twisted_edges: whose two faces look
    to different sides; sided: the share of the surface that has the inside on one side and the outside on the other."""

    open_edges: int
    crowded_edges: int
    twisted_edges: int
    sided: float

    @property
    def has_inside(self) -> bool:
        return self.sided >= _SHARE

    @property
    def why(self) -> str:
        """What keeps the mesh from having an inside, in words."""
        counts = (
            (self.open_edges, "open"),
            (self.crowded_edges, "shared by more than two faces"),
            (self.twisted_edges, "between faces that look to different sides"),
        )
        found = [f"{count} edges are {what}" for count, what in counts if count]
        return " and ".join(found) or "its faces cross or cover each other"


def openness(mesh: Mesh, seed: int = 0) -> Openness:
    """Whether a prepared mesh has an inside, by winding numbers just beside its surface."""
    import igl

    ends = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    forward = ends[:, 0] < ends[:, 1]
    key = ends.min(1) * len(mesh.vertices) + ends.max(1)
    _, index, count = np.unique(key, return_inverse=True, return_counts=True)
    ahead = np.bincount(index.reshape(-1), forward, len(count))
    opened, crowded = int((count == 1).sum()), int((count > 2).sum())
    twisted = int(((count == 2) & (ahead != 1)).sum())
    samples, _ = sample_surface(mesh, _SIDES, np.random.default_rng(seed))
    if not len(samples) or samples.normals is None:
        return Openness(opened, crowded, twisted, 0.0)
    offset = samples.normals * (_OFF * mesh.diagonal)
    points = np.concatenate([samples.points + offset, samples.points - offset])
    winding = np.asarray(igl.fast_winding_number(mesh.vertices, mesh.faces.astype(np.int64), points))
    return Openness(opened, crowded, twisted, _sided(winding))


def _sided(winding: NDArray[np.float64]) -> float:
    """The share of points with the inside (1) below and the outside (0) above, or turned inside out (0 and -1)."""
    above, below = np.split(winding, 2)

    def near(values: NDArray[np.float64], whole: int) -> NDArray[np.bool_]:
        return np.abs(values - whole) < _NEAR

    out = (near(above, 0) & near(below, 1)).mean()
    turned = (near(above, -1) & near(below, 0)).mean()
    return float(max(out, turned))
