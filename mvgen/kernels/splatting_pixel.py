"""What one splat does to one pixel, for the CPU and for CUDA; see `splatting` for what the numbers mean.

Constants are float32 so that they turn no float32 into float64; those that float32 cannot hold are arguments.
"""

from __future__ import annotations

import math

import numpy as np

from mvgen.kernels.jit import pixel_function

TILE = 16  # pixels a side
LEAST = 1 / 255  # of a splat's opacity at a pixel: less is not drawn
MOST = 0.99  # of a splat's opacity at a pixel
DONE = 1e-4  # of the light behind: less is not worth going on
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)


@pixel_function
def opacity_at(a, b, d, opacity, dx, dy, least, most):
    """What of the light behind it a splat takes at dx, dy from its middle; 0 where it is not drawn."""
    power = HALF * (a * dx * dx + d * dy * dy) + b * dx * dy
    if power < 0:
        return ZERO
    alpha = min(most, opacity * math.exp(-power))
    return alpha if alpha >= least else ZERO


@pixel_function
def shape_gradient(a, b, d, dx, dy, of_power):
    """The gradients of mean x, mean y, a, b and d, from that of the exponent."""
    return (
        -(a * dx + b * dy) * of_power,
        -(b * dx + d * dy) * of_power,
        HALF * dx * dx * of_power,
        dx * dy * of_power,
        HALF * dy * dy * of_power,
    )
