"""Photos at the size that the network wants, and the way back to the photos' own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.dust3r.config import PATCH

SHORT_SIDE = 224  # networks trained at this size want squares


@dataclass(frozen=True)
class Fit:
    """How a photo of width x height pixels becomes a picture: resized, then cropped at left, top to size (w, h)."""

    photo: tuple[int, int]
    resized: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.size[1] // PATCH, self.size[0] // PATCH

    def matrix(self) -> NDArray[np.float64]:
        """[3, 3]: pixels of the photo to pixels of the picture, both with pixel centres at +0.5."""
        scale_x, scale_y = (r / p for r, p in zip(self.resized, self.photo))
        return np.array([[scale_x, 0, -self.corner[0]], [0, scale_y, -self.corner[1]], [0, 0, 1]])

    def to_picture(self, intrinsics: NDArray[np.floating]) -> NDArray[np.float64]:
        """Intrinsics [3, 3] of the photo as those of the picture."""
        return np.asarray(self.matrix() @ intrinsics, np.float64)

    def to_photo(self, intrinsics: NDArray[np.floating]) -> NDArray[np.float64]:
        """Intrinsics [3, 3] of the picture as those of the photo."""
        return np.asarray(np.linalg.inv(self.matrix()) @ intrinsics, np.float64)


def fit_photo(width: int, height: int, image_size: int, keep_square: bool = False) -> Fit:
    """The fit of a photo for a network trained at 224 or 512 pixels.

    At 224 the shorter side is resized to 224 and the middle square taken. Else the longer side is resized, and both are
    cropped about the middle to multiples of a patch; a square photo loses a quarter of its height, since the network
    has seen no squares, unless ``keep_square``.
    """
    if image_size == SHORT_SIDE:
        scale = image_size / min(width, height)
        resized = max(image_size, round(width * scale)), max(image_size, round(height * scale))
        half = image_size // 2
        return Fit((width, height), resized, (resized[0] // 2 - half, resized[1] // 2 - half), (image_size, image_size))
    scale = image_size / max(width, height)
    resized = max(1, round(width * scale)), max(1, round(height * scale))
    middle = resized[0] // 2, resized[1] // 2
    half_width, half_height = (max((2 * m) // PATCH * PATCH // 2, PATCH // 2) for m in middle)
    if resized[0] == resized[1] and not keep_square:
        half_height = 3 * half_width // 4 // (PATCH // 2) * (PATCH // 2)
    corner = max(0, middle[0] - half_width), max(0, middle[1] - half_height)
    return Fit((width, height), resized, corner, (2 * half_width, 2 * half_height))


def network_picture(photo: NDArray[np.uint8], fit: Fit) -> NDArray[np.float32]:
    """[3, h, w] in [-1, 1] of a photo [H, W, 3]. Lanczos where it shrinks, bicubic where it grows."""
    from PIL import Image

    shrinks = max(fit.resized) < max(fit.photo)
    image = Image.fromarray(photo).resize(
        fit.resized, Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
    )
    left, top = fit.corner
    cut = np.asarray(image.crop((left, top, left + fit.size[0], top + fit.size[1])), np.float32)
    return np.ascontiguousarray((cut / 127.5 - 1).transpose(2, 0, 1))


def fit_mask(mask: NDArray[np.bool_], fit: Fit) -> NDArray[np.bool_]:
    """[h, w]: a mask [H, W] of the photo, white wherever most of a pixel is."""
    from PIL import Image

    image = Image.fromarray(mask.astype(np.uint8) * 255).resize(fit.resized, Image.Resampling.BOX)
    left, top = fit.corner
    return np.asarray(image.crop((left, top, left + fit.size[0], top + fit.size[1]))) > 127
