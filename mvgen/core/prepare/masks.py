"""Which pixels of a photo count: from mask files, alpha, a background that can be told apart, and sky.

A mask is [H, W] bool, as large and as upright as the picture it belongs to, true where the picture counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.images import EXTENSIONS, Photo, load_alpha, read_mask
from mvgen.core.prepare.background import plain_background
from mvgen.core.progress import Progress, Silent
from mvgen.core.sky import sky

BACKGROUNDS = ("none", "white", "black", "border", "static")
ASPECT = 0.01  # by which the shapes of mask and photo may differ
LEAST = 0.005  # of the picture: a computed mask that keeps less has failed
MOST = 0.9999  # of the picture: a mask that keeps more says nothing
_TURNED = {5: (-1, True), 6: (-1, False), 7: (1, True), 8: (1, False)}  # EXIF orientation: quarter turns, then mirrored
_SUFFIXES = ("", "_mask", ".mask", "-mask")
_ENDINGS = (".png", *(e for e in EXTENSIONS if e != ".png"))


@dataclass(frozen=True)
class MaskOptions:
    """background: what to drop, one of BACKGROUNDS; static takes what `static_backgrounds` finds in the whole set.

    sky: drop the sky; alpha: drop what is more than half transparent; shrink: pixels by which what is kept becomes
    smaller, for its rim shows the background too; tolerance: difference of colour in CIE Lab within which a pixel is
    background.
    """

    background: str = "none"
    sky: bool = False
    alpha: bool = True
    shrink: int = 1
    tolerance: float = 12.0


@dataclass(frozen=True, eq=False)
class PhotoMask:
    """keep [H, W] bool, or None where all of the photo counts; remarks: what a person should know about it."""

    keep: NDArray[np.bool_] | None
    remarks: tuple[str, ...] = ()


def find_masks(photos: Sequence[Photo], folder: Path, progress: Progress | None = None) -> dict[str, Path]:
    """Mask files of photos in a folder, by the photo's name.

    The mask of a.jpg is a.jpg.png (as COLMAP names it), a.png, a_mask.png, a.mask.png or a-mask.png, or any of them
    with the extension of another picture format; case does not matter. Photos without a mask are named in a warning.
    Raises InputError where the folder is missing or holds no photo's mask.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", "name the folder that holds the masks")
    own = {p.path.resolve() for p in photos}
    files = {
        f.name.lower(): f
        for f in sorted(folder.iterdir())
        if f.suffix.lower() in EXTENSIONS and f.is_file() and f.resolve() not in own
    }
    found = {p.name: mask for p in photos if (mask := _mask_of(p, photos, files)) is not None}
    if photos and not found:
        raise InputError(f"{folder}: no masks of these photos", f"name them like {photos[0].name}.png")
    missing = [p.name for p in photos if p.name not in found]
    if missing:
        text = ", ".join(missing[:5]) + (f" and {len(missing) - 5} others" if len(missing) > 5 else "")
        (progress or Silent()).warn(f"{folder}: no mask of {text}; used whole")
    return found


def photo_mask(
    photo: Photo,
    image: NDArray[np.uint8],
    options: MaskOptions,
    mask_file: Path | None = None,
    static: Mapping[str, NDArray[np.bool_]] | None = None,
) -> PhotoMask:
    """What counts of a photo that was loaded as ``image`` [H, W, 3]: the pixels that every source keeps.

    static: `static_backgrounds` of the set. A computed mask that keeps nearly nothing is left out with a remark; one
    that a person drew is obeyed. Raises InputError for a mask that cannot be read or has another shape than the photo.
    """
    height, width = image.shape[:2]
    parts, remarks = [], []
    if mask_file is not None:
        parts.append(mask_from_file(photo, mask_file, width, height))
        share = float(parts[0].mean())
        if share < LEAST:
            remarks.append(f"{mask_file}: keeps {'nothing' if share == 0 else 'almost nothing'} of {photo.name}")
        elif share > MOST:
            remarks.append(f"{mask_file}: keeps all of {photo.name}")
    alpha = load_alpha(photo, max(width, height)) if options.alpha else None
    if alpha is not None:
        parts.append(alpha > 0.5)
    for what, drop in _computed(photo, image, options, static or {}):
        if drop is None or drop.mean() > 1 - LEAST:
            found = "was not told apart" if drop is None else "would be all of it"
            remarks.append(f"{photo.name}: the {what} {found}; no {what} is masked")
        else:
            parts.append(~drop)
    if not parts:
        return PhotoMask(None, tuple(remarks))
    keep = np.logical_and.reduce(parts)
    keep = _shrunk(keep, options.shrink) if not keep.all() else keep
    return PhotoMask(None if keep.all() else keep, tuple(remarks))


def _computed(
    photo: Photo, image: NDArray[np.uint8], options: MaskOptions, static: Mapping[str, NDArray[np.bool_]]
) -> list[tuple[str, NDArray[np.bool_] | None]]:
    """(what, where it is or None where it is not told apart) for the backgrounds that the options ask for."""
    found: list[tuple[str, NDArray[np.bool_] | None]] = []
    if options.background == "static":
        drop = static.get(photo.name)
        found.append(("static background", None if drop is None else _resized(drop, image.shape[1], image.shape[0])))
    elif options.background != "none":
        found.append(("background", plain_background(image, options.background, options.tolerance)))
    if options.sky:
        found.append(("sky", sky(image)))
    return found


def _mask_of(photo: Photo, photos: Sequence[Photo], files: Mapping[str, Path]) -> Path | None:
    """By the photo's name in its set, or by its file's where no other photo's file has the same stem."""
    names = [photo.name.lower()]
    stem = photo.path.stem.lower()
    if sum(p.path.stem.lower() == stem for p in photos) == 1:
        names.append(photo.path.name.lower())
    for name in names:
        for ending in _ENDINGS:
            if name + ending in files:
                return files[name + ending]
        for suffix in _SUFFIXES:
            for ending in _ENDINGS:
                if (candidate := Path(name).stem + suffix + ending) in files:
                    return files[candidate]
    return None


def mask_from_file(photo: Photo, path: Path, width: int, height: int) -> NDArray[np.bool_]:
    """A mask file at the size of the picture.

    It may be stored as the photo is, before EXIF orientation turns it upright: that is told by its shape, so a mask
    of a photo that stands upside down, or is square, must be upright.
    """
    mask = read_mask(path)
    if photo.orientation in _TURNED and not _same_shape(mask, width, height) and _same_shape(mask.T, width, height):
        turns, mirrored = _TURNED[photo.orientation]
        mask = np.rot90(mask, turns)
        mask = mask[:, ::-1] if mirrored else mask
    if not _same_shape(mask, width, height):
        raise InputError(
            f"{path}: has {mask.shape[1]}x{mask.shape[0]} pixels, its photo {photo.name} "
            f"{photo.width}x{photo.height}: another shape",
            "make the mask from the photo as it is, uncropped and upright",
        )
    return _resized(np.ascontiguousarray(mask), width, height)


def _same_shape(mask: NDArray[np.bool_], width: int, height: int) -> bool:
    """Whether the aspect ratios agree; a picture of few pixels cannot keep its own any better than by one pixel."""
    ratio = (mask.shape[1] * height) / (mask.shape[0] * width)
    slack = max(ASPECT, 1 / min(width, height), 1 / min(mask.shape))
    return 1 - slack <= ratio <= 1 + slack


def _resized(mask: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    """The nearest pixels of a mask."""
    if mask.shape == (height, width):
        return mask
    grown = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(grown) > 0


def _shrunk(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """A mask without its outer pixels; the picture's border takes nothing away."""
    if pixels <= 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.erode(mask.astype(np.uint8), disc)) > 0
