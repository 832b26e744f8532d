"""PatchMatch stereo, one pixel at a time: the functions that the CPU and the CUDA kernels share.

A hypothesis is a plane seen by the reference camera. In inverse depth it is affine over the picture,
``rho(x + dx, y + dy) = rho + a dx + b dy``, so a pixel of a source picture is
``p ~ M (x, y, 1) + m rho`` with ``M = K_s R K^-1`` and ``m = K_s t``: affine in (dx, dy) before the division.
Costs are 1 - ZNCC over 5 x 5 taps two pixels apart, weighted by likeness to the centre (bilateral).
"""

from __future__ import annotations

import math

import numpy as np
from numba import float32, int32, int64, uint32, uint64, uintp

from mvgen.kernels import jit
from mvgen.kernels.jit import pixel_function

TAPS = 25
WORST = 2.0  # the cost of a hypothesis that no source can judge
OUTSIDE = 0.5  # what a source counts for when the hypothesis leaves its picture, but not that of every source
ZERO, ONE = np.float32(0), np.float32(1)


@pixel_function
def random_state(x, y, salt):
    """A 32-bit state from a pixel and the number of the pass (integer hash)."""
    h = uint32(uint32(x) * uint32(0x9E3779B1) ^ uint32(y) * uint32(0x85EBCA77) ^ uint32(salt) * uint32(0xC2B2AE3D))
    h = uint32((h ^ (h >> uint32(15))) * uint32(0x2C1B3C6D))
    h = uint32((h ^ (h >> uint32(12))) * uint32(0x297A2D39))
    return uint32(h ^ (h >> uint32(15))) | uint32(1)


@pixel_function
def next_state(state):
    """Xorshift (Marsaglia 2003)."""
    state = uint32(state ^ (state << uint32(13)))
    state = uint32(state ^ (state >> uint32(17)))
    return uint32(state ^ (state << uint32(5)))


@pixel_function
def signed_unit(state):
    """A float in [-1, 1) from a state."""
    return float32(state >> uint32(8)) * float32(2.0 / 16777216.0) - ONE


@pixel_function
def level(grey):
    """A grey in [0, 1] as a whole number of 16 bits."""
    return uint64(min(max(grey, ZERO), ONE) * float32(65535) + float32(0.5))


@pixel_function
def reference_patch(image, height, width, x, y, stride, tap_x, tap_y, tap_w, tone, patch):
    """Fill patch: weights [0], and values [1] relative to the weighted mean; return the mean and the variance.

    Taps are `stride` times as far apart as tap_x, tap_y [25] say.
    """
    centre = image[y, x]
    total = ZERO
    mean = ZERO
    for i in range(TAPS):
        yy = min(max(y + stride * int32(tap_y[i]), int32(0)), height - int32(1))
        xx = min(max(x + stride * int32(tap_x[i]), int32(0)), width - int32(1))
        v = image[yy, xx]
        d = (v - centre) * tone
        w = tap_w[i] / (ONE + d * d)
        patch[0, i] = w
        patch[1, i] = v
        total += w
        mean += w * v
    mean /= total
    variance = ZERO
    for i in range(TAPS):
        patch[0, i] /= total
        patch[1, i] -= mean
        variance += patch[0, i] * patch[1, i] * patch[1, i]
    return mean, variance


@pixel_function
def source_cost(
    packed, offset, height, width, motion, x, y, rho, a, b, stride, tap_x, tap_y, patch, words, mean, variance, gate
):  # fmt: skip
    """1 - ZNCC of the reference patch and one source picture (packed: see `patchmatch.pack_picture`).

    motion [12]: M row by row, then m. A hypothesis that leaves the picture costs -1.
    """
    cz = motion[6] * x + motion[7] * y + motion[8] + motion[11] * rho
    cx = motion[0] * x + motion[1] * y + motion[2] + motion[9] * rho
    cy = motion[3] * x + motion[4] * y + motion[5] + motion[10] * rho
    right = float32(width) - float32(1.001)
    bottom = float32(height) - float32(1.001)
    if cz <= float32(1e-6) or cx < ZERO or cy < ZERO or cx > right * cz or cy > bottom * cz:
        return float32(-1)
    scale = ONE / cz
    step = float32(stride) * scale
    s1, s2, sr = patch_sums(
        packed, offset, width, right, bottom, tap_x, tap_y, patch, words, mean,
        cx * scale, (motion[0] + motion[9] * a) * step, (motion[1] + motion[9] * b) * step,
        cy * scale, (motion[3] + motion[10] * a) * step, (motion[4] + motion[10] * b) * step,
        (motion[6] + motion[11] * a) * step, (motion[7] + motion[11] * b) * step,
    )  # fmt: skip
    spread = s2 - s1 * s1
    if spread < gate or variance < gate:
        return float32(WORST)
    score = sr / math.sqrt(spread * variance)
    return ONE - min(max(score, -ONE), ONE)


@pixel_function
def tap_place(dx, dy, right, bottom, cx, xa, xb, cy, ya, yb, za, zb):
    """Where a tap falls in a source. 1 / (z + dz) is taken to second order: dz is small over a patch."""
    bend = za * dx + zb * dy
    inverse = ONE - bend + bend * bend
    px = min(max((cx + xa * dx + xb * dy) * inverse, ZERO), right)
    py = min(max((cy + ya * dx + yb * dy) * inverse, ZERO), bottom)
    return px, py


@pixel_function
def bilinear(low, high, fx, fy):
    """A sample from the two halves of a packed word: the upper and the lower pair of neighbours."""
    v00 = float32(int32(low & uint32(0xFFFF)))
    v01 = float32(int32(low >> uint32(16)))
    v10 = float32(int32(high & uint32(0xFFFF)))
    v11 = float32(int32(high >> uint32(16)))
    top = v00 + (v01 - v00) * fx
    bottom = v10 + (v11 - v10) * fx
    return (top + (bottom - top) * fy) * float32(1.0 / 65535.0)


@pixel_function
def sums_tap_by_tap(
    packed, offset, width, right, bottom, tap_x, tap_y, patch, words, mean, cx, xa, xb, cy, ya, yb, za, zb
):  # fmt: skip
    """Weighted sums of a source's values less the mean, of their squares, and of their products with the patch.

    For GPUs, where a tap lives in registers.
    """
    s1 = ZERO
    s2 = ZERO
    sr = ZERO
    for i in range(TAPS):
        px, py = tap_place(tap_x[i], tap_y[i], right, bottom, cx, xa, xb, cy, ya, yb, za, zb)
        ix = int32(px)
        iy = int32(py)
        q = packed[uintp(offset + iy * width + ix)]
        v = bilinear(uint32(q), uint32(q >> uint64(32)), px - float32(ix), py - float32(iy)) - mean
        w = patch[0, i] * v
        s1 += w
        s2 += w * v
        sr += w * patch[1, i]
    return s1, s2, sr


@pixel_function
def sums_step_by_step(
    packed, offset, width, right, bottom, tap_x, tap_y, patch, words, mean, cx, xa, xb, cy, ya, yb, za, zb
):  # fmt: skip
    """As `sums_tap_by_tap`, each step for all taps before the next: the compiler then computes eight taps at a time."""
    for i in range(TAPS):
        px, py = tap_place(tap_x[i], tap_y[i], right, bottom, cx, xa, xb, cy, ya, yb, za, zb)
        ix = int32(px)
        iy = int32(py)
        patch[2, i] = px - float32(ix)
        patch[3, i] = py - float32(iy)
        words[0, i] = uint32(iy * width + ix)
    for i in range(TAPS):
        q = packed[uintp(offset + words[0, i])]
        words[1, i] = uint32(q)
        words[2, i] = uint32(q >> uint64(32))
    s1 = ZERO
    s2 = ZERO
    sr = ZERO
    for i in range(TAPS):
        v = bilinear(words[1, i], words[2, i], patch[2, i], patch[3, i]) - mean
        w = patch[0, i] * v
        s1 += w
        s2 += w * v
        sr += w * patch[1, i]
    return s1, s2, sr


patch_sums = sums_tap_by_tap if jit.TARGET == "cuda" else sums_step_by_step


@pixel_function
def geometric_error(depths, offset, height, width, forward, backward, x, y, rho):
    """Forward-backward reprojection error in pixels, with the depth that the source found there; 3 where unknown.

    forward, backward [12]: motions between the two full-size pictures; depths: inverse, flat.
    """
    z = forward[6] * x + forward[7] * y + forward[8] + forward[11] * rho
    if z <= float32(1e-6):
        return float32(3)
    px = (forward[0] * x + forward[1] * y + forward[2] + forward[9] * rho) / z
    py = (forward[3] * x + forward[4] * y + forward[5] + forward[10] * rho) / z
    ix = int32(math.floor(px + float32(0.5)))
    iy = int32(math.floor(py + float32(0.5)))
    if ix < 0 or iy < 0 or ix >= width or iy >= height:
        return float32(3)
    there = depths[uintp(offset + iy * width + ix)]
    if there <= ZERO:
        return float32(3)
    z = backward[6] * px + backward[7] * py + backward[8] + backward[11] * there
    if z <= float32(1e-6):
        return float32(3)
    qx = (backward[0] * px + backward[1] * py + backward[2] + backward[9] * there) / z - x
    qy = (backward[3] * px + backward[4] * py + backward[5] + backward[10] * there) / z - y
    return min(math.sqrt(qx * qx + qy * qy), float32(3))


@pixel_function
def hypothesis_cost(
    packed, shift, offsets, sizes, motions, count, best, x, y, rho, a, b, stride, tap_x, tap_y, patch, words, mean,
    variance, gate, depths, backward, geometric, costs, limit,
):  # fmt: skip
    """Mean over the best few sources; costs [S] is scratch. The worst cost when it cannot fall under the limit."""
    if variance < gate:
        return float32(WORST)
    fx = float32(x)
    fy = float32(y)
    judged = False
    lowest = float32(1e9)
    for s in range(count):
        if s + 1 == count and 1 < best <= count and lowest >= limit * float32(best):
            return float32(WORST)  # were the last one's cost 0, the mean would still hold the lowest of the others
        c = source_cost(
            packed, offsets[s] + shift, sizes[s, 0], sizes[s, 1], motions[s], fx, fy, rho, a, b, stride,
            tap_x, tap_y, patch, words, mean, variance, gate,
        )  # fmt: skip
        if c < ZERO:
            c = float32(OUTSIDE)
        elif c < float32(WORST):
            judged = True
            if geometric > ZERO:
                c += geometric * geometric_error(
                    depths, offsets[s], sizes[s, 0], sizes[s, 1], motions[s], backward[s], fx, fy, rho
                )
        costs[s] = c
        lowest = min(lowest, c)
    if not judged:
        return float32(WORST)
    total = ZERO
    for _ in range(best):
        k = 0
        for s in range(1, count):
            if costs[s] < costs[k]:
                k = s
        total += min(costs[k], float32(WORST))
        costs[k] = float32(1e9)
    return total / float32(best)


@pixel_function
def facing(x, y, rho, a, b, focal_x, focal_y, centre_x, centre_y, normal):
    """Unit normal [3] of a plane in camera axes, towards the camera; returns the cosine with the viewing ray."""
    nx = focal_x * a
    ny = focal_y * b
    nz = rho - a * (x - centre_x) - b * (y - centre_y)
    rx = (x - centre_x) / focal_x
    ry = (y - centre_y) / focal_y
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    ray = math.sqrt(rx * rx + ry * ry + ONE)
    normal[0] = -nx / length
    normal[1] = -ny / length
    normal[2] = -nz / length
    return rho / (length * ray)


@pixel_function
def trusted_neighbour(planes, cost, height, width, x, y, side):
    """The plane, carried here, of the most trusted of the pixels at distance 1, 3, 5, 9 on one of four sides.

    Returns whether there is one, then rho, a, b.
    """
    sx = int32(1 - side) if side % 2 == 0 else int32(0)
    sy = int32(0) if side % 2 == 0 else int32(2 - side)
    found = int32(0)
    lowest = float32(1e9)
    for k in range(4):
        step = int32(2 * k + 1) if k < 3 else int32(9)
        xx = x + sx * step
        yy = y + sy * step
        if xx < 0 or yy < 0 or xx >= width or yy >= height:
            break
        c = cost[yy, xx]
        if ZERO <= c < lowest:
            lowest = c
            found = step
    dx = sx * found
    dy = sy * found
    a = planes[y + dy, x + dx, 1]
    b = planes[y + dy, x + dx, 2]
    return found > 0, planes[y + dy, x + dx, 0] - a * float32(dx) - b * float32(dy), a, b


@pixel_function
def plane_through_neighbours(planes, height, width, x, y):
    """The plane through the four neighbours' inverse depths: whether there are four, then rho, a, b."""
    if x < 1 or y < 1 or x + 1 >= width or y + 1 >= height:
        return False, ZERO, ZERO, ZERO
    left = planes[y, x - 1, 0]
    right = planes[y, x + 1, 0]
    above = planes[y - 1, x, 0]
    below = planes[y + 1, x, 0]
    half = float32(0.5)
    return True, (left + right + above + below) * float32(0.25), (right - left) * half, (below - above) * half


@pixel_function
def turned_plane(fx, fy, rho, a, b, lens, spread, state, normal):
    """A plane with the same depth and a normal changed at random; normal [3] is scratch.

    Returns whether it faces the camera, then a, b and the next state.
    """
    facing(fx, fy, rho, a, b, lens[0], lens[1], lens[2], lens[3], normal)
    for k in range(3):
        state = next_state(state)
        normal[k] += spread * signed_unit(state)
    along = normal[0] * (fx - lens[2]) / lens[0] + normal[1] * (fy - lens[3]) / lens[1] + normal[2]
    if along >= float32(-0.05):
        return False, ZERO, ZERO, state
    return True, normal[0] / lens[0] * rho / along, normal[1] / lens[1] * rho / along, state


@pixel_function
def sweep_pixel(
    x, y, images, support, packed, offsets, sizes, motions, count, best, planes, cost, lens, tap_x, tap_y, tap_w,
    settings, salt, patch, words, costs, normal, depths, backward,
):  # fmt: skip
    """Improve one pixel's plane: neighbours' planes, the plane through the neighbours, and random changes.

    images [B, H, W] and, in the same order, the sources in `packed` come in B grades of blur; support [H, W] says which
    grade a pixel is matched in: the taps of grade k are 2^k times as far apart, for where there is little texture.
    lens [4]: focal and centre, index coordinates. settings [8]: lowest and highest rho, one pixel of disparity in
    rho, random range in pixels, range of the normal, tone, gate, geometric weight.
    cost [H, W]: negative means unknown. Pixels of the other colour are only read. patch [4, 25] and words [3, 25] are
    scratch, as are costs [S] and normal [3].
    """
    height = int32(images.shape[1])
    width = int32(images.shape[2])
    layer = int32(support[y, x])
    stride = int32(1) << layer
    shift = layer * int64(packed.shape[0] // images.shape[0])
    low = settings[0]
    high = settings[1]
    rho_px = settings[2]
    gate = settings[6]
    geometric = settings[7]
    fx = float32(x)
    fy = float32(y)
    mean, variance = reference_patch(
        images[layer], height, width, x, y, stride, tap_x, tap_y, tap_w, settings[5], patch
    )
    if variance < gate:  # no hypothesis can be told from another
        cost[y, x] = float32(WORST)
        return
    rho = planes[y, x, 0]
    a = planes[y, x, 1]
    b = planes[y, x, 2]
    least = cost[y, x]
    if least < ZERO:
        least = hypothesis_cost(
            packed, shift, offsets, sizes, motions, count, best, x, y, rho, a, b, stride, tap_x, tap_y, patch, words,
            mean, variance, gate, depths, backward, geometric, costs, float32(1e9),
        )  # fmt: skip

    state = random_state(x, y, salt)
    for trial in range(7):
        if trial < 4:
            usable, trho, ta, tb = trusted_neighbour(planes, cost, height, width, x, y, trial)
        elif trial == 4:
            usable, trho, ta, tb = plane_through_neighbours(planes, height, width, x, y)
        else:
            state = next_state(state)
            shrink = float32(0.25) if trial == 6 else ONE
            usable, trho, ta, tb = True, rho + signed_unit(state) * settings[3] * shrink * rho_px, a, b
            if trial == 6:
                trho = max(trho, low)
                usable, ta, tb, state = turned_plane(fx, fy, trho, a, b, lens, settings[4], state, normal)
        if not (usable and low <= trho <= high):
            continue
        near = abs(trho - rho) + float32(4) * (abs(ta - a) + abs(tb - b))
        if near < float32(0.02) * rho_px:
            continue
        if facing(fx, fy, trho, ta, tb, lens[0], lens[1], lens[2], lens[3], normal) < float32(0.12):
            continue
        c = hypothesis_cost(
            packed, shift, offsets, sizes, motions, count, best, x, y, trho, ta, tb, stride, tap_x, tap_y, patch, words,
            mean, variance, gate, depths, backward, geometric, costs, least,
        )  # fmt: skip
        if c < least:
            least = c
            rho = trho
            a = ta
            b = tb
    planes[y, x, 0] = rho
    planes[y, x, 1] = a
    planes[y, x, 2] = b
    cost[y, x] = least
