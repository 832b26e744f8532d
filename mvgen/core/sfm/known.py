"""Cameras that are known beforehand, matched with the photos they belong to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from mvgen.core.errors import InputError, UsageError
from mvgen.core.io.cameras import CameraModel, read_camera_model
from mvgen.core.io.images import Photo
from mvgen.core.sfm.lens import Lens
from mvgen.core.sfm.pictures import Known


def known_cameras(photos: Sequence[Photo], path: Path, poses: bool) -> dict[str, Known]:
    """What a camera file (see `read_camera_model`) tells of photos, by their names: lenses, and poses if wanted.

    A camera belongs to the photo with its file name, or with that name but for the extension. Raises InputError for a
    file that cannot be used or that knows none of the photos.
    """
    model = read_camera_model(path)
    by_name = {Path(c.name).name: i for i, c in enumerate(model.cameras)}
    by_stem = {Path(name).stem: i for name, i in by_name.items()}
    known = {}
    for photo in photos:
        index = by_name.get(photo.name, by_name.get(photo.path.name, by_stem.get(Path(photo.name).stem)))
        if index is not None:
            pose = model.cameras[index].world_to_camera if poses else None
            known[photo.name] = Known(_lens(model, index), pose)
    if not known:
        names = ", ".join(c.name for c in model.cameras[:3])
        raise InputError(
            f"{path}: knows none of the photos", f"its cameras are named {names} ...; photos are matched by file name"
        )
    return known


def _lens(model: CameraModel, index: int) -> Lens:
    camera = model.cameras[index]
    return Lens.of(camera.width, camera.height, camera.intrinsics, model.distortion[index])


def parse_intrinsics(text: str, photos: Sequence[Photo]) -> dict[str, Known]:
    """The lens of every photo from ``F`` or ``FX,FY,CX,CY[,K1,K2,P1,P2]`` (OpenCV's distortion), in pixels of the whole
    upright photo, or from a camera file. Raises UsageError and InputError."""
    try:
        values = [float(v) for v in text.split(",")]
    except ValueError:
        if text and Path(text).exists():
            return known_cameras(photos, Path(text), poses=False)
        values = []
    if len(values) not in (1, 4, 8) or not all(map(math.isfinite, values)) or min(values[: 2 - len(values) % 2]) <= 0:
        raise UsageError(
            f"--intrinsics {text}: is neither a camera file nor a lens",
            "give F, or FX,FY,CX,CY, or FX,FY,CX,CY,K1,K2,P1,P2 in pixels of the photo",
        )
    if len(values) == 1:
        return {p.name: Known(Lens.simple(p.width, p.height, values[0])) for p in photos}
    values += [0.0] * (8 - len(values))
    return {p.name: Known(Lens(p.width, p.height, tuple(values))) for p in photos}


def scene_cameras(cameras: Sequence[Photo], folder: Path) -> dict[str, Known]:
    """The cameras of a scene folder's pictures, each of which has to have one. Raises InputError."""
    known = known_cameras(cameras, folder, poses=True)
    missing = [p.name for p in cameras if p.name not in known]
    if missing:
        raise InputError(f"{folder}: has no camera for {missing[0]}", "leave that picture out of images/")
    return known
