"""A textured relief whose shape is a formula, and photos of it by mvgen's own renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh
from mvgen.core.render.orbit import look_at
from mvgen.core.render.raycast import Caster
from tests.core.sfm.worlds import FOCAL_35MM, save_photo, texture

SIZE = (400, 300)
FOCAL = FOCAL_35MM / np.hypot(36, 24) * np.hypot(*SIZE)
HALF = (1.6, 1.2)  # extent in x and y


def height_at(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.floating]:
    """The relief: a hill, a hollow, and waves."""
    hill = 0.45 * np.exp(-((x - 0.5) ** 2 + (y - 0.2) ** 2) / 0.18)
    hollow = -0.25 * np.exp(-((x + 0.6) ** 2 + (y + 0.2) ** 2) / 0.12)
    return hill + hollow + 0.05 * np.sin(3 * x + 2 * y)


def relief() -> Mesh:
    u, v = np.meshgrid(np.linspace(0, 1, 161), np.linspace(0, 1, 121))
    x, y = (2 * u - 1) * HALF[0], (2 * v - 1) * HALF[1]
    vertices = np.stack([x, y, height_at(x, y)], -1).reshape(-1, 3)
    at = np.arange(vertices.shape[0]).reshape(u.shape)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    return Mesh(vertices, faces, uv=np.stack([u, v], -1).reshape(-1, 2), texture=texture(7, 900, 1200))


def cameras(count: int) -> list[Camera]:
    """On an arc before the relief, some ten degrees apart, at changing heights."""
    k = np.array([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1]])
    out = []
    for i, angle in enumerate(np.radians(10 * (np.arange(count) - (count - 1) / 2))):
        eye = np.array([3.2 * np.sin(angle), 0.35 * (-1) ** i, 3.2 * np.cos(angle)])
        out.append(Camera(f"p{i}.jpg", *SIZE, k, look_at(eye, np.array([0.0, 0, 0.1]), np.array([0.0, 1, 0]))))
    return out


def photograph(folder: Path, count: int) -> list[Path]:
    """JPEG photos with a focal length in their EXIF data."""
    caster = Caster(relief())
    folder.mkdir(parents=True, exist_ok=True)
    return [_photo(caster, camera, folder / camera.name) for camera in cameras(count)]


def _photo(caster: Caster, camera: Camera, path: Path) -> Path:
    view = caster.render(camera)
    sky = np.array([0.25, 0.2, 0.15], np.float32)
    image = view.color * view.alpha[..., None] + sky * (1 - view.alpha[..., None])
    return save_photo((image * 255 + 0.5).astype(np.uint8), path)


def picture_of(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))
