"""A mesh before and after, with a border between them that moves across what has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh
from mvgen.core.viewer.show import add_mesh
from mvgen.core.viewer.stage import Stage
from mvgen.core.viewer.thin import Limits, thin_mesh

if TYPE_CHECKING:
    from viser import ViserServer

SLABS = 32  # of the changed part: each shows what was before, or after
SAME = -1  # the slab of faces that both have

Numbers = NDArray[np.int64]


@dataclass
class Comparison:
    """Nodes of a scene. As clay, faces are shown slab by slab; with their colours, one mesh or the other is."""

    server: ViserServer
    stage: Stage
    coloured: bool = False
    share: float = 1.0  # of the changed part that shows what is after, from the left of the first view on
    _meshes: tuple[Mesh, ...] = ()
    _nodes: list[tuple[Any, float, bool]] = field(default_factory=list)  # node, place in 0..1, whether it is after
    _shows: int = 0

    def show(self, before: Mesh, after: Mesh) -> None:
        """Two meshes in place of those shown; the same one twice has nothing to compare."""
        most = Limits().faces
        small = thin_mesh(before, most)
        self._meshes = (small, small if after is before else thin_mesh(after, most))
        self._fill()

    def colour(self, coloured: bool) -> None:
        """Show colours and texture, or clay."""
        self.coloured = coloured
        self._fill()

    def wipe(self, share: float) -> None:
        """Move the border: 0 is before, 1 after."""
        self.share = share
        with self.server.atomic():
            for node, place, after in self._nodes:
                node.visible = self._visible(place, after)

    def _visible(self, place: float, after: bool) -> bool:
        return bool(np.isnan(place)) or (place < self.share) == after

    def _fill(self) -> None:
        self._shows += 1
        with self.server.atomic():
            old, self._nodes = self._nodes, []
            for piece, place, after in self._pieces():
                path = f"/compared/{self._shows}-{len(self._nodes)}"
                node = add_mesh(self.server, path, piece, self.stage, self._visible(place, after))
                self._nodes.append((node, place, after))
            for node, *_ in old:
                node.remove()

    def _pieces(self) -> list[tuple[Mesh, float, bool]]:
        """Meshes, their places in 0..1 (NaN: both are the same there), and whether they are of what is after."""
        before, after = self._meshes
        if self.coloured:
            return [(before, np.nan, True)] if before is after else [(before, 0.5, False), (after, 0.5, True)]
        numbers = slabs(before, after, self.across, SLABS)
        out = [(part(before, numbers[0] == SAME), np.nan, True)]
        for mesh, number, late in ((before, numbers[0], False), (after, numbers[1], True)):
            out += [(part(mesh, number == k), (k + 0.5) / SLABS, late) for k in range(SLABS)]
        return [piece for piece in out if len(piece[0].faces)]

    @property
    def across(self) -> NDArray[np.float64]:
        """[3]: to the right in the first view."""
        eye, target = self.stage.first_view()
        return np.cross(target - eye, self.stage.up)


def slabs(before: Mesh, after: Mesh, across: NDArray[np.float64], count: int) -> tuple[Numbers, Numbers]:
    """The slab in 0..count-1 of each face of two meshes, in the direction ``across``; SAME of those that both have.

    Slabs are of equal width, and span what has changed. Where the faces are the same, those before tell the slab.
    """
    same = len(before.vertices) == len(after.vertices) and np.array_equal(before.faces, after.faces)
    changed = _moved(before, after) if same else _changed(before, after)
    places = [mesh.vertices[mesh.faces].mean(1) @ across for mesh in (before, before if same else after)]
    among = np.concatenate([place[c] for place, c in zip(places, changed)])
    if not len(among):
        return np.full(len(before.faces), SAME), np.full(len(after.faces), SAME)
    low, width = among.min(), max(float(np.ptp(among)), 1e-300)
    one, two = (np.clip((count * (place - low) / width).astype(np.int64), 0, count - 1) for place in places)
    return np.where(changed[0], one, SAME), np.where(changed[1], two, SAME)


def part(mesh: Mesh, chosen: NDArray[np.bool_]) -> Mesh:
    """Some of the faces [F], as plain geometry."""
    used, faces = np.unique(mesh.faces[chosen], return_inverse=True)
    return Mesh(mesh.vertices[used], faces.reshape(-1, 3).astype(np.int32))


def _moved(before: Mesh, after: Mesh) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    moved = (before.vertices != after.vertices).any(1)[before.faces].any(1)
    return moved, moved


def _changed(before: Mesh, after: Mesh) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Faces [F] of each mesh that the other one does not have at exactly that place."""
    _, place = np.unique(np.concatenate([before.vertices, after.vertices]), axis=0, return_inverse=True)
    place = place.reshape(-1)
    corners = np.concatenate([place[before.faces], place[after.faces + len(before.vertices)]])
    _, face = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True)
    one, two = np.split(face.reshape(-1), [len(before.faces)])
    return ~np.isin(one, two), ~np.isin(two, one)
