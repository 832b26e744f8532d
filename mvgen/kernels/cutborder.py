"""Triangles and positions of a surface, coded face by face along a growing border.

The coded part of a piece is bounded by loops of half-edges. One of them, the gate, is taken; its outer face is told:
none (the surface ends there), one with a new vertex, one that closes the corner to the left or right on the loop, or
one with another vertex on a loop (which splits it or joins two). A new vertex is told by its offset from a guess, in a
frame of the face inside the gate. What is likely is told from the shape around the gate.

One function serves encoder and decoder (see `rangecoder`). Its floating-point operations are + - * / and the square
root in the order written, so that every machine decodes the same bytes to the same mesh.

Half-edge 3 f + k of the coded mesh runs from corner k of face f to the next; faces are in the order of coding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import exact_kernel, inner_kernel
from mvgen.kernels.rangecoder import (
    OVERFLOW,
    POSITION,
    READING,
    WHOLE,
    code_adaptive,
    code_gamma,
    code_mixed,
    code_raw,
    fresh_models,
)

# What a run of `code_surface` ends with.
DONE, DAMAGED, NO_ROOM, TOO_LONG = 0, 1, 2, 3

ACTIVE, BORDER, GONE = 0, 1, 2  # states of half-edges on the loops

# Columns of the table of half-edges: the vertex at its start, the next and the one before on its loop, the other side,
# the state, its place among those on loops; what is on the stack; the source's half-edge of ours, and the reverse.
START, NEXT, BEFORE, TWIN, STATE, PLACE, STACK, OUTER, LOCAL = range(9)
COLUMNS = 9
# Counters: faces and vertices so far, half-edges on loops, size of the stack, work done at splits, the source's next
# face and the first vertex of the last piece.
FACES, MET, LISTED, TOP, SPENT, SEED, LAST = range(7)
# What a writer knows of the face beyond a gate: the source's half-edges, the fan and the vertex; answers to symbols.
T_GATE, T_TO, T_FROM, T_FAN, T_VERTEX, T_ENDS, T_NEW, T_CLOSE, T_RIGHT, T_BOTH = range(10)
# How a face is joined: with a new vertex, to its neighbours on the loop, or to a vertex elsewhere.
NEW, LEFT, RIGHT, BOTH, LOOP = range(5)

# Layout of a signed integer's models under one context: its class in unary, its sign, two bits below the leading one.
MAX_SIZE = 30
SIGN = MAX_SIZE
MANTISSA = MAX_SIZE + 1
NODES = MANTISSA + 2 * (MAX_SIZE + 1)
INPUTS = WHOLE(6)  # contexts that are mixed
LEVELS = 24  # classes of each context
COMPONENTS = 3
INT_MODELS = COMPONENTS * INPUTS * LEVELS * LEVELS * NODES
INT_SETS = COMPONENTS * NODES

# Symbols of connectivity.
S_BORDER, S_NEW, S_CLOSE, S_RIGHT, S_BOTH, S_REPEAT = (WHOLE(k) for k in range(6))
SYMBOLS = 6
SYMBOL_INPUTS = WHOLE(5)
SYMBOL_CONTEXTS = 1024
SYMBOL_MODELS = SYMBOLS * SYMBOL_INPUTS * SYMBOL_CONTEXTS

# Where the models of plain numbers begin: of repeats, first positions, later ones, ranks.
P_REPEAT, P_FIRST, P_LATER, P_RANK = (WHOLE(128 * k) for k in (0, 1, 2, 4))
PLAIN_MODELS = 8 * 128

WORK = 2_000_000_000  # distances that a run may take at splits
FAR = 8.0  # positions beyond are damage

CANDIDATES = 5  # integers that a writer considers along the surface, for either axis
FEATURES = 8  # of each linear predictor
FORGET = 0.999  # of its past, with each vertex
FIRST_DOUBT = 0.02  # of its factors, as variances

FIRST_WEIGHT = 17000  # of each context of integers, in units of 2^-16
FIRST_SYMBOL_WEIGHT = 28000  # likewise of symbols


class Source(NamedTuple):
    """What a writer codes; a reader has empty arrays.

    corners [F, 3]: the fan of each corner; twins [3 F]: the half-edge on the other side, or -1; owners: the vertex of
    each fan; goals [V, 3]: wanted positions; indptr, indices, blocks: the vertices' quadratic form, or indptr [1].
    """

    corners: NDArray[np.int32]
    twins: NDArray[np.int32]
    owners: NDArray[np.int32]
    goals: NDArray[np.float64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    blocks: NDArray[np.float64]


class Output(NamedTuple):
    """What comes out: faces [F, 3]; pos [V, 3]; context [V, 3]: vertices that a vertex was predicted from, or -1; and
    for a writer order [V]: the source's vertex."""

    faces: NDArray[np.int32]
    pos: NDArray[np.float64]
    order: NDArray[np.int32]
    context: NDArray[np.int32]


class Models(NamedTuple):
    """Models of integers, symbols and plain numbers, weights of their mixing, and which are asked."""

    integers: NDArray[np.int64]
    mixing: NDArray[np.int64]
    symbols: NDArray[np.int64]
    symbol_mixing: NDArray[np.int64]
    plain: NDArray[np.int64]
    slots: NDArray[np.int64]
    contexts: NDArray[np.int64]


class Growth(NamedTuple):
    """The coded part: half-edges (see the columns), those on loops, counters, sizes of the offsets [V, 3], what a
    writer knows, corners and cell of a first face; and of the source number [V]: ours of its vertices or -1, which fans
    were met, and offsets from the goals [V, 3]."""

    net: NDArray[np.int32]
    alive: NDArray[np.int32]
    counters: NDArray[np.int64]
    mags: NDArray[np.int16]
    told: NDArray[np.int64]
    corner: NDArray[np.int64]
    cell: NDArray[np.int64]
    number: NDArray[np.int32]
    fan_met: NDArray[np.bool_]
    drift: NDArray[np.float64]


class Gate(NamedTuple):
    """The shape around a gate (see `look`), the linear predictors, and scales [2]: its length and the scale."""

    near: NDArray[np.int64]
    frame: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    features: NDArray[np.float64]
    guess: NDArray[np.float64]
    point: NDArray[np.float64]
    scales: NDArray[np.float64]
    weights: NDArray[np.float64]
    inverse: NDArray[np.float64]
    gain: NDArray[np.float64]


class Choice(NamedTuple):
    """What a writer weighs for a new vertex, and chosen [3]: its integers."""

    wanted: NDArray[np.float64]
    turned: NDArray[np.float64]
    metric: NDArray[np.float64]
    pull: NDArray[np.float64]
    sizes: NDArray[np.float64]
    big: NDArray[np.float64]
    right: NDArray[np.float64]
    solved: NDArray[np.float64]
    chosen: NDArray[np.int64]


@inner_kernel
def third(half):
    """The half-edge before one in its face: it starts at the face's third vertex."""
    return 3 * (half // 3) + (half + 2) % 3


@inner_kernel
def log_size(value):
    """8 log2(1 + |value|), rounded down coarsely, in integers."""
    value = abs(value) + 1
    size = 0
    scaled = value
    while scaled >= 16:
        scaled >>= 1
        size += 1
    # scaled in 1..15
    if scaled >= 8:
        return 8 * (size + 3) + (scaled - 8)
    if scaled >= 4:
        return 8 * (size + 2) + 2 * (scaled - 4)
    if scaled >= 2:
        return 8 * (size + 1) + 4 * (scaled - 2)
    return 0


@inner_kernel
def log_ratio(value, unit):
    """About 4 log2(value / unit) + 8, from 0 to 63, by exact doubling."""
    if not (value > 0 and unit > 0):
        return 0
    ratio = value / unit * 4.0
    if not ratio > 1.0:
        return 0
    level = 0
    while ratio >= 2.0 and level < 60:
        ratio *= 0.5
        level += 4
    if ratio >= 1.6817928305074292:
        level += 3
    elif ratio >= 1.4142135623730951:
        level += 2
    elif ratio >= 1.189207115002721:
        level += 1
    return min(level, 63)


@inner_kernel
def frame_of(pos, a, b, o, frame):
    """Middle of the gate and the axes of its frame: along, outwards, normal. The length of the gate."""
    ex, ey, ez = pos[b, 0] - pos[a, 0], pos[b, 1] - pos[a, 1], pos[b, 2] - pos[a, 2]
    fx, fy, fz = pos[o, 0] - pos[a, 0], pos[o, 1] - pos[a, 1], pos[o, 2] - pos[a, 2]
    frame[0, 0], frame[0, 1], frame[0, 2] = (
        0.5 * (pos[a, 0] + pos[b, 0]),
        0.5 * (pos[a, 1] + pos[b, 1]),
        0.5 * (pos[a, 2] + pos[b, 2]),
    )
    length = np.sqrt(ex * ex + ey * ey + ez * ez)
    if not length > 1e-30:
        frame[1, 0], frame[1, 1], frame[1, 2] = 1.0, 0.0, 0.0
        frame[2, 0], frame[2, 1], frame[2, 2] = 0.0, 1.0, 0.0
        frame[3, 0], frame[3, 1], frame[3, 2] = 0.0, 0.0, 1.0
        return 0.0
    ex, ey, ez = ex / length, ey / length, ez / length
    nx, ny, nz = ey * fz - ez * fy, ez * fx - ex * fz, ex * fy - ey * fx
    size = np.sqrt(nx * nx + ny * ny + nz * nz)
    if not size > 1e-9 * length:
        # no plane: the axis that the gate is least along gives one
        ax, ay, az = abs(ex), abs(ey), abs(ez)
        if ax <= ay and ax <= az:
            nx, ny, nz = 0.0, ez, -ey
        elif ay <= az:
            nx, ny, nz = -ez, 0.0, ex
        else:
            nx, ny, nz = ey, -ex, 0.0
        size = np.sqrt(nx * nx + ny * ny + nz * nz)
    nx, ny, nz = nx / size, ny / size, nz / size
    frame[1, 0], frame[1, 1], frame[1, 2] = ex, ey, ez
    frame[2, 0], frame[2, 1], frame[2, 2] = ey * nz - ez * ny, ez * nx - ex * nz, ex * ny - ey * nx
    frame[3, 0], frame[3, 1], frame[3, 2] = nx, ny, nz
    return length


@inner_kernel
def to_local(frame, pos, v, local):
    """Coordinates of a vertex in a frame."""
    x, y, z = pos[v, 0] - frame[0, 0], pos[v, 1] - frame[0, 1], pos[v, 2] - frame[0, 2]
    for k in range(3):
        local[k] = x * frame[k + 1, 0] + y * frame[k + 1, 1] + z * frame[k + 1, 2]


@inner_kernel
def predict(weights, features, component):
    total = 0.0
    for k in range(FEATURES):
        total += weights[component, k] * features[component, k]
    return total


@inner_kernel
def learn(weights, inverse, features, component, error, forget, gain):
    """Recursive least squares, an error counted less the larger it is."""
    scale = 0.0
    for i in range(FEATURES):
        total = 0.0
        for j in range(FEATURES):
            total += inverse[component, i, j] * features[component, j]
        gain[i] = total
        scale += total * features[component, i]
    trust = 1.0 / (0.05 + abs(error))
    bottom = forget / trust + scale
    if not bottom > 1e-30:
        return
    for i in range(FEATURES):
        weights[component, i] += gain[i] / bottom * error
    for i in range(FEATURES):
        for j in range(FEATURES):
            inverse[component, i, j] = (inverse[component, i, j] - gain[i] * gain[j] / bottom) / forget


@inner_kernel
def code_integer(coder, data, models, mixing, component, contexts, value, slots):
    """A signed integer under INPUTS contexts."""
    magnitude, negative = abs(value), 1 if value < 0 else 0
    size, depth, result = 0, -1, 0  # depth: of the bits below the leading one; -1 while the size is told
    while True:
        if depth < 0:
            node, bit = size, 1 if magnitude >> size else 0
        elif depth < min(size - 1, 2):
            node, bit = MANTISSA + 2 * size + depth, (magnitude >> (size - 2 - depth)) & 1
        else:
            node, bit = SIGN, negative
        for k in range(INPUTS):
            slots[k] = contexts[k] + node
        bit = code_mixed(
            coder,
            data,
            models,
            slots,
            INPUTS,
            mixing,
            component * NODES + node,
            bit,
        )
        if node == SIGN:
            break
        if depth >= 0:
            result = 2 * result + bit
            depth += 1
        elif bit and size < MAX_SIZE - 1:
            size += 1
        elif size == 0:
            return 0
        else:
            depth, result = 0, 1
    left = size - 3
    if left > 0:
        result = (result << left) | code_raw(coder, data, magnitude & ((1 << left) - 1), left)
    return -result if bit else result


@inner_kernel
def angle_class(frame, pos, corner, away, sign):
    """Class 0..15 of the outer angle at an end of the gate, between the gate and the loop's next edge."""
    x, y, z = pos[away, 0] - pos[corner, 0], pos[away, 1] - pos[corner, 1], pos[away, 2] - pos[corner, 2]
    length = np.sqrt(x * x + y * y + z * z)
    if not length > 1e-30:
        return 15
    along = sign * (x * frame[1, 0] + y * frame[1, 1] + z * frame[1, 2]) / length
    out = x * frame[2, 0] + y * frame[2, 1] + z * frame[2, 2]
    if not (along >= -1.0 and along <= 1.0):
        along = -1.0
    if out < 0.0:
        return 12 + (1 if along > -0.7 else 0) + (1 if along > 0.3 else 0)
    return min(int((1.0 - along) * 6.0), 11)


@inner_kernel
def gap_class(frame, pos, point, away, scale):
    """Class 0..15 of the distance of a vertex from a predicted point, in sizes of the inner face."""
    x = pos[away, 0] - point[0]
    y = pos[away, 1] - point[1]
    z = pos[away, 2] - point[2]
    return min(log_ratio(np.sqrt(x * x + y * y + z * z), scale) // 2, 15)


@inner_kernel
def distance2(pos, v, x, y, z):
    dx, dy, dz = pos[v, 0] - x, pos[v, 1] - y, pos[v, 2] - z
    return dx * dx + dy * dy + dz * dz


@inner_kernel
def code_symbol(coder, data, models, mixing, symbol, contexts, bit, slots):
    for k in range(SYMBOL_INPUTS):
        slots[k] = (symbol * SYMBOL_INPUTS + k) * SYMBOL_CONTEXTS + contexts[k]
    return code_mixed(coder, data, models, slots, SYMBOL_INPUTS, mixing, symbol, bit)


@inner_kernel
def eliminate(matrix, right, size, solved):
    """Solve matrix [size, size] x = right [size, 4], the first overwritten, for a positive definite matrix."""
    many = 4
    for k in range(size):
        for j in range(many):
            solved[k, j] = right[k, j]
    for k in range(size):
        pivot = max(matrix[k, k], 1e-300)
        for i in range(k + 1, size):
            factor = matrix[i, k] / pivot
            if factor != 0.0:
                for j in range(k + 1, size):
                    matrix[i, j] -= factor * matrix[k, j]
                for j in range(many):
                    solved[i, j] -= factor * solved[k, j]
    for k in range(size - 1, -1, -1):
        pivot = max(matrix[k, k], 1e-300)
        for j in range(many):
            total = solved[k, j]
            for i in range(k + 1, size):
                total -= matrix[k, i] * solved[i, j]
            solved[k, j] = total / pivot


@inner_kernel
def feedback(i, source, number, drift, choice):
    """Written to choice: the 3x3 metric that an offset of vertex i is judged by once its uncoded neighbours follow, and
    the pull, which makes up for the offsets of its coded neighbours."""
    indptr, indices, blocks, metric, pull = source.indptr, source.indices, source.blocks, choice.metric, choice.pull
    big, right, solved = choice.big, choice.right, choice.solved
    start, end = indptr[i], indptr[i + 1]
    free = 0
    for e in range(start, end):
        if indices[e] != i and number[indices[e]] < 0:
            free += 1
    size = 3 * free
    for r in range(size):
        for c in range(size):
            big[r, c] = 0.0
        for c in range(4):
            right[r, c] = 0.0
    for r in range(3):
        pull[r] = 0.0
    slot = np.int64(0)
    for e in range(start, end):
        j = indices[e]
        if j == i:
            for r in range(3):
                for c in range(3):
                    metric[r, c] = blocks[e, r, c]
        elif number[j] >= 0:
            for r in range(3):
                for c in range(3):
                    pull[r] += blocks[e, r, c] * drift[j, c]
        else:
            for r in range(3):
                for c in range(3):
                    right[3 * slot + c, r] = blocks[e, r, c]
            gather(i, indptr[j], indptr[j + 1], slot, source, number, drift, choice)
            slot += 1
    if free:
        eliminate(big, right, size, solved)
        for r in range(3):
            for m in range(size):
                pull[r] -= right[m, r] * solved[m, 3]
                for c in range(3):
                    metric[r, c] -= right[m, r] * solved[m, c]
    for r in range(3):
        for c in range(3):
            right[r, c], big[r, c] = pull[r], metric[r, c]
        right[r, 3] = pull[r]
    eliminate(big, right, np.int64(3), solved)
    for r in range(3):
        pull[r] = -solved[r, 0]


@inner_kernel
def gather(i, first, last, slot, source, number, drift, choice):
    """The row of an uncoded neighbour of vertex i, with blocks from first to last: pulls of coded vertices, and blocks
    of the other uncoded neighbours."""
    indptr, indices, blocks = source.indptr, source.indices, source.blocks
    for g in range(first, last):
        other = indices[g]
        if number[other] >= 0:
            for r in range(3):
                for c in range(3):
                    choice.right[3 * slot + r, 3] += blocks[g, r, c] * drift[other, c]
            continue
        second = 0
        for h in range(indptr[i], indptr[i + 1]):
            if indices[h] == other and other != i:
                for r in range(3):
                    for c in range(3):
                        choice.big[3 * slot + r, 3 * second + c] = blocks[g, r, c]
            if indices[h] != i and number[indices[h]] < 0:
                second += 1


@inner_kernel
def height(weights, features, along, out):
    """The guessed height of a vertex over the inner face's plane, from where it is in the plane (over the scale)."""
    n = features[2]
    n[4] = out * (n[0] + n[1])
    n[5] = out * (n[2] + n[3])
    n[6] = along * (n[1] - n[0])
    n[7] = along * (n[3] - n[2])
    total = predict(weights, features, np.int64(2))
    if not abs(total) < 8.0:
        total = 0.0
    return total


@inner_kernel
def look(pos, a, b, gate):
    """What the shape around a gate says of the vertex beyond.

    near [5]: the inner face's third vertex, the next ones on the loop, those beyond the inner face or -1. Written are
    the frame, the coordinates [5, 3] of near in it, features, the guessed coordinates over the scale, the guessed
    point, and the scales.
    """
    near, weights, frame, coordinates = gate.near, gate.weights, gate.frame, gate.coordinates
    features, guess = gate.features, gate.guess
    length = frame_of(pos, a, b, near[0], frame)
    for k in range(5):
        if near[k] >= 0:
            to_local(frame, pos, near[k], coordinates[k])
        else:  # as if the inner face were mirrored
            coordinates[k, 0] = coordinates[0, 0] + (-length if k == 3 else length)
            coordinates[k, 1] = coordinates[0, 1]
            coordinates[k, 2] = 0.0
    x, y = coordinates[0, 0] + 0.5 * length, coordinates[0, 1]
    z = coordinates[0, 0] - 0.5 * length
    scale = (length + np.sqrt(x * x + y * y) + np.sqrt(z * z + y * y)) / 3.0
    if not scale > 1e-12:
        scale = 1e-12
    for k in range(5):
        features[0, k] = coordinates[k, 0] / scale
        features[1, k] = coordinates[k, 1] / scale
    for k in range(4):
        features[2, k] = coordinates[k + 1, 2] / scale
    features[1, 5] = length / scale
    features[1, 6] = 1.0
    for c in range(2):
        guess[c] = predict(weights, features, c)
        if not abs(guess[c]) < 8.0:
            guess[c] = -0.75 * coordinates[0, c] / scale
    guess[2] = height(weights, features, guess[0], guess[1])
    for c in range(3):
        gate.point[c] = frame[0, c] + scale * (guess[0] * frame[1, c] + guess[1] * frame[2, c] + guess[2] * frame[3, c])
    gate.scales[0], gate.scales[1] = length, scale


@inner_kernel
def symbol_contexts(pos, a, b, p, q, frame, point, scale, step, flags, contexts):
    """Contexts of a gate's symbols: outer angles at its ends, distances of the next vertices from the guess."""
    angle_a = angle_class(frame, pos, a, p, 1.0)
    angle_b = angle_class(frame, pos, b, q, -1.0)
    gap_a = gap_class(frame, pos, point, p, scale)
    gap_b = gap_class(frame, pos, point, q, scale)
    contexts[0] = flags * 256 + angle_a * 16 + angle_b
    contexts[1] = flags * 256 + gap_a * 16 + gap_b
    contexts[2] = flags * 256 + angle_a * 16 + gap_a
    contexts[3] = flags * 256 + angle_b * 16 + gap_b
    contexts[4] = flags * 256 + min(log_ratio(scale, step) // 4, 15)


@inner_kernel
def choose(goals, vertex, rate, gate, steps, choice):
    """Integers for the offset of a vertex from its guess (writing): those of the least metric [3, 3] of the error, plus
    rate for each bit that they are thought to cost, among the nearest few. sizes [3]: of integers nearby."""
    frame, weights, features, guess, scale = gate.frame, gate.weights, gate.features, gate.guess, gate.scales[1]
    pull, metric, sizes = choice.pull, choice.metric, choice.sizes
    wanted, turned, chosen = choice.wanted, choice.turned, choice.chosen
    for r in range(3):
        for k in range(3):
            total = 0.0
            for i in range(3):
                for j in range(3):
                    total += frame[r + 1, i] * metric[i, j] * frame[k + 1, j]
            turned[r, k] = total
        total = 0.0
        for i in range(3):
            total += (goals[vertex, i] + pull[i] - frame[0, i]) * frame[r + 1, i]
        wanted[r] = total
    goal0, goal1 = (wanted[0] - guess[0] * scale) / steps[0], (wanted[1] - guess[1] * scale) / steps[1]
    least = np.inf
    tries = 2 if rate == 0.0 else CANDIDATES
    for i in range(tries):
        k0 = candidate(goal0, i)
        e0 = guess[0] * scale + k0 * steps[0] - wanted[0]
        for j in range(tries):
            k1 = candidate(goal1, j)
            e1 = guess[1] * scale + k1 * steps[1] - wanted[1]
            base = scale * height(weights, features, guess[0] + k0 * steps[0] / scale, guess[1] + k1 * steps[1] / scale)
            best = wanted[2] - (turned[2, 0] * e0 + turned[2, 1] * e1) / turned[2, 2]
            low2 = np.floor((best - base) / steps[2])
            for k in range(2):
                k2 = low2 + k
                e2 = base + k2 * steps[2] - wanted[2]
                cost = (
                    turned[0, 0] * e0 * e0
                    + turned[1, 1] * e1 * e1
                    + turned[2, 2] * e2 * e2
                    + 2.0 * (turned[0, 1] * e0 * e1 + turned[0, 2] * e0 * e2 + turned[1, 2] * e1 * e2)
                )
                if rate > 0.0:
                    cost += rate * (cost_of(k0, sizes[0]) + cost_of(k1, sizes[1]) + cost_of(k2, sizes[2]))
                if cost < least:
                    least = cost
                    chosen[0], chosen[1], chosen[2] = np.int64(k0), np.int64(k1), np.int64(k2)


@inner_kernel
def candidate(goal, which):
    """An integer near a goal or between it and 0."""
    low = np.floor(goal)
    if which < 2:
        return low + which
    if which == 2:
        return low - 1.0 if low > 0.0 else low + 2.0
    if which == 3:
        return np.rint(0.5 * goal)
    return 0.0


@inner_kernel
def cost_of(value, size):
    """About the bits of an integer where others nearby are of a size."""
    return 1.5 * np.log2(1.0 + abs(value) / size)


@inner_kernel
def code_offset(coder, data, models, a, b, c, gate, steps, mags, chosen):
    """The three integers of a new vertex c."""
    contexts, coordinates = models.contexts, gate.coordinates
    length, scale = gate.scales[0], gate.scales[1]
    o, p, q = gate.near[0], gate.near[1], gate.near[2]
    size_class = min(log_ratio(scale, steps[2]) // 3, LEVELS - 1)
    bend = 0.0
    for k in range(1, 5):
        bend = max(bend, abs(coordinates[k, 2]))
    bend_class = min(log_ratio(bend, steps[2]) // 3, LEVELS - 1)
    shape_class = min(log_ratio(length, scale), LEVELS - 1)
    m0, m1 = 0, 0
    for k in range(3):
        three = mags[a, k] + mags[b, k] + mags[o, k]
        two = mags[p, k] + mags[q, k]
        contexts[0] = min((three + two) // 15, LEVELS - 1)
        contexts[1] = size_class * LEVELS + shape_class
        contexts[2] = m0 * LEVELS + m1
        contexts[3] = bend_class * LEVELS + min(m0 + m1, LEVELS - 1) // 3
        contexts[4] = min(three // 9, LEVELS - 1) * LEVELS + min(two // 12, LEVELS - 1)
        contexts[5] = 0
        for i in range(INPUTS):
            contexts[i] = ((k * INPUTS + i) * LEVELS * LEVELS + contexts[i]) * NODES
        chosen[k] = code_integer(coder, data, models.integers, models.mixing, k, contexts, chosen[k], models.slots)
        mags[c, k] = log_size(chosen[k])
        if k == 0:
            m0 = min(mags[c, k] // 4, LEVELS - 1)
        elif k == 1:
            m1 = min(mags[c, k] // 4, LEVELS - 1)


@inner_kernel
def code_whole(coder, data, models, base, value):
    """A signed integer by 128 models from base on."""
    size = code_gamma(coder, data, models, base + 1, abs(value))
    if size and code_adaptive(coder, data, models, base, 1 if value < 0 else 0):
        size = -size
    return size


@inner_kernel
def rank_of(pos, net, alive, listed, a, b, point, target):
    """How many vertices on the loops come before a half-edge's start by distance from the guessed point."""
    own = distance2(pos, net[target, START], point[0], point[1], point[2])
    rank = 0
    for k in range(listed):
        m = alive[k]
        if net[m, START] in (a, b) or (net[m, STATE] != ACTIVE and net[net[m, BEFORE], STATE] != ACTIVE):
            continue
        d = distance2(pos, net[m, START], point[0], point[1], point[2])
        if d < own or (d == own and m < target):
            rank += 1
    return rank


@inner_kernel
def at_rank(pos, net, alive, listed, a, b, point, rank):
    """The half-edge of a rank, or -1."""
    least, last = -1.0, -1
    for _ in range(rank + 1):
        best, found = np.inf, -1
        for k in range(listed):
            i = alive[k]
            if net[i, START] in (a, b) or (net[i, STATE] != ACTIVE and net[net[i, BEFORE], STATE] != ACTIVE):
                continue
            d = distance2(pos, net[i, START], point[0], point[1], point[2])
            if d < least or (d == least and i <= last):
                continue
            if d < best or (d == best and i < found):
                best, found = d, i
        if found < 0:
            return -1
        least, last = best, found
    return last


@inner_kernel
def across(twins, net, g1, g2):
    """The half-edge on a loop that starts at the third corner of the source's face with the half-edges g1 (to that
    corner) and g2 (from it), in the gap that the face lies in; -1 if there is none (writing)."""
    turn = g2
    while twins[turn] >= 0:
        t = twins[turn]
        if net[t, LOCAL] >= 0:
            return net[net[t, LOCAL], NEXT]
        turn = 3 * (t // 3) + (t + 1) % 3
    turn = g1
    while twins[turn] >= 0:
        t = twins[turn]
        if net[t, LOCAL] >= 0:
            return net[t, LOCAL]
        turn = 3 * (t // 3) + (t + 2) % 3
    return -1


def code_surface(
    coder: NDArray[np.int64],
    data: NDArray[np.uint8],
    borders: bool,
    repeats: bool,
    steps: NDArray[np.float64],
    source: Source,
    out: Output,
    rate: float,
) -> int:
    """Code all faces of ``out`` and their vertices; how it ended (DONE, ...).

    borders: whether faces may end at one; repeats: whether a vertex may be met by several fans; steps [3] of the
    offsets: along and outwards, normal; rate: of a bit, in the form's units (writing).
    """
    state: int = _code_pieces(
        coder, data, borders, repeats, steps, source, out, float(rate), _models(), _growth(source, out), _gate(),
        _choice(source),
    )  # fmt: skip
    return state


def _models() -> Models:
    mixing = np.full((INT_SETS, INPUTS), FIRST_WEIGHT, np.int64)
    symbol_mixing = np.full((SYMBOLS, SYMBOL_INPUTS), FIRST_SYMBOL_WEIGHT, np.int64)
    integers, symbols, plain = (fresh_models(int(n)) for n in (INT_MODELS, SYMBOL_MODELS, PLAIN_MODELS))
    return Models(integers, mixing, symbols, symbol_mixing, plain, np.zeros(16, np.int64), np.zeros(16, np.int64))


def _growth(source: Source, out: Output) -> Growth:
    halves, vertices = 3 * len(out.faces), len(source.goals)
    net = np.zeros((halves + 3, COLUMNS), np.int32)
    net[:, TWIN] = net[:, LOCAL] = -1
    return Growth(
        net=net,
        alive=np.zeros(halves, np.int32),
        counters=np.zeros(7, np.int64),
        mags=np.zeros((len(out.pos), 3), np.int16),
        told=np.zeros(10, np.int64),
        corner=np.zeros(3, np.int64),
        cell=np.zeros(3, np.int64),
        number=np.full(vertices, -1, np.int32),
        fan_met=np.zeros(len(source.owners), np.bool_),
        drift=np.zeros((vertices, 3)),
    )


def _gate() -> Gate:
    weights = np.zeros((3, FEATURES))
    weights[:2, 0] = -0.75
    return Gate(
        near=np.zeros(5, np.int64),
        frame=np.zeros((4, 3)),
        coordinates=np.zeros((6, 3)),
        features=np.zeros((3, FEATURES)),
        guess=np.zeros(3),
        point=np.zeros(3),
        scales=np.zeros(2),
        weights=weights,
        inverse=np.tile(FIRST_DOUBT * np.eye(FEATURES), (3, 1, 1)),
        gain=np.zeros(FEATURES),
    )


def _choice(source: Source) -> Choice:
    most = 3 * max(int(np.diff(source.indptr).max(initial=0)), 1)
    three: Any = [np.zeros((3, 3)) for _ in range(2)]
    return Choice(
        wanted=np.zeros(3),
        turned=three[0],
        metric=three[1],
        pull=np.zeros(3),
        sizes=np.ones(3),
        big=np.zeros((most, most)),
        right=np.zeros((most, 4)),
        solved=np.zeros((most, 4)),
        chosen=np.zeros(3, np.int64),
    )


@exact_kernel
def _code_pieces(coder, data, borders, repeats, steps, source, out, rate, models, growth, gate, choice):
    """Piece by piece: a first face, then outwards from gate to gate, the last one first."""
    net, counters, count = growth.net, growth.counters, len(out.faces)
    while counters[FACES] < count:
        state = _sound(coder, data)
        if state == DONE:
            state = _first_face(coder, data, repeats, steps, source, out, models, growth)
        if state != DONE:
            return state
        while counters[TOP] > 0 and counters[FACES] < count:
            counters[TOP] -= 1
            h = net[counters[TOP], STACK]
            if net[h, STATE] != ACTIVE:
                continue
            state = _sound(coder, data)
            if state == DONE:
                _approach(h, steps, out, models, growth, gate)
                state = _beyond(
                    coder, data, h, borders, repeats, steps, source, out, rate, models, growth, gate, choice
                )
            if state != DONE:
                return state
    if coder[OVERFLOW]:
        return NO_ROOM
    return DONE if counters[MET] == len(out.pos) else DAMAGED


@inner_kernel
def _sound(coder, data):
    """Whether there is room to write in, or something left to read."""
    if coder[OVERFLOW]:
        return NO_ROOM
    return DAMAGED if coder[READING] and coder[POSITION] > len(data) + 7 else DONE


@inner_kernel
def _code_number(coder, data, met, value):
    """The number of a vertex that was met before."""
    bits = 0
    while (met >> bits) > 0:
        bits += 1
    return code_raw(coder, data, value, bits)


@inner_kernel
def _first_face(coder, data, repeats, steps, source, out, models, growth):
    """The first face of a piece."""
    reading = coder[READING] != 0
    net, counters, corner = growth.net, growth.counters, growth.corner
    if not reading:
        while net[3 * counters[SEED], LOCAL] >= 0:
            counters[SEED] += 1
    for k in range(3):
        vertex, again, known = 0, 0, 0
        if not reading:
            fan = source.corners[counters[SEED], k]
            vertex = source.owners[fan]
            growth.fan_met[fan] = True
            known = growth.number[vertex]
            again = 1 if known >= 0 else 0
        if repeats:
            again = code_adaptive(coder, data, models.plain, P_REPEAT, again)
        if again:
            corner[k] = _code_number(coder, data, counters[MET], known)
            if corner[k] >= counters[MET]:
                return DAMAGED
            continue
        if counters[MET] >= len(out.pos):
            return DAMAGED
        corner[k] = counters[MET]
        counters[MET] += 1
        if not _first_position(coder, data, k, vertex, steps, source, out, models, growth):
            return DAMAGED
    counters[LAST] = corner[0]
    counters[LISTED] = 0
    face = counters[FACES]
    for k in range(3):
        h = 3 * face + k
        net[h, START] = corner[k]
        out.faces[face, k] = corner[k]
        net[h, NEXT] = 3 * face + (k + 1) % 3
        net[h, BEFORE] = 3 * face + (k + 2) % 3
        _enlist(net, growth.alive, counters, h)
        if not reading:
            net[h, OUTER] = 3 * counters[SEED] + k
            net[3 * counters[SEED] + k, LOCAL] = h
    counters[FACES] += 1
    return DONE


@inner_kernel
def _first_position(coder, data, k, vertex, steps, source, out, models, growth):
    """Where the k-th corner of a first face is, on a grid; False where that is damage."""
    reading = coder[READING] != 0
    pos, corner, cell = out.pos, growth.corner, growth.cell
    v = corner[k]
    for c in range(3):
        base = 0.0 if k == 0 else pos[corner[k - 1], c]
        value = 0
        if not reading:
            value = np.int64(np.rint((source.goals[vertex, c] - base) / steps[2]))
            if k == 0:
                value -= cell[c]
        sized = code_whole(coder, data, models.plain, P_FIRST if k == 0 else P_LATER, value)
        if k == 0:
            cell[c] += sized
            sized = cell[c]
        pos[v, c] = base + sized * steps[2]
        if not abs(pos[v, c]) < FAR:
            return False
        out.context[v, c] = corner[k - 1] if k > 0 else (growth.counters[LAST] if v > 0 else -1)
        growth.mags[v, c] = 24
    if not reading:
        _note(v, vertex, source, out, growth)
    return True


@inner_kernel
def _note(v, vertex, source, out, growth):
    """Remember that a vertex of the source is coded (writing)."""
    growth.number[vertex] = v
    out.order[v] = vertex
    for k in range(3):
        growth.drift[vertex, k] = out.pos[v, k] - source.goals[vertex, k]


@inner_kernel
def _enlist(net, alive, counters, h):
    """A half-edge is on a loop, and a gate to come."""
    net[h, STATE] = ACTIVE
    alive[counters[LISTED]] = h
    net[h, PLACE] = counters[LISTED]
    counters[LISTED] += 1
    net[counters[TOP], STACK] = h
    counters[TOP] += 1


@inner_kernel
def _strike(net, alive, counters, h):
    """A half-edge is on no loop any more."""
    net[h, STATE] = GONE
    counters[LISTED] -= 1
    moved = alive[counters[LISTED]]
    alive[net[h, PLACE]] = moved
    net[moved, PLACE] = net[h, PLACE]


@inner_kernel
def _ends_of(net, h):
    """The vertices of a gate."""
    return net[h, START], net[3 * (h // 3) + (h + 1) % 3, START]


@inner_kernel
def _open_sides(net, h):
    """Whether the face beyond a gate may close the corner on its left and on its right: LEFT + RIGHT."""
    a, b = _ends_of(net, h)
    before, after = net[h, BEFORE], net[h, NEXT]
    left = net[before, STATE] == ACTIVE and net[before, START] != b
    right = net[after, STATE] == ACTIVE and net[net[after, NEXT], START] != a
    return (LEFT if left else 0) + (RIGHT if right else 0)


@inner_kernel
def _approach(h, steps, out, models, growth, gate):
    """The shape around a gate, and the contexts of its symbols."""
    net, near = growth.net, gate.near
    first = 3 * (h // 3)
    h1, h2 = first + (h + 1) % 3, first + (h + 2) % 3
    a, b = _ends_of(net, h)
    near[0], near[1], near[2] = net[h2, START], net[net[h, BEFORE], START], net[net[net[h, NEXT], NEXT], START]
    near[3] = net[third(net[h2, TWIN]), START] if net[h2, TWIN] >= 0 else -1
    near[4] = net[third(net[h1, TWIN]), START] if net[h1, TWIN] >= 0 else -1
    look(out.pos, a, b, gate)
    symbol_contexts(
        out.pos, a, b, near[1], near[2], gate.frame, gate.point, gate.scales[1], steps[2], _open_sides(net, h),
        models.contexts,
    )  # fmt: skip


@inner_kernel
def _tell(h, source, growth):
    """What a writer knows of the face beyond a gate."""
    net, told = growth.net, growth.told
    g = source.twins[net[h, OUTER]]
    told[T_GATE] = g
    told[T_ENDS] = 1 if g < 0 else 0
    if g < 0:
        return
    first = 3 * (g // 3)
    told[T_TO], told[T_FROM] = first + (g + 1) % 3, first + (g + 2) % 3  # to the third corner, and from it
    told[T_FAN] = source.corners[g // 3, (g + 2) % 3]
    told[T_VERTEX] = source.owners[told[T_FAN]]
    told[T_NEW] = 0 if growth.fan_met[told[T_FAN]] else 1
    sides = _open_sides(net, h)
    left = 1 if sides & LEFT and source.twins[told[T_TO]] == net[net[h, BEFORE], OUTER] else 0
    right = 1 if sides & RIGHT and source.twins[told[T_FROM]] == net[net[h, NEXT], OUTER] else 0
    told[T_CLOSE], told[T_RIGHT], told[T_BOTH] = max(left, right), right, min(left, right)


@inner_kernel
def _beyond(coder, data, h, borders, repeats, steps, source, out, rate, models, growth, gate, choice):
    """The face beyond a gate, if there is one."""
    writing = coder[READING] == 0
    counters, told = growth.counters, growth.told
    if writing:
        _tell(h, source, growth)
    if borders and _symbol(coder, data, models, S_BORDER, told[T_ENDS]):
        growth.net[h, STATE] = BORDER
        return DONE
    met, m, state = counters[MET], -1, DONE
    if _symbol(coder, data, models, S_NEW, told[T_NEW]):
        join = NEW
        c, state = _new_vertex(coder, data, h, repeats, out, models, growth)
    else:
        join = _closing(coder, data, h, models, growth)
        if join == LOOP:
            m, state = _split(coder, data, h, source, out, models, growth, gate)
            c = np.int64(growth.net[m, START])
        else:
            c = gate.near[1 if join == LEFT else 2]
    if state != DONE:
        return state
    if writing:
        growth.fan_met[told[T_FAN]] = True
    if counters[MET] > met and not _place(coder, data, h, c, steps, source, out, rate, models, growth, gate, choice):
        return DAMAGED
    _attach(h, join, c, m, writing, out, growth)
    return DONE


@inner_kernel
def _symbol(coder, data, models, symbol, bit):
    return code_symbol(coder, data, models.symbols, models.symbol_mixing, symbol, models.contexts, bit, models.slots)


@inner_kernel
def _new_vertex(coder, data, h, repeats, out, models, growth):
    """The vertex of a fan that was not met before, and how it went."""
    counters, again, known = growth.counters, 0, 0
    if coder[READING] == 0:
        known = growth.number[growth.told[T_VERTEX]]
    if repeats:
        again = _symbol(coder, data, models, S_REPEAT, 1 if coder[READING] == 0 and known >= 0 else 0)
    if again:
        c = _code_number(coder, data, counters[MET], known)
        a, b = _ends_of(growth.net, h)
        return c, DAMAGED if c >= counters[MET] or c in (a, b) else DONE
    if counters[MET] >= len(out.pos):
        return counters[MET], DAMAGED
    counters[MET] += 1
    return counters[MET] - 1, DONE


@inner_kernel
def _closing(coder, data, h, models, growth):
    """Which corner on the loop a face closes, if any."""
    net, told = growth.net, growth.told
    sides = _open_sides(net, h)
    if sides == 0 or not _symbol(coder, data, models, S_CLOSE, told[T_CLOSE]):
        return LOOP
    if sides != BOTH:
        return sides
    if net[net[net[h, NEXT], NEXT], NEXT] == h and _symbol(coder, data, models, S_BOTH, told[T_BOTH]):
        return BOTH
    return RIGHT if _symbol(coder, data, models, S_RIGHT, told[T_RIGHT]) else LEFT


@inner_kernel
def _split(coder, data, h, source, out, models, growth, gate):
    """The half-edge that starts at another vertex on a loop, told by its rank by distance from the predicted point; and
    how it went."""
    net, counters, told = growth.net, growth.counters, growth.told
    a, b = _ends_of(net, h)
    m, rank, listed = np.int64(0), 0, counters[LISTED]
    if coder[READING] == 0:
        m = np.int64(across(source.twins, net, told[T_TO], told[T_FROM]))
        if m < 0:
            return np.int64(0), DAMAGED
        rank = rank_of(out.pos, net, growth.alive, listed, a, b, gate.point, m)
    rank = code_gamma(coder, data, models.plain, P_RANK, rank)
    counters[SPENT] += (rank + 1) * listed
    if counters[SPENT] > WORK:
        return np.int64(0), TOO_LONG
    if coder[READING]:
        m = np.int64(at_rank(out.pos, net, growth.alive, listed, a, b, gate.point, rank))
        if m < 0:
            return np.int64(0), DAMAGED
    return m, DONE


@inner_kernel
def _place(coder, data, h, c, steps, source, out, rate, models, growth, gate, choice):
    """Where a new vertex is; False where that is damage."""
    pos, mags, frame, guess, chosen = out.pos, growth.mags, gate.frame, gate.guess, choice.chosen
    weights, features, scale = gate.weights, gate.features, gate.scales[1]
    a, b = _ends_of(growth.net, h)
    if coder[READING] == 0:
        for k in range(3):
            choice.pull[k] = 0.0
            average = (mags[a, k] + mags[b, k] + mags[gate.near[0], k]) // 24
            choice.sizes[k] = 0.7 * np.float64(1 << average)
            for i in range(3):
                choice.metric[k, i] = 1.0 if i == k else 0.0
        vertex = growth.told[T_VERTEX]
        if len(source.indptr) > 1:
            feedback(vertex, source, growth.number, growth.drift, choice)
        choose(source.goals, vertex, rate, gate, steps, choice)
    code_offset(coder, data, models, a, b, c, gate, steps, mags, chosen)
    x, y = guess[0] * scale + chosen[0] * steps[0], guess[1] * scale + chosen[1] * steps[1]
    base = scale * height(
        weights, features, guess[0] + chosen[0] * steps[0] / scale, guess[1] + chosen[1] * steps[1] / scale
    )
    z = base + chosen[2] * steps[2]
    for k in range(3):
        pos[c, k] = frame[0, k] + (x * frame[1, k] + y * frame[2, k] + z * frame[3, k])
        if not abs(pos[c, k]) < FAR:
            return False
    out.context[c, 0], out.context[c, 1], out.context[c, 2] = a, b, gate.near[0]
    guess[0], guess[1], guess[2] = x, y, z
    for k in range(3):
        error = guess[k] / scale - predict(weights, features, k)
        learn(weights, gate.inverse, features, k, error, FORGET, gate.gain)
    if coder[READING] == 0:
        _note(c, growth.told[T_VERTEX], source, out, growth)
    return True


@inner_kernel
def _attach(h, join, c, m, writing, out, growth):
    """A new face on a gate, with its third vertex c, which half-edge m starts at where it was on a loop elsewhere."""
    net, alive, counters, told = growth.net, growth.alive, growth.counters, growth.told
    a, b = _ends_of(net, h)
    before, after = net[h, BEFORE], net[h, NEXT]
    face = counters[FACES]
    n0 = 3 * face
    n1, n2 = n0 + 1, n0 + 2
    net[n0, START], net[n1, START], net[n2, START] = b, a, c
    out.faces[face, 0], out.faces[face, 1], out.faces[face, 2] = b, a, c
    counters[FACES] += 1
    if writing:
        net[n0, OUTER], net[n1, OUTER], net[n2, OUTER] = told[T_GATE], told[T_TO], told[T_FROM]
        net[told[T_GATE], LOCAL], net[told[T_TO], LOCAL], net[told[T_FROM], LOCAL] = n0, n1, n2
    net[n0, STATE] = GONE
    _meet(net, n0, h)
    _strike(net, alive, counters, h)
    if join & RIGHT:
        net[n2, STATE] = GONE
        _meet(net, n2, after)
    if join & LEFT:
        net[n1, STATE] = GONE
        _meet(net, n1, before)
        _strike(net, alive, counters, before)
    if join & RIGHT:
        _strike(net, alive, counters, after)
    if join == RIGHT:
        _link(net, before, n1)
        _link(net, n1, net[after, NEXT])
    elif join == LEFT:
        _link(net, net[before, BEFORE], n2)
        _link(net, n2, after)
    elif join == NEW:
        _link(net, before, n1)
        _link(net, n1, n2)
        _link(net, n2, after)
    elif join == LOOP:
        inner = net[m, BEFORE]
        _link(net, before, n1)
        _link(net, n1, m)
        _link(net, inner, n2)
        _link(net, n2, after)
    if not join & LEFT:
        _enlist(net, alive, counters, n1)
    if not join & RIGHT:
        _enlist(net, alive, counters, n2)


@inner_kernel
def _meet(net, one, other):
    """Two half-edges are the sides of one edge."""
    net[one, TWIN], net[other, TWIN] = other, one


@inner_kernel
def _link(net, one, other):
    """A half-edge follows another on a loop."""
    net[one, NEXT], net[other, BEFORE] = other, one
