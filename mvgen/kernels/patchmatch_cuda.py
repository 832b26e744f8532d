"""The PatchMatch passes on a CUDA device: the pixel functions of the CPU, one thread for each pixel.

Half passes change the pixels of one colour and read only those of the other, so threads need not wait for one another
and their order does not matter. The result differs from the CPU's in the last digits, since a GPU rounds otherwise,
and so now and then in the plane that is chosen.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda, float32, int32, int64, uint32
from numpy.typing import NDArray

from mvgen.kernels.cuda import failure, select
from mvgen.kernels.jit import load_for_cuda
from mvgen.kernels.patchmatch import TAP_W, TAP_X, TAP_Y, Match
from mvgen.kernels.patchmatch_pixel import TAPS

__all__ = ["BLOCK", "MOST_SOURCES", "run_passes", "select", "sweep_volume", "why_not"]

MOST_SOURCES = 16  # size of a thread's scratch array
BLOCK = (32, 4)  # threads: pixels along a row, rows


def why_not(device: str) -> str | None:
    """Why the kernels cannot run on a device, or None where they can; compiles them to find out."""
    return failure(device, _run_smallest)


def run_passes(
    match: Match,
    lens: NDArray[np.float32],
    settings: NDArray[np.float32],
    salts: NDArray[np.int64],
    planes: NDArray[np.float32],
    cost: NDArray[np.float32],
) -> None:
    """As ``patchmatch.run_passes``: all goes to the device once, planes and cost come back after the last pass."""
    half_pass, _ = _kernels()
    height, width = cost.shape
    grid = _blocks((width + 1) // 2, height)
    m = _on_device(match)
    lens, planes_there, cost_there = (cuda.to_device(a) for a in (lens, planes, cost))
    for k, salt in enumerate(salts):
        half_pass[grid, BLOCK](
            k & 1, m.images, m.support, m.packed, m.offsets, m.sizes, m.motions, m.best, planes_there, cost_there, lens,
            *_taps(), cuda.to_device(settings[k]), salt, m.depths, m.backward,
        )  # fmt: skip
    planes_there.copy_to_host(planes)
    cost_there.copy_to_host(cost)


def sweep_volume(
    match: Match, levels: NDArray[np.float32], settings: NDArray[np.float32], volume: NDArray[np.uint8]
) -> None:
    """As ``patchmatch.sweep_volume``."""
    _, fill_volume = _kernels()
    height, width = match.support.shape
    m = _on_device(match)
    there = cuda.device_array(volume.shape, volume.dtype)
    fill_volume[_blocks(width, height), BLOCK](
        m.images, m.support, m.packed, m.offsets, m.sizes, m.motions, m.best, cuda.to_device(levels), *_taps(),
        cuda.to_device(settings), m.depths, m.backward, there,
    )  # fmt: skip
    there.copy_to_host(volume)


@lru_cache(maxsize=1)
def _kernels() -> tuple[Any, Any]:
    """(half_pass, fill_volume), with the arguments of their namesakes in `patchmatch`."""
    pixel = load_for_cuda("mvgen.kernels.patchmatch_pixel")
    sweep_pixel, reference_patch, hypothesis_cost = pixel.sweep_pixel, pixel.reference_patch, pixel.hypothesis_cost

    @cuda.jit(fastmath=True)
    def half_pass(
        colour, images, support, packed, offsets, sizes, motions, best, planes, cost, lens, tap_x, tap_y, tap_w,
        settings, salt, depths, backward,
    ):  # fmt: skip
        i, y = cuda.grid(2)
        x = 2 * i + ((y + colour) & 1)
        if y >= cost.shape[0] or x >= cost.shape[1]:
            return
        patch = cuda.local.array((2, TAPS), float32)
        words = cuda.local.array((1, 1), uint32)  # sums_tap_by_tap needs none
        costs = cuda.local.array(MOST_SOURCES, float32)
        normal = cuda.local.array(3, float32)
        sweep_pixel(
            int32(x), int32(y), images, support, packed, offsets, sizes, motions, int32(motions.shape[0]), best, planes,
            cost, lens, tap_x, tap_y, tap_w, settings, salt, patch, words, costs, normal, depths, backward,
        )  # fmt: skip

    @cuda.jit(fastmath=True)
    def fill_volume(
        images, support, packed, offsets, sizes, motions, best, levels, tap_x, tap_y, tap_w, settings, depths, backward,
        volume,
    ):  # fmt: skip
        x, y = cuda.grid(2)
        height, width = support.shape
        if y >= height or x >= width:
            return
        patch = cuda.local.array((2, TAPS), float32)
        words = cuda.local.array((1, 1), uint32)  # sums_tap_by_tap needs none
        costs = cuda.local.array(MOST_SOURCES, float32)
        zero = float32(0)
        layer = int32(support[y, x])
        stride = int32(1) << layer
        shift = layer * int64(packed.shape[0] // images.shape[0])
        mean, variance = reference_patch(
            images[layer], int32(height), int32(width), int32(x), int32(y), stride, tap_x, tap_y, tap_w, settings[5],
            patch,
        )  # fmt: skip
        for d in range(levels.shape[0]):
            c = hypothesis_cost(
                packed, shift, offsets, sizes, motions, int32(motions.shape[0]), best, int32(x), int32(y), levels[d],
                zero, zero, stride, tap_x, tap_y, patch, words, mean, variance, settings[6], depths, backward, zero,
                costs, float32(1e9),
            )  # fmt: skip
            volume[y, x, d] = np.uint8(c * float32(127.0))

    return half_pass, fill_volume


def _taps() -> list[Any]:
    return [cuda.to_device(a) for a in (TAP_X, TAP_Y, TAP_W)]


def _on_device(match: Match) -> Match:
    if len(match.motions) > MOST_SOURCES:
        raise ValueError(f"at most {MOST_SOURCES} sources fit on a GPU")
    return match._replace(**{k: cuda.to_device(a) for k, a in match._asdict().items() if k != "best"})


def _blocks(width: int, height: int) -> tuple[int, int]:
    return -(-width // BLOCK[0]), -(-height // BLOCK[1])


def _run_smallest() -> None:
    """Both kernels, compiled and run on a picture of four pixels."""
    still = np.array([[1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]], np.float32)
    match = Match(
        np.zeros((1, 2, 2), np.float32), np.zeros((2, 2), np.uint8), np.zeros(4, np.uint64), np.zeros(1, np.int64),
        np.full((1, 2), 2, np.int32), still, still, np.zeros(1, np.float32), 1,
    )  # fmt: skip
    settings = np.ones((1, 8), np.float32)
    sweep_volume(match, np.ones(1, np.float32), settings[0], np.empty((2, 2, 1), np.uint8))
    planes, cost = np.ones((2, 2, 3), np.float32), np.ones((2, 2), np.float32)
    run_passes(match, np.ones(4, np.float32), settings, np.zeros(1, np.int64), planes, cost)
