"""The visual hull: all that no silhouette excludes (Laurentini, "The visual hull concept", 1994)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from mvgen.core.camera import Camera, Similarity
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress
from mvgen.core.surface.sparse import extract
from mvgen.core.views.silhouette import Silhouette

STEEP = 1.5  # that the field changes per unit at most
CLEAR = 1e-3  # cells that the surface keeps away from the grid's nodes, where vertices would coincide
MARGIN = 0.02  # of the longest side, around the box
AGREE = "check the directions: left and right may be exchanged, or a picture mirrored"


@dataclass(frozen=True, eq=False)
class Seen:
    """One view: its camera and what it shows of the object's outline, in the same pixels."""

    camera: Camera
    silhouette: Silhouette

    def distance(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N]: about how far points [N, 3] are from the cone of the silhouette, negative inside."""
        pixels, depth = self.camera.project(points)
        return self.silhouette.at(pixels) * depth / self.camera.intrinsics[0, 0]


def hull(views: Sequence[Seen], resolution: int, progress: Progress) -> Mesh:
    """The closed surface of the hull; ``resolution`` nodes along its longest side. Raises CannotError where no point is
    in all silhouettes."""
    box = bounds(views)
    middle, half = box.mean(0), np.ptp(box, axis=0) / 2 + MARGIN * np.ptp(box, axis=0).max()
    least = CLEAR * 2 * half.max() / resolution

    def field(points: NDArray[np.float64]) -> NDArray[np.float64]:
        away = np.max([v.distance(points) for v in views], axis=0)
        return np.where(np.abs(away) < least, np.where(away < 0, -least, least), away)

    surface = extract(field, np.stack([middle - half, middle + half]), resolution, lipschitz=STEEP, progress=progress)
    if not len(surface.faces):
        raise contradiction()
    return surface


def contradiction() -> CannotError:
    return CannotError("the pictures contradict each other: no shape fits all of them", AGREE)


def bounds(views: Sequence[Seen]) -> NDArray[np.float64]:
    """[2, 3]: the box of what the boxes around all outlines leave. Raises CannotError where they leave nothing."""
    planes = np.concatenate([_planes(v) for v in views])
    out = np.empty((2, 3))
    for axis in range(3):
        for side, sign in enumerate((1, -1)):
            found = linprog(sign * np.eye(3)[axis], planes[:, :3], -planes[:, 3], bounds=(None, None))
            if found.status == 3:
                raise CannotError("the pictures do not show how deep the object is", "add one from the side")
            if not found.success:
                raise contradiction()
            out[side, axis] = sign * found.fun
    return out


def centred(box: NDArray[np.float64]) -> Similarity:
    """To a box around the origin whose longest side is 1."""
    scale = 1 / float(np.ptp(box, axis=0).max())
    return Similarity(scale, np.eye(3), -scale * box.mean(0))


def _planes(view: Seen) -> NDArray[np.float64]:
    """[4, 4]: planes (n, d) around the outline's box; inside n x + d <= 0."""
    low, high = view.silhouette.outline.min(0), view.silhouette.outline.max(0)
    inverse = np.linalg.inv(view.camera.intrinsics)
    (left, top, _), (right, bottom, _) = inverse @ [*low, 1], inverse @ [*high, 1]
    local = np.array([[-1, 0, left], [1, 0, -right], [0, -1, top], [0, 1, -bottom]])
    local /= np.linalg.norm(local, axis=1, keepdims=True)
    return np.column_stack([local @ view.camera.rotation, local @ view.camera.translation])
