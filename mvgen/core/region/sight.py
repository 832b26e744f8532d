"""Selecting in pictures: what a camera sees of things, and where.

Depth is that at which half of the light is stopped, so that faint splats before a surface do not hide it. Cameras are
those of the scene that splats belong to, where their metadata tell its frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.geometry import Mesh
from mvgen.core.region.reach import spacing
from mvgen.core.region.things import Mask, Things
from mvgen.core.render.orbit import orbit_cameras, robust_points
from mvgen.core.splats import seen
from mvgen.core.splats.model import Splats

DEEP = 0.01  # of the diagonal: how far behind the depth of a pixel a place still counts as seen
ASPECT = 0.01  # by which the shapes of a mask and a camera's picture may differ
_LONG_SIDE = 480  # pixels of the pictures in which depth is found
_WINDOW = 4  # pixels of these around a click: the nearest one with a depth counts
_PINHOLE = 3  # pixels of these: a gap in the surface that is not as wide is closed
_MARGIN = _WINDOW + _PINHOLE  # pixels of these around a click that can matter
_DISC = 1.0  # standard deviation of a point, in spacings


@dataclass(frozen=True, eq=False)
class Sight:
    """Things as the cameras of their scene see them."""

    things: Things  # in the frame of the cameras

    @cached_property
    def diagonal(self) -> float:
        return self.things.diagonal

    @cached_property
    def _discs(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Standard deviations [N] in scene units, and opacities [N], of points and splats."""
        shape = self.things.shape
        if isinstance(shape, Splats):
            return np.exp(np.median(shape.log_scales, axis=1)), shape.opacities
        count = len(self.things.places)
        return np.full(count, _DISC * spacing(self.things.places), np.float32), np.ones(count, np.float32)

    @cached_property
    def _caster(self) -> object:
        from mvgen.core.render.raycast import Caster

        assert isinstance(self.things.shape, Mesh)
        return Caster(self.things.shape)

    def prepare(self) -> None:
        """Do beforehand what the first picture would wait for."""
        if isinstance(self.things.shape, Mesh):
            _ = self._caster
            return
        from mvgen.kernels.median_depth import median_depth

        median_depth(*(np.zeros(shape, np.float32) for shape in ((1, 2), 1, 1, 1, (1, 1), (1, 1))))
        _ = self._discs, self.diagonal

    def seen(self, camera: Camera, through: bool = False) -> tuple[NDArray[np.float64], Mask]:
        """Pixels [2, N] of all places, and which of them [N] are in the picture, and not hidden unless ``through``."""
        x, y, depth = _projected(camera, self.things.places)
        out = (depth > 0) & (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
        if not through:
            at = np.flatnonzero(out)
            limit = DEEP * self.diagonal
            if isinstance(self.things.shape, Mesh):
                rays = (self.things.places[at] - camera.centre) / depth[at, None]
                out[at] = depth[at] <= self._hits(camera, rays) + limit
            else:
                z, _ = self._depths(camera, x, y, depth)
                row, column = (y[at] * (z.shape[0] / camera.height)).astype(int), (x[at] * (z.shape[1] / camera.width))
                out[at] = depth[at] <= z[row, column.astype(int)] + limit
        return np.stack([x, y]), out

    def place(self, camera: Camera, x: float, y: float) -> NDArray[np.float64]:
        """[3]: the place on the surface that a camera sees at a pixel. Raises CannotError where there is none."""
        found = self.places(camera, [(x, y)])
        if not len(found):
            raise CannotError(
                f"{self.things.name}: nothing of it is at {x:g},{y:g} in {camera.name}",
                f"its picture has {camera.width}x{camera.height} pixels; look at it with mvgen render",
            )
        return found[0]

    def places(self, camera: Camera, pixels: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
        """[M, 3]: the places on the surface that a camera sees at pixels, without those that see none."""
        homogeneous = np.concatenate([np.array(pixels, np.float64), np.ones((len(pixels), 1))], 1)
        rays = homogeneous @ np.linalg.inv(camera.intrinsics).T @ camera.rotation
        if isinstance(self.things.shape, Mesh):
            depth = self._hits(camera, rays)
        else:
            depth = self._depth_near(camera, pixels)
        hit = np.isfinite(depth)
        return camera.centre + depth[hit, None] * rays[hit]

    def _hits(self, camera: Camera, rays: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N]: depths at which rays, of depth 1, meet a mesh; infinite where they do not."""
        found = self._caster.hits(camera.centre, rays)  # type: ignore[attr-defined]
        return np.where(found.face >= 0, found.distance, np.inf)

    def _depths(
        self,
        camera: Camera,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        depth: NDArray[np.float64],
        around: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """[h, w]: in a smaller picture; infinite where less than half of the light is stopped. And its first column and
        row, for around pixels [n, 2] only as much of it as `_depth_near` looks at."""
        import cv2

        from mvgen.kernels.median_depth import REACH, median_depth

        sigma, opacity = self._discs
        small = camera.fitted(_LONG_SIDE)
        ratio = np.array([small.width / camera.width, small.height / camera.height])
        low, high = np.zeros(2, int), np.array([small.width, small.height])
        if around is not None:
            low = np.clip(np.floor(around.min(0) * ratio) - _MARGIN, 0, high - 1).astype(int)
            high = np.clip(np.floor(around.max(0) * ratio) + _MARGIN + 1, low + 1, high).astype(int)
        width, height = high - low
        x, y = x * ratio[0] - low[0], y * ratio[1] - low[1]
        far = REACH * small.intrinsics[0, 0] * sigma / np.maximum(depth, 1e-9)
        use = np.flatnonzero((depth > 0) & (x > -far) & (y > -far) & (x < width + far) & (y < height + far))
        use = use[np.argsort(depth[use])]
        light = np.ones((height, width), np.float32)
        z = np.full(light.shape, np.inf, np.float32)
        pixels, size = np.stack([x[use], y[use]], 1).astype(np.float32), (far[use] / REACH).astype(np.float32)
        median_depth(pixels, depth[use].astype(np.float32), size, opacity[use], light, z)
        opened = cv2.morphologyEx(z, cv2.MORPH_OPEN, np.ones((_PINHOLE, _PINHOLE), np.uint8))
        return np.asarray(opened), (int(low[0]), int(low[1]))

    def _depth_near(self, camera: Camera, pixels: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
        """[n]: at pixels, or at the nearest one of their neighbours that has a depth; else infinite."""
        out = np.full(len(pixels), np.inf)
        if not len(pixels):
            return out
        small = camera.fitted(_LONG_SIDE)
        z, first = self._depths(camera, *_projected(camera, self.things.places), np.array(pixels, np.float64))
        rows, columns = np.nonzero(np.isfinite(z))
        for i, (x, y) in enumerate(pixels):
            column, row = x * small.width / camera.width - 0.5, y * small.height / camera.height - 0.5
            far = (rows + first[1] - row) ** 2 + (columns + first[0] - column) ** 2
            best = int(np.argmin(far)) if len(far) else -1
            if best >= 0 and far[best] <= _WINDOW**2:
                out[i] = z[rows[best], columns[best]]
        return out


def _projected(
    camera: Camera, points: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """x [N], y [N] and depth [N] of points [N, 3]: as Camera.project, and several times as fast for millions."""
    matrix = camera.intrinsics @ camera.world_to_camera[:3]
    columns = [points[:, axis].astype(np.float64) for axis in range(3)]
    x, y, depth = (sum((row[i] * columns[i] for i in range(3)), row[3]) for row in matrix)
    depth = np.asarray(depth)
    safe = np.where(np.abs(depth) < 1e-12, 1e-12, depth)
    return x / safe, y / safe, depth


def sight_of(things: Things, posed: bool) -> Sight:
    """posed: whether cameras come from a scene, in whose frame splats are then brought."""
    if posed and isinstance(things.shape, Splats):
        return Sight(replace(things, shape=seen.in_scene(things.shape)))
    return Sight(things)


def in_lasso(sight: Sight, camera: Camera, corners: Sequence[tuple[float, float]], through: bool = False) -> Mask:
    """[N]: places that a camera sees inside of a polygon in its picture (by the even-odd rule)."""
    pixels, out = sight.seen(camera, through)
    at = np.flatnonzero(out)
    out[at] = in_polygon(pixels[0, at], pixels[1, at], corners)
    return out


def in_mask(sight: Sight, camera: Camera, mask: NDArray[np.bool_], through: bool = False) -> Mask:
    """[N]: places that a camera sees where a mask of its picture, of any size, is true."""
    height, width = mask.shape
    pixels, out = sight.seen(camera, through)
    at = np.flatnonzero(out)
    column, row = pixels[0, at] * (width / camera.width), pixels[1, at] * (height / camera.height)
    out[at] = mask[row.astype(int).clip(0, height - 1), column.astype(int).clip(0, width - 1)]
    return out


def check_mask(mask: NDArray[np.bool_], camera: Camera, name: str) -> None:
    """Raises InputError for a mask of other proportions than a camera's picture."""
    height, width = mask.shape
    ratio = width * camera.height / (height * camera.width)
    slack = max(ASPECT, 1 / min(mask.shape))
    if not 1 - slack <= ratio <= 1 + slack:
        raise InputError(
            f"{name}: has {width}x{height} pixels, and the picture of {camera.name} {camera.width}x{camera.height}",
            "make the mask from that camera's picture, uncropped",
        )


def in_polygon(x: NDArray[np.float64], y: NDArray[np.float64], corners: Sequence[tuple[float, float]]) -> Mask:
    """[N]: pixels x [N], y [N] inside of a polygon, by the even-odd rule."""
    out = np.zeros(len(x), np.bool_)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]]):
        crossed = (y0 <= y) != (y1 <= y)
        if y0 != y1 and crossed.any():
            out ^= crossed & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return out


def camera_named(cameras: Sequence[Camera], name: str) -> Camera:
    """By the name of its picture, with or without folder and extension, or by #NUMBER from 0. Raises UsageError."""
    found = [c for c in cameras if c.name == name]
    found = found or [c for c in cameras if name in (PurePosixPath(c.name).name, PurePosixPath(c.name).stem)]
    if len(found) == 1:
        return found[0]
    if name.startswith("#") and name[1:].isdigit() and int(name[1:]) < len(cameras):
        return cameras[int(name[1:])]
    some = ", ".join(c.name for c in cameras[:5]) + (f" and {len(cameras) - 5} more" if len(cameras) > 5 else "")
    what = f"{len(found)} cameras have the name" if found else "no camera has the name"
    raise UsageError(f"{what} {name}", f"there are {some}; or give its number, as #0")


def standard_cameras(things: Things, count: int = 1, size: tuple[int, int] = (960, 720)) -> list[Camera]:
    """Views on a circle as those of ``mvgen render``: the first one is its picture."""
    views = seen.orbit(things.shape, count, size, 20.0, 30.0) if isinstance(things.shape, Splats) else []
    return views or orbit_cameras(robust_points(things.whole), count, size, things.up, 20.0, 30.0)
