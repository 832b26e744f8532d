"""Edges of a triangle mesh collapsed, split and flipped, while what each vertex carries goes along.

Half-edge 3 f + k runs from corner k of face f to the next; twins name the half-edge of the other face, -1 for none.
An edge is changed only between two free vertices, so that borders and all that is not free stay. A change is made only
if the surface is a manifold thereafter as it was before, and no face turns by more than a limit; so edges of features
stay, and no face is turned inside out. Changes happen one after the other, in an order that depends on the mesh alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import inner_kernel, strict_kernel

MOST_AROUND = 48  # faces at a vertex that an edge may be collapsed at
SLIVER = 0.05  # a face is one below this quality, which is 1 where all sides are equal


@dataclass(frozen=True, eq=False)
class Surface:
    """places [V, 3] float64; faces [F, 3] int32; carried [V, K] float64, of which column 0 is the length that edges
    should have there; free [V]: vertices that may move, and between which edges may change."""

    places: NDArray[np.float64]
    faces: NDArray[np.int32]
    carried: NDArray[np.float64]
    free: NDArray[np.bool_]


def twins_of(faces: NDArray[np.int32]) -> NDArray[np.int32]:
    """[3 F]: the twin of each half-edge, -1 where there is no other face, or more than one."""
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2).astype(np.int64)
    key = ends.min(1) * (int(faces.max(initial=0)) + 1) + ends.max(1)
    order = np.argsort(key, kind="stable")
    same = np.r_[False, key[order][1:] == key[order][:-1], False]
    first = np.flatnonzero(~same[:-1] & same[1:] & ~np.r_[same[2:], False])
    one, two = order[first], order[first + 1]
    opposed = ends[one, 0] == ends[two, 1]
    twins = np.full(len(key), -1, np.int32)
    twins[one[opposed]], twins[two[opposed]] = two[opposed], one[opposed]
    return twins


def remesh(surface: Surface, short: float, long: float, turn: float, most: int) -> Surface:
    """Edges below ``short`` times the wanted length collapsed, then those above ``long`` times it split, then flipped.

    turn: degrees by which a face may turn; most: vertices that there may be. A new vertex lies and carries the mean of
    the two that it comes from. Vertices keep their order, new ones stand behind them.
    """
    twins = twins_of(surface.faces)
    limit = float(np.cos(np.radians(turn)))
    lengths = _lengths(surface, twins)
    candidates = np.flatnonzero(lengths < short)
    order = candidates[np.argsort(lengths[candidates], kind="stable")].astype(np.int32)
    work = _Work.begin(surface, twins, 0)
    work.run(_collapse_all, order, short, long, limit)
    surface = work.finished(len(surface.faces), len(surface.places))

    twins = twins_of(surface.faces)
    lengths = _lengths(surface, twins)
    candidates = np.flatnonzero(np.isfinite(lengths) & (lengths > long))
    room = max(0, most - len(surface.places))
    order = candidates[np.argsort(-lengths[candidates], kind="stable")].astype(np.int32)[:room]
    vertices, faces = len(surface.places), len(surface.faces)
    work = _Work.begin(surface, twins, len(order))
    made = work.run(_split_all, vertices, faces, order, long)
    surface = work.finished(faces + 2 * made, vertices + made)

    twins = twins_of(surface.faces)
    work = _Work.begin(surface, twins, 0)
    work.run(_flip_all, limit)
    return work.finished(len(surface.faces), len(surface.places))


def flip(surface: Surface, gain: NDArray[np.float64], least: float, turn: float) -> Surface:
    """Edges flipped whose half-edges gain [3 F] at least so much, the best first, each face once.

    turn: degrees by which a face may turn. Vertices and what they carry stay as they are.
    """
    twins = twins_of(surface.faces)
    candidates = np.flatnonzero((gain > least) & (np.arange(len(twins)) < twins))
    order = candidates[np.argsort(-gain[candidates], kind="stable")].astype(np.int32)
    work = _Work.begin(surface, twins, 0)
    work.run(_flip_best, order, float(np.cos(np.radians(turn))))
    return work.finished(len(surface.faces), len(surface.places))


def _lengths(surface: Surface, twins: NDArray[np.int32]) -> NDArray[np.float64]:
    """[3 F]: of an edge's first half-edge, its length over the wanted one; infinite where it is not to be changed."""
    start, end = surface.faces, np.roll(surface.faces, -1, axis=1)
    length = np.linalg.norm(surface.places[start] - surface.places[end], axis=2)
    wanted = (surface.carried[start, 0] + surface.carried[end, 0]) / 2
    free = surface.free[start] & surface.free[end]
    first = np.arange(len(twins)) < twins
    return np.where(free.reshape(-1) & first, (length / wanted).reshape(-1), np.inf)


@dataclass(frozen=True, eq=False)
class _Work:
    """Arrays that kernels change, with room for more."""

    arrays: Any  # places, carried, free, faces, twins, outgoing

    @staticmethod
    def begin(surface: Surface, twins: NDArray[np.int32], splits: int) -> _Work:
        def roomy(array: NDArray[Any], more: int) -> NDArray[Any]:
            return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])

        faces, twins = roomy(surface.faces, 2 * splits), roomy(twins, 6 * splits)
        outgoing = np.full(len(surface.places) + splits, -1, np.int32)
        used = np.arange(3 * len(surface.faces), dtype=np.int32)
        outgoing[surface.faces.reshape(-1)[::-1]] = used[::-1]
        rows = (roomy(surface.places, splits), roomy(surface.carried, splits), roomy(surface.free, splits))
        return _Work((*rows, faces, twins, outgoing))

    def run(self, change: Any, *more: Any) -> Any:
        """What a kernel returns that changes the arrays."""
        return change(*self.arrays, *more)

    def finished(self, faces: int, vertices: int) -> Surface:
        """Without the faces and vertices that are gone: those with a negative corner, and what no half-edge leaves."""
        places, carried, free, corners, _, outgoing = self.arrays
        left = corners[:faces]
        left = left[left[:, 0] >= 0]
        keep = (outgoing[:vertices] >= 0) | ~free[:vertices]
        index = np.cumsum(keep) - 1
        rows = np.flatnonzero(keep)
        return Surface(places[rows], index[left].astype(np.int32), carried[rows], free[rows])


# ---------------------------------------------------------------- half-edges


@inner_kernel
def _next(h: int) -> int:
    return h - 2 if h % 3 == 2 else h + 1


@inner_kernel
def _previous(h: int) -> int:
    return h + 2 if h % 3 == 0 else h - 1


@inner_kernel
def _around(h, twins, fan):
    """Outgoing half-edges of the start of h, h first, into fan; how many, or -1 where they do not close or are many."""
    count, at = 0, h
    while True:
        if count == len(fan):
            return -1
        fan[count] = at
        count += 1
        at = twins[_previous(at)]
        if at < 0:
            return -1
        if at == h:
            return count


@inner_kernel
def _across(a, b, c, out):
    """The cross product of a face's sides into out [3]; its quality: 1 for equal sides, 0 for none."""
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    wx, wy, wz = vx - ux, vy - uy, vz - uz
    out[0], out[1], out[2] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    sides = ux * ux + uy * uy + uz * uz + vx * vx + vy * vy + vz * vz + wx * wx + wy * wy + wz * wz
    size = np.sqrt(out[0] * out[0] + out[1] * out[1] + out[2] * out[2])
    return 3.4641016151377544 * size / sides if sides > 0 else 0.0


@inner_kernel
def _agree(p, q, limit):
    """Whether two vectors differ by at most an angle, of which the cosine is given; what has no length agrees."""
    dot = p[0] * q[0] + p[1] * q[1] + p[2] * q[2]
    pp = p[0] * p[0] + p[1] * p[1] + p[2] * p[2]
    qq = q[0] * q[0] + q[1] * q[1] + q[2] * q[2]
    return dot >= limit * np.sqrt(pp * qq)


@inner_kernel
def _distance(p, q):
    x, y, z = p[0] - q[0], p[1] - q[1], p[2] - q[2]
    return np.sqrt(x * x + y * y + z * z)


# ---------------------------------------------------------------- collapse


@strict_kernel
def _collapse_all(places, carried, free, faces, twins, outgoing, order, short, long, limit):
    fan_a, fan_b = np.empty(MOST_AROUND, np.int32), np.empty(MOST_AROUND, np.int32)
    stamp = np.full(len(places), -1, np.int32)
    middle, before, after = np.empty(3), np.empty(3), np.empty(3)
    corners = faces.reshape(-1)
    for n in range(len(order)):
        h = order[n]
        if corners[h] < 0 or twins[h] < 0:
            continue
        a, b = corners[h], corners[_next(h)]
        wanted = (carried[a, 0] + carried[b, 0]) / 2
        if not (free[a] and free[b]) or _distance(places[a], places[b]) >= short * wanted:
            continue
        count_a, count_b = _around(h, twins, fan_a), _around(twins[h], twins, fan_b)
        if count_a < 3 or count_b < 3:
            continue
        if not _links(corners, twins, h, fan_a, count_a, fan_b, count_b, stamp, n):
            continue
        for k in range(3):
            middle[k] = (places[a, k] + places[b, k]) / 2
        if not _fits(places, carried, corners, twins, h, a, b, fan_a, count_a, middle, long, limit, before, after):
            continue
        if not _fits(places, carried, corners, twins, h, b, a, fan_b, count_b, middle, long, limit, before, after):
            continue
        _collapse(places, carried, corners, twins, outgoing, h, fan_b, count_b, middle)


@inner_kernel
def _links(corners, twins, h, fan_a, count_a, fan_b, count_b, stamp, mark):
    """Whether the ends of h have just the two neighbours in common that are opposite h, each with more than 3 faces."""
    c, d = corners[_previous(h)], corners[_previous(twins[h])]
    if c == d:
        return False
    for i in range(count_a):
        stamp[corners[_next(fan_a[i])]] = mark
    common = 0
    for i in range(count_b):
        if stamp[corners[_next(fan_b[i])]] == mark:
            common += 1
    return common == 2 and _valence_above(_previous(h), twins, 3) and _valence_above(_previous(twins[h]), twins, 3)


@inner_kernel
def _valence_above(h, twins, least):
    """Whether the start of h has more than so many faces."""
    count, at = 1, twins[_previous(h)]
    while at >= 0 and at != h and count <= least:
        count += 1
        at = twins[_previous(at)]
    if at == h or count > least:
        return count > least
    at = twins[h]  # a border: the other way around
    while at >= 0 and count <= least:
        count += 1
        at = twins[_next(at)]
    return count > least


@inner_kernel
def _fits(places, carried, corners, twins, h, a, b, fan, count, middle, long, limit, before, after):
    """Whether the faces of a, but for those beside h, stay as they are when a goes to the middle, with no long edge."""
    for i in range(count):
        p, q = corners[_next(fan[i])], corners[_previous(fan[i])]
        if p == b or q == b:
            continue
        if _distance(middle, places[p]) > long * (carried[a, 0] + carried[p, 0]) / 2:
            return False
        quality = _across(places[a], places[p], places[q], before)
        better = _across(middle, places[p], places[q], after)
        if not _agree(before, after, limit) or (better < SLIVER and better < quality):
            return False
    return True


@inner_kernel
def _collapse(places, carried, corners, twins, outgoing, h, fan_b, count_b, middle):
    """The end of h becomes its start; the faces on both sides go."""
    t = twins[h]
    a, b = corners[h], corners[t]
    c, d = corners[_previous(h)], corners[_previous(t)]
    for i in range(count_b):
        corners[fan_b[i]] = a
    one, two = twins[_next(h)], twins[_previous(h)]  # c to b, a to c
    three, four = twins[_next(t)], twins[_previous(t)]  # d to a, b to d
    twins[one], twins[two] = two, one
    twins[three], twins[four] = four, three
    outgoing[a], outgoing[b], outgoing[c], outgoing[d] = two, -1, one, three
    for k in range(3):
        corners[h // 3 * 3 + k] = -1
        corners[t // 3 * 3 + k] = -1
        places[a, k] = middle[k]
    for k in range(carried.shape[1]):
        carried[a, k] = (carried[a, k] + carried[b, k]) / 2


# ---------------------------------------------------------------- split


@strict_kernel
def _split_all(places, carried, free, faces, twins, outgoing, vertices, count, order, long):
    """Splits made; new vertices and faces stand from the given counts on."""
    corners = faces.reshape(-1)
    made = 0
    for n in range(len(order)):
        h = order[n]
        t = twins[h]
        a, b = corners[h], corners[_next(h)]
        wanted = (carried[a, 0] + carried[b, 0]) / 2
        if t < 0 or not (free[a] and free[b]) or _distance(places[a], places[b]) <= long * wanted:
            continue
        _split(places, carried, free, corners, twins, outgoing, h, t, vertices + made, count + 2 * made)
        made += 1
    return made


@inner_kernel
def _split(places, carried, free, corners, twins, outgoing, h, t, m, f):
    """A vertex m in the middle of h; face f is the part of h's face at its end, f + 1 that of the face beyond."""
    a, b, c, d = corners[h], corners[t], corners[_previous(h)], corners[_previous(t)]
    beyond, far = twins[_next(h)], twins[_previous(t)]
    n, g = 3 * f, 3 * f + 3
    corners[n], corners[n + 1], corners[n + 2] = m, b, c
    corners[g], corners[g + 1], corners[g + 2] = b, m, d
    corners[_next(h)], corners[t] = m, m
    twins[n], twins[g] = g, n
    twins[n + 1], twins[n + 2], twins[_next(h)] = beyond, _next(h), n + 2
    twins[g + 1], twins[g + 2], twins[_previous(t)] = _previous(t), far, g + 1
    if beyond >= 0:
        twins[beyond] = n + 1
    if far >= 0:
        twins[far] = g + 2
    outgoing[m], outgoing[b] = n, n + 1
    free[m] = True
    for k in range(3):
        places[m, k] = (places[a, k] + places[b, k]) / 2
    for k in range(carried.shape[1]):
        carried[m, k] = (carried[a, k] + carried[b, k]) / 2


# ---------------------------------------------------------------- flip


@strict_kernel
def _flip_all(places, carried, free, faces, twins, outgoing, limit):
    """Edges whose flip brings the faces at its four vertices nearer to six each."""
    corners = faces.reshape(-1)
    valence = _valences(corners, len(places))
    fan = np.empty(MOST_AROUND, np.int32)
    sides = np.empty((4, 3))
    for h in range(len(corners)):
        t = twins[h]
        if t < h:
            continue
        a, b, c, d = corners[h], corners[t], corners[_previous(h)], corners[_previous(t)]
        before = (valence[a] - 6) ** 2 + (valence[b] - 6) ** 2 + (valence[c] - 6) ** 2 + (valence[d] - 6) ** 2
        after = (valence[a] - 7) ** 2 + (valence[b] - 7) ** 2 + (valence[c] - 5) ** 2 + (valence[d] - 5) ** 2
        if after < before:
            _try_flip(places, free, corners, twins, outgoing, h, valence, sides, limit, fan)


@strict_kernel
def _flip_best(places, carried, free, faces, twins, outgoing, order, limit):
    """Edges in this order, each face once."""
    corners = faces.reshape(-1)
    valence = _valences(corners, len(places))
    changed = np.zeros(len(faces), np.bool_)
    fan = np.empty(MOST_AROUND, np.int32)
    sides = np.empty((4, 3))
    for n in range(len(order)):
        h = order[n]
        f, g = h // 3, twins[h] // 3
        if changed[f] or changed[g]:
            continue
        if _try_flip(places, free, corners, twins, outgoing, h, valence, sides, limit, fan):
            changed[f], changed[g] = True, True


@inner_kernel
def _valences(corners, count):
    """Faces at each vertex."""
    valence = np.zeros(count, np.int32)
    for i in range(len(corners)):
        valence[corners[i]] += 1
    return valence


@inner_kernel
def _try_flip(places, free, corners, twins, outgoing, h, valence, sides, limit, fan):
    """Whether the edge of h can be flipped, which then is done."""
    t = twins[h]
    a, b, c, d = corners[h], corners[t], corners[_previous(h)], corners[_previous(t)]
    if not (free[a] and free[b]) or c == d or valence[a] < 4 or valence[b] < 4:
        return False
    if not _flat(places, a, b, c, d, sides, limit) or _joined(corners, twins, _previous(h), d, fan):
        return False
    _flip(corners, twins, outgoing, h, t)
    valence[a] -= 1
    valence[b] -= 1
    valence[c] += 1
    valence[d] += 1
    return True


@inner_kernel
def _flat(places, a, b, c, d, sides, limit):
    """Whether both new faces agree with both old ones, and the worse of them is not much worse than the worse old."""
    old = min(
        _across(places[a], places[b], places[c], sides[0]),
        _across(places[b], places[a], places[d], sides[1]),
    )
    new = min(
        _across(places[d], places[b], places[c], sides[2]),
        _across(places[c], places[a], places[d], sides[3]),
    )
    if new < 0.5 * old or new < SLIVER:
        return False
    for i in range(2):
        for j in range(2, 4):
            if not _agree(sides[i], sides[j], limit):
                return False
    return True


@inner_kernel
def _joined(corners, twins, h, other, fan):
    """Whether the start of h has an edge to another vertex, as far as that can be told."""
    count = _around(h, twins, fan)
    found = count < 0
    for i in range(count):
        found |= corners[_next(fan[i])] == other
    return found


@inner_kernel
def _flip(corners, twins, outgoing, h, t):
    """The edge from a to b of faces (a, b, c) and (b, a, d) becomes that from c to d: (d, b, c) and (c, a, d)."""
    a, b, c, d = corners[h], corners[t], corners[_previous(h)], corners[_previous(t)]
    one, two = twins[_previous(h)], twins[_previous(t)]  # a to c, b to d
    corners[h], corners[t] = d, c
    twins[h], twins[t] = two, one
    if two >= 0:
        twins[two] = h
    if one >= 0:
        twins[one] = t
    twins[_previous(h)], twins[_previous(t)] = _previous(t), _previous(h)
    outgoing[a], outgoing[b], outgoing[c], outgoing[d] = _next(t), _next(h), t, h
