"""Tell what a file or folder is, and hand it to those who know more of its kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvgen.core.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".heic", ".heif", ".avif")
SHAPES = (".glb", ".gltf", ".ply", ".obj", ".stl", ".off", ".3mf", ".xyz", ".mks")
MOST_NAMED = 10  # missing files that are named


@dataclass(frozen=True)
class Facts:
    """kind: mesh, points, splats, scene, photo, photos, depth map, arrays; format: the file format; summary: the most
    important in one line; values: all of it, plain values under short names; notes: what was left out or missing."""

    kind: str
    format: str
    summary: str
    values: dict[str, Any]
    notes: tuple[str, ...] = field(default=())


def describe(path: Path) -> Facts:
    """The facts of a file or folder. Raises InputError where it is damaged or of no kind known here."""
    from mvgen.core.info.arrays import describe_arrays
    from mvgen.core.info.photos import describe_photo, describe_photos
    from mvgen.core.info.scenes import describe_scene
    from mvgen.core.info.shapes import describe_shape
    from mvgen.core.info.splats import describe_splats
    from mvgen.core.io.models import find_model
    from mvgen.core.splats.files import holds_splats

    if path.is_dir():
        if find_model(path) is not None:
            return describe_scene(path)
        if holds_splats(path):
            return describe_splats(path)
        if any(p.suffix.lower() in PICTURES for p in path.iterdir()):
            return describe_photos(path)
        raise InputError(
            f"{path}: holds neither cameras nor photos", "name a file, a scene folder or a folder of photos"
        )
    kind = _format(path)
    if kind in PICTURES:
        return describe_photo(path)
    if kind in (".npz", ".npy"):
        return describe_arrays(path)
    if holds_splats(path):
        return describe_splats(path)
    if kind in SHAPES:
        return describe_shape(path)
    if find_model(path) is not None:
        return describe_scene(path)
    raise InputError(f"{path}: is of no kind that mvgen reads{_guess(path)}", "mvgen info --help lists them")


def _format(path: Path) -> str:
    """The extension that tells the format, by the first bytes where they can."""
    from mvgen.core.io.meshes import format_of
    from mvgen.core.io.sniff import HEAD

    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", "check the name") from error
    if not size:
        raise InputError(f"{path}: is empty", "was it copied or downloaded completely?")
    return format_of(head, path, size)


def _guess(path: Path) -> str:
    """A word on files whose kind is known but not read."""
    known = {
        **dict.fromkeys((".pth", ".pt", ".ckpt", ".safetensors"), "network weights"),
        ".mtl": "materials of an OBJ file",
    }
    found = known.get(path.suffix.lower())
    return "" if found is None else f" ({found})"
