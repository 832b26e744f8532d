"""Pinhole cameras and similarities.

Cameras are OpenCV: x right, y down, z forward. A pixel centre is at +0.5, so the first pixel of a picture
spans [0, 1] and its centre projects from (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera without distortion.

    name: file name of its picture; intrinsics [3, 3] in pixels of a width x height picture;
    world_to_camera [4, 4], rigid.
    """

    name: str
    width: int
    height: int
    intrinsics: NDArray[np.float64]
    world_to_camera: NDArray[np.float64]

    @property
    def rotation(self) -> NDArray[np.float64]:
        """[3, 3], world axes to camera axes."""
        return self.world_to_camera[:3, :3]

    @property
    def translation(self) -> NDArray[np.float64]:
        """[3]: the world origin in camera coordinates."""
        return self.world_to_camera[:3, 3]

    @property
    def centre(self) -> NDArray[np.float64]:
        """[3]: the optical centre in world coordinates."""
        return -self.rotation.T @ self.translation

    @property
    def forward(self) -> NDArray[np.float64]:
        """[3]: unit viewing direction in world coordinates."""
        return self.rotation[2]

    def resized(self, width: int, height: int) -> Camera:
        """The same camera for its picture resampled to width x height."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return replace(self, width=width, height=height, intrinsics=scale @ self.intrinsics)

    def fitted(self, long_side: int) -> Camera:
        """The same camera with its longer side reduced to at most long_side pixels."""
        ratio = min(1.0, long_side / max(self.width, self.height))
        return self.resized(max(1, round(self.width * ratio)), max(1, round(self.height * ratio)))

    def project(self, points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World points [..., 3] to pixels [..., 2] and depths [...] (negative: behind the camera)."""
        local = points @ self.rotation.T + self.translation
        depth = local[..., 2]
        safe = np.where(np.abs(depth) < 1e-12, 1e-12, depth)
        pixels = (local / safe[..., None]) @ self.intrinsics.T
        return pixels[..., :2], depth

    def rays(self) -> NDArray[np.float64]:
        """[height, width, 3]: through each pixel centre, world axes, z along the optical axis is 1 (not unit)."""
        x, y = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        pixels = np.stack([x, y, np.ones_like(x)], axis=-1)
        return pixels @ np.linalg.inv(self.intrinsics).T @ self.rotation

    def moved(self, similarity: Similarity) -> Camera:
        """The same camera after the world has been moved by a similarity."""
        out = np.eye(4)
        out[:3, :3] = self.rotation @ similarity.rotation.T
        out[:3, 3] = similarity.scale * self.translation - out[:3, :3] @ similarity.translation
        return replace(self, world_to_camera=out)


def aimed_at(cameras: Sequence[Camera]) -> NDArray[np.float64]:
    """[3]: the point nearest to all optical axes in the least-squares sense."""
    lhs, rhs = np.zeros((3, 3)), np.zeros(3)
    for camera in cameras:
        across = np.eye(3) - np.outer(camera.forward, camera.forward)
        lhs += across
        rhs += across @ camera.centre
    return np.asarray(np.linalg.lstsq(lhs, rhs, rcond=1e-9)[0], np.float64)


@dataclass(frozen=True, eq=False)
class Similarity:
    """x' = scale * rotation @ x + translation."""

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    @staticmethod
    def identity() -> Similarity:
        return Similarity(1.0, np.eye(3), np.zeros(3))

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Move points [..., 3]."""
        return self.scale * points @ self.rotation.T + self.translation

    def matrix(self) -> NDArray[np.float64]:
        """[4, 4]"""
        out = np.eye(4)
        out[:3, :3] = self.scale * self.rotation
        out[:3, 3] = self.translation
        return out

    def after(self, first: Similarity) -> Similarity:
        """This one applied after ``first``."""
        return Similarity(self.scale * first.scale, self.rotation @ first.rotation, self.apply(first.translation))

    def inverse(self) -> Similarity:
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -rotation @ self.translation / self.scale)
