"""The rasteriser once more, plainly and slowly, for tests to compare with; gradients are autograd's."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvgen.kernels.raster import Raster
from mvgen.kernels.raster_pixel import LIMIT, NEAR

Double = NDArray[np.float64]


def rasterize(screen: Tensor, faces: Tensor, height: int, width: int, perspective: bool = True) -> Raster:
    """As `raster.rasterize`: one face at a time over the whole picture."""
    corners = screen.detach().double().numpy()[faces.numpy()]
    y, x = np.mgrid[:height, :width] + 0.5
    nearest = np.full((height, width), np.inf, np.float32)
    face = np.full((height, width), -1, np.int32)
    for f, (a, b, c) in enumerate(corners):
        if not is_drawn(a, b, c):
            continue
        side = np.sign(doubled_area(a, b, *c[:2]))
        areas = np.stack([side * doubled_area(p, q, x, y) for p, q in ((b, c), (c, a), (a, b))])
        covered = np.ones((height, width), bool)
        for area, p, q in zip(areas, (b, c, a), (c, a, b)):
            dx, dy = side * (q - p)[:2]
            covered &= (area > 0) | ((area == 0) & (dy > 0 or (dy == 0 and dx < 0)))
        weights = areas / areas.sum(0)
        z = corners[f, :, 2, None, None]
        depth = (1 / (weights / z).sum(0) if perspective else (weights * z).sum(0)).astype(np.float32)
        closer = covered & (depth < nearest)
        nearest[closer], face[closer] = depth[closer], f
    barycentrics, depth = weights_of(screen, faces, torch.tensor(face), perspective)
    return Raster(torch.tensor(face), barycentrics, depth)


def is_drawn(a: Double, b: Double, c: Double) -> bool:
    usable = all(np.isfinite(p).all() and abs(p[:2]).max() <= LIMIT and p[2] > NEAR for p in (a, b, c))
    return usable and bool(doubled_area(a, b, *c[:2]) != 0)


def doubled_area(a: Double, b: Double, x: Double, y: Double) -> Double:
    """Of the triangle (a, b, point), measured from the end that is farther left."""
    p = min(tuple(a[:2]), tuple(b[:2]))
    return (b[0] - a[0]) * (y - p[1]) - (b[1] - a[1]) * (x - p[0])


def weights_of(screen: Tensor, faces: Tensor, face: Tensor, perspective: bool) -> tuple[Tensor, Tensor]:
    """Barycentrics [H, W, 3] and depth [H, W] of the faces at each pixel."""
    row, column = (face >= 0).nonzero(as_tuple=True)
    a, b, c = screen[faces[face[row, column].long()].long()].double().unbind(1)
    p = torch.stack([column + 0.5, row + 0.5], dim=1)

    def area(a: Tensor, b: Tensor) -> Tensor:
        return (b[:, 0] - a[:, 0]) * (p[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (p[:, 0] - a[:, 0])

    weights = torch.stack([area(b, c), area(c, a), area(a, b)], dim=1)
    weights = weights / weights.sum(1, keepdim=True)
    z = torch.stack([a[:, 2], b[:, 2], c[:, 2]], dim=1)
    if perspective:
        weights = weights / z
        depth = 1 / weights.sum(1)
        weights = weights * depth[:, None]
    else:
        depth = (weights * z).sum(1)
    shape = face.shape
    full = screen.new_zeros((*shape, 3)).index_put((row, column), weights.to(screen.dtype))
    return full, screen.new_zeros(shape).index_put((row, column), depth.to(screen.dtype))


def interpolate(attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
    """As `raster.interpolate`."""
    seen = raster.face.clamp(min=0).long()
    corners = attributes[seen] if attributes.dim() == 3 else attributes[faces[seen].long()]
    return (corners * raster.barycentrics[..., None]).sum(2) * (raster.face >= 0)[..., None]


def antialias(image: Tensor, raster: Raster, screen: Tensor, faces: Tensor, twins: Tensor) -> Tensor:
    """As `raster.antialias`: pair after pair."""
    corners, face = screen.detach().double().numpy(), raster.face.numpy()
    out = list(image.flatten(0, 1).unbind(0))
    height, width = face.shape
    for row in range(height):
        for column in range(width):
            for axis in (0, 1):
                there = (row + axis, column + 1 - axis)
                if there[0] >= height or there[1] >= width:
                    continue
                half = outline_between(corners, faces.numpy(), twins.numpy(), face, (row, column), there)
                if half is None:
                    continue
                p, q = screen[faces[half // 3, half % 3]], screen[faces[half // 3, (half + 1) % 3]]
                centre = screen.new_tensor([column + 0.5, row + 0.5])
                dx, dy = q[axis] - p[axis], q[1 - axis] - p[1 - axis]
                weight = (dy**2 / (dx**2 + dy**2)).detach()
                at = p[axis] + dx / dy * (centre[1 - axis] - p[1 - axis]) - centre[axis]
                share = weight * (0.5 - at)
                first, second = row * width + column, there[0] * width + there[1]
                step = image[there] - image[row, column]
                if share > 0:
                    out[first] = out[first] + share * step
                else:
                    out[second] = out[second] + share * step
    return torch.stack(out).reshape(image.shape)


def outline_between(
    corners: Double,
    faces: NDArray[np.int32],
    twins: NDArray[np.int32],
    face: NDArray[np.int32],
    here: tuple[int, int],
    there: tuple[int, int],
) -> int | None:
    """The half-edge at which the nearer of the surfaces of two neighbouring pixels ends between them."""
    if face[here] == face[there]:
        return None
    ends = []
    for start, goal in ((here, there), (there, here)):
        if face[start] >= 0:
            end = walk(corners, faces, twins, int(face[start]), start, goal)
            if end == ("reached", face[goal]):
                return None
            if end[0] == "ended":
                ends.append(end[1])
    axis = 0 if here[0] == there[0] else 1
    level = here[axis] + 0.5
    depths = []
    for half in ends:
        p, q = (corners[faces[half // 3, (half + k) % 3]] for k in (0, 1))
        depths.append(p[2] + (q[2] - p[2]) * (level - p[1 - axis]) / (q[1 - axis] - p[1 - axis]))
    return None if not ends else ends[int(np.argmin(depths))]


def walk(
    corners: Double,
    faces: NDArray[np.int32],
    twins: NDArray[np.int32],
    f: int,
    start: tuple[int, int],
    goal: tuple[int, int],
) -> tuple[str, int]:
    """("ended", half-edge) where the surface ends between two pixels, or ("reached", face)."""
    axis = 0 if start[0] == goal[0] else 1
    sign = goal[1 - axis] - start[1 - axis]
    level, origin = start[axis] + 0.5, start[1 - axis] + 0.5

    def crossings(f: int) -> list[tuple[float, int]]:
        found = []
        for k in range(3):
            v, w = sorted((faces[f, k], faces[f, (k + 1) % 3]))
            p, q = corners[v], corners[w]
            if (p[1 - axis] > level) != (q[1 - axis] > level):
                u = (level - p[1 - axis]) / (q[1 - axis] - p[1 - axis])
                found.append((sign * (p[axis] + (q[axis] - p[axis]) * u - origin), k))
        return found

    along, k = max(crossings(f), default=(math.inf, 0))
    while along < 1:
        twin = int(twins[f, k])
        if twin < 0 or not is_drawn(*corners[faces[twin // 3]]):
            return "ended", 3 * f + k
        beyond, out = next(c for c in crossings(twin // 3) if c[1] != twin % 3)
        if beyond < along:
            return "ended", 3 * f + k
        f, k, along = twin // 3, out, beyond
    return "reached", f
