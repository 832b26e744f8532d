"""The depth at which half of the light of each pixel is stopped by soft discs.

Cost: one exponential per pixel of each disc that is still in the light; O(N r^2) time, 8 bytes per pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import strict_kernel

REACH = 2.0  # standard deviations at which a disc ends


@strict_kernel
def median_depth(
    pixels: NDArray[np.float32],
    depth: NDArray[np.float32],
    sigma: NDArray[np.float32],
    opacity: NDArray[np.float32],
    light: NDArray[np.float32],
    z: NDArray[np.float32],
) -> None:
    """Draw discs, the nearest first, at pixels [N, 2] with standard deviations [N] in pixels and opacities [N].

    light [H, W] is 1 before, and then what is left of it; z [H, W] is set where light falls below a half. A disc always
    covers the pixel it lies in. Those with depth <= 0 are left out.
    """
    height, width = z.shape
    for i in range(len(pixels)):
        d, s = depth[i], sigma[i]
        x, y, r = pixels[i, 0], pixels[i, 1], REACH * sigma[i]
        if not d > 0 or not (x + r >= 0 and x - r < width and y + r >= 0 and y - r < height):
            continue
        home_x, home_y = int(np.floor(x)), int(np.floor(y))
        for row in range(max(0, int(np.floor(y - r))), min(height, int(np.floor(y + r)) + 1)):
            for column in range(max(0, int(np.floor(x - r))), min(width, int(np.floor(x + r)) + 1)):
                before = light[row, column]
                if before < 0.5:
                    continue
                dx, dy = column + 0.5 - x, row + 0.5 - y
                square = dx * dx + dy * dy
                if row == home_y and column == home_x:
                    square = 0.0
                elif square > r * r:
                    continue
                after = before * (1 - opacity[i] * np.exp(-0.5 * square / max(s * s, 1e-12)))
                light[row, column] = after
                if after < 0.5:
                    z[row, column] = d


def median_depth_reference(
    pixels: NDArray[np.float32],
    depth: NDArray[np.float32],
    sigma: NDArray[np.float32],
    opacity: NDArray[np.float32],
    light: NDArray[np.float32],
    z: NDArray[np.float32],
) -> None:
    """As `median_depth`, pixel by pixel over all discs."""
    for row in range(z.shape[0]):
        for column in range(z.shape[1]):
            square = ((pixels - [column + 0.5, row + 0.5]) ** 2).sum(1)
            home = (np.floor(pixels) == [column, row]).all(1)
            inside = (home | (square <= (REACH * sigma) ** 2)) & (depth > 0)
            part = np.where(home, 1, np.exp(-0.5 * square / np.maximum(sigma**2, 1e-12))) * opacity
            for i in np.flatnonzero(inside):
                if light[row, column] >= 0.5:
                    light[row, column] *= 1 - part[i]
                    if light[row, column] < 0.5:
                        z[row, column] = depth[i]
