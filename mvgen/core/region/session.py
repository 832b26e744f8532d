"""A selection made step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.box import Box
from mvgen.core.camera import Camera
from mvgen.core.region import reach, select
from mvgen.core.region.model import Region
from mvgen.core.region.sight import Sight, in_lasso
from mvgen.core.region.things import Mask, Things

Change = Literal["new", "add", "remove", "keep"]  # what is found is all that is selected, is added, ...
CHANGES: tuple[Change, ...] = ("new", "add", "remove", "keep")
_MOST_STEPS = 100  # that can be taken back


class Session:
    """Things, as cameras in the numbers of their file see them, and the places [N] selected so far."""

    def __init__(self, things: Things, start: Mask):
        self.things, self.sight = things, Sight(things)
        self.diagonal = things.diagonal
        self._steps = [start]

    @property
    def mask(self) -> Mask:
        return self._steps[-1]

    @property
    def region(self) -> Region:
        return self.things.region(self.mask)

    def take(self, found: Mask, change: Change) -> None:
        """Change the selection by what was found."""
        if change == "new":
            self._push(found)
        else:
            how: select.How = {"add": "or", "remove": "minus", "keep": "and"}[change]  # type: ignore[assignment]
            self._push(select.combined(self.mask, how, found))

    def undo(self) -> None:
        """Take the last step back, if there was one."""
        if len(self._steps) > 1:
            self._steps.pop()

    def grow(self, radius: float) -> None:
        self._push(reach.grown(self.things.places, self.mask, radius))

    def shrink(self, radius: float) -> None:
        self._push(reach.shrunk(self.things.places, self.mask, radius))

    def invert(self) -> None:
        self._push(~self.mask)

    def at(self, camera: Camera, x: float, y: float, radius: float) -> Mask:
        """[N]: what is within a radius of the place seen at a pixel. Raises CannotError where there is none."""
        return select.in_sphere(self.things.places, self.sight.place(camera, x, y), radius)

    def part_at(self, camera: Camera, x: float, y: float) -> Mask:
        """[N]: the connected part of the place seen at a pixel. Raises CannotError where there is none."""
        place = self.sight.place(camera, x, y)
        label = reach.parts(self.things, reach.usual_gap(self.things))
        return label == label[reach.nearest(self.things.places, place)]

    def along(self, camera: Camera, pixels: Sequence[tuple[float, float]], radius: float) -> Mask:
        """[N]: what is within a radius of the places seen at some pixels; those without a surface do not count."""
        way = self.sight.places(camera, pixels)
        points = self.things.places
        if not len(way):
            return np.zeros(len(points), np.bool_)
        out = Box(tuple(way.min(0) - radius), tuple(way.max(0) + radius)).holds(points)
        out[out] = cKDTree(way).query(points[out])[0] <= radius
        return out

    def inside(self, camera: Camera, corners: Sequence[tuple[float, float]], through: bool) -> Mask:
        """[N]: what a camera sees in a polygon."""
        return in_lasso(self.sight, camera, corners, through)

    def chosen(self) -> NDArray[np.floating]:
        """[M, 3]: the places that are selected."""
        return self.things.places[self.mask]

    def _push(self, mask: Mask) -> None:
        self._steps = [*self._steps[-_MOST_STEPS:], mask]
