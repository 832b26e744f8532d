"""What pixels say of the faces that they show, for ``mvgen.core.refine``. Serial, O(pixels) time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import exact_kernel

Float = NDArray[np.float64]
Int = NDArray[np.int32]
Bool = NDArray[np.bool_]


@exact_kernel
def median_directions(
    group: Int,
    directions: Float,
    weight: Float,
    rounds: int,
    soft: float,
    out: Float,
) -> None:
    """out [G, 3]: the geometric median of the unit vectors [N, 3] of each group [N], scaled to length 1.

    By Weiszfeld's rounds from the mean; within ``soft`` all distances count alike. Groups without vectors stay.
    """
    total = np.empty_like(out)
    for number in range(rounds):
        total[:] = 0
        for i in range(len(group)):
            g = group[i]
            x, y, z, share = directions[i, 0], directions[i, 1], directions[i, 2], weight[i]
            if number > 0:
                dx, dy, dz = x - out[g, 0], y - out[g, 1], z - out[g, 2]
                share /= math.sqrt(dx * dx + dy * dy + dz * dz) + soft
            total[g, 0] += share * x
            total[g, 1] += share * y
            total[g, 2] += share * z
        for g in range(len(out)):
            x, y, z = total[g, 0], total[g, 1], total[g, 2]
            length = math.sqrt(x * x + y * y + z * z)
            if length > 0:
                out[g, 0], out[g, 1], out[g, 2] = x / length, y / length, z / length


def median_directions_reference(
    group: Int,
    directions: Float,
    weight: Float,
    rounds: int,
    soft: float,
    out: Float,
) -> None:
    """As `median_directions`, group by group."""
    for g in np.unique(group):
        own, first = directions[group == g], weight[group == g]
        now = first
        for _ in range(rounds):
            total = now @ own
            out[g] = total / np.linalg.norm(total)
            now = first / (np.linalg.norm(own - out[g], axis=1) + soft)


@exact_kernel
def facing_pixels(
    face: Int,
    among: Bool,
    wanted: NDArray[np.float32],
    normals: Float,
    vertices: Float,
    faces: Int,
    eye: Float,
    alike: float,
    least: float,
    out: Int,
    out_weight: Float,
) -> int:
    """out [P]: the pixels that show a face which may have the normal wanted [P, 3] there; returns how many they are.

    face [P]: the face at a pixel, -1 for none; among [F]: which faces count; eye [3]: where the camera is. The cosine
    between the normal wanted and that of the face [F, 3] is larger than ``alike``, the one between the normal wanted
    and the way to the camera is larger than ``least`` and becomes the pixel's weight.
    """
    count = 0
    for i in range(len(face)):
        f = face[i]
        x, y, z = wanted[i, 0], wanted[i, 1], wanted[i, 2]
        if f < 0 or not among[f] or (x == 0 and y == 0 and z == 0):
            continue
        if not normals[f, 0] * x + normals[f, 1] * y + normals[f, 2] * z > alike:
            continue
        v = faces[f, 0]
        rx, ry, rz = vertices[v, 0] - eye[0], vertices[v, 1] - eye[1], vertices[v, 2] - eye[2]
        facing = -(x * rx + y * ry + z * rz) / max(math.sqrt(rx * rx + ry * ry + rz * rz), 1e-300)
        if facing > least:
            out[count], out_weight[count] = i, facing
            count += 1
    return count


def facing_pixels_reference(
    face: Int,
    among: Bool,
    wanted: NDArray[np.float32],
    normals: Float,
    vertices: Float,
    faces: Int,
    eye: Float,
    alike: float,
    least: float,
    out: Int,
    out_weight: Float,
) -> int:
    """As `facing_pixels`, with arrays."""
    rays = vertices[faces[face, 0]] - eye
    facing = -(wanted * rays).sum(1) / np.linalg.norm(rays, axis=1)
    cosine = (normals[face] * wanted).sum(1)
    found = np.flatnonzero((face >= 0) & among[face] & wanted.any(1) & (cosine > alike) & (facing > least))
    out[: len(found)], out_weight[: len(found)] = found, facing[found]
    return len(found)


@exact_kernel
def pixels_at_middles(
    among: Bool,
    face: Int,
    depth: NDArray[np.float32],
    width: int,
    screen: NDArray[np.float32],
    within: float,
    wanted: NDArray[np.float32],
    normals: Float,
    vertices: Float,
    faces: Int,
    eye: Float,
    alike: float,
    least: float,
    out_face: Int,
    out_place: Int,
    out_weight: Float,
) -> int:
    """out_face, out_place [F]: faces among [F] that turn to the camera, and the pixels of [P] that their middles are
    in, where that is at most ``within`` of its own depth in front of or behind what the pixel shows; returns how many.

    face, depth [P]: what pixels show, -1 for none; screen [V, 3]: where vertices are in the view, and their depth. All
    else as of `facing_pixels`.
    """
    count = 0
    for f in range(len(faces)):
        if not among[f]:
            continue
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        away = (np.float64(screen[a, 2]) + screen[b, 2] + screen[c, 2]) / 3
        column = math.floor((np.float64(screen[a, 0]) + screen[b, 0] + screen[c, 0]) / 3)
        row = math.floor((np.float64(screen[a, 1]) + screen[b, 1] + screen[c, 1]) / 3)
        if not (away > 0 and 0 <= column < width and 0 <= row < len(face) // width):
            continue
        i = row * width + column
        x, y, z = wanted[i, 0], wanted[i, 1], wanted[i, 2]
        if face[i] < 0 or abs(depth[i] - away) >= within * away or (x == 0 and y == 0 and z == 0):
            continue
        nx, ny, nz = normals[f, 0], normals[f, 1], normals[f, 2]
        rx, ry, rz = vertices[a, 0] - eye[0], vertices[a, 1] - eye[1], vertices[a, 2] - eye[2]
        if not (nx * x + ny * y + nz * z > alike and nx * rx + ny * ry + nz * rz < 0):
            continue
        facing = -(x * rx + y * ry + z * rz) / max(math.sqrt(rx * rx + ry * ry + rz * rz), 1e-300)
        if facing > least:
            out_face[count], out_place[count], out_weight[count] = f, i, facing
            count += 1
    return count


def pixels_at_middles_reference(
    among: Bool,
    face: Int,
    depth: NDArray[np.float32],
    width: int,
    screen: NDArray[np.float32],
    within: float,
    wanted: NDArray[np.float32],
    normals: Float,
    vertices: Float,
    faces: Int,
    eye: Float,
    alike: float,
    least: float,
    out_face: Int,
    out_place: Int,
    out_weight: Float,
) -> int:
    """As `pixels_at_middles`, with arrays."""
    middle = screen[faces].mean(1, dtype=np.float64)
    column, row = np.floor(middle[:, :2]).astype(int).T
    inside = (middle[:, 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < len(face) // width)
    place = np.where(inside, row * width + column, 0)
    there = np.abs(depth[place] - middle[:, 2]) < within * middle[:, 2]
    rays = vertices[faces[:, 0]] - eye
    facing = -(wanted[place] * rays).sum(1) / np.linalg.norm(rays, axis=1)
    good = among & inside & there & (face[place] >= 0) & wanted[place].any(1) & (facing > least)
    good &= ((normals * wanted[place]).sum(1) > alike) & ((normals * rays).sum(1) < 0)
    found = np.flatnonzero(good)
    out_face[: len(found)], out_place[: len(found)], out_weight[: len(found)] = found, place[found], facing[found]
    return len(found)


@exact_kernel
def add_halves(
    face: Int,
    normals: Float,
    weight: Float,
    centres: Float,
    screen: Float,
    faces: Int,
    far: Int,
    total: Float,
    weights: Float,
    beside: Float,
) -> None:
    """Add the weighed normals [N, 3] of a view's pixels to total [F, 3] of their faces, and to beside [3 F] of those
    half-edges for which the pixel lies on the side of the half-edge's end after it is flipped.

    centres [N, 2] of pixels, screen [V, 2]: where vertices are in the view; far [3 F]: the vertex opposite to a
    half-edge in the face beyond.
    """
    for i in range(len(face)):
        f, w = face[i], weight[i]
        x, y, z = w * normals[i, 0], w * normals[i, 1], w * normals[i, 2]
        total[f, 0] += x
        total[f, 1] += y
        total[f, 2] += z
        weights[f] += w
        for side in range(3):
            h, apex, end = 3 * f + side, faces[f, (side + 2) % 3], faces[f, (side + 1) % 3]
            ax, ay = screen[apex, 0], screen[apex, 1]
            wx, wy = screen[far[h], 0] - ax, screen[far[h], 1] - ay
            own = wx * (centres[i, 1] - ay) - wy * (centres[i, 0] - ax) > 0
            if own == (wx * (screen[end, 1] - ay) - wy * (screen[end, 0] - ax) > 0):
                beside[h, 0] += x
                beside[h, 1] += y
                beside[h, 2] += z


def add_halves_reference(
    face: Int,
    normals: Float,
    weight: Float,
    centres: Float,
    screen: Float,
    faces: Int,
    far: Int,
    total: Float,
    weights: Float,
    beside: Float,
) -> None:
    """As `add_halves`, with arrays."""
    value = normals * weight[:, None]
    np.add.at(total, face, value)
    np.add.at(weights, face, weight)
    for side in range(3):
        start, end = screen[faces[face, (side + 2) % 3]], screen[faces[face, (side + 1) % 3]]
        way = screen[far[3 * face + side]] - start
        same = (_turn(way, centres - start) > 0) == (_turn(way, end - start) > 0)
        np.add.at(beside, 3 * face[same] + side, value[same])


def _turn(one: Float, two: Float) -> Float:
    """[N]: which way the second of two vectors in the plane [N, 2] turns from the first."""
    return np.asarray(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])


@exact_kernel
def add_misplaced(
    face: Int,
    normals: Float,
    weight: Float,
    wanted: Float,
    seen: Bool,
    twins: Int,
    more: float,
    weights: Float,
    out: Float,
) -> None:
    """Add the weights of pixels [N] to weights [F] of their faces, and to out [3 F] of the half-edge, if there is one,
    beyond which a face wants a normal that is more like the pixel's [N, 3], its cosine larger by ``more``.

    wanted [F, 3] by faces that are seen [F]; twins [3 F]: the half-edges beyond, -1 for none.
    """
    for i in range(len(face)):
        f = face[i]
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        best, at = x * wanted[f, 0] + y * wanted[f, 1] + z * wanted[f, 2] + more, -1
        for side in range(3):
            twin = twins[3 * f + side]
            g = twin // 3
            if twin >= 0 and seen[g]:
                alike = x * wanted[g, 0] + y * wanted[g, 1] + z * wanted[g, 2]
                if alike > best:
                    best, at = alike, 3 * f + side
        weights[f] += weight[i]
        if at >= 0:
            out[at] += weight[i]


def add_misplaced_reference(
    face: Int,
    normals: Float,
    weight: Float,
    wanted: Float,
    seen: Bool,
    twins: Int,
    more: float,
    weights: Float,
    out: Float,
) -> None:
    """As `add_misplaced`, with arrays."""
    beyond = twins[3 * face[:, None] + np.arange(3)]
    there = (beyond >= 0) & seen[beyond // 3]
    alike = np.where(there, (normals[:, None] * wanted[beyond // 3]).sum(2), -2)
    side = alike.argmax(1)
    better = alike.max(1) > (normals * wanted[face]).sum(1) + more
    np.add.at(weights, face, weight)
    np.add.at(out, (3 * face + side)[better], weight[better])
