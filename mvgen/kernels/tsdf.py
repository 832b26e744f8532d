"""Averaging truncated signed distances from one depth map into bricks of a sparse grid (Curless and Levoy 1996).

Cost: for each node of a brick in view about 60 operations and 8 reads of the maps; 8 bytes per node are read and
written, 24 with colours. Bricks are independent, so the result does not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import kernel, prange

BRICK = 8  # nodes a side
FACING = np.float32(0.15)  # least cosine between a surface and a view that a distance is scaled by
SOLID = np.float32(0.25)  # of the truncation, behind the surface, within which a view counts fully


@kernel
def fuse_view(first, origin, voxel, pose, lens, depth, normal, weight, image, reach, sums, colours):
    """Add one view to the bricks.

    first [B, 3] int32: each brick's first node; origin [3], voxel: place of node 0 and distance between nodes; pose
    [3, 4] world to camera; lens [5]: fx, fy, cx, cy, skew; depth, weight [H, W] and normal [H, W, 3] float32, camera
    axes, 0 where not known; image [H, W, 3] uint8; reach: the truncation; sums [B, 8, 8, 8, 2] float32: weighted
    distances, weights; colours [B, 8, 8, 8, 4] float32: weighted colours, weights. Without colours, image and colours
    have no elements.
    """
    height, width = depth.shape
    coloured = colours.size > 0
    half = voxel * np.float32(0.5 * (BRICK - 1))
    radius = half * np.float32(1.7320509)
    for b in prange(len(first)):
        mx = origin[0] + first[b, 0] * voxel + half
        my = origin[1] + first[b, 1] * voxel + half
        mz = origin[2] + first[b, 2] * voxel + half
        middle = pose[2, 0] * mx + pose[2, 1] * my + pose[2, 2] * mz + pose[2, 3]
        if middle + radius <= 0:
            continue
        if middle > 2 * radius:
            cx = pose[0, 0] * mx + pose[0, 1] * my + pose[0, 2] * mz + pose[0, 3]
            cy = pose[1, 0] * mx + pose[1, 1] * my + pose[1, 2] * mz + pose[1, 3]
            pad = 2 * max(lens[0], lens[1]) * radius / (middle - radius) * (1 + (abs(cx) + abs(cy)) / middle)
            px = (lens[0] * cx + lens[4] * cy) / middle + lens[2]
            py = lens[1] * cy / middle + lens[3]
            if px + pad < 0 or py + pad < 0 or px - pad > width or py - pad > height:
                continue
        for i in range(BRICK):
            for j in range(BRICK):
                for k in range(BRICK):
                    wx = origin[0] + (first[b, 0] + i) * voxel
                    wy = origin[1] + (first[b, 1] + j) * voxel
                    wz = origin[2] + (first[b, 2] + k) * voxel
                    z = pose[2, 0] * wx + pose[2, 1] * wy + pose[2, 2] * wz + pose[2, 3]
                    if z <= np.float32(1e-6) * voxel:
                        continue
                    rx = (pose[0, 0] * wx + pose[0, 1] * wy + pose[0, 2] * wz + pose[0, 3]) / z
                    ry = (pose[1, 0] * wx + pose[1, 1] * wy + pose[1, 2] * wz + pose[1, 3]) / z
                    u = lens[0] * rx + lens[4] * ry + lens[2]
                    v = lens[1] * ry + lens[3]
                    if not (u >= 0 and v >= 0 and u < width and v < height):
                        continue
                    column, row = int(u), int(v)
                    seen = depth[row, column]
                    if not (seen > 0 and weight[row, column] > 0):
                        continue
                    left = min(max(int(np.floor(u - np.float32(0.5))), 0), max(width - 2, 0))
                    top = min(max(int(np.floor(v - np.float32(0.5))), 0), max(height - 2, 0))
                    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
                    d0, d1 = depth[top, left], depth[top, right]
                    d2, d3 = depth[bottom, left], depth[bottom, right]
                    least = min(min(d0, d1), min(d2, d3))
                    if least > 0 and max(max(d0, d1), max(d2, d3)) - least < reach:
                        s = min(max(u - np.float32(0.5) - left, np.float32(0)), np.float32(1))
                        t = min(max(v - np.float32(0.5) - top, np.float32(0)), np.float32(1))
                        seen = (d0 * (1 - s) + d1 * s) * (1 - t) + (d2 * (1 - s) + d3 * s) * t
                    length = np.sqrt(rx * rx + ry * ry + 1)
                    nx, ny, nz = normal[row, column, 0], normal[row, column, 1], normal[row, column, 2]
                    facing = np.float32(1)
                    if nx != 0 or ny != 0 or nz != 0:
                        facing = max(abs(nx * rx + ny * ry + nz) / length, FACING)
                    distance = (seen - z) * length * facing
                    if distance < -reach:
                        continue
                    part = weight[row, column] * facing
                    if distance < -SOLID * reach:
                        part *= (reach + distance) / ((1 - SOLID) * reach)
                    sums[b, i, j, k, 0] += part * min(distance, reach)
                    sums[b, i, j, k, 1] += part
                    if coloured and abs(distance) < reach:
                        part *= 1 - abs(distance) / reach
                        for c in range(3):
                            colours[b, i, j, k, c] += part * image[row, column, c]
                        colours[b, i, j, k, 3] += part


def fuse_view_reference(first, origin, voxel, pose, lens, depth, normal, weight, image, reach, sums, colours) -> None:
    """As `fuse_view`, all nodes at once."""
    steps = np.stack(np.meshgrid(*[np.arange(BRICK)] * 3, indexing="ij"), axis=-1)
    world = origin + (first[:, None, None, None] + steps) * np.float64(voxel)
    local = world @ pose[:, :3].T.astype(np.float64) + pose[:, 3]
    z = np.where(local[..., 2] > 1e-6 * voxel, local[..., 2], np.inf)
    rays = np.stack([local[..., 0] / z, local[..., 1] / z, np.ones_like(z)], axis=-1)
    u = lens[0] * rays[..., 0] + lens[4] * rays[..., 1] + lens[2]
    v = lens[1] * rays[..., 1] + lens[3]
    height, width = depth.shape
    good = np.isfinite(z) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
    column, row = (np.where(good, x, 0).astype(np.int64) for x in (u, v))
    good &= (depth[row, column] > 0) & (weight[row, column] > 0)
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    normals = normal[row, column]
    facing = np.maximum(np.abs((normals * unit).sum(-1)), FACING)
    facing = np.where((normals != 0).any(-1), facing, 1)
    distance = (_depth_at(depth, u, v, row, column, reach) - z) * np.linalg.norm(rays, axis=-1) * facing
    good &= distance >= -reach
    part = weight[row, column] * facing
    part *= np.where(distance < -SOLID * reach, (reach + distance) / ((1 - SOLID) * reach), 1)
    part = np.where(good, part, 0)
    distance = np.where(good, distance, 0)
    sums[..., 0] += part * np.minimum(distance, reach)
    sums[..., 1] += part
    if colours.size:
        part *= np.maximum(1 - np.abs(distance) / reach, 0)
        colours[..., :3] += part[..., None] * image[row, column]
        colours[..., 3] += part


def _depth_at(
    depth: NDArray[np.float32],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    reach: float,
) -> NDArray[np.float64]:
    """Depth between the four nearest pixels where these belong to one surface, else of the pixel itself."""
    height, width = depth.shape
    x, y = (np.nan_to_num(a - 0.5, posinf=0, neginf=0) for a in (u, v))
    left = np.clip(np.floor(x), 0, max(width - 2, 0)).astype(np.int64)
    top = np.clip(np.floor(y), 0, max(height - 2, 0)).astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    four = np.stack([depth[top, left], depth[top, right], depth[bottom, left], depth[bottom, right]])
    s, t = np.clip(x - left, 0, 1), np.clip(y - top, 0, 1)
    mixed = (four[0] * (1 - s) + four[1] * s) * (1 - t) + (four[2] * (1 - s) + four[3] * s) * t
    smooth = (four.min(0) > 0) & (np.ptp(four, axis=0) < reach)
    return np.where(smooth, mixed, depth[row, column])
