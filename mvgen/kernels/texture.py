"""Hot loops of texturing: depth maps, atlas rasters, label smoothing and texel sampling.

Every parallel loop owns the memory it writes (a band of rows, a texel), so results do not depend on the
number of threads. Each kernel has a NumPy twin named ``*_reference``; tests hold the two together.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import kernel, pixel_function, prange, serial_kernel

EMPTY = np.float32(1e30)  # depth where there is no surface
BANDS = 16  # rows of a raster are dealt out in this many bands
MOST_SAMPLES = 4  # per texel and direction
OWN_WEIGHT = np.float32(1e-3)  # of a face's own colour against the photos', whose best one has weight 1
NEAR = np.float32(1e-6)
TOUCH = 1e-6  # cells by which flattened faces may lie over each other
SLIVER = np.float32(2e-3)  # twice the area in texels below which a face owns none

Float = NDArray[np.float32]
Double = NDArray[np.float64]
Int = NDArray[np.int32]
Scalar = Any  # float32 once compiled


@pixel_function
def _edge(ax: Scalar, ay: Scalar, bx: Scalar, by: Scalar, x: Scalar, y: Scalar) -> Scalar:
    """Twice the signed area of (a, b, point)."""
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax)


@kernel
def depth_map(points: Float, faces: Int, width: int, height: int) -> Float:
    """Depth of the nearest triangle at each pixel centre, EMPTY where there is none.

    points [V, 3]: (x * z, y * z, z) with x, y in pixels and z the depth; faces [F, 3]. Triangles that reach behind
    the camera are left out. Cost: about 12 flops per covered pixel and 4 bytes written; 50 000 faces onto
    960x720 take 15 ms on one core.
    """
    out = np.full((height, width), EMPTY, np.float32)
    for band in prange(BANDS):
        first = np.int32(band * height // BANDS)
        last = np.int32((band + 1) * height // BANDS)
        for f in range(faces.shape[0]):
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
            if min(za, zb, zc) <= NEAR:
                continue
            ax, ay, bx, by = points[a, 0] / za, points[a, 1] / za, points[b, 0] / zb, points[b, 1] / zb
            cx, cy = points[c, 0] / zc, points[c, 1] / zc
            area = _edge(ax, ay, bx, by, cx, cy)
            if abs(area) < NEAR or max(ax, bx, cx) < 0 or min(ax, bx, cx) > width:
                continue
            if max(ay, by, cy) < first or min(ay, by, cy) > last:
                continue
            x0 = np.int32(max(0, np.ceil(min(ax, bx, cx) - np.float32(0.5))))
            x1 = np.int32(min(width - 1, np.floor(max(ax, bx, cx) - np.float32(0.5))))
            y0 = np.int32(max(first, np.ceil(min(ay, by, cy) - np.float32(0.5))))
            y1 = np.int32(min(last - 1, np.floor(max(ay, by, cy) - np.float32(0.5))))
            for y in range(y0, y1 + 1):
                for x in range(x0, x1 + 1):
                    px, py = np.float32(x + 0.5), np.float32(y + 0.5)
                    wa = _edge(bx, by, cx, cy, px, py) / area
                    wb = _edge(cx, cy, ax, ay, px, py) / area
                    wc = np.float32(1) - wa - wb
                    if wa >= 0 and wb >= 0 and wc >= 0:
                        depth = np.float32(1) / (wa / za + wb / zb + wc / zc)
                        if depth < out[y, x]:
                            out[y, x] = depth
    return out


def depth_map_reference(points: Float, faces: Int, width: int, height: int) -> Float:
    """The same, one triangle at a time over the whole picture."""
    out = np.full((height, width), EMPTY, np.float32)
    y, x = np.mgrid[:height, :width] + 0.5
    for corners in points[faces].astype(np.float64):
        z = corners[:, 2]
        inside, weights = _cover_reference(corners[:, :2] / z[:, None], x, y, 0.0) if z.min() > NEAR else (None, None)
        if inside is not None:
            depth = 1 / (weights @ (1 / z))
            out = np.where(inside & (depth < out), depth, out).astype(np.float32)
    return out


def _cover_reference(
    corners: NDArray[Any], x: NDArray[Any], y: NDArray[Any], margin: float, least: Scalar = NEAR
) -> tuple[Any, Any]:
    """Pixels within ``margin`` of a triangle [3, 2], and barycentric weights [H, W, 3]; (None, None) if degenerate."""
    turned = np.roll(corners, -1, axis=0), np.roll(corners, -2, axis=0)
    twice = [_edge(*turned[0][k], *turned[1][k], x, y) for k in range(3)]
    area = _edge(*corners[0], *corners[1], *corners[2])
    if abs(area) < least:
        return None, None
    weights = np.stack(twice, -1) / area
    heights = abs(area) / np.linalg.norm(turned[1] - turned[0], axis=1)  # of each corner over the opposite edge
    low, high = corners.min(0) - margin, corners.max(0) + margin
    near = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
    return near & (weights >= -margin / heights).all(-1), weights


@kernel
def face_map(corners: Float, size: int, margin: float) -> Int:
    """Which face owns each texel: [size, size], -1 for none.

    corners [F, 3, 2] in texels (x right, y down). A texel belongs to the first face that contains its centre, else
    to the first face within ``margin`` texels. Cost: about 10 flops and 4 bytes per covered texel.
    """
    out = np.full((size, size), np.int32(-1), np.int32)
    for band in prange(BANDS):
        first = np.int32(band * size // BANDS)
        last = np.int32((band + 1) * size // BANDS)
        for grow in range(2):
            m = np.float32(margin * grow)
            if grow == 1 and m <= 0:
                continue
            for f in range(corners.shape[0]):
                ax, ay, bx, by = corners[f, 0, 0], corners[f, 0, 1], corners[f, 1, 0], corners[f, 1, 1]
                cx, cy = corners[f, 2, 0], corners[f, 2, 1]
                if max(ay, by, cy) + m < first or min(ay, by, cy) - m > last:
                    continue
                area = _edge(ax, ay, bx, by, cx, cy)
                if abs(area) < SLIVER:
                    continue
                la = -m * np.sqrt((cx - bx) ** 2 + (cy - by) ** 2) / abs(area)
                lb = -m * np.sqrt((ax - cx) ** 2 + (ay - cy) ** 2) / abs(area)
                lc = -m * np.sqrt((bx - ax) ** 2 + (by - ay) ** 2) / abs(area)
                x0 = np.int32(max(0, np.ceil(min(ax, bx, cx) - m - np.float32(0.5))))
                x1 = np.int32(min(size - 1, np.floor(max(ax, bx, cx) + m - np.float32(0.5))))
                y0 = np.int32(max(first, np.ceil(min(ay, by, cy) - m - np.float32(0.5))))
                y1 = np.int32(min(last - 1, np.floor(max(ay, by, cy) + m - np.float32(0.5))))
                for y in range(y0, y1 + 1):
                    for x in range(x0, x1 + 1):
                        if out[y, x] >= 0:
                            continue
                        px, py = np.float32(x + 0.5), np.float32(y + 0.5)
                        wa = _edge(bx, by, cx, cy, px, py) / area
                        wb = _edge(cx, cy, ax, ay, px, py) / area
                        if wa >= la and wb >= lb and np.float32(1) - wa - wb >= lc:
                            out[y, x] = np.int32(f)
    return out


def face_map_reference(corners: Float, size: int, margin: float) -> Int:
    """The same, one face at a time over the whole texture."""
    out = np.full((size, size), -1, np.int32)
    y, x = np.mgrid[:size, :size] + 0.5
    for grown in (0.0, margin) if margin > 0 else (0.0,):
        for f, corner in enumerate(corners.astype(np.float64)):
            inside, _ = _cover_reference(corner, x, y, grown, SLIVER)
            if inside is not None:
                out[inside & (out < 0)] = f
    return out


@pixel_function
def _span(a: Scalar, b: Scalar, c: Scalar) -> tuple[int, int]:
    """The cells [first, last) over which three coordinates spread."""
    return int(min(a, b, c)), int(max(a, b, c)) + 1


@pixel_function
def _apart(first: Double, second: Double) -> bool:
    """Whether an edge of the first triangle [3, 2] has the second on its outer side, but for TOUCH."""
    turn = _edge(first[0, 0], first[0, 1], first[1, 0], first[1, 1], first[2, 0], first[2, 1])
    side = 1.0 if turn > 0 else -1.0
    for k in range(3):
        ax, ay, bx, by = first[k, 0], first[k, 1], first[(k + 1) % 3, 0], first[(k + 1) % 3, 1]
        depth = max(
            side * _edge(ax, ay, bx, by, second[0, 0], second[0, 1]),
            side * _edge(ax, ay, bx, by, second[1, 0], second[1, 1]),
            side * _edge(ax, ay, bx, by, second[2, 0], second[2, 1]),
        )
        if depth <= TOUCH * math.hypot(bx - ax, by - ay):
            return True
    return False


@pixel_function
def _touches(corners: Double, x: Scalar, y: Scalar) -> bool:
    """Whether no edge of a triangle [3, 2] has the cell from (x, y) to (x + 1, y + 1) on its outer side."""
    turn = _edge(corners[0, 0], corners[0, 1], corners[1, 0], corners[1, 1], corners[2, 0], corners[2, 1])
    side = 1.0 if turn > 0 else -1.0
    for k in range(3):
        ax, ay, bx, by = corners[k, 0], corners[k, 1], corners[(k + 1) % 3, 0], corners[(k + 1) % 3, 1]
        middle = side * _edge(ax, ay, bx, by, x + 0.5, y + 0.5)
        if middle + (abs(bx - ax) + abs(by - ay)) * 0.5 < 0:
            return False
    return True


@serial_kernel
def hidden_faces(corners: Double, heights: Double, grids: NDArray[np.int64], chart: Int) -> NDArray[np.bool_]:
    """Faces that lie under another face of their chart when the chart is flattened, by however little: [F] bool.

    corners [F, 3, 2] in cells of the chart's own grid, of about a face's size; heights [F] along the chart's direction,
    of equal ones the first is above; grids [C + 1, 2]: first cell and width of each chart's grid, then the number of
    cells. Faces that only touch, by up to TOUCH, do not hide each other. Cost: about 60 flops for each two faces near
    each other; 50 000 faces take about 25 ms.
    """
    order = np.argsort(-heights, kind="mergesort")  # the lists of cells below begin with the uppermost face
    starts = np.zeros(grids[-1, 0] + 1, np.int64)
    entries = np.empty(0, np.int32)
    for filling in range(2):  # at first the entries of each cell are only counted
        for f in order:
            corner, offset, width = corners[f], grids[chart[f], 0], grids[chart[f], 1]
            x0, x1 = _span(corner[0, 0], corner[1, 0], corner[2, 0])
            y0, y1 = _span(corner[0, 1], corner[1, 1], corner[2, 1])
            for y in range(y0, y1):
                for x in range(x0, x1):
                    if _touches(corner, x, y):
                        cell = offset + y * width + x
                        if filling:
                            entries[starts[cell]] = f
                            starts[cell] += 1
                        else:
                            starts[cell + 1] += 1
        if not filling:
            starts = np.cumsum(starts)
            entries = np.empty(starts[-1], np.int32)
    hidden = np.zeros(corners.shape[0], np.bool_)
    first = 0
    for cell in range(grids[-1, 0]):
        last = starts[cell]  # of the cell: filling has moved it there
        for i in range(first + 1, last):
            f = entries[i]
            for j in range(first, i):
                if hidden[f]:
                    break
                above = corners[entries[j]]
                hidden[f] = not _apart(above, corners[f]) and not _apart(corners[f], above)
        first = last
    return hidden


def hidden_faces_reference(corners: Double, heights: Double, grids: NDArray[np.int64], chart: Int) -> NDArray[np.bool_]:
    """The same from all pairs of faces, without a grid."""
    hidden = np.zeros(len(corners), bool)
    for f, g in itertools.permutations(range(len(corners)), 2):
        below = heights[f] < heights[g] or (heights[f] == heights[g] and f > g)
        hidden[f] |= chart[f] == chart[g] and below and _depth_reference(corners[f], corners[g]) > TOUCH
    return hidden


def _depth_reference(first: Double, second: Double) -> float:
    """How far two triangles [3, 2] lie over each other, at most 0 where they do not; along the edges' normals."""
    edges = np.concatenate([np.roll(t, -1, axis=0) - t for t in (first, second)])
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1)[:, None]
    one, two = first @ normals.T, second @ normals.T
    return float(np.minimum(one.max(0) - two.min(0), two.max(0) - one.min(0)).min())


@serial_kernel
def smooth_labels(costs: Float, twins: Int, weights: Float, sweeps: int) -> Int:
    """Labels [F] with a small sum of costs[f, label] plus weights[f, k] for each edge k between different labels.

    costs [F, L]; twins [F, 3]: half-edge 3 * g + j on the other side of each edge, -1 at a border; weights [F, 3],
    equal on twins. Min-sum message passing on the face graph, swept forwards and backwards (Kolmogorov 2006, "TRW-S",
    its schedule without the tree weights), so the result is a good local optimum, not always the best one.
    Cost: 18 L flops per face and sweep.
    """
    count, labels = costs.shape
    inbox = np.zeros((count * 3, labels), np.float32)  # what each half-edge's own face has been told across it
    belief = np.empty(labels, np.float32)
    for sweep in range(sweeps):
        for step in range(count):
            f = step if sweep % 2 == 0 else count - 1 - step
            for k in range(labels):
                belief[k] = costs[f, k] + inbox[3 * f, k] + inbox[3 * f + 1, k] + inbox[3 * f + 2, k]
            for edge in range(3):
                twin = twins[f, edge]
                if twin < 0:
                    continue
                low = np.float32(1e30)
                for k in range(labels):
                    low = min(low, belief[k] - inbox[3 * f + edge, k])
                for k in range(labels):
                    inbox[twin, k] = min(belief[k] - inbox[3 * f + edge, k] - low, weights[f, edge])
    out = np.empty(count, np.int32)
    for f in range(count):
        for k in range(labels):
            belief[k] = costs[f, k] + inbox[3 * f, k] + inbox[3 * f + 1, k] + inbox[3 * f + 2, k]
        out[f] = np.argmin(belief)
    return out


def smooth_labels_reference(costs: Float, twins: Int, weights: Float, sweeps: int) -> Int:
    """The same with whole rows of labels at a time."""
    inbox = np.zeros((3 * len(costs), costs.shape[1]), np.float32)
    for sweep in range(sweeps):
        for f in range(len(costs)) if sweep % 2 == 0 else reversed(range(len(costs))):
            belief = costs[f] + inbox[3 * f : 3 * f + 3].sum(0)
            for edge, twin in enumerate(twins[f]):
                if twin >= 0:
                    sent = belief - inbox[3 * f + edge]
                    inbox[twin] = np.minimum(sent - sent.min(), weights[f, edge])
    return (costs + inbox.reshape(len(costs), 3, -1).sum(1)).argmin(1).astype(np.int32)


@pixel_function
def _bilinear(image: NDArray[np.uint8], x: Scalar, y: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """The colour at a position in pixels, clamped to the picture."""
    rows, columns = image.shape[0], image.shape[1]
    x = min(max(x - np.float32(0.5), np.float32(0)), np.float32(columns - 1))
    y = min(max(y - np.float32(0.5), np.float32(0)), np.float32(rows - 1))
    x0, y0 = np.int32(x), np.int32(y)
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    fx, fy = x - np.float32(x0), y - np.float32(y0)
    a, b = (np.float32(1) - fx) * (np.float32(1) - fy), fx * (np.float32(1) - fy)
    c, d = (np.float32(1) - fx) * fy, fx * fy
    red = a * image[y0, x0, 0] + b * image[y0, x1, 0] + c * image[y1, x0, 0] + d * image[y1, x1, 0]
    green = a * image[y0, x0, 1] + b * image[y0, x1, 1] + c * image[y1, x0, 1] + d * image[y1, x1, 1]
    blue = a * image[y0, x0, 2] + b * image[y0, x1, 2] + c * image[y1, x0, 2] + d * image[y1, x1, 2]
    return red, green, blue


@pixel_function
def _footprint(
    image: NDArray[np.uint8], x: Scalar, y: Scalar, ux: Scalar, uy: Scalar, vx: Scalar, vy: Scalar
) -> tuple[Scalar, Scalar, Scalar]:
    """Mean colour over the parallelogram around (x, y) with sides u and v in pixels, from at most 4 x 4 samples."""
    side = np.sqrt(max(ux * ux + uy * uy, vx * vx + vy * vy))
    n = np.int32(min(max(np.ceil(side - np.float32(0.25)), np.float32(1)), np.float32(MOST_SAMPLES)))
    red = green = blue = np.float32(0)
    for i in range(n):
        for j in range(n):
            s = (np.float32(i) + np.float32(0.5)) / np.float32(n) - np.float32(0.5)
            t = (np.float32(j) + np.float32(0.5)) / np.float32(n) - np.float32(0.5)
            r, g, b = _bilinear(image, x + s * ux + t * vx, y + s * uy + t * vy)
            red, green, blue = red + r, green + g, blue + b
    part = np.float32(1) / np.float32(n * n)
    return red * part, green * part, blue * part


@kernel
def add_view(
    total: Float, texels: Int, size: int, planes: Float, limit: Float, trust: Float, image: NDArray[np.uint8]
) -> None:
    """Add one photo's weighted colours to the texels that it sees.

    total [N, 4]: sums of weight * colour (0..255) and of weight, changed in place. texels [N, 2]: face, y * size + x.
    planes [F, 4, 4]: (x * z, y * z, z, weight) at a texel as c[0] + c[1] * dx + c[2] * dy, where (dx, dy) is counted
    from the texel position c[3, :2]; x, y are pixels of the photo and z is the depth. limit, trust [h, w]: the depth
    up to which a texel counts as seen, and how far each pixel may be believed (0..1). image [H, W, 3].
    Cost: about 90 flops and 60 bytes per seen texel.
    """
    rows, columns = image.shape[0], image.shape[1]
    sx, sy = np.float32(limit.shape[1] / columns), np.float32(limit.shape[0] / rows)
    for t in prange(texels.shape[0]):
        c = planes[texels[t, 0]]
        if c[0, 3] == 0 and c[1, 3] == 0 and c[2, 3] == 0:
            continue
        dx = np.float32(texels[t, 1] % size) + np.float32(0.5) - c[3, 0]
        dy = np.float32(texels[t, 1] // size) + np.float32(0.5) - c[3, 1]
        z = c[0, 2] + c[1, 2] * dx + c[2, 2] * dy
        weight = c[0, 3] + c[1, 3] * dx + c[2, 3] * dy
        if weight <= 0 or z <= NEAR:
            continue
        x = (c[0, 0] + c[1, 0] * dx + c[2, 0] * dy) / z
        y = (c[0, 1] + c[1, 1] * dx + c[2, 1] * dy) / z
        if not (x >= 0 and y >= 0 and x < columns and y < rows):
            continue
        row, column = min(np.int32(y * sy), limit.shape[0] - 1), min(np.int32(x * sx), limit.shape[1] - 1)
        if z > limit[row, column]:
            continue
        weight *= trust[row, column]
        ux, uy = (c[1, 0] - x * c[1, 2]) / z, (c[1, 1] - y * c[1, 2]) / z
        vx, vy = (c[2, 0] - x * c[2, 2]) / z, (c[2, 1] - y * c[2, 2]) / z
        red, green, blue = _footprint(image, x, y, ux, uy, vx, vy)
        total[t, 0] += weight * red
        total[t, 1] += weight * green
        total[t, 2] += weight * blue
        total[t, 3] += weight


def add_view_reference(
    total: Float, texels: Int, size: int, planes: Float, limit: Float, trust: Float, image: NDArray[np.uint8]
) -> None:
    """The same for all texels at once."""
    rows, columns = image.shape[:2]
    c = planes[texels[:, 0]].astype(np.float64)
    offset = np.stack([texels[:, 1] % size, texels[:, 1] // size], axis=1) + 0.5 - c[:, 3, :2]
    values = c[:, 0] + c[:, 1] * offset[:, :1] + c[:, 2] * offset[:, 1:]
    z = np.where(values[:, 2] > NEAR, values[:, 2], np.nan)
    at = values[:, :2] / z[:, None]
    seen = (values[:, 3] > 0) & (at >= 0).all(1) & (at < [columns, rows]).all(1)
    t, at, z = np.flatnonzero(seen), at[seen], z[seen]
    column, row = (at * [limit.shape[1] / columns, limit.shape[0] / rows]).astype(int).T
    near = z <= limit[row, column]
    t, at, z, row, column = t[near], at[near], z[near], row[near], column[near]
    u = (c[t, 1, :2] - at * c[t, 1, 2:3]) / z[:, None]
    v = (c[t, 2, :2] - at * c[t, 2, 2:3]) / z[:, None]
    side = np.sqrt(np.maximum((u**2).sum(1), (v**2).sum(1)))
    n = np.clip(np.ceil(side - 0.25), 1, MOST_SAMPLES).astype(int)
    colour = np.zeros((len(t), 3))
    for k, (count, corner) in enumerate(zip(n, at)):
        s = (np.arange(count) + 0.5) / count - 0.5
        where = corner + s[:, None, None] * u[k] + s[None, :, None] * v[k]
        colour[k] = bilinear_reference(image, where.reshape(-1, 2)).mean(0)
    weight = (values[t, 3] * trust[row, column])[:, None]
    total[t] += np.concatenate([weight * colour, weight], axis=1).astype(np.float32)


@kernel
def bilinear(image: NDArray[np.uint8], at: Float) -> Float:
    """Colours [N, 3] of an image [H, W, 3] at positions [N, 2] in pixels, clamped to the picture."""
    out = np.empty((at.shape[0], 3), np.float32)
    for k in prange(at.shape[0]):
        out[k, 0], out[k, 1], out[k, 2] = _bilinear(image, at[k, 0], at[k, 1])
    return out


def bilinear_reference(image: NDArray[Any], at: NDArray[Any]) -> NDArray[np.float64]:
    """The same for all positions at once."""
    limit = np.array([image.shape[1], image.shape[0]]) - 1
    at = np.clip(at - 0.5, 0, limit)
    low = at.astype(int)
    high, part = np.minimum(low + 1, limit), at - low
    fx, fy = part[:, :1], part[:, 1:]
    top = image[low[:, 1], low[:, 0]] * (1 - fx) + image[low[:, 1], high[:, 0]] * fx
    bottom = image[high[:, 1], low[:, 0]] * (1 - fx) + image[high[:, 1], high[:, 0]] * fx
    return top * (1 - fy) + bottom * fy


@kernel
def paint(texture: NDArray[np.uint8], texels: Int, total: Float, planes: Float) -> None:
    """Write summed colours into a texture [S, S, 3], with a little of each face's own colour, alone where nothing is.

    texels [N, 2]: face, y * S + x; total [N, 4] as in `add_view`; planes [F, 4, 3]: red, green,
    blue of the face as in `add_view`.
    """
    size = np.int32(texture.shape[1])
    for t in prange(texels.shape[0]):
        y, x = texels[t, 1] // size, texels[t, 1] % size
        c = planes[texels[t, 0]]
        dx = np.float32(x) + np.float32(0.5) - c[3, 0]
        dy = np.float32(y) + np.float32(0.5) - c[3, 1]
        for k in range(3):
            own = c[0, k] + c[1, k] * dx + c[2, k] * dy
            value = (total[t, k] + OWN_WEIGHT * own) / (total[t, 3] + OWN_WEIGHT)
            texture[y, x, k] = np.uint8(min(max(value + np.float32(0.5), np.float32(0)), np.float32(255)))


def paint_reference(texture: NDArray[np.uint8], texels: Int, total: Float, planes: Float) -> None:
    """The same for all texels at once."""
    y, x = np.divmod(texels[:, 1], texture.shape[1])
    c = planes[texels[:, 0]]
    offset = np.stack([x, y], axis=1) + 0.5 - c[:, 3, :2]
    own = c[:, 0] + c[:, 1] * offset[:, :1] + c[:, 2] * offset[:, 1:]
    value = (total[:, :3] + OWN_WEIGHT * own) / (total[:, 3:] + OWN_WEIGHT)
    texture[y, x] = np.clip(value + 0.5, 0, 255).astype(np.uint8)


@kernel
def spread(texture: NDArray[np.uint8], known: NDArray[np.uint8], step: int) -> None:
    """Give each unknown texel beside known ones their mean colour, in place.

    known [S, S]: 1 to step count as known, 0 as unknown; texels filled now become step + 1, so the order of work
    does not matter.
    """
    rows, columns = known.shape
    for row in prange(rows):
        y = np.int32(row)
        for x in range(columns):
            if known[y, x] != 0:
                continue
            red = green = blue = count = np.int32(0)
            for window in range(9):
                v, u = y + window // 3 - 1, x + window % 3 - 1
                if 0 <= v < rows and 0 <= u < columns and known[v, u] != 0 and known[v, u] <= step:
                    red += texture[v, u, 0]
                    green += texture[v, u, 1]
                    blue += texture[v, u, 2]
                    count += 1
            if count > 0:
                texture[y, x, 0] = (red + count // 2) // count
                texture[y, x, 1] = (green + count // 2) // count
                texture[y, x, 2] = (blue + count // 2) // count
                known[y, x] = step + 1


def spread_reference(texture: NDArray[np.uint8], known: NDArray[np.uint8], step: int) -> None:
    """The same by shifting whole pictures."""
    rows, columns = known.shape
    mask = np.pad((known != 0) & (known <= step), 1)
    colour = np.pad(texture.astype(np.int64), ((1, 1), (1, 1), (0, 0)))
    total, count = np.zeros((rows, columns, 3), np.int64), np.zeros((rows, columns, 1), np.int64)
    for v in range(3):
        for u in range(3):
            part = mask[v : v + rows, u : u + columns, None]
            total += colour[v : v + rows, u : u + columns] * part
            count += part
    fresh = (known == 0) & (count[..., 0] > 0)
    texture[fresh] = ((total + count // 2) // np.maximum(count, 1))[fresh]
    known[fresh] = step + 1
