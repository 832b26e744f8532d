"""Making a manifold, consistently turned mesh of a defective one, and closing its holes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mvgen.core.geometry import Mesh
from mvgen.core.surface.library import from_library, to_library
from mvgen.core.surface.poisson import keep_faces
from mvgen.core.surface.simplify import face_parts
from mvgen.core.surface.topology import Edges, border_loops, edges_of, orientation, weld

FLAT = 1e-12  # area of a face, in squares of the diagonal, up to which it has none


@dataclass(frozen=True)
class Repairs:
    """How many of each kind were mended; one_sided: faces of parts that cannot be turned consistently."""

    welded: int = 0
    degenerate: int = 0
    duplicate: int = 0
    crowded_edges: int = 0
    split_vertices: int = 0
    turned: int = 0
    one_sided: int = 0


def repair(mesh: Mesh) -> tuple[Mesh, Repairs]:
    """Weld, drop degenerate and double faces, part crowded edges and pinched vertices, turn faces consistently.

    Where more than two faces share an edge, or fans of faces a vertex alone, the sheets get vertices of their own, so
    that solids that touch become closed solids. Closed parts whose inside is out are turned, unless they lie within
    another part (a cavity). Faces that cross each other stay. The mesh may come out empty.
    """
    clean = weld(mesh)
    welded = len(mesh.vertices) - len(clean.vertices)
    sound = _sound(clean)
    degenerate = int((~sound).sum())
    clean = keep_faces(clean, sound)
    single = _first_of_doubles(clean.faces)
    duplicate = int((~single).sum())
    clean = keep_faces(clean, single)
    if not len(clean.faces):
        return clean, Repairs(welded, degenerate, duplicate)
    crowded = int((edges_of(clean.faces).count > 2).sum())
    before = len(clean.vertices)
    clean = parted(clean)
    split = len(clean.vertices) - before
    clean, turned, one_sided = _turned(clean)
    return clean, Repairs(welded, degenerate, duplicate, crowded, split, turned, one_sided)


def turned_outwards(mesh: Mesh) -> Mesh:
    """A welded mesh with its faces turned as `repair` does: for parts that have been closed since."""
    return _turned(mesh)[0]


def _sound(mesh: Mesh) -> NDArray[np.bool_]:
    """[F]: faces with three different corners that are not on one line."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    different = (np.diff(np.sort(mesh.faces, axis=1), axis=1) > 0).all(1)
    return different & (area > FLAT * mesh.diagonal**2)


def _first_of_doubles(faces: NDArray[np.int32]) -> NDArray[np.bool_]:
    """[F]: false for faces that another one equals before. Two that face away from each other part two solids."""
    first = faces.argmin(1)[:, None]
    turned = np.take_along_axis(faces, (first + np.arange(3)) % 3, axis=1)
    out = np.zeros(len(faces), bool)
    out[np.unique(turned, axis=0, return_index=True)[1]] = True
    return out


def parted(mesh: Mesh) -> Mesh:
    """The mesh with more vertices, so that at most two faces share an edge, and faces at a vertex make one fan.

    Faces at a crowded edge are joined in pairs that have solid between them, as `_pairs` finds them. Pairs that cannot
    part, as they meet at both ends of the edge, are cut in the middle of it, each with a vertex of its own there.
    """
    while True:
        mesh = _split(mesh)
        edges = edges_of(mesh.faces)
        if not (edges.count > 2).any():
            return mesh
        mesh = _halved(mesh, edges)


def _halved(mesh: Mesh, edges: Edges) -> Mesh:
    """Faces at crowded edges cut in two, each pair at a new vertex; a face is cut only once."""
    one, two = _pairs(mesh, edges)
    crowded = edges.count[edges.of] > 2
    groups: list[tuple[int, ...]] = [(int(a), int(b)) for a, b in zip(one, two) if crowded[a]]
    alone = crowded.copy()
    alone[one] = alone[two] = False
    groups += [(int(a),) for a in np.flatnonzero(alone)]
    vertices, faces, colours = [mesh.vertices], mesh.faces.copy(), [mesh.colours] if mesh.colours is not None else []
    more: list[NDArray[np.int32]] = []
    used: set[int] = set()
    count = len(mesh.vertices)
    for sides in groups:
        if used & {side // 3 for side in sides} or len({side // 3 for side in sides}) < len(sides):
            continue
        used |= {side // 3 for side in sides}
        ends = edges.ends[edges.of[sides[0]]]
        vertices.append(mesh.vertices[ends].mean(0, keepdims=True))
        if mesh.colours is not None:
            colours.append(mesh.colours[ends].mean(0, keepdims=True))
        for side in sides:
            face = faces[side // 3].copy()
            half = face.copy()
            face[(side + 1) % 3] = half[side % 3] = count
            faces[side // 3] = face
            more.append(half)
        count += 1
    return replace(
        mesh,
        vertices=np.concatenate(vertices),
        faces=np.concatenate([faces, np.array(more, np.int32).reshape(-1, 3)]),
        colours=np.concatenate(colours) if colours else None,
    )


def _split(mesh: Mesh) -> Mesh:
    """Every corner with a vertex of its own, joined again with those across edges that two faces share or pair at."""
    faces = mesh.faces
    edges = edges_of(faces)
    one, two = _pairs(mesh, edges)
    corner = np.arange(3 * len(faces)).reshape(-1, 3)
    ends = np.stack([corner, np.roll(corner, -1, axis=1)], axis=-1).reshape(-1, 2)
    same = (edges.forward[one] == edges.forward[two])[:, None]
    rows, columns = ends[one].reshape(-1), np.where(same, ends[two], ends[two][:, ::-1]).reshape(-1)
    size = 3 * len(faces)
    fan = connected_components(coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), (size, size)), False)[1]
    _, first = np.unique(fan, return_index=True)
    origin = faces.reshape(-1)[first]
    return replace(
        mesh,
        vertices=mesh.vertices[origin],
        faces=fan.reshape(-1, 3).astype(np.int32),
        colours=None if mesh.colours is None else mesh.colours[origin],
    )


def _pairs(mesh: Mesh, edges: Edges) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sides (3 * face + corner) that belong together: two at an edge of two faces; at crowded edges the neighbours,
    going around the edge, whose normals point away from each other; of the rest, which all face the same way around it,
    those that lie flattest."""
    order = np.argsort(edges.of, kind="stable")
    starts = np.searchsorted(edges.of[order], np.arange(len(edges.count)))
    plain = starts[edges.count == 2]
    one, two = [order[plain]], [order[plain + 1]]
    for edge in np.flatnonzero(edges.count > 2):
        sides = order[starts[edge] : starts[edge] + edges.count[edge]]
        # of faces in one place the one whose solid is at larger angles comes first
        sides = sides[np.lexsort((edges.forward[sides], -_angles(mesh, edges.ends[edge], sides)))]
        while len(sides) > 1:
            forward = edges.forward[sides]
            found = np.flatnonzero(forward & ~np.roll(forward, -1))  # the next one at a smaller angle faces away
            if not len(found):
                break
            one.append(sides[found])
            two.append(np.roll(sides, -1)[found])
            sides = np.delete(sides, np.r_[found, (found + 1) % len(sides)])
        while len(sides) > 1:
            a, b = _flattest(_angles(mesh, edges.ends[edge], sides))
            one.append(sides[[a]])
            two.append(sides[[b]])
            sides = np.delete(sides, [a, b])
    return np.concatenate(one), np.concatenate(two)


def _flattest(angles: NDArray[np.float64]) -> tuple[int, int]:
    """The two faces about an edge that come nearest to one plane, of their angles [n]."""
    apart = np.abs(angles[:, None] - angles)
    bend = np.abs(np.pi - apart)
    a, b = np.unravel_index(bend.argmin(), bend.shape)
    return int(a), int(b)


def _angles(mesh: Mesh, ends: NDArray[np.int64], sides: NDArray[np.int64]) -> NDArray[np.float64]:
    """[n]: angles about an edge, from its lower to its higher vertex, of the faces at sides [n]."""
    start, end = mesh.vertices[ends]
    axis = (end - start) / max(float(np.linalg.norm(end - start)), 1e-300)
    right = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    right /= np.linalg.norm(right)
    away = mesh.vertices[mesh.faces[sides // 3, (sides % 3 + 2) % 3]] - start
    return np.arctan2(away @ np.cross(axis, right), away @ right)


def _turned(mesh: Mesh) -> tuple[Mesh, int, int]:
    """Faces of each part turned to agree, closed parts outwards; how many were turned, and how many are one-sided."""
    faces = mesh.faces.copy()
    edges = edges_of(faces)
    flip, two_sided = orientation(faces, edges)
    faces[flip] = faces[flip][:, ::-1]
    part = face_parts(replace(mesh, faces=faces))
    count = int(part.max()) + 1
    is_open = np.zeros(count, bool)
    is_open[part[np.flatnonzero(edges.count[edges.of] != 2) // 3]] = True
    is_open[part[~two_sided]] = True
    corners = mesh.vertices[faces] - mesh.vertices.mean(0)
    volume = np.bincount(part, np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])))
    wrong = ~is_open & (volume < 0)
    for k in np.flatnonzero(wrong):
        wrong[k] = not _within(mesh, faces, part, is_open, int(k))
    swap = wrong[part]
    faces[swap] = faces[swap][:, ::-1]
    return replace(mesh, faces=faces), int((flip ^ swap).sum()), int((~two_sided).sum())


def _within(mesh: Mesh, faces: NDArray[np.int32], part: NDArray[np.int32], is_open: NDArray[np.bool_], k: int) -> bool:
    """Whether the first vertex of part k lies in another closed part, by the winding number of all of these."""
    from mvgen.kernels.voxels import winding_reference

    others = ~is_open[part] & (part != k)
    if not others.any():
        return False
    point = mesh.vertices[faces[part == k][0]].mean(0)
    return bool(abs(winding_reference(mesh.vertices[faces[others]], point[None])[0]) > 0.5)


# ---- holes


def fill_holes(mesh: Mesh, longest: float | None) -> tuple[Mesh, int]:
    """Close the holes of a welded mesh whose border is at most ``longest`` long, in diagonals (None: all).

    Returns the mesh and how many holes were closed. Patches are drawn between the vertices of the border; their faces
    follow the old ones.
    """
    limit = np.inf if longest is None else longest * mesh.diagonal
    loops, border = _loops_of(mesh)
    wanted = np.zeros(len(mesh.faces), bool)
    wanted[border[loops.length[loops.of] <= limit]] = True
    if not wanted.any():
        return mesh, 0
    meshes = to_library(mesh, wanted)
    meshes.compute_selection_by_condition_per_face(condselect="fq > 0.5")
    meshes.meshing_close_holes(maxholesize=2**30, selected=True, newfaceselected=False, selfintersection=False)
    closed = replace(mesh, faces=from_library(meshes, mesh).faces, normals=None)
    return closed, len(loops.length) - len(_loops_of(closed)[0].length)


@dataclass(frozen=True, eq=False)
class _Loops:
    """of [B]: the loop of each open edge; length [L] of each loop."""

    of: NDArray[np.int32]
    length: NDArray[np.float64]


def _loops_of(mesh: Mesh) -> tuple[_Loops, NDArray[np.int64]]:
    """The loops of open edges, and the face [B] at each open edge."""
    edges = edges_of(mesh.faces)
    sides = np.flatnonzero(edges.count[edges.of] == 1)
    ends = edges.ends[edges.of[sides]]
    of = border_loops(ends)
    length = np.linalg.norm(mesh.vertices[ends[:, 0]] - mesh.vertices[ends[:, 1]], axis=1)
    total = np.bincount(of, length) if len(of) else np.zeros(0)
    return _Loops(of, np.asarray(total, np.float64)), sides // 3
