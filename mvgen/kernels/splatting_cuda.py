"""Blending splats on a CUDA device: the functions of `splatting_cpu`, with the same arguments and the same lists.

A block of threads draws a tile, a thread a pixel. Splats are taken to shared memory in batches, so that each is read
once for a tile. A splat's gradient is summed over a warp by shuffles, over a tile in shared memory, and then over tiles
by atomic additions, in any order. Colours go through in groups of channels, for which a thread has registers.

Lists are made by torch on the device of their arrays; the other arrays may lie on the device or, with copies, on the
host. Cost of a splat in a tile: 24 + 4 C bytes, and for each pixel about 15 operations and an exponential, three times
as much with the gradient.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import config, cuda, float32, float64, int32
from torch import Tensor

from mvgen.kernels.cuda import failure, select
from mvgen.kernels.jit import load_for_cuda
from mvgen.kernels.splatting_pixel import DONE, LEAST, MOST, TILE

__all__ = ["blend", "blend_gradient", "select", "tile_lists", "why_not"]

THREADS = TILE * TILE
WARP = 32
BATCH = 128  # splats in shared memory
CHANNELS = 8  # most in a group
WHOLE_WARP = 0xFFFFFFFF


class Kernels(NamedTuple):
    blend: Any
    blend_gradient: Any


def tile_lists(means: Any, reach: Any, order: Any, height: int, width: int) -> tuple[Tensor, Tensor]:
    """starts [tiles + 1] and entries [P], both int32, as `splatting_cpu.tile_lists`.

    The splats are in order already, so a stable sort by tile keeps the nearest first.
    """
    means, reach, order = (torch.as_tensor(a) for a in (means, reach, order))
    limit = torch.tensor([-(-width // TILE), -(-height // TILE)], device=means.device)
    across, tiles = -(-width // TILE), -(-width // TILE) * -(-height // TILE)
    low, high = (means - reach)[order] / TILE, (means + reach)[order] / TILE
    seen = ((high >= 0) & (low < limit)).all(1)
    order, low, high = order[seen], low[seen], high[seen]
    first = low.clamp(min=0).int()
    sides = torch.minimum(high, (limit - 1).to(high.dtype)).int() - first + 1
    counts = sides[:, 0] * sides[:, 1]
    which = torch.repeat_interleave(counts)
    inside = torch.arange(len(which), dtype=torch.int32, device=means.device) - (counts.cumsum(0) - counts).int()[which]
    columns = sides[:, 0][which]
    row = first[:, 1][which] + inside // columns
    tile = row * across + first[:, 0][which] + inside % columns
    narrow = torch.int16 if tiles < 1 << 15 else torch.int32  # sorted in half the passes
    tile, place = torch.sort(tile.to(narrow), stable=True)
    edges = torch.arange(tiles + 1, dtype=torch.int32, device=means.device)
    return torch.searchsorted(tile.int(), edges, out_int32=True), order[which[place]]


def blend(
    means: Any, conics: Any, opacities: Any, colours: Any, starts: Any, entries: Any, out: Any, light: Any, last: Any
) -> None:
    """As `splatting_cpu.blend`."""
    if not len(entries):
        out[...], light[...] = 0, 1
        return
    for group in _groups(colours.shape[1]):
        some = _like(out, (*light.shape, group.stop - group.start))
        _kernels(some.shape[2], _is_double(means)).blend[len(starts) - 1, THREADS](
            means, conics, opacities, _part(colours, group), starts, entries, some, light, last
        )
        out[..., group] = some


def blend_gradient(
    means: Any, conics: Any, opacities: Any, colours: Any, starts: Any, entries: Any, light: Any, last: Any,
    of_out: Any, of_light: Any, total: Any,
) -> None:  # fmt: skip
    """As `splatting_cpu.blend_gradient`. What a channel adds does not depend on the others, so groups are summed."""
    if not len(entries):
        return
    for group in _groups(colours.shape[1]):
        some = _like(total, (len(total), 6 + group.stop - group.start))
        _kernels(some.shape[1] - 6, _is_double(means)).blend_gradient[len(starts) - 1, THREADS](
            means, conics, opacities, _part(colours, group), starts, entries, light, last,
            _part(of_out, group), of_light, some,
        )  # fmt: skip
        total[:, :6] += some[:, :6]
        total[:, 6 + group.start : 6 + group.stop] = some[:, 6:]
        of_light = of_light * 0  # the light counts once


def why_not(device: str) -> str | None:
    """Why the kernels cannot run on a device, or None where they can; compiles them to find out."""
    return failure(device, _run_smallest)


def _groups(channels: int) -> list[slice]:
    return [slice(k, min(k + CHANNELS, channels)) for k in range(0, max(channels, 1), CHANNELS)]


def _part(array: Any, group: slice) -> Any:
    """Some channels, side by side."""
    part = array[..., group]
    return part.contiguous() if isinstance(part, Tensor) else np.ascontiguousarray(part)


def _like(array: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of the kind of an array."""
    return array.new_zeros(shape) if isinstance(array, Tensor) else np.zeros(shape, array.dtype)


def _is_double(array: Any) -> bool:
    return array.dtype in (torch.float64, np.float64)


@lru_cache(maxsize=2 * CHANNELS)
def _kernels(channels: int, double: bool) -> Kernels:
    """For a number of channels, and for float64 rather than float32."""
    pixel = load_for_cuda("mvgen.kernels.splatting_pixel")
    opacity_at, shape_gradient, half, one = pixel.opacity_at, pixel.shape_gradient, pixel.HALF, pixel.ONE
    kind, exact = (float64, np.float64) if double else (float32, np.float32)
    least, most, done_at = exact(LEAST), exact(MOST), exact(DONE)
    zero = exact(0)
    width = 6 + channels
    any_of_warp, add_warp = _warp_functions()

    @cuda.jit(device=True, fastmath=True)
    def take(lane, i, means, conics, opacities, colours, batch):
        """Bring a splat to shared memory."""
        batch[lane, 0], batch[lane, 1] = means[i, 0], means[i, 1]
        for c in range(3):
            batch[lane, 2 + c] = conics[i, c]
        batch[lane, 5] = opacities[i]
        for c in range(channels):
            batch[lane, 6 + c] = colours[i, c]

    @cuda.jit(fastmath=True)
    def blend(means, conics, opacities, colours, starts, entries, out, light, last):
        batch = cuda.shared.array((BATCH, width), kind)
        mixed = cuda.local.array(channels, kind)
        height, across = light.shape[0], (light.shape[1] + TILE - 1) // TILE
        tile, lane = cuda.blockIdx.x, cuda.threadIdx.x
        x, y = tile % across * TILE + lane % TILE, tile // across * TILE + lane // TILE
        inside = x < light.shape[1] and y < height
        at_x, at_y = kind(x) + half, kind(y) + half
        left, latest, done = one, int32(0), not inside
        for c in range(channels):
            mixed[c] = zero
        end = starts[tile + 1]
        for first in range(starts[tile], end, BATCH):
            if cuda.syncthreads_and(int32(done)):
                break
            if lane < BATCH and first + lane < end:
                take(lane, entries[first + lane], means, conics, opacities, colours, batch)
            cuda.syncthreads()
            if done:
                continue
            for k in range(min(BATCH, end - first)):
                alpha = opacity_at(
                    batch[k, 2], batch[k, 3], batch[k, 4], batch[k, 5],
                    at_x - batch[k, 0], at_y - batch[k, 1], least, most,
                )  # fmt: skip
                if alpha == zero:
                    continue
                after = left * (one - alpha)
                if after < done_at:
                    done = True
                    break
                share = left * alpha
                for c in range(channels):
                    mixed[c] += share * batch[k, 6 + c]
                left, latest = after, int32(first + k + 1)
        if inside:
            for c in range(channels):
                out[y, x, c] = mixed[c]
            light[y, x], last[y, x] = left, latest

    @cuda.jit(fastmath=True)
    def blend_gradient(
        means, conics, opacities, colours, starts, entries, light, last, of_out, of_light, total
    ):  # fmt: skip
        batch = cuda.shared.array((BATCH, width), kind)
        sums = cuda.shared.array((BATCH, width), kind)
        behind, pull = cuda.local.array(channels, kind), cuda.local.array(channels, kind)
        own = cuda.local.array(width, kind)
        height, across = light.shape[0], (light.shape[1] + TILE - 1) // TILE
        tile, lane = cuda.blockIdx.x, cuda.threadIdx.x
        x, y = tile % across * TILE + lane % TILE, tile // across * TILE + lane // TILE
        at_x, at_y = kind(x) + half, kind(y) + half
        before, fall, latest = one, zero, int32(0)
        for c in range(channels):
            behind[c] = zero
            pull[c] = zero
        if x < light.shape[1] and y < height:
            before, latest = light[y, x], last[y, x]
            fall = of_light[y, x] * before
            for c in range(channels):
                pull[c] = of_out[y, x, c]
        batches = (starts[tile + 1] - starts[tile] + BATCH - 1) // BATCH
        for number in range(batches - 1, -1, -1):
            first = starts[tile] + number * BATCH
            if not cuda.syncthreads_or(int32(latest > first)):
                continue
            count = min(BATCH, starts[tile + 1] - first)
            if lane < count:
                take(lane, entries[first + lane], means, conics, opacities, colours, batch)
                for c in range(width):
                    sums[lane, c] = zero
            cuda.syncthreads()
            for k in range(count - 1, -1, -1):
                a, b, d, opacity = batch[k, 2], batch[k, 3], batch[k, 4], batch[k, 5]
                dx, dy = at_x - batch[k, 0], at_y - batch[k, 1]
                alpha = zero
                if first + k < latest:
                    alpha = opacity_at(a, b, d, opacity, dx, dy, least, most)
                if not any_of_warp(alpha > zero):
                    continue
                for c in range(width):
                    own[c] = zero
                if alpha > zero:
                    rest = one / (one - alpha)
                    before *= rest
                    of_alpha = -fall * rest
                    for c in range(channels):
                        own[6 + c] = before * alpha * pull[c]
                        of_alpha += before * (batch[k, 6 + c] - behind[c]) * pull[c]
                        behind[c] += alpha * (batch[k, 6 + c] - behind[c])
                    if alpha < most:
                        own[5] = alpha / opacity * of_alpha
                        own[0], own[1], own[2], own[3], own[4] = shape_gradient(a, b, d, dx, dy, -alpha * of_alpha)
                for c in range(width):
                    add_warp(sums, k, c, own[c], lane)
            cuda.syncthreads()
            if lane < count:
                i = entries[first + lane]
                for c in range(width):
                    if sums[lane, c] != zero:
                        cuda.atomic.add(total, (i, c), sums[lane, c])

    return Kernels(blend, blend_gradient)


def _warp_functions() -> tuple[Any, Any]:
    """any_of_warp(condition), and add_warp(sums, k, c, value, lane): add the values of a warp's threads to sums[k, c].

    Numba's simulator has no warps: there each thread speaks for itself.
    """
    simulated = bool(getattr(config, "ENABLE_CUDASIM", 0))

    @cuda.jit(device=True)
    def any_of_one(condition):
        return condition

    @cuda.jit(device=True)
    def add_one(sums, k, c, value, lane):
        cuda.atomic.add(sums, (k, c), value)

    @cuda.jit(device=True)
    def any_of_warp(condition):
        return cuda.any_sync(WHOLE_WARP, condition)

    @cuda.jit(device=True)
    def add_warp(sums, k, c, value, lane):
        step = WARP // 2
        while step > 0:
            value += cuda.shfl_down_sync(WHOLE_WARP, value, step)
            step //= 2
        if lane % WARP == 0:
            cuda.atomic.add(sums, (k, c), value)

    return (any_of_one, add_one) if simulated else (any_of_warp, add_warp)


def _run_smallest() -> None:
    """Both kernels, compiled for three channels and run on a picture of one pixel."""
    mean, conic = np.full((1, 2), 0.5, np.float32), np.array([[1, 0, 1]], np.float32)
    opacity, colour = np.full(1, 0.5, np.float32), np.ones((1, 3), np.float32)
    starts, entries, last = np.array([0, 1], np.int32), np.zeros(1, np.int32), np.zeros((1, 1), np.int32)
    out, light = np.zeros((1, 1, 3), np.float32), np.zeros((1, 1), np.float32)
    blend(mean, conic, opacity, colour, starts, entries, out, light, last)
    total = np.zeros((1, 9), np.float32)
    blend_gradient(mean, conic, opacity, colour, starts, entries, light, last, out, light, total)
    if not math.isclose(float(light[0, 0]), 0.5, rel_tol=1e-5):
        raise RuntimeError("a wrong result")
