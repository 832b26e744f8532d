"""Pictures as pinhole cameras in place of distorting lenses would have taken them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.io.images import encode_image, read_mask, read_stored, write_mask
from mvgen.core.io.model import Lens, Model

NEGLIGIBLE = 0.25  # pixels: distortion below this is left in the picture
WIDEST, NARROWEST = 0.5, 3.0  # zoom of the pinhole camera against the lens
ON_A_SIDE, ALONG_A_RAY = 65, 33  # places at which a lens is looked at: on each side of the picture, from its centre
BAND = 256  # rows that are undistorted at a time
MOST_SIDE = (1 << 15) - 1  # pixels that OpenCV takes
WRITTEN = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
KINDS = ("perspective", "fisheye")  # of lenses that can be undistorted


def undistorted(model: Model, folder: Path, warn: Warn = ignore) -> Model:
    """The model with pinhole cameras alone; pictures and masks that had to be changed are written to an empty folder.

    Cameras keep the size of their pictures and show nothing beyond their borders. Observations lie where their points
    project. Raises CannotError for a lens that cannot be undistorted, InputError for a picture that is missing, damaged
    or not of its camera's size.
    """
    cameras, pictures, masks = list(model.cameras), list(model.pictures), list(model.masks)
    changed = 0
    for index, (camera, bend) in enumerate(zip(model.cameras, model.lenses)):
        flat = pinhole(camera, bend)
        if flat is camera:
            continue
        picture, mask = model.pictures[index], model.masks[index]
        if picture is None:
            raise InputError(f"{camera.name}: the picture was not found", "name the folder of the pictures")
        suffix = Path(camera.name).suffix.lower()
        flat = flat if suffix in WRITTEN else replace(flat, name=f"{camera.name}.png")
        target = folder / f"{index}{Path(flat.name).suffix}"
        cameras[index], pictures[index] = flat, target
        pixels = _remapped(_of_size(read_stored(picture), camera, picture), camera, bend, flat, cv2.INTER_CUBIC)
        target.write_bytes(encode_image(pixels, target.suffix))
        if mask is not None:
            white = _of_size(np.where(read_mask(mask), 255, 0).astype(np.uint8), camera, mask)
            masks[index] = folder / f"{index}.mask.png"
            write_mask(_remapped(white, camera, bend, flat, cv2.INTER_LINEAR) > 127, folder / f"{index}.mask.png")
        changed += 1
    if changed:
        warn(f"{changed} pictures are undistorted, which cuts off some of their borders")
    return replace(
        model,
        cameras=tuple(cameras),
        lenses=(Lens(),) * len(cameras),
        pictures=tuple(pictures),
        masks=tuple(masks),
        sightings=replace(model.sightings, pixel=None) if changed else model.sightings,
    )


def pinhole(camera: Camera, bend: Lens) -> Camera:
    """The pinhole camera with a picture of the same size that keeps as much of a lens's picture as it can without
    showing anything beyond its border; the camera itself where distortion is negligible.

    Raises CannotError for a lens of a kind not in KINDS, and for one that no pinhole camera can replace.
    """
    if bend.is_pinhole:
        return camera
    if bend.kind not in KINDS:
        raise CannotError(
            f"{camera.name}: its {bend.kind} lens cannot be undistorted",
            "undistort the pictures with the program that made the cameras",
        )
    border = _border(camera)
    seen = _distorted(camera, bend, camera, border)
    if np.abs(seen - border).max() < NEGLIGIBLE:
        return camera
    low, high = WIDEST, NARROWEST
    if not _sees(camera, bend, _zoomed(camera, high), border):
        raise CannotError(
            f"{camera.name}: its lens bends the picture too much for a pinhole camera",
            "check its distortion, or write --to colmap or nerfstudio, which keep it",
        )
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if _sees(camera, bend, _zoomed(camera, middle), border) else (middle, high)
    return _zoomed(camera, high)


def _zoomed(camera: Camera, zoom: float) -> Camera:
    return replace(camera, intrinsics=camera.intrinsics * np.array([[zoom, 1, 1], [1, zoom, 1], [1, 1, 1]]))


def _border(camera: Camera) -> NDArray[np.float64]:
    """[N, 2]: places on the outermost pixel centres of a picture."""
    x, y = (np.linspace(0.5, n - 0.5, ON_A_SIDE) for n in (camera.width, camera.height))
    sides = [(x, 0 * x + y[0]), (x, 0 * x + y[-1]), (0 * y + x[0], y), (0 * y + x[-1], y)]
    return np.concatenate([np.stack(side, -1) for side in sides])


def _flat(flat: Camera, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places [..., 2] on the plane at distance 1 that a pinhole camera sees at pixels [..., 2]."""
    k = flat.intrinsics
    return np.asarray((pixels - k[:2, 2]) / k[[0, 1], [0, 1]])


def _distorted(camera: Camera, bend: Lens, flat: Camera, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the pixels [..., 2] of a pinhole camera lie in the picture of the lens."""
    k = camera.intrinsics
    return np.asarray(bend.distort(_flat(flat, pixels)) * k[[0, 1], [0, 1]] + k[:2, 2])


def _sees(camera: Camera, bend: Lens, flat: Camera, border: NDArray[np.float64]) -> bool:
    """Whether a pinhole camera shows only what the lens's picture has, nothing twice.

    Its border lies within that picture, and on the way there from the centre the lens never turns back: beyond the
    angles that they were fitted to, polynomials of distortion do.
    """
    seen = _distorted(camera, bend, flat, border)
    if not ((seen >= 0.5) & (seen <= [camera.width - 0.5, camera.height - 0.5])).all():
        return False
    rays = _flat(flat, border)
    steps = bend.distort(np.linspace(0, 1, ALONG_A_RAY)[:, None, None] * rays)
    return bool(((np.diff(steps, axis=0) * rays).sum(-1) > 0).all())


def _of_size(pixels: NDArray[np.uint8], camera: Camera, path: Path) -> NDArray[np.uint8]:
    """Pixels [H, W, ...], if they fit the camera. Raises InputError otherwise."""
    if pixels.shape[:2] != (camera.height, camera.width):
        raise InputError(
            f"{path}: is {pixels.shape[1]}x{pixels.shape[0]}, but its camera {camera.width}x{camera.height}",
            "give the pictures that the cameras were found for, with --images",
        )
    if max(pixels.shape[:2]) > MOST_SIDE:
        raise CannotError(f"{path}: is too large to be undistorted", f"make it at most {MOST_SIDE} pixels wide")
    return pixels


def _remapped(
    pixels: NDArray[np.uint8], camera: Camera, bend: Lens, flat: Camera, interpolation: int
) -> NDArray[np.uint8]:
    """The picture [H, W, ...] of a lens as the pinhole camera shows it."""
    source = np.ascontiguousarray(pixels)
    out = np.empty_like(source, np.uint8)
    for first in range(0, camera.height, BAND):
        rows = np.arange(first, min(first + BAND, camera.height))
        x, y = np.meshgrid(np.arange(camera.width) + 0.5, rows + 0.5)
        where = (_distorted(camera, bend, flat, np.stack([x, y], -1)) - 0.5).astype(np.float32)
        map_x, map_y = (np.ascontiguousarray(where[..., k]) for k in (0, 1))
        out[rows] = cv2.remap(source, map_x, map_y, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return out
