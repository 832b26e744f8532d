"""Ellipsoids under linear maps, decomposed again into axes and half lengths.

An ellipsoid is the image of the unit ball under R diag(s); a map A makes it that of A R diag(s), whose singular value
decomposition U diag(s') V^T gives the new axes U and lengths s'. One-sided Jacobi rotations (Hestenes 1958) bring the
columns at right angles: the small lengths of flat ellipsoids stay exact, and each axis stays near the one it was.
About 100 to 400 operations and 76 bytes an ellipsoid: 2 million a second on 2 cores.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import kernel, pixel_function, prange

SWEEPS = 20
CLOSE = 1e-20  # squared cosine of two columns that count as being at right angles


def mapped(
    quaternions: NDArray[np.float32], log_scales: NDArray[np.float32], maps: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Quaternions [N, 4] (w, x, y, z) and log lengths [N, 3] after maps [N, 3, 3] or, one for all, [1, 3, 3]."""
    turned, sized = np.empty_like(quaternions), np.empty_like(log_scales)
    _mapped(
        np.ascontiguousarray(quaternions),
        np.ascontiguousarray(log_scales),
        np.ascontiguousarray(maps, np.float64),
        turned,
        sized,
    )
    return turned, sized


@pixel_function
def _straighten(m):
    for _ in range(SWEEPS):
        done = True
        for p in range(2):
            for q in range(p + 1, 3):
                alpha = m[p, 0] ** 2 + m[p, 1] ** 2 + m[p, 2] ** 2
                beta = m[q, 0] ** 2 + m[q, 1] ** 2 + m[q, 2] ** 2
                gamma = m[p, 0] * m[q, 0] + m[p, 1] * m[q, 1] + m[p, 2] * m[q, 2]
                if gamma * gamma <= CLOSE * alpha * beta:
                    continue
                done = False
                zeta = (beta - alpha) / (2 * gamma)
                t = (1.0 if zeta >= 0 else -1.0) / (abs(zeta) + math.sqrt(1 + zeta * zeta))
                c = 1 / math.sqrt(1 + t * t)
                s = c * t
                for k in range(3):
                    u, v = m[p, k], m[q, k]
                    m[p, k], m[q, k] = c * u - s * v, s * u + c * v
        if done:
            break


@pixel_function
def _frame(m, lengths):
    """Rows at right angles become a right-handed frame; the shortest one follows from the others."""
    last = 0
    for k in range(1, 3):
        if lengths[k] <= lengths[last]:
            last = k
    p, q = (last + 1) % 3, (last + 2) % 3
    for k in (p, q):
        for c in range(3):
            m[k, c] /= max(lengths[k], 1e-300)
    m[last, 0] = m[p, 1] * m[q, 2] - m[p, 2] * m[q, 1]
    m[last, 1] = m[p, 2] * m[q, 0] - m[p, 0] * m[q, 2]
    m[last, 2] = m[p, 0] * m[q, 1] - m[p, 1] * m[q, 0]


@pixel_function
def _quaternion(m, out, i):
    """Of the rotation whose columns are the rows of m."""
    xx, yy, zz = m[0, 0], m[1, 1], m[2, 2]
    w2, x2, y2, z2 = 1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz
    w, x, y, z = 0.0, 0.0, 0.0, 0.0
    if w2 >= x2 and w2 >= y2 and w2 >= z2:
        w, x, y, z = w2, m[1, 2] - m[2, 1], m[2, 0] - m[0, 2], m[0, 1] - m[1, 0]
    elif x2 >= y2 and x2 >= z2:
        w, x, y, z = m[1, 2] - m[2, 1], x2, m[0, 1] + m[1, 0], m[2, 0] + m[0, 2]
    elif y2 >= z2:
        w, x, y, z = m[2, 0] - m[0, 2], m[0, 1] + m[1, 0], y2, m[1, 2] + m[2, 1]
    else:
        w, x, y, z = m[0, 1] - m[1, 0], m[2, 0] + m[0, 2], m[1, 2] + m[2, 1], z2
    length = math.sqrt(w * w + x * x + y * y + z * z)
    out[i, 0], out[i, 1], out[i, 2], out[i, 3] = w / length, x / length, y / length, z / length


@kernel
def _mapped(quaternions, log_scales, maps, turned, sized):
    step = 0 if len(maps) == 1 else 1
    for i in prange(len(quaternions)):
        a = maps[np.int64(i) * step]
        w, x, y, z = quaternions[i, 0], quaternions[i, 1], quaternions[i, 2], quaternions[i, 3]
        square = np.float64(w) * w + np.float64(x) * x + np.float64(y) * y + np.float64(z) * z
        f = 2.0 / square
        r = np.empty((3, 3))
        r[0, 0], r[0, 1], r[0, 2] = 1 - f * (y * y + z * z), f * (x * y - z * w), f * (x * z + y * w)
        r[1, 0], r[1, 1], r[1, 2] = f * (x * y + z * w), 1 - f * (x * x + z * z), f * (y * z - x * w)
        r[2, 0], r[2, 1], r[2, 2] = f * (x * z - y * w), f * (y * z + x * w), 1 - f * (x * x + y * y)
        largest = max(log_scales[i, 0], log_scales[i, 1], log_scales[i, 2])
        m = np.empty((3, 3))  # rows: the three half axes
        for k in range(3):
            s = math.exp(log_scales[i, k] - largest)
            for c in range(3):
                m[k, c] = s * (a[c, 0] * r[0, k] + a[c, 1] * r[1, k] + a[c, 2] * r[2, k])
        _straighten(m)
        lengths = np.empty(3)
        for k in range(3):
            lengths[k] = math.sqrt(m[k, 0] ** 2 + m[k, 1] ** 2 + m[k, 2] ** 2)
            sized[i, k] = math.log(max(lengths[k], 1e-30)) + largest
        _frame(m, lengths)
        _quaternion(m, turned, i)
