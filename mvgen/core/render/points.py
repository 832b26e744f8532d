"""Views of a point cloud: discs as large as the gaps between points, in a z-buffer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.colour import linear_from_srgb, srgb_from_linear
from mvgen.core.geometry import PointCloud
from mvgen.core.render.buffers import Buffers, block_mean, clay

_LARGEST = 24.0  # radius of a disc in pixels


class Splatter:
    """A point cloud made ready for any number of views."""

    def __init__(self, cloud: PointCloud):
        self.cloud = cloud
        self.radius = point_radius(cloud.points)
        self.colours = None if cloud.colours is None else linear_from_srgb(cloud.colours).astype(np.float32)

    def render(self, camera: Camera, supersample: int = 2) -> Buffers:
        """The view of a camera; colour and alpha are means over supersample x supersample parts of each pixel."""
        centre = self._layers(camera)
        fine = centre if supersample == 1 else self._layers(_enlarged(camera, supersample))
        alpha = block_mean((fine[1] >= 0).astype(np.float32), supersample)
        light = block_mean(self._colour(camera, *fine), supersample)
        z, index = centre
        return Buffers(
            color=srgb_from_linear(light / np.maximum(alpha, 1e-9)[..., None]).astype(np.float32),
            depth=np.where(index >= 0, z, 0).astype(np.float32),
            normal=self._normals(camera, index),
            alpha=alpha,
            id=index,
        )

    def _layers(self, camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Depth [H, W] (inf: nothing) and point index [H, W] (-1: none)."""
        from mvgen.kernels.points_raster import splat

        pixels, depth = camera.project(self.cloud.points)
        safe = np.where(depth > 1e-9, depth, np.inf)
        radius = np.clip(float(camera.intrinsics[0, 0]) * self.radius / safe, 0.5, _LARGEST)
        z = np.full((camera.height, camera.width), np.inf, np.float32)
        index = np.full(z.shape, -1, np.int32)
        near = np.where(depth > 1e-9, depth, 0)
        limited = np.clip(pixels, -1e6, 1e6)
        splat(limited.astype(np.float32), near.astype(np.float32), radius.astype(np.float32), z, index)
        return z, index

    def _normals(self, camera: Camera, index: NDArray[np.int32]) -> NDArray[np.float32]:
        out = np.zeros((*index.shape, 3), np.float32)
        if self.cloud.normals is None:
            return out
        hit = index >= 0
        local = self.cloud.normals[index[hit]] @ camera.rotation.T
        ray = (self.cloud.points[index[hit]] - camera.centre) @ camera.rotation.T
        out[hit] = np.where((local * ray).sum(1, keepdims=True) > 0, -local, local)
        return out

    def _colour(self, camera: Camera, z: NDArray[np.float32], index: NDArray[np.int32]) -> NDArray[np.float32]:
        """Linear colour [H, W, 3], 0 where nothing is."""
        out = np.zeros((*index.shape, 3), np.float32)
        hit = index >= 0
        if self.colours is not None:
            out[hit] = self.colours[index[hit]]
        elif self.cloud.normals is not None:
            out[hit] = clay(self._normals(camera, index)[hit])
        else:
            out[hit] = (0.6 * _edge_shade(z))[hit][:, None]
        return out


def render_points(cloud: PointCloud, camera: Camera, supersample: int = 2) -> Buffers:
    """One view of a point cloud; for several views of the same cloud, keep a `Splatter`."""
    return Splatter(cloud).render(camera, supersample)


def point_radius(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N]: disc radii that close the gaps: the distance to the third neighbour, at most three times the median."""
    from scipy.spatial import cKDTree

    if len(points) < 2:
        return np.zeros(len(points))
    near = min(4, len(points))
    distance = cKDTree(points).query(points, near)[0][:, -1]
    return np.minimum(distance, 3 * np.median(distance))


def _enlarged(camera: Camera, factor: int) -> Camera:
    return camera.resized(camera.width * factor, camera.height * factor)


def _edge_shade(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W] in [0, 1]: dark beside nearer neighbours (eye-dome lighting, Boucheny 2009)."""
    log = np.log(np.where(np.isfinite(z), z, 1e30), dtype=np.float32)
    padded = np.pad(log, 1, mode="edge")
    step = sum(
        np.maximum(log - padded[1 + dy : 1 + dy + z.shape[0], 1 + dx : 1 + dx + z.shape[1]], 0)
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1))
    )
    return np.exp(-120 * np.minimum(step, 1)).astype(np.float32) * 0.8 + 0.2
