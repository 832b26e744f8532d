"""Where things stand in a browser, and from where they are first seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Similarity
from mvgen.core.render.orbit import orbit_cameras
from mvgen.core.viewer.things import Thing

SIZE = 10.0  # longest side of what is shown: small splats keep their shape in the browser's half-precision numbers
FIELD_OF_VIEW = np.radians(40.0)  # of the first view, vertical


@dataclass(frozen=True, eq=False)
class Stage:
    """placing: from the files' numbers to the browser's, axes kept; up [3]: unit; extent [N, 3]: what the first view
    holds, already placed."""

    placing: Similarity
    up: NDArray[np.float64]
    extent: NDArray[np.float64]

    def first_view(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(eye [3], target [3]) of a camera that spans FIELD_OF_VIEW and sees all of the extent.

        It looks a little from above and from the right, as `orbit_cameras` does with every up axis.
        """
        axes = _upright(self.up)
        side = 1000
        camera = orbit_cameras(self.extent @ axes.T, 1, (side, side), np.array([0.0, 1, 0]))[0]
        eye, forward = axes.T @ camera.centre, axes.T @ camera.forward
        return eye, eye + forward * float(np.median((self.extent - eye) @ forward))


def make_stage(things: Sequence[Thing]) -> Stage:
    """A stage for all things together, with the up axis of the first one."""
    extent = np.concatenate([thing.extent for thing in things])
    if not np.ptp(extent, axis=0).any():  # one point or camera alone
        extent = np.concatenate([extent - 1, extent + 1])
    low, high = extent.min(0), extent.max(0)
    scale = SIZE / float((high - low).max())
    placing = Similarity(scale, np.eye(3), -scale * (low + high) / 2)
    return Stage(placing, things[0].up, placing.apply(extent))


def _upright(up: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, 3]: rows are right, up and front, with right near +X."""
    right = np.array([1.0, 0, 0]) if abs(up[0]) < 0.9 else np.array([0.0, 0, 1])
    right -= up * (right @ up)
    right /= np.linalg.norm(right)
    return np.stack([right, up, np.cross(right, up)])
