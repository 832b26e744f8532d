"""PatchMatch stereo (Bleyer et al. 2011) over several source pictures, in red and black half passes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float32, int32, int64, uint64
from numpy.typing import NDArray

from mvgen.kernels.jit import kernel, prange, serial_kernel
from mvgen.kernels.patchmatch_pixel import TAPS, hypothesis_cost, level, reference_patch, sweep_pixel

_STEPS = np.arange(-4, 5, 2, dtype=np.float32)
TAP_X, TAP_Y = (np.ascontiguousarray(g.ravel()) for g in np.meshgrid(_STEPS, _STEPS))
TAP_W = np.exp(-(TAP_X**2 + TAP_Y**2) / (2 * 5.0**2)).astype(np.float32)


class Match(NamedTuple):
    """What a pass reads and does not change; see `patchmatch_pixel.sweep_pixel`."""

    images: NDArray[np.float32]  # [B, H, W] the reference picture in its grades of blur
    support: NDArray[np.uint8]  # [H, W] the grade of each pixel
    packed: NDArray[np.uint64]  # the sources, see `pack_picture`
    offsets: NDArray[np.int64]  # [S] where a source begins in packed
    sizes: NDArray[np.int32]  # [S, 2] height and width
    motions: NDArray[np.float32]  # [S, 12] from the reference to a source
    backward: NDArray[np.float32]  # [S, 12] and back
    depths: NDArray[np.float32]  # the sources' inverse depths, flat; anything where they have no weight
    best: int  # sources that judge a pixel: the best few


def run_passes(
    match: Match,
    lens: NDArray[np.float32],
    settings: NDArray[np.float32],
    salts: NDArray[np.int64],
    planes: NDArray[np.float32],
    cost: NDArray[np.float32],
) -> None:
    """Half passes of alternating colour, improving planes [H, W, 3] and cost [H, W] in place.

    lens [4]; settings [P, 8] and salts [P] of each pass: see `patchmatch_pixel.sweep_pixel`.
    """
    m = match
    for k, salt in enumerate(salts):
        half_pass(
            k & 1, m.images, m.support, m.packed, m.offsets, m.sizes, m.motions, m.best, planes, cost, lens,
            TAP_X, TAP_Y, TAP_W, settings[k], salt, m.depths, m.backward,
        )  # fmt: skip


def sweep_volume(
    match: Match, levels: NDArray[np.float32], settings: NDArray[np.float32], volume: NDArray[np.uint8]
) -> None:
    """Costs of fronto-parallel planes: volume [H, W, D] (a cost of 2 is 254) for inverse depths levels [D]."""
    m = match
    fill_volume(
        m.images, m.support, m.packed, m.offsets, m.sizes, m.motions, m.best, levels, TAP_X, TAP_Y, TAP_W, settings,
        m.depths, m.backward, volume,
    )  # fmt: skip


@kernel
def pack_picture(grey):
    """[H, W] in [0, 1] to [H, W] words holding a pixel and its right, lower and lower right neighbours (16 bits each).

    One load then serves a bilinear sample, which is what the cost spends its time on.
    """
    height, width = grey.shape
    out = np.empty((height, width), np.uint64)
    for y in prange(height):
        below = min(y + 1, height - 1)
        for x in range(width):
            right = min(x + 1, width - 1)
            pairs = level(grey[y, x]) | level(grey[y, right]) << uint64(16)
            out[y, x] = pairs | level(grey[below, x]) << uint64(32) | level(grey[below, right]) << uint64(48)
    return out


@kernel
def half_pass(
    colour, images, support, packed, offsets, sizes, motions, best, planes, cost, lens, tap_x, tap_y, tap_w, settings,
    salt, depths, backward,
):  # fmt: skip
    """Improve the pixels of one colour of the chess board in place; the order of rows does not matter."""
    height, width = support.shape
    count = motions.shape[0]
    for row in prange(height):
        y = int32(row)
        patch = np.empty((4, TAPS), np.float32)
        words = np.empty((3, TAPS), np.uint32)
        costs = np.empty(count, np.float32)
        normal = np.empty(3, np.float32)
        for x in range((y + colour) & 1, width, 2):
            sweep_pixel(
                int32(x), y, images, support, packed, offsets, sizes, motions, count, best, planes, cost, lens, tap_x,
                tap_y, tap_w, settings, salt, patch, words, costs, normal, depths, backward,
            )  # fmt: skip


@kernel
def fill_volume(
    images, support, packed, offsets, sizes, motions, best, levels, tap_x, tap_y, tap_w, settings, depths, backward,
    volume,
):  # fmt: skip
    """See `sweep_volume`."""
    height, width = support.shape
    count = motions.shape[0]
    grade = packed.shape[0] // images.shape[0]
    zero = float32(0)
    for row in prange(height):
        y = int32(row)
        patch = np.empty((4, TAPS), np.float32)
        words = np.empty((3, TAPS), np.uint32)
        costs = np.empty(count, np.float32)
        for x in range(width):
            layer = int32(support[y, x])
            stride = int32(1) << layer
            mean, variance = reference_patch(
                images[layer], int32(height), int32(width), int32(x), y, stride, tap_x, tap_y, tap_w, settings[5],
                patch,
            )  # fmt: skip
            for d in range(levels.shape[0]):
                c = hypothesis_cost(
                    packed, layer * int64(grade), offsets, sizes, motions, count, best, int32(x), y, levels[d], zero,
                    zero, stride, tap_x, tap_y, patch, words, mean, variance, settings[6], depths, backward, zero,
                    costs, float32(1e9),
                )  # fmt: skip
                volume[y, x, d] = np.uint8(c * float32(127.0))


@serial_kernel
def aggregate(volume, image, small, large, tone):
    """Semi-global matching (Hirschmueller 2008) over 8 paths: total [H, W, D] uint16 of a cost volume [H, W, D] uint8.

    small and large: penalties for a change of one level and of more; large is divided by 1 + tone * |step in grey|.
    """
    height, width, depth = volume.shape
    total = np.zeros((height, width, depth), np.uint16)
    rows = np.zeros((2, width, depth), np.int32)
    lowest = np.zeros((2, width), np.int32)
    for path in range(8):
        dx = 1 if path in (0, 2, 4) else (-1 if path in (1, 3, 5) else 0)
        dy = 0 if path < 2 else (1 if path in (2, 3, 6) else -1)
        for j in range(height):
            y = j if dy >= 0 else height - 1 - j
            now = j & 1
            was = now if dy == 0 else 1 - now
            for i in range(width):
                x = i if dx >= 0 else width - 1 - i
                px, py = x - dx, y - dy
                first = px < 0 or py < 0 or px >= width or py >= height
                base = 0 if first else lowest[was, px]
                jump = 0
                if not first:
                    step = abs(image[y, x] - image[py, px])
                    jump = max(np.int32(small + 1), np.int32(large / (1 + tone * step))) + base
                least = np.int32(1 << 30)
                for d in range(depth):
                    c = np.int32(volume[y, x, d])
                    if not first:
                        best = min(rows[was, px, d], jump)
                        if d > 0:
                            best = min(best, rows[was, px, d - 1] + small)
                        if d + 1 < depth:
                            best = min(best, rows[was, px, d + 1] + small)
                        c += best - base
                    rows[now, x, d] = c
                    total[y, x, d] += np.uint16(c)
                    least = min(least, c)
                lowest[now, x] = least
    return total
