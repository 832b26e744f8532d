"""Photos and pictures: finding them, reading them upright, writing them.

Pictures in memory are [H, W, 3] uint8 sRGB, first row at the top, as a person holds the photo: EXIF orientation is
applied. Alpha is dropped (`load_alpha` reads it), grey and palette pictures become RGB, 16 bits become 8, other colour
profiles become sRGB.
"""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, features

from mvgen.core.errors import InputError
from mvgen.core.io.atomic import atomic_file
from mvgen.core.scene import View

EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".heic", ".heif", ".avif")
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF")
MAX_PIXELS = 250_000_000  # above the largest phone cameras (200 Mpx), below what exhausts a small machine
FILM_DIAGONAL = math.hypot(36, 24)  # mm, of the frame that "35 mm equivalent" refers to

_ORIENTATION, _MAKE, _MODEL, _EXIF = 0x0112, 0x010F, 0x0110, 0x8769
_FOCAL_MM, _FOCAL_35MM = 0x920A, 0xA405
_PLANE_X, _PLANE_UNIT, _PIXELS_X, _PIXELS_Y = 0xA20E, 0xA210, 0xA002, 0xA003
_GPS, _SOUTH, _LATITUDE, _WEST, _LONGITUDE, _BELOW, _ALTITUDE = 0x8825, 1, 2, 3, 4, 5, 6  # odd ones: the signs
_HIGHEST = 100_000.0  # m: a GPS altitude beyond this, either way, is a fault
_TURNS = {  # EXIF orientation: what makes the picture upright; Pillow does it for TIFF by itself
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UNIT_MM = {1: 25.4, 2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}


Gps = tuple[float, float, float | None]


@dataclass(frozen=True)
class Photo:
    """What a photo's header says.

    name: unique in its set, also without its extension; width, height: upright; orientation: EXIF, 1 to 8;
    focal_px: from EXIF, for the full-size picture, None where unknown; camera: photos with an equal value were taken
    with the same camera and zoom, as far as the headers tell; gps: latitude and longitude in degrees, north and east
    positive, and altitude in metres above sea or None; alpha: it may have transparent parts.
    """

    path: Path
    name: str
    width: int
    height: int
    orientation: int
    focal_px: float | None
    camera: tuple[str, str, int, int, float | None]
    untouched: bool = False  # an upright sRGB JPEG: its file can stand for its picture
    gps: Gps | None = None
    alpha: bool = False


def find_photos(inputs: Iterable[Path]) -> list[Path]:
    """Photos among files and (not recursively) folders, each once, in natural order (photo2 before photo10).

    Other files in a folder are passed over; a named file that is no photo is refused with InputError, as are
    missing files and folders without photos.
    """
    found: dict[Path, Path] = {}
    for given in inputs:
        for path in _photos_at(Path(given)):
            found.setdefault(path.resolve(), path)
    return sorted(found.values(), key=natural_key)


def natural_key(path: Path) -> tuple[Any, ...]:
    """Sorts numbers inside names by value."""
    parts = re.split(r"(\d+)", str(path).lower())
    return tuple((int(p), "") if p.isdigit() else (-1, p) for p in parts), str(path)


def read_photos(paths: Sequence[Path]) -> tuple[Photo, ...]:
    """The headers of some photos, with names that are unique without their extensions. Raises InputError."""
    photos, bad = split_bad(paths)
    for _, error in bad:
        raise error
    return photos


def split_bad(paths: Sequence[Path]) -> tuple[tuple[Photo, ...], list[tuple[Path, InputError]]]:
    """`read_photos` of those that have a sound header, and the others with what is wrong with them.

    Damage behind the header shows only when a photo is decoded: `load_photo` and `check_photo` raise InputError then.
    """
    taken: set[str] = set()
    photos: list[Photo] = []
    bad: list[tuple[Path, InputError]] = []
    for path in paths:
        name = _unique_name(path, taken)
        try:
            photos.append(read_photo_header(path, name))
        except InputError as error:
            bad.append((path, error))
        else:
            taken.add(Path(name).stem.lower())
    return tuple(photos), bad


def check_photo(photo: Photo) -> None:
    """Decode a photo and forget it. Raises InputError where it is truncated or damaged."""
    load_photo(photo, 256)


def _unique_name(path: Path, taken: set[str]) -> str:
    """The file's name, changed where its stem is among those taken."""
    name = path.name
    if Path(name).stem.lower() in taken:
        name = f"{path.resolve().parent.name}_{path.name}"
    stem, suffix, count = Path(name).stem, path.suffix, 2
    while Path(name).stem.lower() in taken:
        name, count = f"{stem}_{count}{suffix}", count + 1
    return name


def read_photo_header(path: Path, name: str | None = None) -> Photo:
    """Size, orientation and focal length, without decoding the picture. Raises InputError."""
    with _opened(path) as image:
        exif = _exif(image)
        orientation = _orientation(exif)
        width, height = _upright_size(image, orientation)
        focal = exif_focal(exif, width, height)
        make, model = (str(exif.get(tag) or "").strip("\0 ") for tag in (_MAKE, _MODEL))
        untouched = image.format == "JPEG" and image.mode == "RGB" and not image.info.get("icc_profile")
        gps, alpha = exif_gps(_gps_tags(image)), image.has_transparency_data
    camera = (make, model, width, height, None if focal is None else round(focal, 2))
    plain = untouched and orientation == 1
    return Photo(Path(path), name or Path(path).name, width, height, orientation, focal, camera, plain, gps, alpha)


def exif_focal(exif: dict[int, Any], width: int, height: int) -> float | None:
    """Focal length in pixels of a width x height picture, None where EXIF does not tell.

    From the 35 mm equivalent by the ratio of diagonals, else from the focal length and the sensor's resolution.
    """
    film, focal_mm = _number(exif.get(_FOCAL_35MM)), _number(exif.get(_FOCAL_MM))
    focal = None
    if film:
        focal = film / FILM_DIAGONAL * math.hypot(width, height)
    elif focal_mm and (per_unit := _number(exif.get(_PLANE_X))):
        unit = _UNIT_MM.get(int(_number(exif.get(_PLANE_UNIT)) or 2), 25.4)
        taken = max(_number(exif.get(_PIXELS_X)) or 0, _number(exif.get(_PIXELS_Y)) or 0) or max(width, height)
        focal = focal_mm * per_unit / unit * max(width, height) / taken
    plausible = focal is not None and 0.2 < focal / max(width, height) < 30
    return focal if plausible else None


def exif_gps(tags: dict[int, Any]) -> Gps | None:
    """Latitude, longitude (degrees) and altitude (m above sea, or None) from EXIF GPS tags; None where they make no
    sense. Exactly 0, 0 is what devices without a fix write."""
    latitude, longitude = _degrees(tags.get(_LATITUDE)), _degrees(tags.get(_LONGITUDE))
    if latitude is None or longitude is None or latitude > 90 or longitude > 180 or latitude == longitude == 0:
        return None
    altitude = _finite(tags.get(_ALTITUDE))
    if altitude is not None and str(tags.get(_BELOW)) in ("1", "b'\\x01'"):
        altitude = -altitude
    south, west = (str(tags.get(tag) or "").strip("\0 ").upper()[:1] for tag in (_SOUTH, _WEST))
    return (
        -latitude if south == "S" else latitude,
        -longitude if west == "W" else longitude,
        altitude if altitude is not None and abs(altitude) < _HIGHEST else None,
    )


def load_photo(photo: Photo, long_side: int | None = None) -> NDArray[np.uint8]:
    """[H, W, 3]: the whole photo decoded, upright, its longer side reduced to at most ``long_side``.

    A JPEG much larger than that is decoded at a half or a quarter of its size, which costs a third of the time and
    still reads every byte. Raises InputError for a broken or truncated photo.
    """
    return _decode(photo.path, long_side)


def load_alpha(photo: Photo, long_side: int | None = None) -> NDArray[np.float32] | None:
    """[H, W] in 0..1 (1 is opaque), as upright and as large as `load_photo` gives the photo.

    None where the photo has no alpha or is opaque all over. Raises InputError for a broken photo.
    """
    if not photo.alpha:
        return None
    with _opened(photo.path) as image:
        size = _fitted(image.size, long_side)
        turn = _turn(image)
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema()[0] == 255:
            return None
        if alpha.size != size:
            alpha = alpha.resize(size, Image.Resampling.BOX, reducing_gap=3.0)
        alpha = alpha if turn is None else alpha.transpose(turn)
        return np.asarray(alpha, np.float32) / np.float32(255)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """[H, W]: true where a picture that stands for a mask is white, or, where it has transparent parts, opaque.

    Grey counts as white from the middle upwards; where nothing is above 1, the mask is of 0 and 1. Raises InputError.
    """
    with _opened(Path(path)) as image:
        turn = _turn(image)
        grey = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
        if grey is None or grey.getextrema()[0] == 255:
            grey = _eight_bit(image).convert("L")
        values = np.asarray(grey if turn is None else grey.transpose(turn))
    return values > (127 if values.max(initial=0) > 1 else 0)


def read_view_mask(view: View) -> NDArray[np.bool_] | None:
    """[H, W]: the mask of a view, None where it has none. Raises InputError for one that does not fit the camera."""
    if view.mask_path is None:
        return None
    mask = read_mask(view.mask_path)
    if mask.shape != (view.camera.height, view.camera.width):
        raise InputError(
            f"{view.mask_path}: has {mask.shape[1]}x{mask.shape[0]} pixels, its camera "
            f"{view.camera.width}x{view.camera.height}",
            "use the masks that belong to the cameras",
        )
    return mask


def write_mask(mask: NDArray[np.bool_], path: Path) -> None:
    """Write a mask [H, W] as a grey PNG, white where it is true, whole or not at all."""
    with atomic_file(Path(path)) as draft:
        Image.fromarray(mask.astype(np.uint8) * 255).save(draft, "PNG", compress_level=3)


def read_image(path: Path) -> NDArray[np.uint8]:
    """[H, W, 3]: a picture, upright. Raises InputError."""
    return _decode(Path(path), None)


def read_stored(path: Path, long_side: int | None = None) -> NDArray[np.uint8]:
    """[H, W, 3]: a picture as its file has it, however EXIF data says it was held, its longer side reduced to at most
    ``long_side``. Raises InputError."""
    return _decode(Path(path), long_side, upright=False)


def write_image(image: NDArray[np.uint8], path: Path) -> None:
    """Write [H, W, 3] by the extension (.png, .jpg, .webp, .tif), whole or not at all. Raises InputError."""
    with atomic_file(Path(path)) as draft:
        draft.write_bytes(encode_image(image, Path(path).suffix))


def upright_exif(photo: Photo) -> bytes:
    """The EXIF data of a photo for an upright copy of it; empty where there is none, or where it is damaged."""
    with _opened(photo.path) as image:
        try:
            exif = image.getexif()
            exif[_ORIENTATION] = 1
            return exif.tobytes() if len(exif) > 1 or exif.get_ifd(_EXIF) else b""
        except Exception:  # a damaged EXIF block does not spoil the picture
            return b""


def encode_image(image: NDArray[np.uint8], suffix: str, exif: bytes = b"") -> bytes:
    """The bytes of a picture file; JPEG at quality 97 without chroma subsampling. Raises InputError.

    exif: as `upright_exif` gives it, for JPEG and PNG.
    """
    out = BytesIO()
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 97, "subsampling": 0},
        "PNG": {"compress_level": 3},
        "WEBP": {"lossless": True},
    }
    name = kind.get(suffix.lower())
    if name is None:
        raise InputError(f"{suffix or 'no extension'}: not a picture format", f"use one of {', '.join(kind)}")
    kept = {"exif": exif} if exif and name in ("JPEG", "PNG") else {}
    Image.fromarray(image).save(out, name, **options.get(name, {}), **kept)
    return out.getvalue()


def find_duplicates(photos: Sequence[Photo]) -> list[tuple[str, ...]]:
    """Names of photos whose files are equal byte for byte, one tuple for each such group."""
    by_size: dict[int, list[Photo]] = defaultdict(list)
    for photo in photos:
        by_size[photo.path.stat().st_size].append(photo)
    groups: dict[bytes, list[str]] = defaultdict(list)
    for same_size in by_size.values():
        for photo in same_size if len(same_size) > 1 else ():
            groups[hashlib.sha256(photo.path.read_bytes()).digest()].append(photo.name)
    return [tuple(names) for names in groups.values() if len(names) > 1]


def _photos_at(path: Path) -> list[Path]:
    if path.is_dir():
        inside = [p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file()]
        inside = [p for p in inside if not p.name.startswith(".")]
        if not inside:
            raise InputError(f"{path}: no photos in this folder", f"photos end in {', '.join(EXTENSIONS)}")
        return inside
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "check the name")
    if path.suffix.lower() not in EXTENSIONS:
        raise InputError(f"{path}: not a photo", f"photos end in {', '.join(EXTENSIONS)}")
    return [path]


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An open picture of an allowed format and size; whatever goes wrong in the block is the file's fault."""
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # the size is checked here
    try:
        if Path(path).stat().st_size == 0:
            raise InputError(f"{path}: the file is empty", "copy it again")
        _prepare_decoder(Path(path))
        with Image.open(path, formats=_known_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path, f"{image.width}x{image.height} pixels")
            yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, "too many pixels") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", "check the name") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it", f"chmod +r {path}") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(
            f"{path}: not a readable picture", "use JPEG, PNG, TIFF, WebP, HEIC or AVIF, or leave this file out"
        ) from error
    except Exception as error:  # decoders raise many kinds on damaged data
        raise InputError(
            f"{path}: the picture is damaged ({error})", "copy it again from the camera, or leave it out"
        ) from error


def _known_formats() -> list[str]:
    """Those of FORMATS that have a decoder here; naming another one makes Pillow stumble over damaged files."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _prepare_decoder(path: Path) -> None:
    """Load the plugin that a HEIC photo needs. Raises InputError where it is not installed."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp":
        return
    if head[8:12] in (b"avif", b"avis"):
        if not features.check("avif"):
            raise InputError(f"{path}: this Pillow reads no AVIF pictures", "pip install -U pillow")
        return
    try:
        import pillow_heif
    except ImportError as error:
        raise InputError(
            f"{path}: reading HEIC photos takes the package pillow-heif",
            "pip install 'mvgen[heic]', or save the photo as JPEG",
        ) from error
    pillow_heif.register_heif_opener()


def _too_large(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}, more than {MAX_PIXELS // 10**6} million", "make the photo smaller")


def _exif(image: Image.Image) -> dict[int, Any]:
    try:
        exif = image.getexif()
        return {**exif, **exif.get_ifd(_EXIF)}
    except Exception:  # a damaged EXIF block does not spoil the picture
        return {}


def _gps_tags(image: Image.Image) -> dict[int, Any]:
    try:
        return dict(image.getexif().get_ifd(_GPS))
    except Exception:  # a damaged EXIF block does not spoil the picture
        return {}


def _degrees(value: Any) -> float | None:
    """Of three numbers: degrees, minutes, seconds; None unless all are finite and not negative."""
    try:
        parts = [_finite(part) for part in value]
    except TypeError:
        return None
    if len(parts) != 3:
        return None
    degrees = 0.0
    for part, unit in zip(parts, (1, 60, 3600)):
        if part is None or part < 0:
            return None
        degrees += part / unit
    return degrees


def _finite(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _number(value: Any) -> float | None:
    """A positive finite number, or None."""
    number = _finite(value)
    return number if number is not None and number > 0 else None


def _orientation(exif: dict[int, Any]) -> int:
    value = int(_number(exif.get(_ORIENTATION)) or 1)
    return value if value in _TURNS else 1


def _upright_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    """Pillow turns TIFF pictures itself and reports their size so."""
    turned = orientation >= 5 and image.format != "TIFF"
    return (image.height, image.width) if turned else (image.width, image.height)


def _decode(path: Path, long_side: int | None, upright: bool = True) -> NDArray[np.uint8]:
    with _opened(path) as image:
        size = _fitted(image.size, long_side)
        if long_side is not None:
            image.draft("RGB", size)
        image.load()
        turn = _turn(image) if upright else None
        profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
        rgb = _eight_bit(image).convert("RGB")
        if rgb.size != size:
            rgb = rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        rgb = rgb if turn is None else rgb.transpose(turn)
        return np.array(_as_srgb(rgb, profile) if profile else rgb)


def _fitted(size: tuple[int, int], long_side: int | None) -> tuple[int, int]:
    ratio = min(1.0, long_side / max(size)) if long_side is not None else 1.0
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes a stored picture upright."""
    return None if image.format == "TIFF" else _TURNS.get(_orientation(_exif(image)))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey pictures of 16 or 32 bits or of floats as 8 bits."""
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
    top = float(values.max(initial=0))
    full = 65535 if image.mode.startswith("I;16") or top > 255 else 1 if image.mode == "F" and top <= 1 else 255
    return Image.fromarray(np.clip(values * (255 / full) + 0.5, 0, 255).astype(np.uint8))


def _as_srgb(rgb: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return rgb
        return ImageCms.profileToProfile(rgb, source, ImageCms.createProfile("sRGB")) or rgb
    except (ImageCms.PyCMSError, OSError):  # a damaged profile does not spoil the picture
        return rgb
