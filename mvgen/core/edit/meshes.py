"""Operations on regions of a mesh: affine maps, and drags that are as rigid as possible. uv and textures stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.edit.drag import BEND, CORE, Grip, bodies, grips
from mvgen.core.edit.recipe import Handle
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.surface.change import transformed
from mvgen.core.surface.trim import face_areas

ROUNDS = 50  # of the solver
FLAT = 1e-14  # area of a face, in squared diagonals, that counts as none


@dataclass(frozen=True, eq=False)
class Editing:
    """A mesh between two operations; selected [V]: the vertices that the next one works on."""

    mesh: Mesh
    selected: NDArray[np.bool_]
    touched: NDArray[np.bool_]

    @property
    def middle(self) -> NDArray[np.float64]:
        """[3]: the mean of the selected vertices. Raises CannotError where nothing is selected."""
        self.needed()
        return np.asarray(self.mesh.vertices[self.selected].mean(0))

    def needed(self) -> None:
        """Raises CannotError where nothing is selected."""
        if not self.selected.any():
            raise CannotError("no vertex is selected", "choose another --region")


def begun(mesh: Mesh) -> Editing:
    """Before the first operation: everything is selected."""
    everything = np.ones(len(mesh.vertices), bool)
    return Editing(mesh, everything, ~everything)


def selected(editing: Editing, mask: NDArray[np.bool_]) -> Editing:
    """With other vertices selected, and all at the same places as these, so that seams of a texture stay closed."""
    _, index = np.unique(editing.mesh.vertices, axis=0, return_inverse=True)
    index = index.reshape(-1)
    whole = np.zeros(int(index.max()) + 1, bool)
    whole[index[mask]] = True
    return replace(editing, selected=whole[index])


def moved(editing: Editing, matrix: NDArray[np.float64]) -> Editing:
    """The selected vertices after an affine map [4, 4]. Mirrored faces are turned to stay outward."""
    editing.needed()
    mesh, mask = editing.mesh, editing.selected
    new = transformed(mesh, matrix)
    if not mask.all():
        inside = np.logical_and.reduce(mask[mesh.faces], axis=1)
        outer, turned = mask[:, None], inside[:, None]
        normals = None
        if mesh.normals is not None and new.normals is not None:
            normals = np.where(outer, new.normals, mesh.normals)
        new = replace(
            new,
            vertices=np.where(outer, new.vertices, mesh.vertices),
            faces=np.where(turned, new.faces, mesh.faces).astype(np.int32),
            normals=normals,
        )
    return replace(editing, mesh=new, touched=editing.touched | mask)


def dragged(editing: Editing, handles: Sequence[Handle], rigid: bool) -> Editing:
    """The selected vertices after all drags at once; those that were not selected stay where they are.

    rigid: what is within the radii moves as one body, and what joins it, within twice as much, bends. Else what is
    within the radii bends and stretches after its middle. Normals are dropped. Raises CannotError.
    """
    editing.needed()
    places, index = np.unique(editing.mesh.vertices, axis=0, return_inverse=True)
    index = index.reshape(-1)
    soft = np.zeros(len(places), bool)
    soft[index[editing.selected]] = True
    held, full = grips(handles, places[soft], bool(soft.all()), editing.mesh.diagonal)
    targets, given = places.copy(), np.ones(len(places), bool)
    if rigid:
        body = np.zeros(len(places), bool)
        for mask, motion in bodies(places, held):
            mask = mask & soft
            targets[mask] = places[mask] @ motion[:3, :3].T + motion[:3, 3]
            body |= mask
        bending = [g.distance(places) <= BEND for g, whole in zip(held, full) if not whole]
        given = ~(soft & np.logical_or.reduce([body & False, *bending])) | body
    else:
        given, body = _plasticine(places, soft, held, targets)
    new = _solved(places, index[editing.mesh.faces], targets, given)
    mesh = replace(editing.mesh, vertices=new[index], normals=None)
    return replace(editing, mesh=mesh, touched=editing.touched | (body | ~given)[index])


def _plasticine(
    places: NDArray[np.float64], soft: NDArray[np.bool_], held: Sequence[Grip], targets: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Vertices [V] whose targets are given, and those that move of them; targets are guessed in place."""
    free, core = np.zeros(len(places), bool), np.zeros(len(places), bool)
    for grip in held:
        d = grip.distance(places)
        near = soft & (d <= max(CORE, float(d[soft].min()) + 1e-9))
        weight = np.where(near, 1.0, np.clip(1 - d**2, 0, 1) ** 2) * soft
        targets += weight[:, None] * (grip.target - grip.source)
        free |= soft & (d <= 1)
        core |= near
    return ~free | core, core


def _solved(
    places: NDArray[np.float64], faces: NDArray[np.integer], targets: NDArray[np.float64], given: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """[V, 3]: all vertices, those ``given`` at their targets, the others as rigidly as possible between them.

    Raises CannotError where the faces do not allow it.
    """
    import igl

    out = np.where(given[:, None], targets, places)
    corners = places[faces]
    sound = face_areas(Mesh(places, faces.astype(np.int32))) > FLAT * float(np.ptp(corners, axis=(0, 1)).max()) ** 2
    near = faces[sound & ~given[faces].all(1)]
    if not len(near):
        return out
    used, local = np.unique(near, return_inverse=True)
    local = local.reshape(-1, 3).astype(np.int64)
    fixed = given[used] | ~_reaches(local, given[used])
    middle, size = places[used].mean(0), max(float(np.ptp(places[used], axis=0).max()), 1e-300)

    def unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ascontiguousarray((values - middle) / size)

    data = igl.ARAPData()
    data.max_iter = ROUNDS
    igl.arap_precomputation(unit(places[used]), local, 3, np.flatnonzero(fixed).astype(np.int32), data)
    wanted = np.where(given[used][:, None] | ~fixed[:, None], targets[used], places[used])
    found = igl.arap_solve(unit(wanted[fixed]), data, unit(wanted)) * size + middle
    if not np.isfinite(found).all():
        raise CannotError("the mesh cannot be bent there: its faces are too broken", "try mvgen mesh --repair first")
    moved = ~fixed
    out[used[moved]] = found[moved]
    return out


def _reaches(faces: NDArray[np.int64], given: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[V]: vertices of pieces that have a given vertex; others have nothing to follow."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(given), len(given)))
    _, label = connected_components(graph, directed=False)
    return np.isin(label, label[given])
