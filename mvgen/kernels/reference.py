"""The stereo kernels once more, plainly and slowly, for tests to compare with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.patchmatch import TAP_W, TAP_X, TAP_Y
from mvgen.kernels.patchmatch_pixel import WORST


def bilinear(picture: NDArray[np.floating], x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
    """Samples of a picture [H, W] at index coordinates, clamped to its edge."""
    height, width = picture.shape
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - x0, y - y0
    top = picture[y0, x0] * (1 - fx) + picture[y0, x0 + 1] * fx
    bottom = picture[y0 + 1, x0] * (1 - fx) + picture[y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy


def plane_cost(
    image: NDArray[np.floating],
    source: NDArray[np.floating],
    motion: NDArray[np.floating],
    x: int,
    y: int,
    plane: NDArray[np.floating],
    tone: float,
    gate: float,
) -> float:
    """1 - ZNCC of the patch about (x, y) and its image in a source under a plane (rho, a, b), in the sharpest grade."""
    height, width = image.shape
    xs = np.clip(x + TAP_X.astype(int), 0, width - 1)
    ys = np.clip(y + TAP_Y.astype(int), 0, height - 1)
    values = image[ys, xs].astype(float)
    weight = TAP_W / (1 + ((values - float(image[y, x])) * tone) ** 2)
    weight /= weight.sum()
    rho = plane[0] + plane[1] * TAP_X + plane[2] * TAP_Y
    m, t = np.asarray(motion, float)[:9].reshape(3, 3), np.asarray(motion, float)[9:]
    p = np.stack([x + TAP_X, y + TAP_Y, np.ones_like(TAP_X)], axis=-1) @ m.T + rho[:, None] * t
    centre = m @ [x, y, 1] + plane[0] * t
    edge = np.array([source.shape[1], source.shape[0]]) - 1.001
    if centre[2] <= 1e-6 or (centre[:2] < 0).any() or (centre[:2] > edge * centre[2]).any():
        return -1.0
    there = bilinear(source, p[:, 0] / p[:, 2], p[:, 1] / p[:, 2])
    here, there = values - weight @ values, there - weight @ there
    spread, variance = weight @ there**2, weight @ here**2
    if spread < gate or variance < gate:
        return WORST
    return float(1 - np.clip(weight @ (here * there) / np.sqrt(spread * variance), -1, 1))


def aggregate(
    volume: NDArray[np.uint8], image: NDArray[np.floating], small: int, large: int, tone: float
) -> NDArray[np.uint16]:
    """Semi-global matching over 8 paths, pixel after pixel; see `patchmatch.aggregate`."""
    height, width, _ = volume.shape
    total = np.zeros(volume.shape, np.uint16)
    for dx, dy in [(1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1)]:
        path = np.zeros(volume.shape, np.int64)
        for y in range(height) if dy >= 0 else reversed(range(height)):
            for x in range(width) if dx >= 0 else reversed(range(width)):
                path[y, x] = volume[y, x]
                px, py = x - dx, y - dy
                if 0 <= px < width and 0 <= py < height:
                    before = path[py, px]
                    step = abs(float(image[y, x]) - float(image[py, px]))
                    jump = max(small + 1, int(large / (1 + tone * step)))
                    near = np.minimum(np.append(before[1:], 1 << 30), np.insert(before[:-1], 0, 1 << 30)) + small
                    least = before.min()
                    path[y, x] += np.minimum(np.minimum(before, near), least + jump) - least
        total += path.astype(np.uint16)
    return total


def votes(
    rho: NDArray[np.floating],
    other: NDArray[np.floating],
    forward: NDArray[np.floating],
    backward: NDArray[np.floating],
    pixels: float,
    relative: float,
) -> NDArray[np.bool_]:
    """[H, W]: does another view confirm each inverse depth? See `consistency.confirm`."""
    y, x = np.mgrid[: rho.shape[0], : rho.shape[1]].astype(float)

    def carry(motion: NDArray[np.floating], x: NDArray[np.floating], y: NDArray[np.floating], r: NDArray[np.floating]):
        m, t = np.asarray(motion, float)[:9].reshape(3, 3), np.asarray(motion, float)[9:]
        p = np.stack([x, y, np.ones_like(x)], -1) @ m.T + r[..., None] * t
        with np.errstate(divide="ignore", invalid="ignore"):
            return p[..., 0] / p[..., 2], p[..., 1] / p[..., 2], r / p[..., 2]

    px, py, _ = carry(forward, x, y, rho)
    ix, iy = np.floor(px + 0.5), np.floor(py + 0.5)
    inside = (rho > 0) & (ix >= 0) & (iy >= 0) & (ix < other.shape[1]) & (iy < other.shape[0])
    there = np.where(inside, other[np.where(inside, iy, 0).astype(int), np.where(inside, ix, 0).astype(int)], 0)
    qx, qy, back = carry(backward, px, py, there)
    near = (qx - x) ** 2 + (qy - y) ** 2 <= pixels**2
    return inside & (there > 0) & near & (np.abs(back - rho) <= relative * rho)
