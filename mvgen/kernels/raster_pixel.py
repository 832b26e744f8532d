"""Rasterising, one face, pixel or pair of pixels at a time: the functions that the CPU and the CUDA kernels share.

`screen` [V, 3] holds pixel x, pixel y and depth of each vertex; the centre of pixel (row, column) is at
(column + 0.5, row + 0.5). Decisions are taken in float64, in which products of float32 differences are nearly exact.
"""

from __future__ import annotations

import math

from numba import float32, float64, int32

from mvgen.kernels.jit import exact_pixel_function

NEAR = 1e-8  # faces with a corner that is not deeper than this are not drawn
LIMIT = 2.0**24  # pixels: faces that reach farther out are not drawn
NARROW = 4  # columns that are tried one by one
STEEP = 1e-6  # edges lower than this, in pixels, do not bound the span of a row
MOST_STEPS = 64  # faces that are passed between two neighbouring pixels
HALF = 0.5
ONE = 1.0


@exact_pixel_function
def edge(ax, ay, bx, by, x, y):
    """Twice the signed area of (a, b, point); exactly the negative when a and b are exchanged."""
    if bx < ax or (bx == ax and by < ay):
        return (bx - ax) * (y - by) - (by - ay) * (x - bx)
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax)


@exact_pixel_function
def corner(screen, faces, f, k):
    """x, y, depth as float64."""
    v = faces[f, k]
    return float64(screen[v, 0]), float64(screen[v, 1]), float64(screen[v, 2])


@exact_pixel_function
def usable(x, y, z):
    """Whether a corner may be drawn; false for NaN and infinity."""
    return abs(x) <= LIMIT and abs(y) <= LIMIT and z > NEAR and z < math.inf


@exact_pixel_function
def drawable(screen, faces, f):
    """Whether all corners of a face are usable and it has an area."""
    ax, ay, az = corner(screen, faces, f, 0)
    bx, by, bz = corner(screen, faces, f, 1)
    cx, cy, cz = corner(screen, faces, f, 2)
    if not (usable(ax, ay, az) and usable(bx, by, bz) and usable(cx, cy, cz)):
        return False
    return edge(ax, ay, bx, by, cx, cy) != 0


@exact_pixel_function
def pixel_range(a, b, c, count):
    """First and last index in [0, count) of pixels whose centres three usable coordinates enclose."""
    low = math.ceil(max(min(min(a, b), c) - HALF, 0.0))
    high = math.floor(min(max(max(a, b), c) - HALF, count - ONE))
    return int32(low), int32(high)


@exact_pixel_function
def border(ax, ay, bx, by, side):
    """An edge for `beyond`: a point, a direction, and whether its face owns the centres that lie on it.

    side: 1 or -1, the sign of the face's area. Of two faces that share an edge, the one for which it leads down the
    screen, or to the left when it is level, owns its points.
    """
    if bx < ax or (bx == ax and by < ay):
        x, y, dx, dy = bx, by, (bx - ax) * side, (by - ay) * side
    else:
        x, y, dx, dy = ax, ay, (bx - ax) * side, (by - ay) * side
    return x, y, dx, dy, dy > 0 or (dy == 0 and dx < 0)


@exact_pixel_function
def beyond(line, x, y):
    """`edge` times the side: positive on the face's side of a border; exactly the negative for the other face."""
    return line[2] * (y - line[1]) - line[3] * (x - line[0])


@exact_pixel_function
def face_borders(screen, faces, f, perspective):
    """The borders opposite each corner, and what `depth_at` multiplies their values with."""
    ax, ay, az = corner(screen, faces, f, 0)
    bx, by, bz = corner(screen, faces, f, 1)
    cx, cy, cz = corner(screen, faces, f, 2)
    area = edge(ax, ay, bx, by, cx, cy)
    side = ONE if area > 0 else -ONE
    area *= side
    if perspective:
        scales = ONE / (az * area), ONE / (bz * area), ONE / (cz * area)
    else:
        scales = az / area, bz / area, cz / area
    return border(bx, by, cx, cy, side), border(cx, cy, ax, ay, side), border(ax, ay, bx, by, side), scales


@exact_pixel_function
def depth_at(borders, perspective, x, y):
    """Depth of a face at a point as float32; 0 where it does not cover the point."""
    one, two, three, scales = borders
    a = beyond(one, x, y)
    if not (a > 0 or (a == 0 and one[4])):
        return float32(0)
    b = beyond(two, x, y)
    if not (b > 0 or (b == 0 and two[4])):
        return float32(0)
    c = beyond(three, x, y)
    if not (c > 0 or (c == 0 and three[4])):
        return float32(0)
    value = a * scales[0] + b * scales[1] + c * scales[2]
    return float32(ONE / value if perspective else value)


@exact_pixel_function
def narrow(line, y, first, last):
    """The columns of a row that a border leaves to its face, and one more."""
    if abs(line[3]) < STEEP:
        return first, last
    at = line[0] + line[2] / line[3] * (y - line[1]) - HALF
    if line[3] > 0:
        return first, int32(max(min(math.floor(at) + ONE, float64(last)), first - ONE))
    return int32(min(max(math.ceil(at) - ONE, float64(first)), last + ONE)), last


@exact_pixel_function
def row_span(borders, y, first, last):
    """The columns of a row, within first to last, that a face can cover, and few others."""
    if last - first <= NARROW:
        return first, last
    first, last = narrow(borders[0], y, first, last)
    first, last = narrow(borders[1], y, first, last)
    return narrow(borders[2], y, first, last)


@exact_pixel_function
def box(screen, faces, f, height, width):
    """First and last row and column of the pixels in the box of a face; the last before the first where none is."""
    ax, ay, _ = corner(screen, faces, f, 0)
    bx, by, _ = corner(screen, faces, f, 1)
    cx, cy, _ = corner(screen, faces, f, 2)
    top, bottom = pixel_range(ay, by, cy, height)
    left, right = pixel_range(ax, bx, cx, width)
    return top, bottom, left, right


@exact_pixel_function
def weights_at(screen, faces, f, perspective, x, y):
    """Barycentric weights of a point on a face that covers it, and its depth."""
    ax, ay, az = corner(screen, faces, f, 0)
    bx, by, bz = corner(screen, faces, f, 1)
    cx, cy, cz = corner(screen, faces, f, 2)
    a, b, c = edge(bx, by, cx, cy, x, y), edge(cx, cy, ax, ay, x, y), edge(ax, ay, bx, by, x, y)
    total = a + b + c
    if perspective:
        a, b, c = a / az, b / bz, c / cz
        scale = ONE / (a + b + c)
        return a * scale, b * scale, c * scale, total * scale
    a, b, c = a / total, b / total, c / total
    return a, b, c, a * az + b * bz + c * cz


@exact_pixel_function
def weights_gradient(screen, faces, f, perspective, x, y, ga, gb, gc, gz):
    """Gradient of x, y and depth of the three corners, from that of `weights_at`: nine numbers.

    With E the doubled areas opposite the corners and l = E / sum E: weights l and depth sum l z, or in perspective
    q / sum q and 1 / sum q with q = l / z.
    """
    ax, ay, az = corner(screen, faces, f, 0)
    bx, by, bz = corner(screen, faces, f, 1)
    cx, cy, cz = corner(screen, faces, f, 2)
    a, b, c = edge(bx, by, cx, cy, x, y), edge(cx, cy, ax, ay, x, y), edge(ax, ay, bx, by, x, y)
    area = a + b + c
    a, b, c = a / area, b / area, c / area
    if perspective:
        qa, qb, qc = a / az, b / bz, c / cz
        depth = ONE / (qa + qb + qc)
        mean = (ga * qa + gb * qb + gc * qc) * depth + gz * depth
        ga, gb, gc = (ga - mean) * depth / az, (gb - mean) * depth / bz, (gc - mean) * depth / cz
        za, zb, zc = -ga * a / az, -gb * b / bz, -gc * c / cz
    else:
        ga, gb, gc = ga + gz * az, gb + gz * bz, gc + gz * cz
        za, zb, zc = gz * a, gz * b, gz * c
    mean = ga * a + gb * b + gc * c
    ga, gb, gc = (ga - mean) / area, (gb - mean) / area, (gc - mean) / area
    return (
        gb * (y - cy) + gc * (by - y), gb * (cx - x) + gc * (x - bx), za,
        gc * (y - ay) + ga * (cy - y), gc * (ax - x) + ga * (x - cx), zb,
        ga * (y - by) + gb * (ay - y), ga * (bx - x) + gb * (x - ax), zc,
    )  # fmt: skip


@exact_pixel_function
def crossing(screen, faces, f, k, axis, x, y, sign):
    """Whether edge k of a face crosses the line through a point along an axis (0: x, 1: y), and how far from the
    point in the direction sign."""
    v, w = faces[f, k], faces[f, (k + 1) % 3]
    other = 1 - axis
    level = y if axis == 0 else x
    start = x if axis == 0 else y
    p, q = float64(screen[v, other]), float64(screen[w, other])
    if (p > level) == (q > level):
        return False, 0.0
    if w < v:  # both faces at an edge find the same digits
        v, w = w, v
        p, q = q, p
    u = (level - p) / (q - p)
    s, t = float64(screen[v, axis]), float64(screen[w, axis])
    return True, sign * (s + (t - s) * u - start)


@exact_pixel_function
def surface_end(screen, faces, twins, f, axis, x, y, sign):
    """Where the surface that a face shows at (x, y) ends on the way to the next pixel: half-edge 3 f + k, face f.

    Where it reaches the next pixel the half-edge is -1. Goes from face to face over their common edges; the surface
    ends at an edge with no other face, or one whose other face leads back.
    """
    k, along = -1, -math.inf
    for j in range(3):
        hit, t = crossing(screen, faces, f, j, axis, x, y, sign)
        if hit and t > along:
            k, along = j, t
    for _ in range(MOST_STEPS):
        if k < 0 or along >= 1:
            return -1, f
        twin = twins[f, k]
        if twin < 0 or not drawable(screen, faces, twin // 3):
            return 3 * f + k, f
        g, entered = twin // 3, twin % 3
        out, farther = -1, along
        for j in range(3):
            if j != entered:
                hit, t = crossing(screen, faces, g, j, axis, x, y, sign)
                if hit:
                    out, farther = j, t
        if farther < along:
            return 3 * f + k, f
        f, k, along = g, out, farther
    return -1, f


@exact_pixel_function
def end_depth(screen, faces, half, axis, x, y):
    """Depth where a half-edge crosses the line through a point along an axis, on a straight line over the screen."""
    v, w = faces[half // 3, half % 3], faces[half // 3, (half % 3 + 1) % 3]
    level = y if axis == 0 else x
    p, q = float64(screen[v, 1 - axis]), float64(screen[w, 1 - axis])
    u = (level - p) / (q - p)
    return screen[v, 2] + (screen[w, 2] - screen[v, 2]) * u


@exact_pixel_function
def pair_edge(screen, faces, twins, face, axis, column, row):
    """The half-edge that separates a pixel from the next along an axis where another surface begins, or -1.

    That of the nearer surface where both end.
    """
    other_column, other_row = column + 1 - axis, row + axis
    f, g = face[row, column], face[other_row, other_column]
    if f == g:
        return -1
    x, y = column + HALF, row + HALF
    one, two = -1, -1
    if f >= 0:
        one, there = surface_end(screen, faces, twins, f, axis, x, y, ONE)
        if one < 0 and there == g:
            return -1
    if g >= 0:
        two, _ = surface_end(screen, faces, twins, g, axis, other_column + HALF, other_row + HALF, -ONE)
    if one >= 0 and two >= 0:
        if end_depth(screen, faces, two, axis, x, y) < end_depth(screen, faces, one, axis, x, y):
            one = two
    elif one < 0:
        one = two
    return one
