"""A box with sides along the axes, and what of a shape lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.splats.model import Splats

Shape = TypeVar("Shape", bound=Mesh | PointCloud | Splats)


@dataclass(frozen=True)
class Box:
    """All points with low <= point <= high, in scene units; infinite ends leave a side open."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def holds(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """[N]: which of points [N, 3] lie in the box."""
        inside = np.ones(len(points), np.bool_)
        for axis in range(3):  # a column at a time: three times as fast as all at once
            column = points[:, axis].astype(np.float64)
            inside &= (column >= self.low[axis]) & (column <= self.high[axis])
        return inside


def cropped(shape: Shape, box: Box, name: str) -> Shape:
    """The points and splats whose centres lie in a box; of a mesh, the faces all of whose corners do.

    Raises CannotError, with the ``name`` of the shape and its bounds, where nothing is left.
    """
    kept: Any
    if isinstance(shape, Mesh):
        from mvgen.core.surface.poisson import keep_faces

        keep = np.asarray(box.holds(shape.vertices)[shape.faces].all(1))
        kept = keep_faces(shape, keep)
    else:
        keep = box.holds(shape.points if isinstance(shape, PointCloud) else shape.means)
        kept = shape if keep.all() else shape[keep]
    if not keep.any():
        low, high = (",".join(f"{v:.6g}" for v in corner) for corner in shape.bounds)
        raise CannotError(f"{name}: nothing of it lies in the box of --crop", f"it spans {low} to {high}")
    return kept
