"""Which depths do other views confirm? One view against its neighbours, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numba import float32, int32

from mvgen.kernels.jit import kernel, prange


@kernel
def confirm(rho, others, offsets, sizes, motions, backward, pixels, relative, votes, average, conflicts):
    """Compare a view's inverse depths rho [H, W] with those of other views (flat, offsets [S], sizes [S, 2]).

    A view confirms a pixel when its own depth there, seen from here, lies within `pixels` of the pixel and within
    `relative` of the depth. votes [H, W] uint8 counts them; average [H, W] is the mean inverse depth of the pixel and
    its confirmations; conflicts [H, W] uint8 counts the views that look through the pixel to something clearly
    behind. motions, backward [S, 12]: see `mvgen.core.stereo.match.motion`.
    """
    height, width = rho.shape
    for row in prange(height):
        y = int32(row)
        for x in range(width):
            votes[y, x] = 0
            conflicts[y, x] = 0
            average[y, x] = rho[y, x]
            r = rho[y, x]
            if r <= 0:
                continue
            fx, fy = float32(x), float32(y)
            total = r
            count = 1
            against = 0
            for s in range(motions.shape[0]):
                f, b = motions[s], backward[s]
                z = f[6] * fx + f[7] * fy + f[8] + f[11] * r
                if z <= float32(1e-6):
                    continue
                px = (f[0] * fx + f[1] * fy + f[2] + f[9] * r) / z
                py = (f[3] * fx + f[4] * fy + f[5] + f[10] * r) / z
                ix, iy = int32(np.floor(px + float32(0.5))), int32(np.floor(py + float32(0.5)))
                if ix < 0 or iy < 0 or ix >= sizes[s, 1] or iy >= sizes[s, 0]:
                    continue
                there = others[offsets[s] + iy * sizes[s, 1] + ix]
                if there <= 0:
                    continue
                expected = r / z  # this pixel's inverse depth in the other view
                if there < expected * (float32(1) - float32(2) * relative):
                    against += 1
                # its depth carried back from the projected position, so that rounding to a pixel is no error
                zb = b[6] * px + b[7] * py + b[8] + b[11] * there
                if zb <= float32(1e-6):
                    continue
                qx = (b[0] * px + b[1] * py + b[2] + b[9] * there) / zb - fx
                qy = (b[3] * px + b[4] * py + b[5] + b[10] * there) / zb - fy
                back = there / zb
                if qx * qx + qy * qy <= pixels * pixels and abs(back - r) <= relative * r:
                    total += back
                    count += 1
            votes[y, x] = count - 1
            conflicts[y, x] = against
            average[y, x] = total / float32(count)
