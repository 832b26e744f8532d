"""One picture's foreground: by a mask, its own transparency, a matting model, or colours alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError, UsageError
from mvgen.core.io.images import load_alpha, load_photo, read_photo_header
from mvgen.core.prepare.background import plain_background
from mvgen.core.prepare.masks import mask_from_file

LONGEST = 2048  # pixels of the longer side that are kept
LEAST = 64  # pixels: a foreground smaller than this shows nothing
FULL = 0.985  # of the picture: a foreground larger than this was not told apart
CUT_SIDE = 480  # pixels of the longer side while GrabCut runs
ROUNDS = 8  # of GrabCut
SPECK = 0.02  # of the largest part: smaller parts are left out
PINHOLE = 2e-4  # of the foreground: smaller holes are closed


@dataclass(frozen=True, eq=False)
class Cutout:
    """image [H, W, 3] uint8 sRGB; alpha [H, W] float32 in 0..1, the foreground's share of each pixel; how it was told
    apart (mask, alpha, rembg, plain, grabcut)."""

    image: NDArray[np.uint8]
    alpha: NDArray[np.float32]
    how: str


def cut_out(path: Path, mask: Path | None = None, way: str = "auto", long_side: int = LONGEST) -> Cutout:
    """The foreground of a picture, which is reduced to at most ``long_side`` pixels.

    auto takes the mask that is given, else transparency, else a matting model that is on this machine (rembg), else a
    plain background, else GrabCut (Rother et al. 2004) from the picture's middle. Raises InputError for what cannot be
    read, CannotError where there is no foreground, UsageError for a way that is not there.
    """
    photo = read_photo_header(path)
    image = load_photo(photo, long_side)
    height, width = image.shape[:2]
    if mask is not None:
        alpha, how = mask_from_file(photo, mask, width, height).astype(np.float32), "mask"
    else:
        alpha, how = _told_apart(path, image, load_alpha(photo, long_side), way)
    alpha = _tidied(alpha) if how in ("plain", "grabcut") else alpha
    share = float((alpha > 0.5).mean())
    if share * alpha.size < LEAST:
        what = f"{mask}: keeps nothing of {path}" if mask is not None else f"{path}: shows no foreground"
        raise CannotError(what, "give --mask with the object in white")
    if share > FULL:
        raise CannotError(
            f"{path}: the object was not told from its background", "give --mask with the object in white"
        )
    return Cutout(image, alpha, how)


def cropped(cutout: Cutout, margin: float = 0.05) -> Cutout:
    """The part around the foreground, with a margin of its longer side; beyond the picture it is empty."""
    rows, columns = (np.flatnonzero((cutout.alpha > 0.05).any(axis)) for axis in (1, 0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    pad = max(2, round(margin * max(bottom - top, right - left))) if margin else 0
    height, width = cutout.alpha.shape
    outside = (max(0, pad - top), max(0, bottom + pad - height)), (max(0, pad - left), max(0, right + pad - width))
    window = np.s_[max(0, top - pad) : bottom + pad, max(0, left - pad) : right + pad]
    image = np.pad(cutout.image[window], (*outside, (0, 0)), mode="edge")
    return replace(cutout, image=image, alpha=np.pad(cutout.alpha[window], outside))


def squared(cutout: Cutout, size: int, ratio: float, grey: int = 127) -> NDArray[np.uint8]:
    """[size, size, 3]: the foreground's box in the middle, its longer side ``ratio`` of the square, on grey."""
    part = cropped(cutout, 0.0)
    height, width = part.alpha.shape
    scale = ratio * size / max(height, width)
    move = np.array([[scale, 0, (size - scale * width) / 2], [0, scale, (size - scale * height) / 2]])
    move[:, 2] += 0.5 * scale - 0.5  # OpenCV counts from pixel centres
    shrink = max(1.0, 1 / scale)
    rgba = np.dstack([part.image.astype(np.float32) * part.alpha[..., None], part.alpha])
    if shrink > 1:
        rgba = cv2.GaussianBlur(rgba, (0, 0), 0.4 * shrink, borderType=cv2.BORDER_CONSTANT)
    placed = cv2.warpAffine(rgba, move, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.rint(placed[..., :3] + grey * (1 - placed[..., 3:])).clip(0, 255).astype(np.uint8)


def bled(image: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture [H, W, 3] with the colours of what is known [H, W] spread over the rest, the farther the smoother."""
    weights: list[NDArray[Any]] = [known.astype(np.float32)]
    colours: list[NDArray[Any]] = [image * weights[0][..., None]]
    while max(weights[-1].shape) > 1:
        size = tuple(max(1, (n + 1) // 2) for n in weights[-1].shape[::-1])
        colours.append(cv2.resize(colours[-1], size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3))
        weights.append(cv2.resize(weights[-1], size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0]))
    full = colours[-1] / np.maximum(weights[-1], 1e-12)[..., None]
    for colour, weight in zip(colours[-2::-1], weights[-2::-1]):
        size = weight.shape[::-1]
        above = cv2.resize(full, size, interpolation=cv2.INTER_LINEAR).reshape(size[1], size[0], 3)
        sure = np.minimum(weight, 1)[..., None]
        full = np.where(sure > 0, colour / np.maximum(weight, 1e-12)[..., None], 0) * sure + above * (1 - sure)
    return np.where(known[..., None], image, np.rint(full.clip(0, 255)).astype(np.uint8))


def _told_apart(
    path: Path, image: NDArray[np.uint8], alpha: NDArray[np.float32] | None, way: str
) -> tuple[NDArray[np.float32], str]:
    if way in ("auto", "alpha") and alpha is not None and (alpha < 0.5).mean() > 1e-3:
        return alpha, "alpha"
    if way == "alpha":
        raise CannotError(f"{path}: has no transparent parts", "leave --foreground out, or give --mask")
    if way in ("auto", "rembg"):
        found = _by_rembg(image, way == "rembg")
        if found is not None:
            return found, "rembg"
    if way in ("auto", "plain"):
        background = plain_background(image, "border")
        if background is not None and (~background).mean() > 1e-4:
            return (~background).astype(np.float32), "plain"
        if way == "plain":
            raise CannotError(f"{path}: its background is not plain", "leave --foreground out, or give --mask")
    return _by_grabcut(image), "grabcut"


def _by_rembg(image: NDArray[np.uint8], asked: bool) -> NDArray[np.float32] | None:
    """By the matting model u2net, where rembg and its weights are on this machine."""
    import importlib.util
    import os

    home = Path(os.environ.get("U2NET_HOME") or Path.home() / ".u2net")
    if importlib.util.find_spec("rembg") is None:
        if asked:
            raise UsageError("--foreground rembg: rembg is not installed", "pip install 'rembg[cpu]'")
        return None
    if not (home / "u2net.onnx").is_file():
        if asked:
            raise UsageError("--foreground rembg: its model is not on this machine", "rembg d u2net")
        return None
    from PIL import Image
    from rembg import new_session, remove

    mask = remove(Image.fromarray(image), session=new_session("u2net"), only_mask=True)
    return np.asarray(mask.convert("L"), np.float32) / np.float32(255)


def _by_grabcut(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What lies in the middle and has other colours than the border."""
    height, width = image.shape[:2]
    scale = min(1.0, CUT_SIDE / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    y, x = np.mgrid[: size[1], : size[0]]
    near = np.minimum(np.minimum(x, size[0] - 1 - x) / size[0], np.minimum(y, size[1] - 1 - y) / size[1])
    seeds = np.where(near < 0.12, cv2.GC_PR_BGD, cv2.GC_PR_FGD).astype(np.uint8)
    seeds[near < 0.015] = cv2.GC_BGD
    models = np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(small, seeds, (0, 0, 1, 1), models[0], models[1], ROUNDS, cv2.GC_INIT_WITH_MASK)
    kept = ((seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)).astype(np.float32)
    kept = cv2.GaussianBlur(kept, (0, 0), 1.0)
    large = cv2.resize(kept, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    return np.rint(255 * large).astype(np.float32) / np.float32(255)  # as a file keeps it


def _tidied(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without specks beside the largest part, and without pinholes in it."""
    solid = (alpha > 0.5).astype(np.uint8)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    area = facts[:, cv2.CC_STAT_AREA].astype(np.float64)
    area[0] = 0
    speck = area < SPECK * area.max(initial=0)
    speck[0] = False
    out = np.where(speck[labels], 0, alpha)
    _, labels, facts, _ = cv2.connectedComponentsWithStats((out <= 0.5).astype(np.uint8), connectivity=4)
    hole = facts[:, cv2.CC_STAT_AREA] < PINHOLE * area.max(initial=0)
    hole[0] = False
    return np.where(hole[labels], 1, out).astype(np.float32)
