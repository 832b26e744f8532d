"""The outline of a mask, and the signed distance to it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

SOFT = 0.8  # pixels, standard deviation: by this much a mask of only 0 and 1 is blurred, so that its steps become lines
NEAR = 3.0  # pixels from the outline up to which distances are exact, not only those between pixel centres
RING = 3  # pixels around the mask's box that are kept
SAMPLES = (0.0, 0.25, 0.5, 0.75)  # along a piece of the outline


@dataclass(frozen=True, eq=False)
class Silhouette:
    """outline [N, 2]: points where the mask is a half, in pixels of the picture; distance [h, w] float32: signed, in
    pixels, negative inside, at the pixel centres of a window around the mask; corner (x, y): the window's first pixel.
    """

    outline: NDArray[np.float64]
    distance: NDArray[np.float32]
    corner: tuple[int, int]

    @staticmethod
    def of(alpha: NDArray[np.floating]) -> Silhouette:
        """Of a mask [H, W] in 0..1 that has something in it; beyond the picture it is empty."""
        solid = alpha > 0.5
        rows, columns = (np.flatnonzero(solid.any(axis)) for axis in (1, 0))
        top, left = int(rows[0]), int(columns[0])
        whole = np.pad(alpha, RING)
        part = whole[top : int(rows[-1]) + 1 + 2 * RING, left : int(columns[-1]) + 1 + 2 * RING].astype(np.float32)
        if ((part < 0.02) | (part > 0.98)).all():
            part = np.asarray(cv2.GaussianBlur(part, (0, 0), SOFT), np.float32)
        values = np.where(part == 0.5, 0.5001, part).astype(np.float64) - 0.5
        pieces = _pieces(values)
        corner = left - RING, top - RING
        return Silhouette(pieces[:, 0] + corner + 0.5, _distance(values, pieces), corner)

    def at(self, pixels: NDArray[np.floating]) -> NDArray[np.float32]:
        """Signed distance [N] in pixels at pixels [N, 2]; beyond the window, that of its border."""
        height, width = self.distance.shape
        x = np.clip(pixels[:, 0] - (self.corner[0] + 0.5), 0, width - 1.001)
        y = np.clip(pixels[:, 1] - (self.corner[1] + 0.5), 0, height - 1.001)
        column, row = x.astype(np.int32), y.astype(np.int32)
        right, down = (x - column).astype(np.float32), (y - row).astype(np.float32)
        flat, first = self.distance.reshape(-1), row * width + column
        above = flat[first] * (1 - right) + flat[first + 1] * right
        below = flat[first + width] * (1 - right) + flat[first + width + 1] * right
        return above * (1 - down) + below * down


def _pieces(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 2, 2]: the ends (x, y) of the straight pieces of the zero line, one or two in each square of four values
    [H, W]; the first value is at (0, 0)."""
    inside = values > 0
    corners = np.stack([inside[:-1, :-1], inside[:-1, 1:], inside[1:, :-1], inside[1:, 1:]])
    row, column = np.nonzero(corners.any(0) & ~corners.all(0))
    ends = np.stack([_crossing(values, row, column, *side) for side in _SIDES], axis=1)
    missing = np.isnan(ends[..., 0])
    order = np.argsort(missing, axis=1, kind="stable")
    two = np.flatnonzero(missing.sum(1) == 2)
    out = [ends[two[:, None], order[two, :2]]]
    four = np.flatnonzero(missing.sum(1) == 0)
    if len(four):  # two corners on each side: the middle says which of them belong together
        y, x = row[four], column[four]
        middle = (values[y, x] + values[y, x + 1] + values[y + 1, x] + values[y + 1, x + 1]) > 0
        alone = middle != inside[y, x]  # the first corner
        out.append(ends[four[:, None], np.where(alone[:, None], [0, 2], [0, 3])])
        out.append(ends[four[:, None], np.where(alone[:, None], [1, 3], [1, 2])])
    return np.concatenate(out)


_SIDES = ((0, 0, 0, 1), (1, 0, 1, 1), (0, 0, 1, 0), (0, 1, 1, 1))  # of a square: (row, column) of both ends


def _crossing(
    values: NDArray[np.float64], row: NDArray[np.int64], column: NDArray[np.int64], y0: int, x0: int, y1: int, x1: int
) -> NDArray[np.float64]:
    """[N, 2]: where the zero line cuts a side of squares, NaN where it does not."""
    first, second = values[row + y0, column + x0], values[row + y1, column + x1]
    cut = (first > 0) != (second > 0)
    share = np.where(cut, first / np.where(cut, first - second, 1), np.nan)
    return np.stack([column + x0 + share * (x1 - x0), row + y0 + share * (y1 - y0)], axis=1)


def _distance(values: NDArray[np.float64], pieces: NDArray[np.float64]) -> NDArray[np.float32]:
    inside = values > 0
    away = np.where(inside, distance_transform_edt(inside), distance_transform_edt(~inside)) - 0.5
    row, column = np.nonzero(away <= NEAR)
    places = np.stack([column, row], axis=1).astype(np.float64)
    share = np.array(SAMPLES)[:, None, None]
    dense = pieces[:, 0] * (1 - share) + pieces[:, 1] * share
    nearest = cKDTree(dense.reshape(-1, 2)).query(places, workers=-1)[1] % len(pieces)
    start, step = pieces[nearest, 0], pieces[nearest, 1] - pieces[nearest, 0]
    along = ((places - start) * step).sum(1) / np.maximum((step**2).sum(1), 1e-12)
    foot = start + along.clip(0, 1)[:, None] * step
    away[row, column] = np.linalg.norm(places - foot, axis=1)
    return np.where(inside, -away, away).astype(np.float32)
