"""Holes of a field's surface: a number on grids near it, below 0 where the source has a hole, cuts them out again.

The grids are those of `place`. The number is the distance to the fill less that to the source, up to half a cell of
the first grid; so it is 0 at the border of a hole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mvgen.core.compress.holes import Closed, border_of
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres.corrections import Choice, choose, exponent_of
from mvgen.core.keyspheres.latents import Grid, step_of
from mvgen.core.keyspheres.place import HEAD, Place, add_stored, first_of, stored, task_for
from mvgen.core.nearest import Triangles, sample_surface
from mvgen.core.surface.poisson import keep_faces
from mvgen.core.surface.simplify import face_parts
from mvgen.core.surface.topology import border_loops

_COUNTS = 2  # bytes: pieces and holes
_ALL = 255  # of either, or more
_ENDS = 0.02  # of an edge: a border stays so far from its ends, so that no face is empty
_FIRST = (4, 6, 8, 12, 16, 24, 32, 48)  # cells a side of the coarser of two grids
_GRIDS = 2
_AROUND, _EVENLY = 16_000, 8_000  # points near borders, and on all of the surface
_SPREAD = 0.002, 0.12  # how far from borders the former scatter, in the frame of the grids
_FALL, _LEAST = 0.03, 0.1  # an error at distance d from a border counts exp(-d / fall), but not less than this
_STEP = 0.08  # of integers, in cells of the first grid
_START = 0.02  # of `choose`
_AGAIN = "copy or download the file again"


def trimmed(mesh: Mesh, place: Place, data: bytes) -> Mesh:
    """A mesh in the frame of files without its holes. Raises InputError where the bytes are damaged."""
    if len(data) < _COUNTS:
        raise InputError("the trim mask is cut short", _AGAIN)
    values = trim_values(place, data[_COUNTS:], mesh.vertices)
    for side, count in zip((1, -1), data):
        values = np.where(_in_small_group(mesh, side * values > 0, count), -values, values)
    out = cut(mesh, values)
    if not len(out.faces):
        raise InputError("the trim mask leaves no surface", _AGAIN)
    return out


def trim_values(place: Place, data: bytes, points: NDArray[np.float64]) -> NDArray[np.float32]:
    """[N] at points [N, 3] in the frame of files, below 0 in holes."""
    out = np.full((len(points), 1), _most(first_of(data, "trim mask")), np.float32)
    add_stored(place, data, place.normal.to(points).astype(np.float32), out, "trim mask")
    return out[:, 0]


def _most(cells: int) -> np.float32:
    """The number where no border is near: half a cell."""
    return np.float32(1 / cells)


def encode_trim(place: Place, closed: Closed, size: int, seed: int) -> bytes:
    """The holes of a mesh in the frame of files, in at most ``size`` bytes. Raises CannotError."""
    few = CannotError(f"{size} bytes are too few for the borders of its holes", "allow more bytes")
    room = size - _COUNTS - HEAD
    if room < 1:
        raise few
    points, values = _samples(closed, place, seed)
    weights = np.maximum(np.exp(-np.abs(values) / _FALL), _LEAST)
    best, least = b"", -values[values < 0].sum() / (2 * len(values))  # half of what no mask at all leaves
    for first in _FIRST:
        try:
            grids = place.grids(first, _GRIDS)
        except ValueError:
            break
        try:
            data, lost = _chosen(grids, points, values, weights / weights.sum(), room)
        except CannotError:
            continue
        if lost < least:
            best, least = data, lost
    if not best:
        raise few
    return bytes(min(len(np.unique(face_parts(part))), _ALL) for part in (closed.source, closed.fills)) + best


def _chosen(
    grids: list[Grid], points: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64], room: int
) -> tuple[bytes, float]:
    """What is stored of values [N] at points [N, 3] in the frame of the grids, and the mean distance from a border of
    points that lie on its wrong side then."""
    most = float(_most(grids[0].cells))
    exponent = exponent_of(_STEP * 2 / grids[0].cells)
    task = task_for(grids, points, (values.clip(-most, most) - most)[:, None], weights[:, None])
    found: Choice = choose(task, step_of(exponent), room, _START)
    kept = most + task.shares @ np.concatenate(found.integers) * step_of(exponent)
    wrong = (kept < 0) != (values < 0)
    return stored(grids, exponent, found), float(np.abs(values)[wrong].sum() / len(values))


def _samples(closed: Closed, place: Place, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points [N, 3] of a closed mesh, many near borders of holes, and the values [N] there, in the frame of grids."""
    rng = np.random.default_rng(seed)
    frame = place.normal
    every, source, fills = (
        Triangles(frame.to(mesh.vertices), mesh.faces) for mesh in (closed.mesh, closed.source, closed.fills)
    )
    edges = border_of(closed.fills)[0]
    loop, ends = border_loops(edges), every.vertices[edges]
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    chance = length / np.sqrt(np.bincount(loop, length))[loop]  # small holes have more points than their share
    edge = rng.choice(len(ends), _AROUND, p=chance / chance.sum())
    low, high = (float(np.log(far)) for far in _SPREAD)
    along, spread = rng.random((_AROUND, 1)), np.exp(rng.uniform(low, high, (_AROUND, 1)))
    border = ends[edge, 0] + along * (ends[edge, 1] - ends[edge, 0])
    around = every.query(border + rng.normal(size=border.shape) * spread)[2]
    evenly = frame.to(sample_surface(closed.mesh, _EVENLY, rng)[0].points)
    points = np.concatenate([around, evenly])
    return points, fills.query(points)[0] - source.query(points)[0]


# ---- cutting


def _in_small_group(mesh: Mesh, some: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """[V]: which of ``some`` vertices [V] are in none of the ``count`` largest groups that edges join."""
    if count == _ALL:
        return np.zeros(len(some), bool)
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    edges = edges[some[edges].all(1)]
    graph = coo_matrix((np.ones(len(edges), np.int8), edges.T), (len(some), len(some)))
    group = connected_components(graph, directed=False)[1]
    small = np.ones(group.max() + 1, bool)
    small[np.argsort(-np.bincount(group, some), kind="stable")[:count]] = False
    return some & small[group]


def cut(mesh: Mesh, values: NDArray[np.floating]) -> Mesh:
    """The part of a mesh where values [V] of its vertices, linear between them, are 0 or more."""
    inside = values >= 0
    count = inside[mesh.faces].sum(1)
    one, two = (_from_lone(mesh.faces[count == k], inside, k == 1) for k in (1, 2))
    sides = np.concatenate([one[:, [0, 1]], one[:, [0, 2]], two[:, [1, 0]], two[:, [2, 0]]]).astype(np.int64)
    edges, index = np.unique(sides[:, 0] * len(values) + sides[:, 1], return_inverse=True)
    start, end = edges // len(values), edges % len(values)
    above, below = values[start].astype(np.float64), values[end].astype(np.float64)
    share = (above / (above - below)).clip(_ENDS, 1 - _ENDS)[:, None]
    between = mesh.vertices[start] + share * (mesh.vertices[end] - mesh.vertices[start])
    ab, ac, ba, ca = np.split(len(values) + index.reshape(-1), np.cumsum([len(one), len(one), len(two)]))
    parts = (
        (one[:, 0], ab, ac),
        (ba, two[:, 1], two[:, 2]),
        (ba, two[:, 2], ca),
    )
    faces = np.concatenate([mesh.faces[count == 3], *(np.stack(part, axis=1) for part in parts)]).astype(np.int32)
    return keep_faces(Mesh(np.concatenate([mesh.vertices, between]), faces), np.ones(len(faces), bool))


def _from_lone(faces: NDArray[np.int32], inside: NDArray[np.bool_], lone: bool) -> NDArray[np.int32]:
    """Faces [F, 3] turned so that they begin with the corner that alone is inside, or alone is not."""
    first = (inside[faces] == lone).argmax(1)
    return faces[np.arange(len(faces))[:, None], (first[:, None] + np.arange(3)) % 3]
