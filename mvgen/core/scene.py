"""A scene: posed pictures and the sparse points they share; and one picture's depth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, Similarity
from mvgen.core.geometry import PointCloud


@dataclass(frozen=True, eq=False)
class View:
    """A pinhole camera and its picture: a file of camera.width x camera.height pixels, upright and undistorted.

    mask_path: a grey PNG of the same size, white where the picture counts; None where all of it does.
    """

    camera: Camera
    image_path: Path
    mask_path: Path | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """Posed pictures and sparse points.

    tracks [T, 2] int32: (point, view) pairs, one for each view that saw a sparse point.
    """

    views: tuple[View, ...]
    points: PointCloud
    tracks: NDArray[np.int32]

    def moved(self, similarity: Similarity) -> Scene:
        views = tuple(replace(v, camera=v.camera.moved(similarity)) for v in self.views)
        return replace(self, views=views, points=self.points.moved(similarity))


@dataclass(frozen=True, eq=False)
class DepthMap:
    """What one picture knows of the surface.

    depth [H, W] float32 along the optical axis, 0 where unknown; normal [H, W, 3] float32, unit, in camera axes,
    facing the camera; confidence [H, W] float32 in [0, 1]. The camera is that of an H x W picture.
    """

    camera: Camera
    depth: NDArray[np.float32]
    normal: NDArray[np.float32]
    confidence: NDArray[np.float32]


def depth_normals(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Unit normals [H, W, 3] in camera axes, facing the camera, of a depth map [H, W]; 0 where no neighbour is known.

    Each is the cross product of the steps to the nearer (in depth) of the two neighbours across and along the picture.
    """
    rays = camera.rays() @ camera.rotation.T
    points = rays * depth[..., None]
    across, along = _step(points, depth, 1), _step(points, depth, 0)
    normal = np.cross(along, across)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.where(length > 0, normal / np.maximum(length, 1e-30), 0)
    return (normal * -np.sign((normal * rays).sum(-1, keepdims=True))).astype(np.float32)


def _step(points: NDArray[np.float64], depth: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """[H, W, 3]: from each point to the next along an axis, or from the one before where that is nearer in depth."""
    known = depth > 0
    size = depth.shape[axis]
    after, before = np.minimum(np.arange(size) + 1, size - 1), np.maximum(np.arange(size) - 1, 0)
    jump = []
    for other in (after, before):
        gap = np.abs(np.take(depth, other, axis) - depth)
        jump.append(np.where(known & np.take(known, other, axis), gap, np.inf))
    jump[0][_edge(depth.ndim, axis, -1)] = np.inf
    jump[1][_edge(depth.ndim, axis, 0)] = np.inf
    ahead = np.take(points, after, axis) - points
    behind = points - np.take(points, before, axis)
    step = np.where((jump[0] <= jump[1])[..., None], ahead, behind)
    return np.where(np.isfinite(np.minimum(*jump))[..., None], step, 0)


def _edge(dimensions: int, axis: int, index: int) -> tuple[slice | int, ...]:
    return tuple(index if k == axis else slice(None) for k in range(dimensions))
