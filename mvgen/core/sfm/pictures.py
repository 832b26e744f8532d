"""The pictures that cameras are recovered from: upright copies of moderate size, and their undistortion."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.io.images import Photo, encode_image, load_photo, read_image
from mvgen.core.progress import Progress

NEGLIGIBLE = 0.25  # pixels: lens distortion below this is left in the picture
_JPEG = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Picture:
    """An upright copy of a photo, at ``path``. focal: pixels, None where unknown; camera: index of its camera."""

    path: Path
    width: int
    height: int
    focal: float | None
    camera: int

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Lens:
    """A camera with one radial term: a ray (x, y, 1) is seen at focal * (x, y) * (1 + radial * (x^2 + y^2)) + centre,
    the centre being that of the picture (COLMAP's SIMPLE_RADIAL)."""

    width: int
    height: int
    focal: float
    radial: float

    def distort(self, pixels: NDArray[np.float64], focal: float) -> NDArray[np.float64]:
        """Where the pixels [..., 2] of a pinhole camera of some focal length lie in the distorted picture."""
        centre = np.array([self.width, self.height]) / 2
        rays = (pixels - centre) / focal
        return self.focal * rays * (1 + self.radial * (rays**2).sum(-1, keepdims=True)) + centre

    def pinhole_focal(self) -> float:
        """The focal length of a pinhole camera of the same picture size that keeps as much of the picture as it can
        without showing anything beyond its border; the lens's own where distortion is negligible."""
        border = _border(self.width, self.height)
        if np.abs(self.distort(border, self.focal) - border).max() < NEGLIGIBLE:
            return self.focal
        low, high = self._monotonic_focal(), 3 * self.focal
        for _ in range(50):
            middle = (low + high) / 2
            seen = self.distort(border, middle)
            inside = (seen >= 0.5).all() and (seen <= [self.width - 0.5, self.height - 0.5]).all()
            low, high = (low, middle) if inside else (middle, high)
        return high

    def _monotonic_focal(self) -> float:
        """The least focal length for which a picture's corners lie where the radial term is still invertible."""
        least = 0.5 * self.focal
        if self.radial < 0:
            least = max(least, float(np.hypot(self.width, self.height)) / 2 * (-3 * self.radial) ** 0.5)
        return least


def prepare_pictures(
    photos: Sequence[Photo], folder: Path, long_side: int, threads: int, progress: Progress
) -> list[Picture]:
    """Decode every photo once, which verifies it, and keep an upright copy of at most ``long_side`` pixels.

    A JPEG stays a JPEG (untouched where nothing has to change), anything else becomes PNG. Raises InputError naming
    the first broken photo.
    """
    folder.mkdir(parents=True, exist_ok=True)
    progress.stage("load", len(photos))
    cameras = {key: i for i, key in enumerate(dict.fromkeys(p.camera for p in photos))}

    def prepare(photo: Photo) -> Picture:
        return _prepare(photo, folder, long_side, cameras[photo.camera])

    pictures = []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for picture in pool.map(prepare, photos):
            pictures.append(picture)
            progress.advance()
    return pictures


def undistort_picture(path: Path, lens: Lens) -> float:
    """Replace a picture by what a pinhole camera would have seen; returns that camera's focal length in pixels."""
    focal = lens.pinhole_focal()
    if focal != lens.focal:
        import cv2

        x, y = np.meshgrid(np.arange(lens.width) + 0.5, np.arange(lens.height) + 0.5)
        where = (lens.distort(np.stack([x, y], -1), focal) - 0.5).astype(np.float32)
        image = cv2.remap(
            read_image(path), where[..., 0], where[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        path.write_bytes(encode_image(np.asarray(image, np.uint8), path.suffix))
    return focal


def _prepare(photo: Photo, folder: Path, long_side: int, camera: int) -> Picture:
    image = load_photo(photo, long_side)
    height, width = image.shape[:2]
    suffix = Path(photo.name).suffix
    is_jpeg = suffix.lower() in _JPEG
    path = folder / (Path(photo.name).stem + (suffix if is_jpeg else ".png"))
    if is_jpeg and photo.untouched and (width, height) == (photo.width, photo.height):
        path.write_bytes(photo.path.read_bytes())
    else:
        path.write_bytes(encode_image(image, path.suffix))
    focal = None if photo.focal_px is None else photo.focal_px * max(width, height) / max(photo.width, photo.height)
    return Picture(path, width, height, focal, camera)


def _border(width: int, height: int) -> NDArray[np.float64]:
    """[N, 2]: pixel centres around a picture."""
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    sides = [(x, 0 * x + 0.5), (x, 0 * x + height - 0.5), (0 * y + 0.5, y), (0 * y + width - 0.5, y)]
    return np.concatenate([np.stack(side, -1) for side in sides]).astype(np.float64)
