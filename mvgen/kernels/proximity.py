"""Bounds of the distance from small triangles to the triangles of a surface; a reference of the distance is
``point_triangle_distance`` of ``mvgen.core.nearest``."""

from __future__ import annotations

import math

from mvgen.kernels.jit import exact_kernel, inner_kernel


@inner_kernel
def _to_segment(px, py, pz, dx, dy, dz):
    """Squared distance from a point to a segment from 0 to d."""
    t = min(max((px * dx + py * dy + pz * dz) / max(dx * dx + dy * dy + dz * dz, 1e-300), 0.0), 1.0)
    x, y, z = px - t * dx, py - t * dy, pz - t * dz
    return x * x + y * y + z * z


@inner_kernel
def _distance(p, corners):
    """From a point [3] to a triangle [3, 3]."""
    ax, ay, az = corners[0, 0], corners[0, 1], corners[0, 2]
    px, py, pz = p[0] - ax, p[1] - ay, p[2] - az
    ex, ey, ez = corners[1, 0] - ax, corners[1, 1] - ay, corners[1, 2] - az
    fx, fy, fz = corners[2, 0] - ax, corners[2, 1] - ay, corners[2, 2] - az
    ee, ef, ff = ex * ex + ey * ey + ez * ez, ex * fx + ey * fy + ez * fz, fx * fx + fy * fy + fz * fz
    pe, pf = px * ex + py * ey + pz * ez, px * fx + py * fy + pz * fz
    v, w, scale = ff * pe - ef * pf, ee * pf - ef * pe, ee * ff - ef * ef  # barycentric, times scale
    if v > 0 and w > 0 and v + w < scale:
        nx, ny, nz = ey * fz - ez * fy, ez * fx - ex * fz, ex * fy - ey * fx
        height = px * nx + py * ny + pz * nz
        return math.sqrt(height * height / max(nx * nx + ny * ny + nz * nz, 1e-300))
    one, two = _to_segment(px, py, pz, ex, ey, ez), _to_segment(px, py, pz, fx, fy, fz)
    three = _to_segment(px - ex, py - ey, pz - ez, fx - ex, fy - ey, fz - ez)
    return math.sqrt(min(one, two, three))


@exact_kernel
def farthest_corner(points, faces, triangle, corners, out):
    """out [N]: the largest distance of a corner of a triangle, faces [N, 3] of points [P, 3], to that one of the
    triangles corners [F, 3, 3] that is numbered triangle [N]."""
    for i in range(len(faces)):
        most = 0.0
        for k in range(3):
            most = max(most, _distance(points[faces[i, k]], corners[triangle[i]]))
        out[i] = most


@exact_kernel
def least_farthest_corner(points, faces, distance, near, corners, out):
    """out [N]: the least of these for the triangles near [P] that are nearest to its corners, at distances [P]."""
    for i in range(len(faces)):
        out[i] = math.inf
        for k in range(3):
            own = near[faces[i, k]]
            most = distance[faces[i, k]]
            for c in range(3):
                if c != k and most < out[i]:
                    other = faces[i, c]
                    apart = distance[other] if near[other] == own else _distance(points[other], corners[own])
                    most = max(most, apart)
            out[i] = min(out[i], most)
