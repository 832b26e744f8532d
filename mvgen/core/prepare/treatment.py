"""What is done to each photo of a set when it is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.io.images import Photo
from mvgen.core.prepare.background import static_backgrounds
from mvgen.core.prepare.enhance import EnhanceOptions, enhance
from mvgen.core.prepare.masks import MaskOptions, photo_mask
from mvgen.core.progress import Progress


@dataclass(frozen=True)
class Treatment:
    """How photos are masked and enhanced. files: mask files by the photo's name."""

    masks: MaskOptions = field(default_factory=MaskOptions)
    enhancement: EnhanceOptions = field(default_factory=EnhanceOptions)
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def drops_background(self) -> bool:
        """Whether anybody has said what the photos are of."""
        return bool(self.files) or self.masks.background != "none"

    def key(self) -> Any:
        """Plain values that tell one treatment from another."""
        files = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in self.files.items()}
        return asdict(self.masks), asdict(self.enhancement), files


def treat(
    photos: Sequence[Photo], treatment: Treatment, progress: Progress
) -> Callable[[Photo, NDArray[np.uint8]], tuple[NDArray[np.uint8], NDArray[np.bool_] | None]]:
    """A function from a photo and its picture [H, W, 3] to what becomes of it, and its mask [H, W] or None.

    Raises CannotError where a static background is asked for and the set has none.
    """
    static = static_backgrounds(photos, progress) if treatment.masks.background == "static" else None
    changes = treatment.enhancement.contrast > 0 or treatment.enhancement.sharpness > 0

    def one(photo: Photo, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        found = photo_mask(photo, image, treatment.masks, treatment.files.get(photo.name), static)
        for remark in found.remarks:
            progress.warn(remark)
        return enhance(image, treatment.enhancement) if changes else image, found.keep

    return one
