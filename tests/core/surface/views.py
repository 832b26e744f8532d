"""Depth maps of a mesh, rendered from all around."""

from __future__ import annotations

import numpy as np

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh
from mvgen.core.render.orbit import look_at
from mvgen.core.render.raycast import Caster
from mvgen.core.scene import DepthMap

Maps = list[tuple[DepthMap, np.ndarray]]


def around(mesh: Mesh, count: int = 20, size: int = 128) -> list[Camera]:
    """Cameras spread evenly over a sphere, each of which has the whole mesh in its picture."""
    step = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * step / count), np.pi * (1 + 5**0.5) * step
    away = np.stack([np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)], axis=1)
    focal = size / 2 / np.tan(np.radians(20))
    distance = mesh.diagonal / 2 / np.sin(np.radians(20))
    lens = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    centre = mesh.bounds.mean(0)
    return [
        Camera(f"v{i:03d}.png", size, size, lens, look_at(centre + distance * d, centre, np.array([0, 1.0, 0])))
        for i, d in enumerate(away)
    ]


def rendered(mesh: Mesh, count: int = 20, size: int = 128) -> Maps:
    caster = Caster(mesh)
    out = []
    for camera in around(mesh, count, size):
        view = caster.render(camera, 1)
        known = (view.depth > 0).astype(np.float32)
        out.append((DepthMap(camera, view.depth, view.normal, known), np.rint(255 * view.color).astype(np.uint8)))
    return out
