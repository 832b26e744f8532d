"""Rasterising on all cores. Arrays in, results into arrays that are given; see `raster` for what they mean.

Every loop owns what it writes and sums are taken in a fixed order, so results do not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np

from mvgen.kernels.jit import exact_parallel_kernel, kernel, prange
from mvgen.kernels.raster_pixel import (
    corner,
    depth_at,
    drawable,
    edge,
    pair_edge,
    pixel_range,
    row_span,
    weights_at,
    weights_gradient,
)

ROWS = 8  # of a band, which one thread draws
CHUNKS = 8  # parts of a picture whose gradients are summed apart


@exact_parallel_kernel
def draw(screen, faces, perspective, face, barycentrics, depth):
    """Fill face [H, W], barycentrics [H, W, 3] and depth [H, W] from screen [V, 3] and faces [F, 3].

    Cost: about 200 operations per face and 30 per pixel of each face.
    """
    height, width = face.shape
    bands = (height + ROWS - 1) // ROWS
    first, last = np.empty(len(faces), np.int32), np.empty(len(faces), np.int32)  # band
    for f in prange(len(faces)):
        first[f], last[f] = 0, -1
        if drawable(screen, faces, f):
            y0, y1 = pixel_range(screen[faces[f, 0], 1], screen[faces[f, 1], 1], screen[faces[f, 2], 1], height)
            x0, x1 = pixel_range(screen[faces[f, 0], 0], screen[faces[f, 1], 0], screen[faces[f, 2], 0], width)
            if y0 <= y1 and x0 <= x1:
                first[f], last[f] = y0 // ROWS, y1 // ROWS
    starts = np.zeros(bands + 1, np.int64)
    for f in range(len(faces)):
        for band in range(first[f], last[f] + 1):
            starts[band + 1] += 1
    for band in range(bands):
        starts[band + 1] += starts[band]
    entries = np.empty(starts[bands], np.int32)
    place = starts.copy()
    for f in range(len(faces)):
        for band in range(first[f], last[f] + 1):
            entries[place[band]] = f
            place[band] += 1
    stride = bands * 5 // 8 | 1
    while math.gcd(stride, bands) > 1:
        stride += 2
    for i in prange(bands):
        band = i * stride % bands  # neighbouring bands to different threads
        top, bottom = band * ROWS, min(height, (band + 1) * ROWS) - 1
        nearest = np.full((ROWS, width), np.float32(np.inf), np.float32)
        for row in range(top, bottom + 1):
            for column in range(width):
                face[row, column] = -1
        for entry in range(starts[band], starts[band + 1]):
            f = entries[entry]
            ax, ay, az = corner(screen, faces, f, 0)
            bx, by, bz = corner(screen, faces, f, 1)
            cx, cy, cz = corner(screen, faces, f, 2)
            area = edge(ax, ay, bx, by, cx, cy)
            side = 1.0 if area > 0 else -1.0
            x0, x1 = pixel_range(ax, bx, cx, width)
            y0, y1 = pixel_range(ay, by, cy, height)
            for row in range(max(y0, top), min(y1, bottom) + 1):
                y = row + 0.5
                x_first, x_last = row_span(ax, ay, bx, by, cx, cy, side, y, x0, x1)
                for column in range(x_first, x_last + 1):
                    z = depth_at(
                        ax, ay, az, bx, by, bz, cx, cy, cz, area, side, perspective, column + 0.5, y
                    )  # fmt: skip
                    if z > 0 and z < nearest[row - top, column]:
                        nearest[row - top, column] = z
                        face[row, column] = f
        for row in range(top, bottom + 1):
            for column in range(width):
                f = face[row, column]
                a, b, c, z = 0.0, 0.0, 0.0, 0.0
                if f >= 0:
                    a, b, c, z = weights_at(screen, faces, f, perspective, column + 0.5, row + 0.5)
                barycentrics[row, column, 0] = a
                barycentrics[row, column, 1] = b
                barycentrics[row, column, 2] = c
                depth[row, column] = z


@kernel
def draw_gradient(screen, faces, perspective, face, of_barycentrics, of_depth, of_screen):
    """Add to of_screen [V, 3] the gradient that comes from those of barycentrics [H, W, 3] and depth [H, W].

    Cost: about 120 operations per covered pixel.
    """
    height, width = face.shape
    parts = np.zeros((CHUNKS, screen.shape[0], 3), of_screen.dtype)
    for chunk in prange(CHUNKS):
        part = parts[chunk]
        for row in range(chunk * height // CHUNKS, (chunk + 1) * height // CHUNKS):
            for column in range(width):
                f = face[row, column]
                if f < 0:
                    continue
                g = of_barycentrics[row, column]
                nine = weights_gradient(
                    screen, faces, f, perspective, column + 0.5, row + 0.5, g[0], g[1], g[2], of_depth[row, column]
                )
                for k in range(3):
                    v = faces[f, k]
                    for j in range(3):
                        part[v, j] += nine[3 * k + j]
    for v in prange(screen.shape[0]):
        for chunk in range(CHUNKS):
            for j in range(3):
                of_screen[v, j] += parts[chunk, v, j]


@kernel
def blend(attributes, corners, face, barycentrics, out):
    """out [H, W, C]: attributes [N, C] of the corners [F, 3] of the face at each pixel, weighted; 0 where none is.

    Cost: 6 operations and 4 C bytes written per pixel and channel.
    """
    height, width = face.shape
    for row in prange(height):
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


@kernel
def blend_gradient(attributes, corners, face, barycentrics, of_out, of_attributes, of_barycentrics):
    """Add to of_attributes [N, C], and fill of_barycentrics [H, W, 3], from the gradient of_out [H, W, C]."""
    height, width = face.shape
    count, channels = attributes.shape
    parts = np.zeros((CHUNKS, count, channels), of_attributes.dtype)
    for chunk in prange(CHUNKS):
        part = parts[chunk]
        for row in range(chunk * height // CHUNKS, (chunk + 1) * height // CHUNKS):
            for column in range(width):
                f = face[row, column]
                for k in range(3):
                    total = barycentrics[row, column, k] * 0
                    if f >= 0:
                        w, v = barycentrics[row, column, k], corners[f, k]
                        for c in range(channels):
                            g = of_out[row, column, c]
                            part[v, c] += w * g
                            total += attributes[v, c] * g
                    of_barycentrics[row, column, k] = total
    for v in prange(count):
        for chunk in range(CHUNKS):
            for c in range(channels):
                of_attributes[v, c] += parts[chunk, v, c]


@exact_parallel_kernel
def find_edges(screen, faces, twins, face, edges):
    """Fill edges [2, H, W] with `raster_pixel.pair_edge` of each pixel and the next one to the right, and below."""
    height, width = face.shape
    for line in prange(height):
        row = np.int32(line)
        for axis in range(2):
            for column in range(width):
                edges[axis, row, column] = -1
                if row + axis < height and column + 1 - axis < width:
                    edges[axis, row, column] = pair_edge(screen, faces, twins, face, axis, np.int32(column), row)
