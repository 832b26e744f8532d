"""Triangles and positions of a surface, coded face by face along a growing border.

The coded part of a piece is bounded by loops of half-edges. One of them, the gate, is taken; its outer face is told:
none (the surface ends there), one with a new vertex, one that closes the corner to the left or right on the loop, or one
with another vertex on a loop (which splits it or joins two). A new vertex is told by its offset from a prediction, in
a frame of the face inside the gate. What is likely is told from the shape around the gate.

One function serves encoder and decoder (see `rangecoder`). Its floating-point operations are + - * / and the square
root in the order written, so that every machine decodes the same bytes to the same mesh.

Half-edge 3 f + k of the coded mesh runs from corner k of face f to the next; faces are in the order of coding.
"""

from __future__ import annotations

import numpy as np

from mvgen.kernels.jit import strict_kernel
from mvgen.kernels.rangecoder import (
    OVERFLOW,
    POSITION,
    READING,
    code_adaptive,
    code_bit,
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

FEATURES = 8  # of each linear predictor


@strict_kernel
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


@strict_kernel
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


@strict_kernel
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


@strict_kernel
def to_local(frame, pos, v, local):
    """Coordinates of a vertex in a frame."""
    x, y, z = pos[v, 0] - frame[0, 0], pos[v, 1] - frame[0, 1], pos[v, 2] - frame[0, 2]
    for k in range(3):
        local[k] = x * frame[k + 1, 0] + y * frame[k + 1, 1] + z * frame[k + 1, 2]


@strict_kernel
def predict(weights, features, component):
    total = 0.0
    for k in range(FEATURES):
        total += weights[component, k] * features[component, k]
    return total


@strict_kernel
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


@strict_kernel
def code_integer(coder, data, models, mixing, component, contexts, value, slots):
    """A signed integer under INPUTS contexts."""
    size = 0
    magnitude = abs(value)
    while size < MAX_SIZE - 1:
        for k in range(INPUTS):
            slots[k] = contexts[k] + size
        if not code_mixed(
            coder, data, models, slots, INPUTS, mixing, component * NODES + size, 1 if magnitude >> size else 0, 250
        ):
            break
        size += 1
    if size == 0:
        return 0
    result = 1
    for k in range(size - 2, -1, -1):
        bit = (magnitude >> k) & 1
        depth = size - 2 - k
        if depth < 2:
            node = MANTISSA + 2 * size + depth
            for i in range(INPUTS):
                slots[i] = contexts[i] + node
            bit = code_mixed(coder, data, models, slots, INPUTS, mixing, component * NODES + node, bit, 250)
        else:
            bit = code_bit(coder, data, 32768, bit)
        result = 2 * result + bit
    for i in range(INPUTS):
        slots[i] = contexts[i] + SIGN
    if code_mixed(coder, data, models, slots, INPUTS, mixing, component * NODES + SIGN, 1 if value < 0 else 0, 250):
        result = -result
    return result


@strict_kernel
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


@strict_kernel
def gap_class(frame, pos, point, away, scale):
    """Class 0..15 of the distance of a vertex from a predicted point, in sizes of the inner face."""
    x = pos[away, 0] - point[0]
    y = pos[away, 1] - point[1]
    z = pos[away, 2] - point[2]
    return min(log_ratio(np.sqrt(x * x + y * y + z * z), scale) // 2, 15)


@strict_kernel
def distance2(pos, v, x, y, z):
    dx, dy, dz = pos[v, 0] - x, pos[v, 1] - y, pos[v, 2] - z
    return dx * dx + dy * dy + dz * dz


@strict_kernel
def code_symbol(coder, data, models, mixing, symbol, contexts, bit, slots):
    for k in range(SYMBOL_INPUTS):
        slots[k] = (symbol * SYMBOL_INPUTS + k) * SYMBOL_CONTEXTS + contexts[k]
    return code_mixed(coder, data, models, slots, SYMBOL_INPUTS, mixing, symbol, bit, 250)


@strict_kernel
def nearest_integers(goal, metric, steps, chosen):
    """Integers near goal [3] (local coordinates over the steps), the later ones making up for the earlier: rounding in
    turn under the quadratic form metric [3, 3] of the local coordinates."""
    left = np.zeros(3)
    for k in range(3):
        shift = 0.0
        for j in range(k):
            shift += metric[k, j] * left[j]
        best = goal[k]
        if metric[k, k] > 0:
            best -= shift / metric[k, k] / steps[k]
        chosen[k] = np.int64(np.rint(best))
        left[k] = (chosen[k] - goal[k]) * steps[k]


@strict_kernel
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
        solved = np.linalg.solve(big, rhs)
        for r in range(3):
            for m in range(size):
                force[r] -= rhs[m, r] * solved[m, 3]
                for c in range(3):
                    metric[r, c] -= rhs[m, r] * solved[m, c]
    pull[:] = -np.linalg.solve(metric, force)


@strict_kernel
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
    mixing = np.full((INT_SETS, INPUTS), 22000, np.int64)
    symbol_mixing = np.full((SYMBOLS, SYMBOL_INPUTS), 26000, np.int64)
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
            inverse[c, k, k] = 0.05
    gain = np.zeros(FEATURES)
    point = np.zeros(3)
    guess = np.zeros(3)
    goal = np.zeros(3)
    chosen = np.zeros(3, np.int64)
    metric = np.zeros((3, 3))
    turned = np.zeros((3, 3))
    pull = np.zeros(3)
    corner = np.zeros(3, np.int32)
    cell = np.zeros(3, np.int64)  # of the last piece's first vertex
    nearby = np.zeros(4, np.int32)
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
                sized = code_gamma(coder, data, raw_models, 128 * (1 + (0 if k == 0 else 1)) + 1, abs(value))
                if sized and code_adaptive(coder, data, raw_models, 128 * (1 + (0 if k == 0 else 1)), 1 if value < 0 else 0):
                    sized = -sized
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

            # what the shape around the gate says
            length = frame_of(pos, a, b, o, frame)
            nearby[0], nearby[1], nearby[2], nearby[3] = p, q, -1, -1
            if twin[h2] >= 0:
                g = twin[h2]
                nearby[2] = org[3 * (g // 3) + (g + 2) % 3]
            if twin[h1] >= 0:
                g = twin[h1]
                nearby[3] = org[3 * (g // 3) + (g + 2) % 3]
            to_local(frame, pos, o, coordinates[0])
            to_local(frame, pos, p, coordinates[1])
            to_local(frame, pos, q, coordinates[2])
            for side in range(2):
                if nearby[2 + side] >= 0:
                    to_local(frame, pos, nearby[2 + side], coordinates[3 + side])
                else:  # as if the inner face were mirrored
                    coordinates[3 + side, 0] = coordinates[0, 0] + (-length if side == 0 else length)
                    coordinates[3 + side, 1] = coordinates[0, 1]
                    coordinates[3 + side, 2] = 0.0
            x, y = coordinates[0, 0] + 0.5 * length, coordinates[0, 1]
            left_edge = np.sqrt(x * x + y * y)
            x = coordinates[0, 0] - 0.5 * length
            right_edge = np.sqrt(x * x + y * y)
            scale = (length + left_edge + right_edge) / 3.0
            if not scale > 1e-12:
                scale = 1e-12
            for c in range(3):
                for k in range(5):
                    features[c, k] = coordinates[k, c] / scale
            features[1, 5] = length / scale
            features[1, 6] = 1.0
            for c in range(3):
                guess[c] = predict(weights, features, c)
                if not abs(guess[c]) < 8.0:
                    guess[c] = -0.75 * coordinates[0, c] / scale
            for c in range(3):
                point[c] = frame[0, c] + scale * (
                    guess[0] * frame[1, c] + guess[1] * frame[2, c] + guess[2] * frame[3, c]
                )

            left_open = state[before] == ACTIVE and p != b
            right_open = state[after] == ACTIVE and q != a
            angle_a = angle_class(frame, pos, a, p, 1.0)
            angle_b = angle_class(frame, pos, b, q, -1.0)
            gap_a = gap_class(frame, pos, point, p, scale)
            gap_b = gap_class(frame, pos, point, q, scale)
            flags = (1 if left_open else 0) + (2 if right_open else 0)
            contexts[0] = flags * 256 + angle_a * 16 + angle_b
            contexts[1] = flags * 256 + gap_a * 16 + gap_b
            contexts[2] = flags * 256 + angle_a * 16 + gap_a
            contexts[3] = flags * 256 + angle_b * 16 + gap_b
            contexts[4] = flags * 256 + min(log_ratio(scale, steps[2]) // 4, 15)

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
                            both = code_symbol(
                                coder, data, symbol_models, symbol_mixing, S_BOTH, contexts, both, slots
                            )
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
                    rank, target, own = 0, -1, 0.0
                    if not reading:
                        turn = g2
                        while target < 0:
                            t = twins[turn]
                            if t < 0:
                                break
                            if local[t] >= 0:
                                target = nxt[local[t]]
                            turn = 3 * (t // 3) + (t + 1) % 3
                        turn = g1
                        while target < 0:
                            t = twins[turn]
                            if t < 0:
                                return DAMAGED, met
                            if local[t] >= 0:
                                target = local[t]
                            turn = 3 * (t // 3) + (t + 2) % 3
                        own = distance2(pos, org[target], point[0], point[1], point[2])
                        for k in range(listed):
                            m = alive[k]
                            if org[m] == a or org[m] == b or (state[m] != ACTIVE and state[prv[m]] != ACTIVE):
                                continue
                            d = distance2(pos, org[m], point[0], point[1], point[2])
                            if d < own or (d == own and m < target):
                                rank += 1
                    rank = code_gamma(coder, data, raw_models, 128 * 4, rank)
                    work += (rank + 1) * listed
                    if work > WORK:
                        return TOO_LONG, met
                    m = target
                    if reading:
                        least, m = -1.0, -1
                        for _ in range(rank + 1):
                            best, found = np.inf, -1
                            for k in range(listed):
                                i = alive[k]
                                if org[i] == a or org[i] == b or (state[i] != ACTIVE and state[prv[i]] != ACTIVE):
                                    continue
                                d = distance2(pos, org[i], point[0], point[1], point[2])
                                if d < least or (d == least and i <= m):
                                    continue
                                if d < best or (d == best and i < found):
                                    best, found = d, i
                            if found < 0:
                                return DAMAGED, met
                            least, m = best, found
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
                    if c >= met or c == a or c == b:
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
                    if guided:
                        feedback(c_vertex, indptr, indices, blocks, drift, coded, metric, pull)
                        for r in range(3):
                            for k in range(3):
                                total = 0.0
                                for i in range(3):
                                    for j in range(3):
                                        total += frame[r + 1, i] * metric[i, j] * frame[k + 1, j]
                                turned[r, k] = total
                    else:
                        for r in range(3):
                            for k in range(3):
                                turned[r, k] = 1.0 if r == k else 0.0
                    for k in range(3):
                        total = 0.0
                        for i in range(3):
                            total += (goals[c_vertex, i] + pull[i] - point[i]) * frame[k + 1, i]
                        goal[k] = total / steps[k]
                    nearest_integers(goal, turned, steps, chosen)
                size_class = min(log_ratio(scale, steps[2]) // 3, LEVELS - 1)
                bend = 0.0
                for k in range(1, 5):
                    bend = max(bend, abs(coordinates[k, 2]))
                bend_class = min(log_ratio(bend, steps[2]) // 3, LEVELS - 1)
                shape_class = min(log_ratio(length, scale) , LEVELS - 1)
                for k in range(3):
                    near = min((mags[a, k] + mags[b, k] + mags[o, k]) // 9, LEVELS - 1)
                    m0 = min(log_size(chosen[0]) // 4, LEVELS - 1) if k > 0 else 0
                    m1 = min(log_size(chosen[1]) // 4, LEVELS - 1) if k > 1 else 0
                    pair0 = near * LEVELS
                    pair1 = size_class * LEVELS + shape_class
                    pair2 = m0 * LEVELS + m1
                    pair3 = min((mags[a, k] + mags[b, k]) // 8, LEVELS - 1) * LEVELS + min(mags[o, k] // 4, LEVELS - 1)
                    pair4 = bend_class * LEVELS + (min(m0 + m1, LEVELS - 1) // 3)
                    pair5 = 0
                    base = k * INPUTS
                    contexts[0] = (base * LEVELS * LEVELS + pair0) * NODES
                    contexts[1] = ((base + 1) * LEVELS * LEVELS + pair1) * NODES
                    contexts[2] = ((base + 2) * LEVELS * LEVELS + pair2) * NODES
                    contexts[3] = ((base + 3) * LEVELS * LEVELS + pair3) * NODES
                    contexts[4] = ((base + 4) * LEVELS * LEVELS + pair4) * NODES
                    contexts[5] = ((base + 5) * LEVELS * LEVELS + pair5) * NODES
                    chosen[k] = code_integer(coder, data, models, mixing, k, contexts, chosen[k], slots)
                    mags[c, k] = log_size(chosen[k])
                for k in range(3):
                    offset = 0.0
                    for i in range(3):
                        offset += chosen[i] * steps[i] * frame[i + 1, k]
                    pos[c, k] = point[k] + offset
                    if not abs(pos[c, k]) < FAR:
                        return DAMAGED, met
                context[c, 0], context[c, 1], context[c, 2] = a, b, o
                for k in range(3):
                    actual = guess[k] + chosen[k] * steps[k] / scale
                    learn(weights, inverse, features, k, actual - predict(weights, features, k), 0.998, gain)
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
