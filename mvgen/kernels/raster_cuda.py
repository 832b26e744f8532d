"""Rasterising on a CUDA device: the functions of `raster_cpu`, with the same arguments and the same pixel functions.

Arrays may lie on the device or, with copies, on the host. Depths are drawn first, then the faces that have them, so the
same faces are seen as on the CPU but where rounding decides. Gradients are summed by atomic additions, in any order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, int32

from mvgen.kernels.cuda import failure, select
from mvgen.kernels.jit import load_for_cuda

__all__ = ["blend", "blend_gradient", "draw", "draw_gradient", "find_edges", "select", "why_not"]

LANES = 32  # threads that share the rows of a face
BLOCK = (LANES, 4)  # threads: lanes and faces, or columns and rows
NO_FACE = np.int32(2**31 - 1)


class Kernels(NamedTuple):
    clear: Any
    draw_depths: Any
    draw_faces: Any
    finish: Any
    draw_gradient: Any
    blend: Any
    blend_gradient: Any
    find_edges: Any


def draw(screen: Any, faces: Any, perspective: bool, face: Any, barycentrics: Any, depth: Any) -> None:
    k, pixels = _kernels(), _blocks(*face.shape)
    nearest = cuda.device_array(face.shape, np.float32)
    screen, faces, seen = cuda.to_device(screen), cuda.to_device(faces), cuda.to_device(face)
    k.clear[pixels, BLOCK](nearest, seen)
    if len(faces):
        rows = _blocks(len(faces), LANES)
        k.draw_depths[rows, BLOCK](screen, faces, perspective, nearest)
        k.draw_faces[rows, BLOCK](screen, faces, perspective, nearest, seen)
    k.finish[pixels, BLOCK](screen, faces, perspective, seen, face, barycentrics, depth)


def draw_gradient(
    screen: Any, faces: Any, perspective: bool, face: Any, of_barycentrics: Any, of_depth: Any, of_screen: Any
) -> None:
    if len(faces):
        _kernels().draw_gradient[_blocks(*face.shape), BLOCK](
            screen, faces, perspective, face, of_barycentrics, of_depth, of_screen
        )


def blend(attributes: Any, corners: Any, face: Any, barycentrics: Any, out: Any) -> None:
    _kernels().blend[_blocks(*face.shape), BLOCK](attributes, corners, face, barycentrics, out)


def blend_gradient(
    attributes: Any,
    corners: Any,
    face: Any,
    barycentrics: Any,
    of_out: Any,
    of_attributes: Any,
    of_barycentrics: Any,
) -> None:
    _kernels().blend_gradient[_blocks(*face.shape), BLOCK](
        attributes, corners, face, barycentrics, of_out, of_attributes, of_barycentrics
    )


def find_edges(screen: Any, faces: Any, twins: Any, face: Any, edges: Any) -> None:
    _kernels().find_edges[_blocks(*face.shape), BLOCK](screen, faces, twins, face, edges)


def why_not(device: str) -> str | None:
    """Why the kernels cannot run on a device, or None where they can; compiles them to find out."""
    return failure(device, _run_smallest)


def _blocks(height: int, width: int) -> tuple[int, int]:
    return -(-width // BLOCK[0]), -(-height // BLOCK[1])


@lru_cache(maxsize=1)
def _kernels() -> Kernels:
    pixel = load_for_cuda("mvgen.kernels.raster_pixel")
    drawable, face_borders, box, row_span = pixel.drawable, pixel.face_borders, pixel.box, pixel.row_span
    depth_at, weights_at, weights_gradient = pixel.depth_at, pixel.weights_at, pixel.weights_gradient
    pair_edge, half = pixel.pair_edge, pixel.HALF

    @cuda.jit
    def clear(nearest, face):
        column, row = cuda.grid(2)
        if row < face.shape[0] and column < face.shape[1]:
            nearest[row, column] = np.inf
            face[row, column] = NO_FACE

    @cuda.jit
    def draw_depths(screen, faces, perspective, nearest):
        lane, f = cuda.grid(2)
        if f >= faces.shape[0] or not drawable(screen, faces, f):
            return
        borders = face_borders(screen, faces, f, perspective)
        top, bottom, left, right = box(screen, faces, f, nearest.shape[0], nearest.shape[1])
        for row in range(top + lane, bottom + 1, LANES):
            first, last = row_span(borders, row + half, left, right)
            for column in range(first, last + 1):
                z = depth_at(borders, perspective, column + half, row + half)
                if z > 0:
                    cuda.atomic.min(nearest, (row, column), z)

    @cuda.jit
    def draw_faces(screen, faces, perspective, nearest, face):
        lane, f = cuda.grid(2)
        if f >= faces.shape[0] or not drawable(screen, faces, f):
            return
        borders = face_borders(screen, faces, f, perspective)
        top, bottom, left, right = box(screen, faces, f, nearest.shape[0], nearest.shape[1])
        for row in range(top + lane, bottom + 1, LANES):
            first, last = row_span(borders, row + half, left, right)
            for column in range(first, last + 1):
                z = depth_at(borders, perspective, column + half, row + half)
                if z > 0 and z == nearest[row, column]:
                    cuda.atomic.min(face, (row, column), int32(f))

    @cuda.jit
    def finish(screen, faces, perspective, seen, face, barycentrics, depth):
        column, row = cuda.grid(2)
        if row >= face.shape[0] or column >= face.shape[1]:
            return
        f = seen[row, column]
        a, b, c, z = 0.0, 0.0, 0.0, 0.0
        if f == NO_FACE:
            face[row, column] = -1
        else:
            face[row, column] = f
            a, b, c, z = weights_at(screen, faces, f, perspective, column + half, row + half)
        barycentrics[row, column, 0] = a
        barycentrics[row, column, 1] = b
        barycentrics[row, column, 2] = c
        depth[row, column] = z

    @cuda.jit
    def draw_gradient(screen, faces, perspective, face, of_barycentrics, of_depth, of_screen):
        column, row = cuda.grid(2)
        if row >= face.shape[0] or column >= face.shape[1] or face[row, column] < 0:
            return
        f = face[row, column]
        a, b, c = of_barycentrics[row, column, 0], of_barycentrics[row, column, 1], of_barycentrics[row, column, 2]
        nine = weights_gradient(
            screen, faces, f, perspective, column + half, row + half, a, b, c, of_depth[row, column]
        )  # fmt: skip
        for k in range(3):
            for j in range(3):
                cuda.atomic.add(of_screen, (faces[f, k], j), nine[3 * k + j])

    @cuda.jit
    def blend(attributes, corners, face, barycentrics, out):
        column, row = cuda.grid(2)
        if row >= face.shape[0] or column >= face.shape[1]:
            return
        f = face[row, column]
        for c in range(attributes.shape[1]):
            out[row, column, c] = 0
            if f >= 0:
                for k in range(3):
                    out[row, column, c] += barycentrics[row, column, k] * attributes[corners[f, k], c]

    @cuda.jit
    def blend_gradient(attributes, corners, face, barycentrics, of_out, of_attributes, of_barycentrics):
        column, row = cuda.grid(2)
        if row >= face.shape[0] or column >= face.shape[1]:
            return
        f = face[row, column]
        for k in range(3):
            of_barycentrics[row, column, k] = 0
            if f >= 0:
                w, v = barycentrics[row, column, k], corners[f, k]
                for c in range(attributes.shape[1]):
                    g = of_out[row, column, c]
                    cuda.atomic.add(of_attributes, (v, c), w * g)
                    of_barycentrics[row, column, k] += attributes[v, c] * g

    @cuda.jit
    def find_edges(screen, faces, twins, face, edges):
        column, row = cuda.grid(2)
        height, width = face.shape
        if row >= height or column >= width:
            return
        for axis in range(2):
            edges[axis, row, column] = -1
            if row + axis < height and column + 1 - axis < width:
                edges[axis, row, column] = pair_edge(screen, faces, twins, face, axis, int32(column), int32(row))

    return Kernels(clear, draw_depths, draw_faces, finish, draw_gradient, blend, blend_gradient, find_edges)


def _run_smallest() -> None:
    """Every kernel, compiled and run on a picture of four pixels."""
    screen = np.array([[0, 0, 1], [2, 0, 1], [0, 2, 1]], np.float32)
    faces = np.array([[0, 1, 2]], np.int32)
    face, edges = np.zeros((2, 2), np.int32), np.zeros((2, 2, 2), np.int32)
    weights, depth = np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.float32)
    draw(screen, faces, False, face, weights, depth)
    draw_gradient(screen, faces, False, face, weights, depth, np.zeros_like(screen))
    blend(screen, faces, face, weights, np.zeros_like(weights))
    blend_gradient(screen, faces, face, weights, np.zeros_like(weights), np.zeros_like(screen), np.zeros_like(weights))
    find_edges(screen, faces, np.full((1, 3), -1, np.int32), face, edges)
