"""The pictures that cameras are recovered from: upright copies of moderate size, and their undistortion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.images import (
    Photo,
    encode_image,
    find_duplicates,
    load_photo,
    read_image,
    read_mask,
    upright_exif,
    write_mask,
)
from mvgen.core.progress import Progress
from mvgen.core.sfm.lens import Lens

_JPEG = (".jpg", ".jpeg")
Treat = Callable[[Photo, NDArray[np.uint8]], tuple[NDArray[np.uint8], NDArray[np.bool_] | None]]


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a photo's camera beforehand. lens: of the whole photo; pose [4, 4]: world to camera."""

    lens: Lens | None = None
    pose: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright copy of a photo.

    photo: name of the photo; focal: pixels, None where unknown; camera: index of its camera; mask: a grey PNG of the
    same size, white where the picture counts; lens and pose: where they are known (see `Known`), at this size.
    """

    photo: str
    path: Path
    width: int
    height: int
    focal: float | None
    camera: int
    mask: Path | None = None
    lens: Lens | None = None
    pose: NDArray[np.float64] | None = None

    @property
    def name(self) -> str:
        return self.path.name


def prepare_pictures(
    photos: Sequence[Photo],
    folder: Path,
    long_side: int,
    threads: int,
    progress: Progress,
    treat: Treat | None = None,
    skip_bad: bool = False,
) -> list[Picture]:
    """Decode every photo once, which verifies it, and keep an upright copy of at most ``long_side`` pixels.

    Copies go to ``folder``/images; a JPEG stays a JPEG (untouched where nothing has to change), anything else becomes
    PNG. ``treat`` may change a picture and give a mask [H, W], kept in ``folder``/masks. Raises InputError naming
    the first broken photo; with ``skip_bad`` broken photos are named in warnings and left out.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    progress.stage("load", len(photos))
    cameras = {key: i for i, key in enumerate(dict.fromkeys(p.camera for p in photos))}

    def prepare(photo: Photo) -> Picture | InputError:
        try:
            return _prepare(photo, folder, long_side, cameras[photo.camera], treat)
        except InputError as error:
            if not skip_bad:
                raise
            return error

    pictures = []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for found in pool.map(prepare, photos):
            if isinstance(found, Picture):
                pictures.append(found)
            else:
                progress.warn(f"{found.message}; skipped")
            progress.advance()
    for names in find_duplicates([p for p in photos if p.name in {q.photo for q in pictures}]):
        progress.warn(f"{names[0]}: the same file as {', '.join(names[1:])}")
    return pictures


def with_known(pictures: Sequence[Picture], known: Mapping[str, Known]) -> list[Picture]:
    """The pictures with what is known of their cameras, by the photo's name.

    Raises InputError where a lens belongs to a picture of another shape.
    """
    return [_with_known(p, known[p.photo]) if p.photo in known else p for p in pictures]


def undistorted_copy(source: Path, target: Path, lens: Lens) -> None:
    """Write what a camera with intrinsics lens.pinhole would have seen; where that is the lens itself, a plain copy."""
    where = _undistortion(lens)
    if where is None:
        target.write_bytes(source.read_bytes())
        return
    import cv2

    image = cv2.remap(read_image(source), where[0], where[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    target.write_bytes(encode_image(np.asarray(image, np.uint8), target.suffix))


def undistorted_mask(source: Path, target: Path, lens: Lens) -> None:
    """The same for a mask, which stays black and white."""
    where = _undistortion(lens)
    mask = read_mask(source)
    if where is not None:
        import cv2

        soft = cv2.remap(mask.astype(np.float32), where[0], where[1], cv2.INTER_LINEAR)
        mask = np.asarray(soft) > 0.5
    write_mask(mask, target)


def _undistortion(lens: Lens) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """[H, W] each: the pixel (OpenCV's, counted from 0) that each pixel of the pinhole's picture shows; None for a
    pinhole lens."""
    if np.array_equal(lens.pinhole, lens.intrinsics):
        return None
    x, y = np.meshgrid(np.arange(lens.width) + 0.5, np.arange(lens.height) + 0.5)
    where = (lens.distort(np.stack([x, y], -1), lens.pinhole) - 0.5).astype(np.float32)
    return np.ascontiguousarray(where[..., 0]), np.ascontiguousarray(where[..., 1])


def _prepare(photo: Photo, folder: Path, long_side: int, camera: int, treat: Treat | None) -> Picture:
    loaded = load_photo(photo, long_side)
    image, mask = (loaded, None) if treat is None else treat(photo, loaded)
    height, width = image.shape[:2]
    suffix = Path(photo.name).suffix
    is_jpeg = suffix.lower() in _JPEG
    path = folder / "images" / (Path(photo.name).stem + (suffix if is_jpeg else ".png"))
    if is_jpeg and photo.untouched and image is loaded and (width, height) == (photo.width, photo.height):
        path.write_bytes(photo.path.read_bytes())
    else:
        path.write_bytes(encode_image(image, path.suffix, upright_exif(photo)))
    mask_path = None
    if mask is not None:
        mask_path = folder / "masks" / f"{path.name}.png"
        write_mask(mask, mask_path)
    focal = None if photo.focal_px is None else photo.focal_px * max(width, height) / max(photo.width, photo.height)
    return Picture(photo.name, path, width, height, focal, camera, mask_path)


def _with_known(picture: Picture, known: Known) -> Picture:
    lens = known.lens
    if lens is None:
        return replace(picture, pose=known.pose)
    shapes = lens.width / lens.height, picture.width / picture.height
    if abs(np.log(shapes[0] / shapes[1])) > 0.01:
        raise InputError(
            f"{picture.photo}: its known camera has a picture of {lens.width}x{lens.height}, another shape",
            "give the camera of the upright, uncropped photo",
        )
    lens = lens.resized(picture.width, picture.height)
    return replace(picture, lens=lens, focal=lens.focal, pose=known.pose)
