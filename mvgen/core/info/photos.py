"""Facts about photos."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mvgen.core.errors import InputError
from mvgen.core.info.describe import MOST_NAMED, PICTURES, Facts
from mvgen.core.io.images import Photo, natural_key, read_photo_header

_TURNED = {1: "upright", 3: "turned by 180", 6: "turned by 90", 8: "turned by 270"}


def describe_photo(path: Path) -> Facts:
    """Raises InputError."""
    photo = read_photo_header(path)
    make, model = photo.camera[:2]
    values: dict[str, Any] = {
        "width": photo.width,
        "height": photo.height,
        "megapixels": round(photo.width * photo.height / 1e6, 2),
        "orientation": _TURNED.get(photo.orientation, f"mirrored ({photo.orientation})"),
        "camera": " ".join(word for word in (make, model) if word) or None,
        "focal_pixels": photo.focal_px,
        "field_of_view": _field_of_view(photo),
        "gps": photo.gps,
        "transparency": photo.alpha,
    }
    focal = "no focal length" if photo.focal_px is None else f"focal length {photo.focal_px:.0f} pixels"
    return Facts("photo", path.suffix.lstrip(".").upper(), f"{photo.width}x{photo.height}, {focal}", values)


def _field_of_view(photo: Photo) -> float | None:
    """Degrees, along the longer side."""
    if photo.focal_px is None:
        return None
    return math.degrees(2 * math.atan(max(photo.width, photo.height) / 2 / photo.focal_px))


def describe_photos(folder: Path) -> Facts:
    """A folder of photos; those that cannot be read are named. Raises InputError where none can."""
    paths = sorted((p for p in folder.iterdir() if p.suffix.lower() in PICTURES and p.is_file()), key=natural_key)
    photos, bad = [], []
    for path in paths:
        try:
            photos.append(read_photo_header(path))
        except InputError as error:
            bad.append(error.message)
    if not photos:
        raise InputError(f"{folder}: none of its {len(paths)} photos can be read", bad[0] if bad else None)
    sizes = sorted({f"{p.width}x{p.height}" for p in photos})
    cameras = sorted({" ".join(w for w in p.camera[:2] if w) for p in photos} - {""})
    values: dict[str, Any] = {
        "photos": len(photos),
        "sizes": sizes,
        "cameras": cameras,
        "with_focal_length": sum(p.focal_px is not None for p in photos),
        "with_gps": sum(p.gps is not None for p in photos),
        "unreadable": len(bad),
    }
    return Facts("photos", "folder", f"{len(photos)} photos, {', '.join(sizes[:3])}", values, tuple(bad[:MOST_NAMED]))
