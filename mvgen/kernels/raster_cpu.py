"""Rasterising on all cores. Arrays in, results into arrays that are given; see `raster` for what they mean.

Each part of the work owns what it writes and sums are taken in a fixed order, so results do not depend on the number
of threads. The parts run in Python's threads, as the kernels let go of the interpreter: Numba's own parallel loops
would take twice as long to compile.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from mvgen.kernels.jit import exact_kernel
from mvgen.kernels.raster_pixel import (
    HALF,
    box,
    depth_at,
    drawable,
    face_borders,
    pair_edge,
    row_span,
    weights_at,
    weights_gradient,
)

ROWS = 8  # of a band, which one thread draws
CHUNKS = 8  # parts of a picture whose gradients are summed apart

Array = NDArray[Any]


def draw(screen: Array, faces: Array, perspective: bool, face: Array, barycentrics: Array, depth: Array) -> None:
    """Fill face [H, W], barycentrics [H, W, 3] and depth [H, W] from screen [V, 3] and faces [F, 3].

    Cost: about 200 operations per face and 30 per pixel of each face; 100,000 faces at 512 x 512 take 20 ms on two
    cores of an AMD EPYC.
    """
    height, width = face.shape
    spans = np.empty((len(faces), 2), np.int32)
    _in_parallel(find_bands, get_num_threads(), screen, faces, height, width, spans)
    starts = np.zeros(-(-height // ROWS) + 1, np.int64)
    entries = np.empty(count_bands(spans, starts), np.int32)
    fill_bands(spans, starts, entries)
    _in_parallel(
        draw_bands, get_num_threads(), screen, faces, perspective, starts, entries, face, barycentrics, depth
    )  # fmt: skip


def draw_gradient(
    screen: Array,
    faces: Array,
    perspective: bool,
    face: Array,
    of_barycentrics: Array,
    of_depth: Array,
    of_screen: Array,
) -> None:
    """Add to of_screen [V, 3] the gradient that comes from those of barycentrics [H, W, 3] and depth [H, W].

    Cost: about 120 operations per covered pixel.
    """
    sums = np.zeros((CHUNKS, *of_screen.shape), of_screen.dtype)
    _in_parallel(add_draw_gradient, CHUNKS, screen, faces, perspective, face, of_barycentrics, of_depth, sums)
    of_screen += sums.sum(0)


def blend(attributes: Array, corners: Array, face: Array, barycentrics: Array, out: Array) -> None:
    """out [H, W, C]: attributes [N, C] of the corners [F, 3] of the face at each pixel, weighted; 0 where none is.

    Cost: 6 operations and 4 bytes written per pixel and channel.
    """
    _in_parallel(blend_rows, get_num_threads(), attributes, corners, face, barycentrics, out)


def blend_gradient(
    attributes: Array,
    corners: Array,
    face: Array,
    barycentrics: Array,
    of_out: Array,
    of_attributes: Array,
    of_barycentrics: Array,
) -> None:
    """Add to of_attributes [N, C], and fill of_barycentrics [H, W, 3], from the gradient of_out [H, W, C]."""
    sums = np.zeros((CHUNKS, *of_attributes.shape), of_attributes.dtype)
    _in_parallel(add_blend_gradient, CHUNKS, attributes, corners, face, barycentrics, of_out, sums, of_barycentrics)
    of_attributes += sums.sum(0)


def find_edges(screen: Array, faces: Array, twins: Array, face: Array, edges: Array) -> None:
    """Fill edges [2, H, W] with `raster_pixel.pair_edge` of each pixel and the next one to the right, and below.

    Cost: about 50 operations per pair of pixels that show different faces, and as many for each face between them.
    """
    _in_parallel(find_row_edges, get_num_threads(), screen, faces, twins, face, edges)


def _in_parallel(kernel: Any, parts: int, *arguments: Any) -> None:
    """Run kernel(part, parts, *arguments) for each part, on as many threads as Numba may use."""
    threads = min(parts, get_num_threads())
    if threads == 1:
        for part in range(parts):
            kernel(part, parts, *arguments)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(kernel, part, parts, *arguments) for part in range(1, parts)]
        kernel(0, parts, *arguments)
        for done in others:
            done.result()


@exact_kernel
def find_bands(part, parts, screen, faces, height, width, spans):
    """First and last band in which each face lies; the last before the first where a face is not drawn."""
    for f in range(part * len(faces) // parts, (part + 1) * len(faces) // parts):
        spans[f, 0], spans[f, 1] = 0, -1
        if drawable(screen, faces, f):
            y0, y1, x0, x1 = box(screen, faces, f, height, width)
            if x0 <= x1 and y0 <= y1:
                spans[f, 0], spans[f, 1] = y0 // ROWS, y1 // ROWS


@exact_kernel
def count_bands(spans, starts):
    """Where each band's faces end, into starts [bands + 1], whose last is the number of all, which is returned."""
    for f in range(len(spans)):
        for band in range(spans[f, 0], spans[f, 1] + 1):
            starts[band] += 1
    total = 0
    for band in range(len(starts)):
        total += starts[band]
        starts[band] = total
    return total


@exact_kernel
def fill_bands(spans, starts, entries):
    """The faces of each band in ascending order; starts becomes where they begin."""
    for f in range(len(spans) - 1, -1, -1):
        for band in range(spans[f, 0], spans[f, 1] + 1):
            starts[band] -= 1
            entries[starts[band]] = f


@exact_kernel
def draw_bands(part, parts, screen, faces, perspective, starts, entries, face, barycentrics, depth):
    """Draw every parts-th band."""
    height, width = face.shape
    nearest = np.empty((ROWS, width), np.float32)
    for band in range(part, len(starts) - 1, parts):
        top, bottom = band * ROWS, min(height, (band + 1) * ROWS) - 1
        for row in range(top, bottom + 1):
            for column in range(width):
                nearest[row - top, column] = np.inf
                face[row, column] = -1
        for entry in range(starts[band], starts[band + 1]):
            f = entries[entry]
            borders = face_borders(screen, faces, f, perspective)
            y0, y1, x0, x1 = box(screen, faces, f, height, width)
            for row in range(max(y0, top), min(y1, bottom) + 1):
                left, right = row_span(borders, row + HALF, x0, x1)
                for column in range(left, right + 1):
                    z = depth_at(borders, perspective, column + HALF, row + HALF)
                    if 0 < z < nearest[row - top, column]:
                        nearest[row - top, column] = z
                        face[row, column] = f
        for row in range(top, bottom + 1):
            for column in range(width):
                f = face[row, column]
                a, b, c, z = 0.0, 0.0, 0.0, 0.0
                if f >= 0:
                    a, b, c, z = weights_at(screen, faces, f, perspective, column + HALF, row + HALF)
                barycentrics[row, column, 0] = a
                barycentrics[row, column, 1] = b
                barycentrics[row, column, 2] = c
                depth[row, column] = z


@exact_kernel
def add_draw_gradient(part, parts, screen, faces, perspective, face, of_barycentrics, of_depth, sums):
    """Add the gradient of a part of the rows to sums[part]."""
    height, width = face.shape
    for row in range(part * height // parts, (part + 1) * height // parts):
        for column in range(width):
            f = face[row, column]
            if f < 0:
                continue
            g = of_barycentrics[row, column]
            nine = weights_gradient(
                screen, faces, f, perspective, column + HALF, row + HALF, g[0], g[1], g[2], of_depth[row, column]
            )
            for k in range(3):
                for j in range(3):
                    sums[part, faces[f, k], j] += nine[3 * k + j]


@exact_kernel
def blend_rows(part, parts, attributes, corners, face, barycentrics, out):
    height, width = face.shape
    for row in range(part, height, parts):
        for column in range(width):
            f = face[row, column]
            for c in range(attributes.shape[1]):
                out[row, column, c] = 0
            if f < 0:
                continue
            for k in range(3):
                w, v = barycentrics[row, column, k], corners[f, k]
                for c in range(attributes.shape[1]):
                    out[row, column, c] += w * attributes[v, c]


@exact_kernel
def add_blend_gradient(part, parts, attributes, corners, face, barycentrics, of_out, sums, of_barycentrics):
    """Add the gradient of a part of the rows to sums[part]."""
    height, width = face.shape
    for row in range(part * height // parts, (part + 1) * height // parts):
        for column in range(width):
            f = face[row, column]
            for k in range(3):
                of_barycentrics[row, column, k] = 0
                if f >= 0:
                    w, v = barycentrics[row, column, k], corners[f, k]
                    for c in range(attributes.shape[1]):
                        g = of_out[row, column, c]
                        sums[part, v, c] += w * g
                        of_barycentrics[row, column, k] += attributes[v, c] * g


@exact_kernel
def find_row_edges(part, parts, screen, faces, twins, face, edges):
    height, width = face.shape
    for row in range(part, height, parts):
        for axis in range(2):
            for column in range(width):
                edges[axis, row, column] = -1
                if row + axis < height and column + 1 - axis < width:
                    edges[axis, row, column] = pair_edge(screen, faces, twins, face, axis, column, row)
