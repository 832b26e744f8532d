"""A surface from splats: the mean of the depths that cameras around them see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.fusion.region import ball_of_interest
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress
from mvgen.core.render.orbit import look_at, robust_points
from mvgen.core.render.splats import Painter
from mvgen.core.scene import DepthMap
from mvgen.core.splats.harmonics import spread
from mvgen.core.splats.model import Splats
from mvgen.core.splats.seen import cameras_of
from mvgen.core.surface.tsdf import TsdfOptions, map_bounds, tsdf_surface

AROUND = 32  # views of splats that do not tell from where they were seen
ACROSS = 40.0  # degrees that these views show
FAR = 3.0  # radii of what the views go around: splats farther off are a backdrop
FILL = 0.92  # share of such a view that the splats take


def views_of(splats: Splats, pixels: int) -> list[Camera]:
    """Where splats were seen from when they were made, else places all around them; the longer side has ``pixels``."""
    return cameras_of(splats, (pixels, pixels * 3 // 4)) or views_around(robust_points(splats), pixels)


def views_around(points: NDArray[np.floating], pixels: int) -> list[Camera]:
    """Cameras on a sphere, evenly spread, that show all points."""
    middle = (points.min(0) + points.max(0)) / 2
    radius = float(np.linalg.norm(points - middle, axis=1).max())
    distance = radius / np.sin(np.radians(FILL * ACROSS / 2))
    focal = pixels / (2 * np.tan(np.radians(ACROSS / 2)))
    lens = np.array([[focal, 0, pixels / 2], [0, focal, pixels / 2], [0, 0, 1]])
    up = np.array([0.0, 1, 0])
    return [
        Camera(f"view_{i:03d}.png", pixels, pixels, lens, look_at(middle + distance * d, middle, up))
        for i, d in enumerate(spread(AROUND))
    ]


def splats_surface(splats: Splats, cameras: Sequence[Camera], options: TsdfOptions, progress: Progress) -> Mesh:
    """The surface that the views of cameras agree on, with colours; where they go around something, of that alone.

    Raises CannotError where they see nothing solid.
    """
    centre, radius = ball_of_interest(cameras)
    if np.isfinite(radius):  # what shines through from far behind would pull depths along
        splats = splats[np.linalg.norm(splats.means - centre, axis=1) < FAR * radius]
    painter = Painter(splats)

    def maps() -> Iterator[tuple[DepthMap, NDArray[np.uint8] | None]]:
        for camera in cameras:
            yield painter.depth_map(camera)

    bounds = map_bounds(maps)
    if np.isfinite(radius):
        bounds = np.stack([np.maximum(bounds[0], centre - radius), np.minimum(bounds[1], centre + radius)])
    return tsdf_surface(maps, bounds, options, progress)
