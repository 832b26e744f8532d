"""The inside of a mask as flat triangles with an exact, smooth outline (marching squares)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

NODES = 25_000  # about so many nodes of the grid lie inside
FINEST = 0.25  # pixels between nodes at least
NEAR = 0.05  # of a cell: the outline keeps this distance from nodes
LEVEL = 0.5

# Corners of a cell: 0 upper left, 1 upper right, 2 lower right, 3 lower left; 4 to 7: crossings of its upper, right,
# lower and left side. Polygons counter-clockwise as seen, by the corners that are inside (bit k: corner k).
_POLYGONS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((0, 7, 4),),
    2: ((1, 4, 5),),
    3: ((0, 7, 5, 1),),
    4: ((2, 5, 6),),
    5: ((0, 7, 4), (2, 5, 6)),
    6: ((1, 4, 6, 2),),
    7: ((0, 7, 6, 2, 1),),
    8: ((3, 6, 7),),
    9: ((0, 3, 6, 4),),
    10: ((1, 4, 5), (3, 6, 7)),
    11: ((0, 3, 6, 5, 1),),
    12: ((2, 5, 7, 3),),
    13: ((0, 3, 2, 5, 4),),
    14: ((1, 4, 7, 3, 2),),
    15: ((0, 3, 2, 1),),
}


@dataclass(frozen=True, eq=False)
class Outline:
    """A triangulated region of a picture.

    points [V, 2]: in pixels, x right and y down; first the ``nodes`` ones inside, then those on the outline. faces
    [F, 3] int64, counter-clockwise as the picture is seen. place [nodes, 2] int64: row and column of each inner node in
    a grid of ``shape`` (rows, columns) whose nodes are ``step`` pixels apart.
    """

    points: NDArray[np.float64]
    faces: NDArray[np.int64]
    place: NDArray[np.int64]
    shape: tuple[int, int]
    step: float

    @property
    def nodes(self) -> int:
        return len(self.place)


def outline(alpha: NDArray[np.float32]) -> Outline:
    """The region of a picture [H, W] in 0..1 that is above one half.

    The grid is as fine as the region's size allows, and finer where a coarse one would join, lose or close a part: its
    parts and holes are those of the mask, up to the size of a pixel.
    """
    area = float((alpha > LEVEL).sum())
    step = max(FINEST, np.sqrt(area / NODES))
    wanted = _parts_and_holes(alpha > LEVEL)
    while True:
        values = _resampled(alpha, step)
        if step <= 1.0 or _parts_and_holes(values > LEVEL) == wanted:
            return _triangulated(values, step)
        step = max(1.0, 0.75 * step)


def _resampled(alpha: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """Means of cells around nodes ``step`` pixels apart, with a rim of nothing; node (1, 1) is half a step inside."""
    height, width = (max(1, int(np.ceil(n / step))) for n in alpha.shape)
    whole: NDArray[Any] = np.zeros((int(np.ceil(height * step)) + 1, int(np.ceil(width * step)) + 1), np.float32)
    whole[: alpha.shape[0], : alpha.shape[1]] = alpha
    if step > 1:
        whole = cv2.GaussianBlur(whole, (0, 0), 0.35 * step, borderType=cv2.BORDER_CONSTANT)
    x, y = np.meshgrid((np.arange(width) + 0.5) * step - 0.5, (np.arange(height) + 0.5) * step - 0.5)
    values = cv2.remap(
        whole, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return np.pad(values, 1)


def _parts_and_holes(inside: NDArray[np.bool_]) -> tuple[int, int]:
    parts = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)[0] - 1
    around = cv2.connectedComponents(np.pad(~inside, 1, constant_values=True).astype(np.uint8), connectivity=8)[0] - 2
    return parts, around


def _triangulated(values: NDArray[np.float32], step: float) -> Outline:
    inside = values > LEVEL
    place = np.stack(np.nonzero(inside), 1)
    number = np.full(values.shape, -1, np.int64)
    number[inside] = np.arange(len(place))
    across, across_point = _crossings(values, 1, len(place))
    down, down_point = _crossings(values, 0, len(place) + len(across_point))
    corners = [number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]]
    names = np.stack([*corners, across[:-1], down[:, 1:], across[1:], down[:, :-1]], -1).reshape(-1, 8)
    case = ((names[:, :4] >= 0) << np.arange(4)).sum(1)
    faces = [
        names[case == key][:, [polygon[0], polygon[k], polygon[k + 1]]]
        for key, polygons in _POLYGONS.items()
        for polygon in polygons
        for k in range(1, len(polygon) - 1)
    ]
    grid = np.concatenate([place[:, ::-1].astype(np.float64), across_point, down_point])
    return Outline((grid - 0.5) * step, np.concatenate(faces), place, (values.shape[0], values.shape[1]), step)


def _crossings(values: NDArray[np.float32], axis: int, first: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The outline's crossings of the grid's edges along an axis: names [...], -1 where there is none, and places [N, 2]
    as (column, row)."""
    low, high = (values[:, :-1], values[:, 1:]) if axis == 1 else (values[:-1], values[1:])
    crossed = (low > LEVEL) != (high > LEVEL)
    names = np.full(crossed.shape, -1, np.int64)
    names[crossed] = first + np.arange(int(crossed.sum()))
    row, column = np.nonzero(crossed)
    a, b = low[crossed].astype(np.float64), high[crossed].astype(np.float64)
    share = np.clip((LEVEL - a) / (b - a), NEAR, 1 - NEAR)
    points = np.stack([column, row], 1).astype(np.float64)
    points[:, 1 - axis] += share
    return names, points
