"""Edges of a mesh laid along the creases that normal maps show.

A face across a crease can have the normal of neither side. So edges are flipped where pixels on both sides of the new
edge agree better among themselves, and vertices slide over the surface until edges divide pixels as they belong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.refine.integrate import face_normals, sums_at
from mvgen.core.refine.views import CLOSELY, NormalView, Pixels, pixels_of
from mvgen.kernels.remesh import SLIVER, Surface, flip, twins_of

GAIN = 6e-4  # of the length of a pixel's normal, from which a flip is worth it: 1 less the cosine of 2 degrees
TURN = 60.0  # degrees that faces may turn by a flip
ROUNDS, SOFT = 6, 0.03  # of the geometric median; the distance between normals below which all count alike
UNLIKE = 1e-4  # by which the cosine to a neighbour's normal is larger for a pixel that belongs there
CREASE = 4.0  # degrees between the faces at an edge from which it divides pixels
STEP, STAY = 0.3, 0.1  # of the shortest edge, the longest way of a vertex; how much it stays, against 1 for edges
SLIDE_TURN = 30.0  # degrees that faces may turn as vertices slide
TRIES = 6


def along_creases(
    surface: Surface, views: Sequence[NormalView], moving: NDArray[np.bool_]
) -> tuple[Surface, NDArray[np.float64]]:
    """The surface with edges nearer to creases, and the normals [F, 3] that faces at moving vertices [V] should have
    there. Vertices that are free are moving, too.

    Vertices slide with what they carry of places: columns from 2 on are points of three numbers.
    """
    pixels = _pixels(surface, views, moving)
    surface = flip(surface, flip_gains(surface, views, pixels), GAIN, TURN)
    pixels = _pixels(surface, views, moving)
    wanted, seen = median_normals(surface, pixels)
    moves = slides(surface, pixels, wanted, seen)
    carried = surface.carried.copy()
    carried[:, 2:] += np.tile(moves, (1, (carried.shape[1] - 2) // 3))
    return replace(surface, places=surface.places + moves, carried=carried), wanted


def _pixels(surface: Surface, views: Sequence[NormalView], moving: NDArray[np.bool_]) -> list[Pixels]:
    """Of the faces at moving vertices [V]."""
    return pixels_of(surface.places, surface.faces, views, CLOSELY, np.asarray(moving[surface.faces].any(axis=1)))


def median_normals(surface: Surface, pixels: Sequence[Pixels]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The geometric median [F, 3] of the normals that pixels of a face want, unit; its own where no pixel shows it,
    and whether one does [F]."""
    from mvgen.kernels.creases import median_directions

    out = face_normals(surface.places, surface.faces)
    face, normals, weight = (np.concatenate([getattr(p, key) for p in pixels]) for key in ("face", "normals", "weight"))
    seen = np.bincount(face, weight, len(out)) > 0.5
    shown = seen[face]
    median_directions(face[shown], normals[shown], weight[shown], ROUNDS, SOFT, out)
    return out, seen


def flip_gains(surface: Surface, views: Sequence[NormalView], pixels: Sequence[Pixels]) -> NDArray[np.float64]:
    """[3 F]: how much longer the mean normals of the two faces at each half-edge, weighed by their pixels, would be if
    the edge were flipped; longer means more alike."""
    from mvgen.kernels.creases import add_halves

    faces, twins = surface.faces, twins_of(surface.faces)
    count = len(faces)
    other = np.maximum(twins, 0)
    far = np.roll(faces, 1, axis=1).reshape(-1)[other]
    total, weight, beside = np.zeros((count, 3)), np.zeros(count), np.zeros((3 * count, 3))
    for view, shown in zip(views, pixels):
        screen = view.camera.project(surface.places)[0]
        add_halves(
            shown.face, shown.normals, shown.weight, shown.centres, screen, faces, far, total, weight, beside
        )  # fmt: skip
    one, two = np.arange(3 * count) // 3, other // 3
    at_end = beside + total[two] - beside[other]  # beside: of a face, on the side of the half-edge's end
    at_start = beside[other] + total[one] - beside
    before, after = _length(total), _length(at_end) + _length(at_start)
    gain = (after - before[one] - before[two]) / np.maximum(weight[one] + weight[two], 1)
    return np.where(twins >= 0, gain, -1)


def slides(
    surface: Surface, pixels: Sequence[Pixels], wanted: NDArray[np.float64], seen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """[V, 3]: ways along the surface after which fewer pixels lie in faces while their normals are like a neighbour's.

    Each edge between unlike faces is to sweep over the area that one of them has of the other; of these wishes of its
    edges a vertex takes the least-squares solution. No face becomes a sliver or turns by more than SLIDE_TURN.
    """
    places, faces, twins = surface.places, surface.faces, twins_of(surface.faces)
    lost = _misplaced(surface, twins, pixels, wanted, seen)
    h = np.flatnonzero(twins > np.arange(len(twins)))
    cosine = (wanted[h // 3] * wanted[twins[h] // 3]).sum(1)
    divides = seen[h // 3] & seen[twins[h] // 3] & (cosine < np.cos(np.radians(CREASE)))
    h, contrast = h[divides], 1 - cosine[divides]
    t = twins[h]
    a, b = faces.reshape(-1)[h], faces.reshape(-1)[t]
    along = places[b] - places[a]
    length = np.maximum(_length(along), 1e-300)
    inward = np.cross(wanted[h // 3] + wanted[t // 3], along)  # into the face of h
    inward /= np.maximum(_length(inward), 1e-300)[:, None]
    weight = contrast * length
    outer = (weight[:, None, None] * inward[:, :, None] * inward[:, None, :]).reshape(-1, 9)
    push = (contrast * (lost[h] - lost[t]))[:, None] * inward
    count = len(places)
    ends = np.concatenate([a, b])
    system = sums_at(ends, np.concatenate([outer, outer]), count).reshape(-1, 3, 3)
    force = sums_at(ends, np.concatenate([push, push]), count)
    trace = np.einsum("nii->n", system)
    held = np.where(trace > 0, STAY * trace, 1.0)
    system += held[:, None, None] * np.eye(3)
    moves = np.asarray(np.linalg.solve(system, force[..., None])[..., 0], np.float64)
    moves *= np.minimum(1, STEP * _shortest(places, faces) / np.maximum(_length(moves), 1e-300))[:, None]
    moves[~surface.free] = 0
    return _careful(places, faces, moves)


def _misplaced(
    surface: Surface,
    twins: NDArray[np.int32],
    pixels: Sequence[Pixels],
    wanted: NDArray[np.float64],
    seen: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """[3 F]: the area of a face whose pixels are more like the face beyond that half-edge."""
    from mvgen.kernels.creases import add_misplaced

    weight, out = np.zeros(len(surface.faces)), np.zeros(3 * len(surface.faces))
    for shown in pixels:
        add_misplaced(shown.face, shown.normals, shown.weight, wanted, seen, twins, UNLIKE, weight, out)
    return out * np.repeat(_areas(surface.places, surface.faces) / np.maximum(weight, 1e-9), 3)


def _careful(places: NDArray[np.float64], faces: NDArray[np.int32], moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moves [V, 3], shorter or none at faces that would turn or become slivers."""
    normals, quality = face_normals(places, faces), _quality(places, faces)
    for _ in range(TRIES):
        new = places + moves
        turned = (face_normals(new, faces) * normals).sum(1) < np.cos(np.radians(SLIDE_TURN))
        now = _quality(new, faces)
        bad = turned | ((now < 2 * SLIVER) & (now < quality))
        if not bad.any():
            return moves
        moves[np.unique(faces[bad])] *= 0.4
    return np.where(np.isin(np.arange(len(places)), faces[bad])[:, None], 0, moves)


def _quality(places: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """[F]: 1 where all sides are equal, 0 for no area."""
    sides = places[faces] - places[np.roll(faces, -1, axis=1)]
    return 4 * np.sqrt(3) * _areas(places, faces) / np.maximum((sides**2).sum((1, 2)), 1e-300)


def _areas(places: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    corners = places[faces]
    return _length(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])) / 2


def _shortest(places: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """[V]: the shortest edge at each vertex."""
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    out = np.full(len(places), np.inf)
    np.minimum.at(out, ends.reshape(-1), np.repeat(_length(places[ends[:, 0]] - places[ends[:, 1]]), 2))
    return out


def _length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))  # twice as fast as sums along short rows
