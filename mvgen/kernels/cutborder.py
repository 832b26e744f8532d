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

import numpy as np

from mvgen.kernels.jit import exact_kernel
from mvgen.kernels.rangecoder import (
    OVERFLOW,
    POSITION,
    READING,
    code_adaptive,
    code_gamma,
    code_mixed,
    code_raw,
)

# What a run of `code_surface` ends with.
DONE, DAMAGED, NO_ROOM, TOO_LONG = 0, 1, 2, 3

ACTIVE, BORDER, GONE = 0, 1, 2  # states of half-edges on the loops

# Layout of a signed integer's models under one context: its class in unary, its sign, two bits below the leading one.
MAX_SIZE = 30
SIGN = MAX_SIZE
MANTISSA = MAX_SIZE + 1
NODES = MANTISSA + 2 * (MAX_SIZE + 1)
INPUTS = 6  # contexts that are mixed
LEVELS = 24  # classes of each context
COMPONENTS = 3
INT_MODELS = COMPONENTS * INPUTS * LEVELS * LEVELS * NODES
INT_SETS = COMPONENTS * NODES

# Symbols of connectivity.
S_BORDER, S_NEW, S_CLOSE, S_RIGHT, S_BOTH, S_REPEAT = range(6)
SYMBOLS = 6
SYMBOL_INPUTS = 5
SYMBOL_CONTEXTS = 1024
SYMBOL_MODELS = SYMBOLS * SYMBOL_INPUTS * SYMBOL_CONTEXTS

WORK = 2_000_000_000  # distances that a run may take at splits
FAR = 8.0  # positions beyond are damage

CANDIDATES = 5  # integers that a writer considers along the surface, for either axis
FEATURES = 8  # of each linear predictor
FORGET = 0.999  # of its past, with each vertex
FIRST_DOUBT = 0.02  # of its factors, as variances

FIRST_WEIGHT = 17000  # of each context of integers, in units of 2^-16
FIRST_SYMBOL_WEIGHT = 28000  # likewise of symbols


@exact_kernel
def third(half):
    """The half-edge before one in its face: it starts at the face's third vertex."""
    return 3 * (half // 3) + (half + 2) % 3


@exact_kernel
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


@exact_kernel
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


@exact_kernel
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


@exact_kernel
def to_local(frame, pos, v, local):
    """Coordinates of a vertex in a frame."""
    x, y, z = pos[v, 0] - frame[0, 0], pos[v, 1] - frame[0, 1], pos[v, 2] - frame[0, 2]
    for k in range(3):
        local[k] = x * frame[k + 1, 0] + y * frame[k + 1, 1] + z * frame[k + 1, 2]


@exact_kernel
def predict(weights, features, component):
    total = 0.0
    for k in range(FEATURES):
        total += weights[component, k] * features[component, k]
    return total


@exact_kernel
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


@exact_kernel
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


@exact_kernel
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


@exact_kernel
def gap_class(frame, pos, point, away, scale):
    """Class 0..15 of the distance of a vertex from a predicted point, in sizes of the inner face."""
    x = pos[away, 0] - point[0]
    y = pos[away, 1] - point[1]
    z = pos[away, 2] - point[2]
    return min(log_ratio(np.sqrt(x * x + y * y + z * z), scale) // 2, 15)


@exact_kernel
def distance2(pos, v, x, y, z):
    dx, dy, dz = pos[v, 0] - x, pos[v, 1] - y, pos[v, 2] - z
    return dx * dx + dy * dy + dz * dz


@exact_kernel
def code_symbol(coder, data, models, mixing, symbol, contexts, bit, slots):
    for k in range(SYMBOL_INPUTS):
        slots[k] = (symbol * SYMBOL_INPUTS + k) * SYMBOL_CONTEXTS + contexts[k]
    return code_mixed(coder, data, models, slots, SYMBOL_INPUTS, mixing, symbol, bit)


@exact_kernel
def eliminate(matrix, right):
    """Solve matrix [n, n] x = right [n, m], the first overwritten, for a positive definite matrix."""
    size, many = right.shape
    right = right.copy()
    for k in range(size):
        pivot = max(matrix[k, k], 1e-300)
        for i in range(k + 1, size):
            factor = matrix[i, k] / pivot
            if factor != 0.0:
                for j in range(k + 1, size):
                    matrix[i, j] -= factor * matrix[k, j]
                for j in range(many):
                    right[i, j] -= factor * right[k, j]
    for k in range(size - 1, -1, -1):
        pivot = max(matrix[k, k], 1e-300)
        for j in range(many):
            total = right[k, j]
            for i in range(k + 1, size):
                total -= matrix[k, i] * right[i, j]
            right[k, j] = total / pivot
    return right


@exact_kernel
def feedback(i, indptr, indices, blocks, drift, coded, metric, pull):
    """The 3x3 form that an offset of vertex i is judged by once its uncoded neighbours follow, and the offset that
    makes up for those of its coded neighbours."""
    start, end = indptr[i], indptr[i + 1]
    free = 0
    for e in range(start, end):
        if indices[e] != i and not coded[indices[e]]:
            free += 1
    size = 3 * free
    big = np.zeros((size, size))
    rhs = np.zeros((size, 4))
    force = np.zeros(3)
    slot = 0
    for e in range(start, end):
        j = indices[e]
        if j == i:
            metric[:, :] = blocks[e]
        elif coded[j]:
            for r in range(3):
                for c in range(3):
                    force[r] += blocks[e, r, c] * drift[j, c]
        else:
            for r in range(3):
                for c in range(3):
                    rhs[3 * slot + c, r] = blocks[e, r, c]
            for g in range(indptr[j], indptr[j + 1]):
                other = indices[g]
                if coded[other]:
                    for r in range(3):
                        for c in range(3):
                            rhs[3 * slot + r, 3] += blocks[g, r, c] * drift[other, c]
                else:
                    second = 0
                    for h in range(start, end):
                        if indices[h] == other and other != i:
                            for r in range(3):
                                for c in range(3):
                                    big[3 * slot + r, 3 * second + c] = blocks[g, r, c]
                        if indices[h] != i and not coded[indices[h]]:
                            second += 1
            slot += 1
    if free:
        solved = eliminate(big, rhs)
        for r in range(3):
            for m in range(size):
                force[r] -= rhs[m, r] * solved[m, 3]
                for c in range(3):
                    metric[r, c] -= rhs[m, r] * solved[m, c]
    whole = np.zeros((3, 1))
    whole[:, 0] = force
    pull[:] = -eliminate(metric.copy(), whole)[:, 0]


@exact_kernel
def height(weights, features, along, out):
    """The guessed height of a vertex over the inner face's plane, from where it is in the plane (over the scale)."""
    n = features[2]
    n[4] = out * (n[0] + n[1])
    n[5] = out * (n[2] + n[3])
    n[6] = along * (n[1] - n[0])
    n[7] = along * (n[3] - n[2])
    total = predict(weights, features, 2)
    if not abs(total) < 8.0:
        total = 0.0
    return total


@exact_kernel
def look(pos, a, b, near, weights, frame, coordinates, features, guess, point):
    """What the shape around a gate says of the vertex beyond.

    near [5]: the inner face's third vertex, the next ones on the loop, those beyond the inner face or -1. Written are
    the frame, the coordinates [5, 3] of near in it, features, the guessed coordinates over the scale, and the guessed
    point. Returns the gate's length and the scale.
    """
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
        point[c] = frame[0, c] + scale * (guess[0] * frame[1, c] + guess[1] * frame[2, c] + guess[2] * frame[3, c])
    return length, scale


@exact_kernel
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


@exact_kernel
def choose(
    goals, vertex, pull, metric, rate, sizes, frame, weights, features, guess, scale, steps, wanted, turned, chosen
):
    """Integers for the offset of a vertex from its guess (writing): those of the least metric [3, 3] of the error, plus
    rate for each bit that they are thought to cost, among the nearest few. sizes [3]: of integers nearby."""
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


@exact_kernel
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


@exact_kernel
def cost_of(value, size):
    """About the bits of an integer where others nearby are of a size."""
    return 1.5 * np.log2(1.0 + abs(value) / size)


@exact_kernel
def code_offset(
    coder, data, models, mixing, a, b, near, c, length, scale, steps, coordinates, mags, chosen, contexts, slots
):
    """The three integers of a new vertex c."""
    o, p, q = near[0], near[1], near[2]
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
        chosen[k] = code_integer(coder, data, models, mixing, k, contexts, chosen[k], slots)
        mags[c, k] = log_size(chosen[k])
        if k == 0:
            m0 = min(mags[c, k] // 4, LEVELS - 1)
        elif k == 1:
            m1 = min(mags[c, k] // 4, LEVELS - 1)


@exact_kernel
def code_whole(coder, data, models, base, value):
    """A signed integer by 128 models from base on."""
    size = code_gamma(coder, data, models, base + 1, abs(value))
    if size and code_adaptive(coder, data, models, base, 1 if value < 0 else 0):
        size = -size
    return size


@exact_kernel
def rank_of(pos, org, state, prv, alive, listed, a, b, point, target):
    """How many vertices on the loops come before a half-edge's start by distance from the guessed point."""
    own = distance2(pos, org[target], point[0], point[1], point[2])
    rank = 0
    for k in range(listed):
        m = alive[k]
        if org[m] in (a, b) or (state[m] != ACTIVE and state[prv[m]] != ACTIVE):
            continue
        d = distance2(pos, org[m], point[0], point[1], point[2])
        if d < own or (d == own and m < target):
            rank += 1
    return rank


@exact_kernel
def at_rank(pos, org, state, prv, alive, listed, a, b, point, rank):
    """The half-edge of a rank, or -1."""
    least, last = -1.0, -1
    for _ in range(rank + 1):
        best, found = np.inf, -1
        for k in range(listed):
            i = alive[k]
            if org[i] in (a, b) or (state[i] != ACTIVE and state[prv[i]] != ACTIVE):
                continue
            d = distance2(pos, org[i], point[0], point[1], point[2])
            if d < least or (d == least and i <= last):
                continue
            if d < best or (d == best and i < found):
                best, found = d, i
        if found < 0:
            return -1
        least, last = best, found
    return last


@exact_kernel
def across(twins, local, nxt, g1, g2):
    """The half-edge on a loop that starts at the third corner of the source's face with the half-edges g1 (to that
    corner) and g2 (from it), in the gap that the face lies in; -1 if there is none (writing)."""
    turn = g2
    while twins[turn] >= 0:
        t = twins[turn]
        if local[t] >= 0:
            return nxt[local[t]]
        turn = 3 * (t // 3) + (t + 1) % 3
    turn = g1
    while twins[turn] >= 0:
        t = twins[turn]
        if local[t] >= 0:
            return local[t]
        turn = 3 * (t // 3) + (t + 2) % 3
    return -1


@exact_kernel
def code_surface(
    coder,
    data,
    count,  # faces
    borders,  # whether faces may end at a border
    repeats,  # whether a vertex may be met by several fans
    steps,  # [3] of the offsets: along and outwards, normal
    source,  # [F, 3] fan of each corner (writing)
    twins,  # [3 F] the half-edge on the other side, or -1 (writing)
    owners,  # [fans] vertex of each fan (writing)
    goals,  # [V, 3] wanted positions (writing)
    indptr,  # of the vertices' quadratic form, or [0] for none (writing)
    indices,
    blocks,
    faces,  # [F, 3] out
    pos,  # [V, 3] out
    order,  # [V] out: the source's vertex (writing)
    rate,  # of a bit, in the form's units (writing)
    context,  # [V, 3] out: vertices that a vertex was predicted from, or -1
):
    reading = coder[READING] != 0
    vertices = len(pos)
    guided = len(indptr) > 1
    halves = 3 * count
    org = np.zeros(halves, np.int32)
    nxt = np.zeros(halves, np.int32)
    prv = np.zeros(halves, np.int32)
    twin = np.full(halves, -1, np.int32)
    state = np.zeros(halves, np.int8)
    alive = np.zeros(halves, np.int32)
    where = np.zeros(halves, np.int32)
    stack = np.zeros(halves + 3, np.int32)
    mags = np.zeros((vertices, 3), np.int16)
    outer = np.zeros(halves if not reading else 1, np.int32)  # the source's half-edge of ours
    local = np.full(halves if not reading else 1, -1, np.int32)  # and the other way round
    fan_met = np.zeros(len(owners), np.bool_)
    number = np.full(len(goals), -1, np.int32)
    coded = np.zeros(len(goals), np.bool_)
    drift = np.zeros((len(goals), 3))
    models = np.full(INT_MODELS + SYMBOL_MODELS + 8 * 128, np.int64(1) << 39)
    raw_models = models[INT_MODELS + SYMBOL_MODELS :]
    symbol_models = models[INT_MODELS : INT_MODELS + SYMBOL_MODELS]
    mixing = np.full((INT_SETS, INPUTS), FIRST_WEIGHT, np.int64)
    symbol_mixing = np.full((SYMBOLS, SYMBOL_INPUTS), FIRST_SYMBOL_WEIGHT, np.int64)
    slots = np.zeros(16, np.int64)
    contexts = np.zeros(16, np.int64)
    frame = np.zeros((4, 3))
    coordinates = np.zeros((6, 3))
    features = np.zeros((3, FEATURES))
    weights = np.zeros((3, FEATURES))
    weights[0, 0] = -0.75
    weights[1, 0] = -0.75
    inverse = np.zeros((3, FEATURES, FEATURES))
    for c in range(3):
        for k in range(FEATURES):
            inverse[c, k, k] = FIRST_DOUBT
    gain = np.zeros(FEATURES)
    near = np.zeros(5, np.int64)
    point = np.zeros(3)
    guess = np.zeros(3)
    wanted = np.zeros(3)
    local_c = np.zeros(3)
    sizes = np.ones(3)
    chosen = np.zeros(3, np.int64)
    metric = np.zeros((3, 3))
    turned = np.zeros((3, 3))
    pull = np.zeros(3)
    corner = np.zeros(3, np.int32)
    cell = np.zeros(3, np.int64)  # of the last piece's first vertex
    done, met, listed, top, work, seed, last = 0, 0, 0, 0, 0, 0, 0

    while done < count:
        if coder[OVERFLOW]:
            return NO_ROOM, met
        if reading and coder[POSITION] > len(data) + 7:
            return DAMAGED, met
        # a new piece: its first face
        if not reading:
            while local[3 * seed] >= 0:
                seed += 1
        for k in range(3):
            fan, vertex, again = 0, 0, 0
            if not reading:
                fan = source[seed, k]
                vertex = owners[fan]
                fan_met[fan] = True
                again = 1 if number[vertex] >= 0 else 0
            if repeats:
                again = code_adaptive(coder, data, raw_models, 0, again)
            if again:
                bits = 0
                while (met >> bits) > 0:
                    bits += 1
                v = code_raw(coder, data, number[vertex] if not reading else 0, bits)
                if v >= met:
                    return DAMAGED, met
                corner[k] = v
                continue
            if met >= vertices:
                return DAMAGED, met
            v = met
            met += 1
            for c in range(3):
                base = 0.0 if k == 0 else pos[corner[k - 1], c]
                value = 0
                if not reading:
                    value = np.int64(np.rint((goals[vertex, c] - base) / steps[2]))
                    if k == 0:
                        value -= cell[c]
                sized = code_whole(coder, data, raw_models, 128 if k == 0 else 256, value)
                if k == 0:
                    cell[c] += sized
                    sized = cell[c]
                pos[v, c] = base + sized * steps[2]
                if not abs(pos[v, c]) < FAR:
                    return DAMAGED, met
                context[v, c] = corner[k - 1] if k > 0 else (last if v > 0 else -1)
                mags[v, c] = 24
            if not reading:
                number[vertex] = v
                order[v] = vertex
                coded[vertex] = True
                for c in range(3):
                    drift[vertex, c] = pos[v, c] - goals[vertex, c]
            corner[k] = v
        last = corner[0]
        listed = 0
        for k in range(3):
            h = 3 * done + k
            org[h] = corner[k]
            faces[done, k] = corner[k]
            nxt[h] = 3 * done + (k + 1) % 3
            prv[h] = 3 * done + (k + 2) % 3
            state[h] = ACTIVE
            alive[listed] = h
            where[h] = listed
            listed += 1
            stack[top] = h
            top += 1
            if not reading:
                outer[h] = 3 * seed + k
                local[3 * seed + k] = h
        done += 1

        while top > 0 and done < count:
            top -= 1
            h = stack[top]
            if state[h] != ACTIVE:
                continue
            if coder[OVERFLOW]:
                return NO_ROOM, met
            if reading and coder[POSITION] > len(data) + 7:
                return DAMAGED, met
            first = 3 * (h // 3)
            h1, h2 = first + (h + 1) % 3, first + (h + 2) % 3
            a, b, o = org[h], org[h1], org[h2]
            before, after = prv[h], nxt[h]
            p, q = org[before], org[nxt[after]]

            left_open = state[before] == ACTIVE and p != b
            right_open = state[after] == ACTIVE and q != a
            near[0], near[1], near[2], near[3], near[4] = o, p, q, -1, -1
            if twin[h2] >= 0:
                near[3] = org[third(twin[h2])]
            if twin[h1] >= 0:
                near[4] = org[third(twin[h1])]
            flags = (1 if left_open else 0) + (2 if right_open else 0)
            length, scale = look(pos, a, b, near, weights, frame, coordinates, features, guess, point)
            symbol_contexts(pos, a, b, p, q, frame, point, scale, steps[2], flags, contexts)

            # what the outer face is
            g, c_fan, c_vertex = 0, 0, 0
            ends, fresh, closes, right, both = 0, 0, 0, 0, 0
            g1, g2 = 0, 0
            if not reading:
                g = twins[outer[h]]
                ends = 1 if g < 0 else 0
                if not ends:
                    g1 = 3 * (g // 3) + (g + 1) % 3  # a -> c
                    g2 = 3 * (g // 3) + (g + 2) % 3  # c -> b
                    c_fan = source[g // 3, (g + 2) % 3]
                    c_vertex = owners[c_fan]
                    fresh = 0 if fan_met[c_fan] else 1
                    is_left = 1 if left_open and twins[g1] == outer[before] else 0
                    is_right = 1 if right_open and twins[g2] == outer[after] else 0
                    closes = max(is_left, is_right)
                    both = min(is_left, is_right)
                    right = is_right
            if borders:
                ends = code_symbol(coder, data, symbol_models, symbol_mixing, S_BORDER, contexts, ends, slots)
                if ends:
                    state[h] = BORDER
                    continue
            fresh = code_symbol(coder, data, symbol_models, symbol_mixing, S_NEW, contexts, fresh, slots)
            met_before = met
            m = -1
            if not fresh:
                if left_open or right_open:
                    closes = code_symbol(coder, data, symbol_models, symbol_mixing, S_CLOSE, contexts, closes, slots)
                else:
                    closes = 0
                if closes:
                    if left_open and right_open:
                        if nxt[after] == before:
                            both = code_symbol(coder, data, symbol_models, symbol_mixing, S_BOTH, contexts, both, slots)
                        else:
                            both = 0
                        if not both:
                            right = code_symbol(
                                coder, data, symbol_models, symbol_mixing, S_RIGHT, contexts, right, slots
                            )
                    else:
                        both, right = 0, 1 if right_open else 0
                    c = q if right or both else p
                else:
                    both, right = 0, 0
                    # another vertex on a loop, told by its rank by distance from the predicted point
                    rank = 0
                    if not reading:
                        m = across(twins, local, nxt, g1, g2)
                        if m < 0:
                            return DAMAGED, met
                        rank = rank_of(pos, org, state, prv, alive, listed, a, b, point, m)
                    rank = code_gamma(coder, data, raw_models, 128 * 4, rank)
                    work += (rank + 1) * listed
                    if work > WORK:
                        return TOO_LONG, met
                    if reading:
                        m = at_rank(pos, org, state, prv, alive, listed, a, b, point, rank)
                        if m < 0:
                            return DAMAGED, met
                    c = org[m]
            else:
                closes, both, right = 0, 0, 0
                again = 0
                if repeats:
                    again = 1 if not reading and number[c_vertex] >= 0 else 0
                    again = code_symbol(coder, data, symbol_models, symbol_mixing, S_REPEAT, contexts, again, slots)
                if again:
                    bits = 0
                    while (met >> bits) > 0:
                        bits += 1
                    c = code_raw(coder, data, number[c_vertex] if not reading else 0, bits)
                    if c >= met or c in (a, b):
                        return DAMAGED, met
                else:
                    if met >= vertices:
                        return DAMAGED, met
                    c = met
                    met += 1
            if not reading:
                fan_met[c_fan] = True

            # where a new vertex is
            if met > met_before:
                if not reading:
                    for k in range(3):
                        pull[k] = 0.0
                        average = (mags[a, k] + mags[b, k] + mags[o, k]) // 24
                        sizes[k] = 0.7 * np.float64(1 << average)
                        for i in range(3):
                            metric[k, i] = 1.0 if i == k else 0.0
                    if guided:
                        feedback(c_vertex, indptr, indices, blocks, drift, coded, metric, pull)
                    choose(
                        goals,
                        c_vertex,
                        pull,
                        metric,
                        rate,
                        sizes,
                        frame,
                        weights,
                        features,
                        guess,
                        scale,
                        steps,
                        wanted,
                        turned,
                        chosen,
                    )
                code_offset(
                    coder,
                    data,
                    models,
                    mixing,
                    a,
                    b,
                    near,
                    c,
                    length,
                    scale,
                    steps,
                    coordinates,
                    mags,
                    chosen,
                    contexts,
                    slots,
                )
                for k in range(2):
                    local_c[k] = guess[k] * scale + chosen[k] * steps[k]
                base_n = scale * height(
                    weights, features, guess[0] + chosen[0] * steps[0] / scale, guess[1] + chosen[1] * steps[1] / scale
                )
                local_c[2] = base_n + chosen[2] * steps[2]
                for k in range(3):
                    pos[c, k] = frame[0, k] + (
                        local_c[0] * frame[1, k] + local_c[1] * frame[2, k] + local_c[2] * frame[3, k]
                    )
                    if not abs(pos[c, k]) < FAR:
                        return DAMAGED, met
                context[c, 0], context[c, 1], context[c, 2] = a, b, o
                for k in range(3):
                    error = local_c[k] / scale - predict(weights, features, k)
                    learn(weights, inverse, features, k, error, FORGET, gain)
                if not reading:
                    number[c_vertex] = c
                    order[c] = c_vertex
                    coded[c_vertex] = True
                    for k in range(3):
                        drift[c_vertex, k] = pos[c, k] - goals[c_vertex, k]

            # the new face
            n0 = 3 * done
            n1, n2 = n0 + 1, n0 + 2
            org[n0], org[n1], org[n2] = b, a, c
            faces[done, 0], faces[done, 1], faces[done, 2] = b, a, c
            done += 1
            twin[n0], twin[h] = h, n0
            state[n0] = GONE
            state[h] = GONE
            removed = 1
            slots[0] = h
            if not reading:
                outer[n0], outer[n1], outer[n2] = g, g1, g2
                local[g], local[g1], local[g2] = n0, n1, n2
            if both:
                twin[n1], twin[before] = before, n1
                twin[n2], twin[after] = after, n2
                state[n1], state[n2], state[before], state[after] = GONE, GONE, GONE, GONE
                slots[1], slots[2] = before, after
                removed = 3
            elif closes and right:
                twin[n2], twin[after] = after, n2
                state[n2], state[after] = GONE, GONE
                slots[1] = after
                removed = 2
                nxt[before], prv[n1] = n1, before
                nxt[n1], prv[nxt[after]] = nxt[after], n1
            elif closes:
                twin[n1], twin[before] = before, n1
                state[n1], state[before] = GONE, GONE
                slots[1] = before
                removed = 2
                nxt[prv[before]], prv[n2] = n2, prv[before]
                nxt[n2], prv[after] = after, n2
            elif fresh:
                nxt[before], prv[n1] = n1, before
                nxt[n1], prv[n2] = n2, n1
                nxt[n2], prv[after] = after, n2
            else:
                inner = prv[m]
                nxt[before], prv[n1] = n1, before
                nxt[n1], prv[m] = m, n1
                nxt[inner], prv[n2] = n2, inner
                nxt[n2], prv[after] = after, n2
            for k in range(removed):
                i = slots[k]
                listed -= 1
                moved = alive[listed]
                alive[where[i]] = moved
                where[moved] = where[i]
            for i in (n1, n2):
                if state[i] == ACTIVE:
                    alive[listed] = i
                    where[i] = listed
                    listed += 1
                    stack[top] = i
                    top += 1
    if coder[OVERFLOW]:
        return NO_ROOM, met
    if met != vertices:
        return DAMAGED, met
    return DONE, met
