"""Winding numbers on a grid of columns: which voxel centres a closed mesh encloses.

Cost: for each triangle the columns under it, then one running sum over the grid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import strict_kernel


@strict_kernel
def add_crossings(corners: NDArray[np.float64], counts: NDArray[np.int32]) -> None:
    """Add each triangle's crossings of the columns to counts [X, Y, Z + 1].

    corners [F, 3, 3] in cells. Column (x, y) runs along z through (x + 0.5, y + 0.5); the entry at z counts crossings
    (+1 from outside to inside going up) below the centre z + 0.5 and at or above the one before. The running sum along
    z is the winding number at the centres. An edge that two triangles share is crossed by exactly one of them.
    """
    nx, ny, nz = counts.shape
    for f in range(len(corners)):
        ax, ay, az = corners[f, 0]
        bx, by, bz = corners[f, 1]
        cx, cy, cz = corners[f, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        first_x = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        last_x = min(nx - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        first_y = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        last_y = min(ny - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        for ix in range(first_x, last_x + 1):
            for iy in range(first_y, last_y + 1):
                x, y = ix + 0.5, iy + 0.5
                u = _side(bx, by, cx, cy, x, y)
                v = _side(cx, cy, ax, ay, x, y)
                w = _side(ax, ay, bx, by, x, y)
                if u == 0 or v == 0 or w == 0 or (u > 0) != (v > 0) or (v > 0) != (w > 0):
                    continue
                z = (u * az + v * bz + w * cz) / (u + v + w)
                slot = min(max(int(np.ceil(z - 0.5)), 0), nz - 1)
                counts[ix, iy, slot] += -1 if area > 0 else 1


@strict_kernel
def _side(ax: float, ay: float, bx: float, by: float, x: float, y: float) -> float:
    """Twice the signed area of (a, b, p), the same but for the sign when a and b change places."""
    if ax > bx or (ax == bx and ay > by):
        return -((ax - bx) * (y - by) - (ay - by) * (x - bx))
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax)


def winding_reference(corners: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Winding numbers [N] at any points [N, 3], by solid angles (Van Oosterom and Strackee 1983)."""
    a, b, c = (corners[None, :, k] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=2) for x in (a, b, c))
    volume = (a * np.cross(b, c)).sum(2)
    rest = la * lb * lc + (a * b).sum(2) * lc + (b * c).sum(2) * la + (c * a).sum(2) * lb
    return np.arctan2(volume, rest).sum(1) / (2 * np.pi)
