"""Small worlds of textured rectangles, and exact photos of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mvgen.core.camera import Camera

SIZE = (480, 360)
FOCAL_35MM = 38
FOCAL = FOCAL_35MM / np.hypot(36, 24) * np.hypot(*SIZE)


@dataclass(frozen=True)
class Sheet:
    """A rectangle in space: a corner and two edges, with a noise texture."""

    seed: int
    corner: tuple[float, float, float]
    along: tuple[float, float, float]
    down: tuple[float, float, float]


WALL = Sheet(0, (-6, -4, 8), (12, 0, 0), (0, 8, 0))
BOX = Sheet(5, (-1.5, -1, 4.5), (2, 0, 0.5), (0, 2, 0))


def texture(seed: int, height: int = 1200, width: int = 1800) -> np.ndarray:
    """[height, width, 3] uint8: noise at many scales."""
    rng, total = np.random.default_rng(seed), np.zeros((height, width, 3))
    for step in (3, 6, 12, 24, 48):
        noise = rng.normal(size=(height // step + 2, width // step + 2, 3))
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * step**0.5
    total = (total - total.min()) / np.ptp(total)
    return (np.clip(2 * total - 0.5, 0, 1) * 255).astype(np.uint8)


def camera_at(eye: tuple[float, float, float], target: tuple[float, float, float], name: str) -> Camera:
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross([0, 1, 0], forward)
    rotation = np.stack([right / np.linalg.norm(right), np.cross(forward, right / np.linalg.norm(right)), forward])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ eye
    intrinsics = np.array([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1]])
    return Camera(name, *SIZE, intrinsics, pose)


def look(camera: Camera, sheets: tuple[Sheet, ...]) -> np.ndarray:
    """What the camera sees, nearest sheet first."""
    image, depth = np.zeros((SIZE[1], SIZE[0], 3), np.uint8), np.full(SIZE[::-1], np.inf)
    rays = camera.rays() @ camera.rotation.T
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # OpenCV counts from pixel centres
    for sheet in sheets:
        skin = texture(sheet.seed)
        edges = [np.array(sheet.along) / skin.shape[1], np.array(sheet.down) / skin.shape[0]]
        corner = camera.rotation @ sheet.corner + camera.translation
        place = np.stack([camera.rotation @ edges[0], camera.rotation @ edges[1], corner], 1)
        homography = half @ camera.intrinsics @ place @ np.linalg.inv(half)
        seen = cv2.warpPerspective(skin, homography, SIZE, flags=cv2.INTER_CUBIC)
        inside = cv2.warpPerspective(np.ones(skin.shape[:2], np.uint8), homography, SIZE, flags=cv2.INTER_NEAREST)
        normal = camera.rotation @ np.cross(sheet.along, sheet.down)
        z = (normal @ corner) / (rays @ normal)
        nearer = (inside > 0) & (z > 0) & (z < depth)
        image[nearer], depth[nearer] = seen[nearer], z[nearer]
    return image


def save_photo(image: np.ndarray, path: Path, with_focal: bool = True) -> Path:
    exif = Image.Exif()
    if with_focal:
        exif.get_ifd(0x8769)[0xA405] = FOCAL_35MM
    Image.fromarray(image).save(path, quality=92, exif=exif)
    return path


def photograph(folder: Path, cameras: list[Camera], sheets: tuple[Sheet, ...], with_focal: bool = True) -> list[Path]:
    return [save_photo(look(c, sheets), folder / c.name, with_focal) for c in cameras]


def sideways(count: int) -> list[Camera]:
    """Cameras in a row, a clear step apart, that look at the box."""
    steps = np.linspace(-1, 1, count)
    return [camera_at((x, 0.2 * i - 0.2, 0), (0.2 * x, 0, 6), f"p{i}.jpg") for i, x in enumerate(steps)]


def turning(count: int) -> list[Camera]:
    """One place, several directions."""
    angles = np.radians(np.linspace(-14, 14, count))
    return [camera_at((0, 0, 0), (np.sin(a), 0.04 * i, np.cos(a)), f"p{i}.jpg") for i, a in enumerate(angles)]


def turn_errors(found: list[Camera], true: list[Camera]) -> np.ndarray:
    """Degrees between the true and the found rotation from each camera to each other, whatever the frames."""
    by_name = {c.name: c for c in true}
    errors = []
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            got, want = a.rotation @ b.rotation.T, by_name[a.name].rotation @ by_name[b.name].rotation.T
            sine = np.linalg.norm(got - want) / np.sqrt(8)
            errors.append(np.degrees(2 * np.arcsin(min(1.0, sine))))
    return np.array(errors)
