"""Photos of little contrast or sharpness made easier to match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.limits import between

TILES = 8  # across and along the picture, whose contrast is stretched apart (Zuiderveld 1994, "CLAHE")
RADIUS = 1.5  # pixels: standard deviation of the blur that an unsharp mask exceeds


@dataclass(frozen=True)
class EnhanceOptions:
    """contrast: how far local contrast may grow, 0 leaves it; sharpness: how much of the fine detail is added, 0 leaves
    it."""

    contrast: float = between(0.0, 0.0, 10.0)
    sharpness: float = between(0.0, 0.0, 5.0)


def enhance(image: NDArray[np.uint8], options: EnhanceOptions) -> NDArray[np.uint8]:
    """A picture [H, W, 3] with more local contrast and sharpness, its colours' hue kept; the same object where both
    are 0."""
    if options.contrast <= 0 and options.sharpness <= 0:
        return image
    lab: NDArray[Any] = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    light = lab[..., 0]
    if options.contrast > 0:
        light = cv2.createCLAHE(1 + options.contrast, (TILES, TILES)).apply(light)
    if options.sharpness > 0:
        fine = light.astype(np.float32)
        fine += options.sharpness * (fine - cv2.GaussianBlur(fine, (0, 0), RADIUS))
        light = np.clip(fine + 0.5, 0, 255).astype(np.uint8)
    lab[..., 0] = light
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)
