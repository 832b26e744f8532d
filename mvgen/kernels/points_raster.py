"""Discs in a z-buffer: the nearest point for every pixel.

Cost: one comparison per pixel of each disc; O(N r^2) time, 12 bytes per pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import strict_kernel


@strict_kernel
def splat(
    pixels: NDArray[np.float32],
    depth: NDArray[np.float32],
    radius: NDArray[np.float32],
    z: NDArray[np.float32],
    index: NDArray[np.int32],
) -> None:
    """Draw discs at pixels [N, 2] with a radius [N] in pixels into z [H, W] (far is inf) and index [H, W].

    A disc covers the pixels whose centre (+0.5) it holds, and always the pixel it lies in. The first of equally near
    points wins. Points with depth <= 0 are left out.
    """
    height, width = z.shape
    for i in range(len(pixels)):
        d, r = depth[i], radius[i]
        x, y = pixels[i, 0], pixels[i, 1]
        if not d > 0 or not (x + r >= 0 and x - r < width and y + r >= 0 and y - r < height):
            continue
        home_x, home_y = int(np.floor(x)), int(np.floor(y))
        for row in range(max(0, int(np.floor(y - r))), min(height, int(np.floor(y + r)) + 1)):
            for column in range(max(0, int(np.floor(x - r))), min(width, int(np.floor(x + r)) + 1)):
                dx, dy = column + 0.5 - x, row + 0.5 - y
                if dx * dx + dy * dy > r * r and not (row == home_y and column == home_x):
                    continue
                if d < z[row, column]:
                    z[row, column] = d
                    index[row, column] = i


def splat_reference(
    pixels: NDArray[np.float32],
    depth: NDArray[np.float32],
    radius: NDArray[np.float32],
    z: NDArray[np.float32],
    index: NDArray[np.int32],
) -> None:
    """As `splat`, pixel by pixel over all points."""
    for row in range(z.shape[0]):
        for column in range(z.shape[1]):
            near = ((pixels - [column + 0.5, row + 0.5]) ** 2).sum(1) <= radius**2
            near |= (np.floor(pixels) == [column, row]).all(1)
            near &= depth > 0
            if near.any():
                best = int(np.flatnonzero(near)[np.argmin(depth[near])])
                z[row, column], index[row, column] = depth[best], best
