"""Facts about posed pictures: cameras, points, and whether the pictures are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mvgen.core.errors import InputError
from mvgen.core.info.describe import MOST_NAMED, Facts
from mvgen.core.io.bundler import stored_size
from mvgen.core.io.colmap import lens_of
from mvgen.core.io.images import read_photo_header
from mvgen.core.io.model import Model
from mvgen.core.io.models import find_model, read_model


def describe_scene(path: Path) -> Facts:
    """Raises InputError."""
    notes: list[str] = []
    model = read_model(path, warn=notes.append)
    notes = [text.removeprefix(f"{path}: ") for text in notes]
    values = _camera_values(model) | _point_values(model) | _picture_values(model, notes)
    if path.is_dir() and (path / "depth").is_dir():
        values["depth_maps"] = len(list((path / "depth").glob("*.npz")))
    count, points = len(model.cameras), len(model.points)
    return Facts("scene", _format(path), f"{count} cameras, {points} points", values, tuple(notes))


def _format(path: Path) -> str:
    found = find_model(path)
    if found is None or found.is_dir():
        binary = found is not None and (found / "images.bin").exists()
        return "COLMAP binary" if binary else "COLMAP text"
    if found.suffix.lower() == ".out":
        return "Bundler"
    text = found.read_text(encoding="utf-8", errors="replace").lstrip()
    return "OpenSfM" if text.startswith("[") else "nerfstudio" if '"frames"' in text else "cameras.json"


def _camera_values(model: Model) -> dict[str, Any]:
    focal = np.array([[c.intrinsics[0, 0], c.intrinsics[1, 1]] for c in model.cameras])
    lenses = [lens_of(c, b)[0] for c, b in zip(model.cameras, model.lenses)]
    centres = np.array([c.centre for c in model.cameras])
    return {
        "cameras": len(model.cameras),
        "picture_sizes": sorted({f"{c.width}x{c.height}" for c in model.cameras}),
        "lens_models": {name: lenses.count(name) for name in sorted(set(lenses))},
        "focal_pixels": [float(focal.min()), float(focal.max())],
        "camera_centres": [centres.min(0), centres.max(0)],
    }


def _point_values(model: Model) -> dict[str, Any]:
    seen = model.sightings
    values: dict[str, Any] = {"points": len(model.points), "observations": int((seen.point >= 0).sum())}
    if len(model.points):
        values |= {"lowest": model.points.bounds[0], "highest": model.points.bounds[1]}
        values["mean_track_length"] = len(seen.tracks) / len(model.points)
    if model.errors is not None and (model.errors >= 0).any():
        values["mean_error_pixels"] = float(model.errors[model.errors >= 0].mean())
    return values


def _picture_values(model: Model, notes: list[str]) -> dict[str, Any]:
    missing = [c.name for c, p in zip(model.cameras, model.pictures) if p is None]
    other = []
    for camera, picture in zip(model.cameras, model.pictures):
        if picture is None:
            continue
        try:
            size = stored_size(read_photo_header(picture))
        except InputError as error:
            notes.append(error.message)
            continue
        if size != (camera.width, camera.height):
            other.append(camera.name)
    if missing:
        notes.append(f"pictures not found: {_some(missing)}")
    if other:
        notes.append(f"pictures of another size than their cameras: {_some(other)}")
    found = len(model.cameras) - len(missing)
    masks = sum(m is not None for m in model.masks)
    return {"pictures": found, "missing_pictures": len(missing), "other_sizes": len(other), "masks": masks}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
