"""Sums of squares over the vertices of a mesh, in blocks of 3 x 3 along its edges, and their minimum.

A form is kept by rows: for vertex i, indices[indptr[i]:indptr[i + 1]] are its neighbours and itself in rising order,
blocks [N, 3, 3] what stands there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import exact_kernel


@exact_kernel
def add_distances(faces, slots, face, weight, bary, direction, value, blocks, right):
    """Add weight (direction . (sum of bary x) - value)^2 for each sample on a face.

    slots [F, 3, 3]: the block of each pair of corners. right [V, 3] is the right-hand side.
    """
    for s in range(len(face)):
        f = face[s]
        for i in range(3):
            wi = weight[s] * bary[s, i]
            v = faces[f, i]
            for r in range(3):
                right[v, r] += wi * direction[s, r] * value[s]
            for j in range(3):
                wij = wi * bary[s, j]
                slot = slots[f, i, j]
                for r in range(3):
                    for c in range(3):
                        blocks[slot, r, c] += wij * direction[s, r] * direction[s, c]


@exact_kernel
def multiply(indptr, indices, blocks, x, out):
    for i in range(len(indptr) - 1):
        s0, s1, s2 = 0.0, 0.0, 0.0
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            x0, x1, x2 = x[j, 0], x[j, 1], x[j, 2]
            s0 += blocks[e, 0, 0] * x0 + blocks[e, 0, 1] * x1 + blocks[e, 0, 2] * x2
            s1 += blocks[e, 1, 0] * x0 + blocks[e, 1, 1] * x1 + blocks[e, 1, 2] * x2
            s2 += blocks[e, 2, 0] * x0 + blocks[e, 2, 1] * x1 + blocks[e, 2, 2] * x2
        out[i, 0], out[i, 1], out[i, 2] = s0, s1, s2


@exact_kernel
def _apply(inverse, x, out):
    for i in range(len(x)):
        for r in range(3):
            out[i, r] = inverse[i, r, 0] * x[i, 0] + inverse[i, r, 1] * x[i, 1] + inverse[i, r, 2] * x[i, 2]


@exact_kernel
def _combine(x, factor, y, out):
    """x + factor y: in loops, as expressions of arrays take seconds to compile."""
    for i in range(len(x)):
        for k in range(3):
            out[i, k] = x[i, k] + factor * y[i, k]


@exact_kernel
def _dot(x, y):
    total = 0.0
    for i in range(len(x)):
        total += x[i, 0] * y[i, 0] + x[i, 1] * y[i, 1] + x[i, 2] * y[i, 2]
    return total


@exact_kernel
def solve(indptr, indices, blocks, inverse, right, start, steps, tolerance):
    """The least point of x A x - 2 b x by conjugate gradients, from a start; inverse [V, 3, 3] of the diagonal."""
    x = start.copy()
    r = np.empty_like(x)
    multiply(indptr, indices, blocks, x, r)
    _combine(right, -1.0, r, r)
    z = np.empty_like(x)
    _apply(inverse, r, z)
    p = z.copy()
    rz = _dot(r, z)
    first = rz
    ap = np.empty_like(x)
    for _ in range(steps):
        if not rz > tolerance * tolerance * first:
            break
        multiply(indptr, indices, blocks, p, ap)
        alpha = rz / _dot(p, ap)
        _combine(x, alpha, p, x)
        _combine(r, -alpha, ap, r)
        _apply(inverse, r, z)
        new = _dot(r, z)
        _combine(z, new / rz, p, p)
        rz = new
    return x


def block_inverse(
    indptr: NDArray[np.int64], indices: NDArray[np.int64], blocks: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[V, 3, 3]: inverse of the blocks on the diagonal."""
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return np.linalg.inv(blocks[np.flatnonzero(rows == indices)]).astype(np.float64)
