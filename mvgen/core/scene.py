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
    """A pinhole camera and its picture: a file of camera.width x camera.height pixels, upright and undistorted."""

    camera: Camera
    image_path: Path


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
