"""Choosing spheres: loops over pairs of them."""

from __future__ import annotations

import numpy as np

from mvgen.kernels.jit import serial_kernel, strict_kernel


@serial_kernel
def apart(centres, radii, always, kept):
    """Walks through balls and marks in ``kept`` those that touch none kept before; those of ``always`` in any case.

    centres [N, 3] and radii [N] float64; always, kept [N] bool. About 1 ns for each pair of a ball and a kept one.
    """
    chosen = np.empty(len(radii), np.int64)
    count = 0
    for k in range(len(radii)):
        free = True
        if not always[k]:
            for j in range(count):
                i = chosen[j]
                reach = radii[k] + radii[i]
                dx, dy, dz = (
                    centres[k, 0] - centres[i, 0],
                    centres[k, 1] - centres[i, 1],
                    centres[k, 2] - centres[i, 2],
                )
                if dx * dx + dy * dy + dz * dz <= reach * reach:
                    free = False
                    break
        kept[k] = free
        if free:
            chosen[count] = k
            count += 1


@serial_kernel
def farthest(centres, radii, first, order):
    """Fills ``order`` [M] with balls, beginning with ``first``: each next one has the largest
    min over the chosen j of |c - c_j| - r_j + 2 r. Of equal ones the earliest."""
    nearest = np.full(len(radii), np.inf)
    taken = np.zeros(len(radii), np.bool_)
    order[0] = first
    for m in range(1, len(order)):
        last = order[m - 1]
        taken[last] = True
        best, value = -1, -np.inf
        for k in range(len(radii)):
            dx, dy, dz = (
                centres[k, 0] - centres[last, 0],
                centres[k, 1] - centres[last, 1],
                centres[k, 2] - centres[last, 2],
            )
            gap = np.sqrt(dx * dx + dy * dy + dz * dz) - radii[last]
            nearest[k] = min(nearest[k], gap)
            if not taken[k] and nearest[k] + 2 * radii[k] > value:
                best, value = k, nearest[k] + 2 * radii[k]
        order[m] = best


@strict_kernel
def mean_sphere(points, spheres, out):
    """out [N, 7]: points [N, 3], and the mean of spheres [M, 4] weighted by the distance to each. float32.

    About 0.6 ns for each point and sphere.
    """
    distance = np.empty(len(spheres), np.float32)
    by_axis = spheres.T.copy()
    for n in range(len(points)):
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        for j in range(len(spheres)):
            dx, dy, dz = by_axis[0, j] - px, by_axis[1, j] - py, by_axis[2, j] - pz
            distance[j] = np.sqrt(dx * dx + dy * dy + dz * dz)
        total = x = y = z = s = np.float32(0)
        for j in range(len(spheres)):
            d = distance[j]
            total += d
            x += d * by_axis[0, j]
            y += d * by_axis[1, j]
            z += d * by_axis[2, j]
            s += d * by_axis[3, j]
        share = np.float32(1) / max(total, np.float32(1e-20))
        out[n, 0], out[n, 1], out[n, 2] = px, py, pz
        out[n, 3], out[n, 4], out[n, 5], out[n, 6] = x * share, y * share, z * share, s * share


@strict_kernel
def sphere_weights(points, spheres, out):
    """out [N, 3 + M]: points [N, 3], and each sphere's share of the sum of distances to the spheres [M, 4]. float32."""
    for n in range(len(points)):
        total = np.float32(0)
        for j in range(len(spheres)):
            dx, dy, dz = spheres[j, 0] - points[n, 0], spheres[j, 1] - points[n, 1], spheres[j, 2] - points[n, 2]
            d = np.sqrt(dx * dx + dy * dy + dz * dz)
            out[n, 3 + j] = d
            total += d
        share = np.float32(1) / max(total, np.float32(1e-20))
        for j in range(len(spheres)):
            out[n, 3 + j] *= share
        for i in range(3):
            out[n, i] = points[n, i]
