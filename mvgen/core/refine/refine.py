"""A mesh made to have the normals that it should have: everywhere, or in a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress
from mvgen.core.refine.creases import along_creases
from mvgen.core.refine.integrate import edge_lengths, face_normals, towards_normals
from mvgen.core.refine.region import apart, faded
from mvgen.core.refine.unfold import unfolded
from mvgen.core.refine.views import CLOSELY, ROUGHLY, NormalView, outline_pull, pixel_size, wanted_normals
from mvgen.kernels.remesh import Surface, remesh

SHORT, LONG, TURN = 0.5, 1.5, 30.0  # of the wanted length, from which edges are changed; degrees that faces may turn
FINER, COARSER = 0.6, 1.05  # how the wanted length changes in a round
ROUGH = 0.25  # of the rounds in which faces may differ much from what is wanted
FIRST, SHRINK = 3.0, 0.85  # pixels: the shortest edges in these; how they become shorter in each round after
CREASE_ROUNDS = 8  # of laying edges along creases, at the end
NEAR = 0.5  # of the reach, in these rounds: creases change what is near them, and medians would let the rest drift
LAST, SURE = 3, 1.0  # of these rounds, in which angles count, not their squares; degrees below which squares still do
MOST_VERTICES = 2_000_000


@dataclass(frozen=True)
class RefineOptions:
    """iterations: rounds of turning faces and changing edges; pixels: the shortest edges, in pixels of the views;
    faces: with more of them, edges get no shorter than 3 pixels, or than they may be by then; reach: in longest sides
    of the bounding box, waves longer than about 6 of it stay as they are; outline: how much outlines pull, against 1
    for the shape of a face; tolerance: degrees by which normals may differ within a face before its edges become
    shorter; remesh: whether edges may change."""

    iterations: int = 24
    pixels: float = 0.5
    faces: int = 280_000
    reach: float = 0.1
    outline: float = 0.02
    tolerance: float = 1.0
    remesh: bool = True


@dataclass(frozen=True, eq=False)
class Refined:
    """A mesh, and what became of normals: degrees between those wanted and those of the faces that show them."""

    mesh: Mesh
    before: float
    after: float


def refined(
    mesh: Mesh, views: Sequence[NormalView], strength: NDArray[np.float64], options: RefineOptions, progress: Progress
) -> Refined:
    """A welded mesh whose faces have the normals that views want.

    strength [V] in 0..1: how far vertices go there; those with 0 stay bit for bit, and edges stay where it is below
    half of the largest. Colours are dropped. Raises CannotError where no view shows the mesh.
    """
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    pixel = pixel_size(mesh, views)
    shortest = max(options.pixels, FIRST) * pixel
    strength = np.where(entangled(mesh), 0.0, strength)
    # Where it fades out, edges stay: what moves little would show that its vertices are off the old surface; and beside
    # what stays, where `faded` keeps seams out.
    free = (strength > strength.max() / 2) & apart(mesh.faces, strength)
    # carried: the wanted length, the strength, where the surface was
    state = Surface(mesh.vertices, mesh.faces, np.c_[edge_lengths(mesh), strength, mesh.vertices], free)
    before = 0.0
    progress.stage("refine", options.iterations)
    for number in range(options.iterations):
        places, faces = state.places, state.faces
        rough = number < ROUGH * options.iterations
        wanted = wanted_normals(places, faces, views, ROUGHLY if rough else CLOSELY)
        if not wanted.seen.any():
            raise CannotError("no view shows the mesh", "check that the cameras belong to it")
        if number == 0:
            before = _difference(places, faces, wanted.normals, wanted.seen)
        pull = outline_pull(places, faces, views, options.outline) if options.outline else None
        moving, old = state.carried[:, 1] > 0, state.carried[:, 2:]
        places = towards_normals(places, faces, wanted.normals, moving, options.reach * extent, old, pull)
        state = replace(state, places=places)
        if options.remesh and number < options.iterations - 1:
            if not rough and len(faces) < options.faces:
                shortest = max(options.pixels * pixel, SHRINK * shortest)
            least = max(shortest, extent / 40 * 0.5 ** (number / 2))  # from coarse to fine
            spread = np.zeros(len(places))
            np.maximum.at(spread, faces.reshape(-1), np.repeat(wanted.spread, 3))
            seen = np.zeros(len(places), bool)
            seen[faces[wanted.seen]] = True
            length = _lengths(state.carried[:, 0], spread, seen, options.tolerance, least)
            state = replace(state, carried=np.c_[length, state.carried[:, 1:]])
            state = remesh(state, SHORT, LONG, TURN, MOST_VERTICES)
        progress.advance()
    if options.remesh:
        state = _along_creases(state, views, options, extent, progress)
    share, old = state.carried[:, 1], state.carried[:, 2:5]
    vertices = unfolded(faded(old, state.places, state.faces, share), state.faces, apart(state.faces, share))
    wanted = wanted_normals(vertices, state.faces, views)
    after = _difference(vertices, state.faces, wanted.normals, wanted.seen)
    return Refined(Mesh(vertices, state.faces, metadata=mesh.metadata), before, after)


def _along_creases(
    state: Surface, views: Sequence[NormalView], options: RefineOptions, extent: float, progress: Progress
) -> Surface:
    """Edges laid along creases. Longer waves now stay as they are by then.

    At last the sum of the angles between what faces are and what is wanted becomes small, instead of that of squares
    (iteratively reweighted least squares): the few faces across a crease then leave those beside it as they should be.
    """
    state = replace(state, carried=np.c_[state.carried, state.places])
    progress.stage("creases", CREASE_ROUNDS)
    for number in range(CREASE_ROUNDS):
        state, wanted = along_creases(state, views, state.carried[:, 1] > 0)
        places, faces, home = state.places, state.faces, state.carried[:, 5:]
        pull = outline_pull(places, faces, views, options.outline) if options.outline else None
        moving = state.carried[:, 1] > 0
        trust = _trust(places, faces, wanted, state.carried[:, 1]) if number >= CREASE_ROUNDS - LAST else None
        places = towards_normals(places, faces, wanted, moving, NEAR * options.reach * extent, home, pull, trust)
        state = replace(state, places=places)
        progress.advance()
    return state


def _trust(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], wanted: NDArray[np.float64], strength: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[F]: 1 where normals are as wanted [F, 3], else less, by the angle between them.

    Also 1 where strength [V] fades out, as faces that are held back there would be given up, and a seam show."""
    whole = (strength[faces] == strength.max()).all(axis=1)
    return np.where(whole, SURE / np.maximum(_degrees(vertices, faces, wanted), SURE), 1.0)


def _lengths(
    length: NDArray[np.float64], spread: NDArray[np.float64], seen: NDArray[np.bool_], tolerance: float, least: float
) -> NDArray[np.float64]:
    """[V]: shorter where normals differ within faces, but not below the least; slowly longer where they do not."""
    shorter = np.where(spread > tolerance, np.minimum(length, np.maximum(FINER * length, least)), length)
    return np.where(seen & (spread < tolerance / 4), COARSER * length, shorter)


def _difference(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], wanted: NDArray[np.float64], seen: NDArray[np.bool_]
) -> float:
    """Degrees between normals of faces and those wanted, the mean by area over those that are seen."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    degrees = _degrees(vertices, faces, wanted)
    return float((degrees * area)[seen].sum() / max(area[seen].sum(), 1e-300))


def _degrees(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[F]: between normals of faces and those wanted."""
    cosine = (face_normals(vertices, faces) * wanted).sum(1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def entangled(mesh: Mesh) -> NDArray[np.bool_]:
    """[V]: vertices of edges with more than two faces, where fans of faces touch, or without faces."""
    from mvgen.core.surface.topology import edges_of, pinched

    edges = edges_of(mesh.faces)
    out = np.ones(len(mesh.vertices), bool)
    out[mesh.faces.reshape(-1)] = False
    out[edges.ends[edges.count > 2].reshape(-1)] = True
    fans = pinched(mesh.faces, edges)
    out[: len(fans)] |= fans
    return out
