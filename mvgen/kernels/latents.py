"""Values at the nodes of sparse grids: interpolated, coded, and chosen.

A grid lies over [-1, 1]^3 with n cells a side. node_at [n + 1, n + 1, n + 1] int32 says which of K values a node has,
-1 for none; nodes [K, 3] int64 are the nodes by their value's number, in rising order.
"""

from __future__ import annotations

import numpy as np

from mvgen.kernels.jit import exact_kernel, serial_kernel, strict_kernel
from mvgen.kernels.rangecoder import GAMMA_MODELS, code_adaptive, code_gamma, code_mixed

CLASSES = 8  # of the sizes of what was coded around a node
NEAR = 4  # classes of a node's distance from the surface
COARSE = 4  # classes of the values of the coarser grid
_FLAGS = NEAR * CLASSES + CLASSES * COARSE + NEAR * COARSE
_SIGNS = 5
MODELS = _FLAGS + _SIGNS + 3 * GAMMA_MODELS  # that one grid is coded with
SIZES = 31  # of integers with a cost of their own


@strict_kernel
def add_values(points, node_at, values, out):
    """Adds to out [N] what values [K] give at points [N, 3], linear between nodes. All float32. About 20 ns a point."""
    cells = node_at.shape[0] - 1
    half, one = np.float32(0.5 * cells), np.float32(1)
    for k in range(len(points)):
        x, y, z = (points[k, 0] + one) * half, (points[k, 1] + one) * half, (points[k, 2] + one) * half
        i, j, m = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
        if i < 0 or j < 0 or m < 0 or i >= cells or j >= cells or m >= cells:
            continue
        u, v, w = x - np.float32(i), y - np.float32(j), z - np.float32(m)
        total = np.float32(0)
        for a in range(2):
            along = u if a else one - u
            for b in range(2):
                across = along * (v if b else one - v)
                for c in range(2):
                    node = node_at[i + a, j + b, m + c]
                    if node >= 0:
                        total += across * (w if c else one - w) * values[node]
        out[k] += total


# ---- coding


@exact_kernel
def _before(node_at, values, x, y, z):
    """The value of a node that was coded before, 0 where there is none."""
    sides = node_at.shape
    if x < 0 or y < 0 or z < 0 or x >= sides[0] or y >= sides[1] or z >= sides[2]:
        return np.int64(0)
    node = node_at[x, y, z]
    return values[node] if node >= 0 else np.int64(0)


@exact_kernel
def code_values(coder, data, models, weights, node_at, nodes, near, coarse_at, coarse, values):
    """The integers of a grid's nodes, read into or written from values [K] int64.

    near [K] int64: classes below NEAR; coarse_at, coarse: the grid of half as many cells and its values. models
    [MODELS] and weights [CLASSES, 3] are this grid's own.
    """
    slots = np.zeros(3, np.int64)
    for k in range(len(nodes)):
        x, y, z = nodes[k, 0], nodes[k, 1], nodes[k, 2]
        a = _before(node_at, values, x - 1, y, z)
        b = _before(node_at, values, x, y - 1, z)
        c = _before(node_at, values, x, y, z - 1)
        beside = 2 * (min(abs(a), 4) + min(abs(b), 4) + min(abs(c), 4))
        beside += min(abs(_before(node_at, values, x - 1, y - 1, z)), 3)
        beside += min(abs(_before(node_at, values, x - 1, y, z - 1)), 3)
        beside += min(abs(_before(node_at, values, x, y - 1, z - 1)), 3)
        beside += min(abs(_before(node_at, values, x - 1, y + 1, z)), 3)
        beside += min(abs(_before(node_at, values, x, y - 1, z + 1)), 3)
        size = min(beside, 3) if beside < 4 else min(4 + (beside - 4) // 4, CLASSES - 1)
        above = abs(_before(coarse_at, coarse, x // 2, y // 2, z // 2))
        above += abs(_before(coarse_at, coarse, (x + 1) // 2, (y + 1) // 2, (z + 1) // 2))
        above = min(above, COARSE - 1)
        slots[0] = near[k] * CLASSES + size
        slots[1] = NEAR * CLASSES + size * COARSE + above
        slots[2] = (NEAR + COARSE) * CLASSES + near[k] * COARSE + above
        value = values[k]
        if not code_mixed(coder, data, models, slots, 3, weights, size, 1 if value != 0 else 0):
            values[k] = 0
            continue
        sign = min(max(np.sign(a) + np.sign(b) + np.sign(c), -2), 2) + 2
        negative = code_adaptive(coder, data, models, _FLAGS + sign, 1 if value < 0 else 0)
        base = _FLAGS + _SIGNS + GAMMA_MODELS * (0 if size < 3 else 1 if size < 6 else 2)
        value = 1 + code_gamma(coder, data, models, base, abs(value) - 1)
        values[k] = -value if negative else value


# ---- choosing


@serial_kernel
def descend(starts, rows, shares, weights, step, costs, kinds, rest, values):
    """Moves each integer by one, or to 0, where that lowers sum weights |rest| + costs; how many moved.

    Value k adds shares[i] * step * values[k] at rows[i] for i in starts[k] : starts[k + 1]; rest [N] is what is missing
    and is kept up to date. costs [kinds, SIZES]: of an integer of size 0, 1, ... and its kind.
    """
    moved = 0
    for k in range(len(values)):
        now = values[k]
        first, last = starts[k], starts[k + 1]
        up = down = gone = here = 0.0
        for i in range(first, last):
            r, w, s = rest[rows[i]], weights[rows[i]], shares[i] * step
            here += w * abs(r)
            up += w * abs(r - s)
            down += w * abs(r + s)
            gone += w * abs(r + s * now)
        top = SIZES - 1
        best, least = now, here + costs[kinds[k], min(abs(now), top)]
        for new, cost in ((now + 1, up), (now - 1, down), (0, gone)):
            cost += costs[kinds[k], min(abs(new), top)]
            if cost < least:
                best, least = new, cost
        if best != now:
            for i in range(first, last):
                rest[rows[i]] -= shares[i] * step * (best - now)
            values[k] = best
            moved += 1
    return moved
