"""Cameras as shapes to look at beside what they saw."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh

_EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1), (1, 5), (5, 2))  # 5: above the upper edge
_THICK = 0.02  # of a pyramid's width


def pyramids(cameras: Sequence[Camera], width: float) -> Mesh:
    """Each camera as a pyramid of thin bars: its optical centre and its picture, ``width`` wide.

    A roof stands on the picture's upper edge. In world coordinates; colours run from red over green to blue in the
    order of the cameras.
    """
    shapes = [_bars(_corners(camera, width), width * _THICK) for camera in cameras]
    vertices = np.concatenate([shape.reshape(-1, 3) for shape in shapes])
    faces = np.concatenate([_BAR + 6 * k for k in range(len(vertices) // 6)])
    hues = [colorsys.hsv_to_rgb(0.8 * k / max(len(cameras) - 1, 1), 0.8, 0.9) for k in range(len(cameras))]
    colours = np.repeat(np.array(hues, np.float32), 6 * len(_EDGES), axis=0)
    return Mesh(vertices, faces.astype(np.int32), colours=colours)


def pyramid_width(cameras: Sequence[Camera]) -> float:
    """A twentieth of the room that the cameras take; of one alone, of its unit of length."""
    centres = np.array([camera.centre for camera in cameras])
    room = float(np.linalg.norm(np.ptp(centres, axis=0)))
    return 0.05 * room if room > 0 else 0.05


_BAR = np.array([[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4], [2, 0, 3], [2, 3, 5], [0, 2, 1], [3, 4, 5]])


def _corners(camera: Camera, width: float) -> NDArray[np.float64]:
    """[6, 3]: the centre, the picture's corners from the upper left on clockwise, and the tip of the roof."""
    w, h = camera.width, camera.height
    pixels = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1], [w / 2, -h / 4, 1]], np.float64)
    rays = pixels @ np.linalg.inv(camera.intrinsics).T
    size = width / float(np.linalg.norm(rays[1] - rays[0]))
    local = np.concatenate([np.zeros((1, 3)), rays * size])
    return camera.centre + local @ camera.rotation


def _bars(corners: NDArray[np.float64], thick: float) -> NDArray[np.float64]:
    """[E, 6, 3]: a three-sided bar along each edge, its two ends after one another."""
    start, end = corners[[a for a, _ in _EDGES]], corners[[b for _, b in _EDGES]]
    along = (end - start) / np.linalg.norm(end - start, axis=1, keepdims=True)
    one = np.cross(along, np.eye(3)[np.argmin(np.abs(along), axis=1)])
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other = np.cross(along, one)
    turns = np.arange(3) * (2 * np.pi / 3)
    ring = thick / 2 * (np.cos(turns)[:, None] * one[:, None] + np.sin(turns)[:, None] * other[:, None])
    return np.concatenate([start[:, None] + ring, end[:, None] + ring], axis=1)
