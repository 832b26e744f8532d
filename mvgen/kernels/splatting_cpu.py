"""Blending splats on all cores; see `splatting` for what the arrays mean.

A picture is cut into tiles, and each tile has a list of the splats that reach it, the nearest first. Tiles own what
they write, also the gradient of each entry of their list, and entries are summed splat by splat in a fixed order: so
results do not depend on the number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from mvgen.kernels.jit import inner_kernel, serial_kernel
from mvgen.kernels.splatting_pixel import DONE, HALF, LEAST, MOST, TILE, opacity_at, shape_gradient

PARTS = 64  # into which the tiles are dealt out

Array = NDArray[Any]


def tile_lists(means: Array, reach: Array, order: Array, height: int, width: int) -> tuple[Array, Array]:
    """starts [tiles + 1] and entries [P]: the splats of each tile, row by row, in an order [M] of splats.

    means [N, 2]; reach [N, 2]: half the sides of the box that a splat fills, in pixels.
    """
    across, down = -(-width // TILE), -(-height // TILE)
    starts = np.zeros(across * down + 1, np.int64)
    boxes = np.empty((len(order), 4), np.int32)
    count_entries(means, reach, order, across, down, boxes, starts)
    entries = np.empty(int(starts[-1]), np.int32)
    fill_entries(order, boxes, across, starts, entries)
    return starts, entries


def blend(
    means: Array,
    conics: Array,
    opacities: Array,
    colours: Array,
    starts: Array,
    entries: Array,
    out: Array,
    light: Array,
    last: Array,
) -> None:
    """Fill out [H, W, C] with the sum of colours, light [H, W] with what is left of what lies behind, and last [H, W],
    zeros, with one past the last entry that was drawn.

    Cost: about 15 operations and an exponential per splat and pixel that it reaches.
    """
    _in_parallel(blend_tiles, means, conics, opacities, colours, starts, entries, out, light, last)


def blend_gradient(
    means: Array,
    conics: Array,
    opacities: Array,
    colours: Array,
    starts: Array,
    entries: Array,
    light: Array,
    last: Array,
    of_out: Array,
    of_light: Array,
    total: Array,
) -> None:
    """Fill total [N, 6 + C], zeros, with the gradients of means (2), conics (3), opacities (1) and colours, from those
    of out and light."""
    each = np.zeros((len(entries), 6 + colours.shape[1]), means.dtype)
    _in_parallel(
        gradient_tiles, means, conics, opacities, colours, starts, entries, light, last, of_out, of_light, each
    )  # fmt: skip
    add_entries(entries, each, total)


def _in_parallel(kernel: Any, *arguments: Any) -> None:
    """Run kernel(part, ...) for each part, on as many threads as Numba may use."""
    with ThreadPoolExecutor(get_num_threads()) as pool:
        for done in [pool.submit(kernel, part, *arguments) for part in range(PARTS)]:
            done.result()


@serial_kernel
def count_entries(means, reach, order, across, down, boxes, starts):
    """First and last tile column and row of each splat, and where each tile's list begins."""
    for k in range(len(order)):
        i = order[k]
        left, right = (means[i, 0] - reach[i, 0]) / TILE, (means[i, 0] + reach[i, 0]) / TILE
        top, bottom = (means[i, 1] - reach[i, 1]) / TILE, (means[i, 1] + reach[i, 1]) / TILE
        boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3] = 0, -1, 0, -1
        if not (right >= 0 and left < across and bottom >= 0 and top < down):
            continue
        boxes[k, 0], boxes[k, 1] = int(max(left, 0.0)), int(min(right, across - 1.0))
        boxes[k, 2], boxes[k, 3] = int(max(top, 0.0)), int(min(bottom, down - 1.0))
        for row in range(boxes[k, 2], boxes[k, 3] + 1):
            for column in range(boxes[k, 0], boxes[k, 1] + 1):
                starts[row * across + column + 1] += 1
    for t in range(len(starts) - 1):
        starts[t + 1] += starts[t]


@serial_kernel
def fill_entries(order, boxes, across, starts, entries):
    next_free = starts[:-1].copy()
    for k in range(len(order)):
        for row in range(boxes[k, 2], boxes[k, 3] + 1):
            for column in range(boxes[k, 0], boxes[k, 1] + 1):
                tile = row * across + column
                entries[next_free[tile]] = order[k]
                next_free[tile] += 1


@inner_kernel
def row_span(a, b, d, dy, far, x, left, right):
    """The pixels of a row, from the first to before the end, at which a splat can be seen: a little more rather than
    less, as the exponent is looked at again."""
    middle = x - b * dy / a
    wide = 2 * far / a - dy * dy * (d / a - (b / a) * (b / a))
    if not wide > 0:
        return left, left
    half = np.sqrt(wide) + 1
    first, end = middle - half, middle + half
    if not (first < right and end > left):
        return left, left
    return max(left, int(max(first, left + 0.0))), min(right, int(min(end, right + 0.0)) + 1)


@serial_kernel
def blend_tiles(part, means, conics, opacities, colours, starts, entries, out, light, last):
    height, width = light.shape
    across = -(-width // TILE)
    channels = colours.shape[1]
    for tile in range(part, len(starts) - 1, PARTS):
        top, left = tile // across * TILE, tile % across * TILE
        bottom, right = min(top + TILE, height), min(left + TILE, width)
        for y in range(top, bottom):
            for x in range(left, right):
                light[y, x] = 1
                for c in range(channels):
                    out[y, x, c] = 0
        going = (bottom - top) * (right - left)
        for e in range(starts[tile], starts[tile + 1]):
            if going == 0:
                break
            i = entries[e]
            a, b, d, o = conics[i, 0], conics[i, 1], conics[i, 2], opacities[i]
            far = np.log(o / LEAST)  # of the exponent: beyond it a splat is not drawn
            for y in range(top, bottom):
                dy = y + HALF - means[i, 1]
                first, end = row_span(a, b, d, dy, far, means[i, 0], left, right)
                for x in range(first, end):
                    if light[y, x] < 0:  # done; negative until the tile is
                        continue
                    alpha = opacity_at(a, b, d, o, x + HALF - means[i, 0], dy, LEAST, MOST)
                    if alpha == 0:
                        continue
                    after = light[y, x] * (1 - alpha)
                    if after < DONE:
                        light[y, x] = -light[y, x]
                        going -= 1
                        continue
                    share = light[y, x] * alpha
                    for c in range(channels):
                        out[y, x, c] += share * colours[i, c]
                    light[y, x] = after
                    last[y, x] = e + 1
        for y in range(top, bottom):
            for x in range(left, right):
                light[y, x] = abs(light[y, x])


@serial_kernel
def gradient_tiles(part, means, conics, opacities, colours, starts, entries, light, last, of_out, of_light, each):
    """From back to front, the light before each splat is found again from that behind it."""
    height, width = light.shape
    across = -(-width // TILE)
    channels = colours.shape[1]
    before = np.empty((TILE, TILE), means.dtype)
    behind = np.empty((TILE, TILE, channels), means.dtype)
    for tile in range(part, len(starts) - 1, PARTS):
        top, left = tile // across * TILE, tile % across * TILE
        bottom, right = min(top + TILE, height), min(left + TILE, width)
        stop = starts[tile]
        for y in range(top, bottom):
            for x in range(left, right):
                before[y - top, x - left] = light[y, x]
                stop = max(stop, last[y, x])
                for c in range(channels):
                    behind[y - top, x - left, c] = 0
        for e in range(stop - 1, starts[tile] - 1, -1):
            i = entries[e]
            a, b, d, o = conics[i, 0], conics[i, 1], conics[i, 2], opacities[i]
            far = np.log(o / LEAST)
            for y in range(top, bottom):
                dy = y + HALF - means[i, 1]
                first, end = row_span(a, b, d, dy, far, means[i, 0], left, right)
                for x in range(first, end):
                    if e >= last[y, x]:
                        continue
                    dx = x + HALF - means[i, 0]
                    alpha = opacity_at(a, b, d, o, dx, dy, LEAST, MOST)
                    if alpha == 0:
                        continue
                    v, u = y - top, x - left
                    here = before[v, u] / (1 - alpha)
                    before[v, u] = here
                    of_alpha = -of_light[y, x] * light[y, x] / (1 - alpha)
                    for c in range(channels):
                        g = of_out[y, x, c]
                        each[e, 6 + c] += here * alpha * g
                        of_alpha += here * (colours[i, c] - behind[v, u, c]) * g
                        behind[v, u, c] = alpha * colours[i, c] + (1 - alpha) * behind[v, u, c]
                    if alpha < MOST:
                        each[e, 5] += alpha / o * of_alpha
                        five = shape_gradient(a, b, d, dx, dy, -alpha * of_alpha)
                        for k in range(5):
                            each[e, k] += five[k]


@serial_kernel
def add_entries(entries, each, total):
    for e in range(len(entries)):
        for k in range(each.shape[1]):
            total[entries[e], k] += each[e, k]
