"""Posed pictures in the files of several programs: telling them apart, reading them, writing them.

| format | what it is |
|---|---|
| scene | our folder: images/, masks/, sparse/0 (COLMAP), transforms.json |
| colmap, colmap-text | a folder with cameras, images and points3D |
| nerfstudio | transforms.json, with points in a PLY file |
| bundler | bundle.out with list.txt |
| opensfm | reconstruction.json with tracks.csv |
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError
from mvgen.core.io import bundler, opensfm
from mvgen.core.io.bundler import read_bundler, stored_size, write_bundler
from mvgen.core.io.colmap import is_colmap, read_colmap, write_colmap
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.io.images import read_photo_header
from mvgen.core.io.model import Lens, Model, check_model, project
from mvgen.core.io.nerfstudio import matrix, nerfstudio_text, read_nerfstudio

MODEL_FORMATS = ("scene", "colmap", "colmap-text", "nerfstudio", "bundler", "opensfm")
_COLMAP_FILES = {f"{name}{end}" for name in ("cameras", "images", "points3D") for end in (".bin", ".txt")}
_POINTS = "sparse_pc.ply"  # as nerfstudio's own tools call it


def find_model(path: Path) -> Path | None:
    """The file or COLMAP folder that holds the cameras of ``path``, or None where it holds none.

    Of a folder: a COLMAP model in it, in sparse/0 or sparse, else transforms.json, reconstruction.json or a bundle
    file. A file must look like one of these.
    """
    if path.is_dir():
        for inner in (path, path / "sparse" / "0", path / "sparse"):
            if is_colmap(inner):
                return inner
        names = ("transforms.json", "reconstruction.json", "bundle.out", "bundle/bundle.out", "cameras.json")
        return next((path / name for name in names if (path / name).is_file()), None)
    if path.name in _COLMAP_FILES and is_colmap(path.parent):
        return path.parent
    return path if path.suffix.lower() == ".json" or _is_bundle(path) else None


def _is_bundle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(13) == b"# Bundle file"
    except OSError:
        return False


def read_model(path: Path, images: Path | None = None, warn: Warn = ignore) -> Model:
    """The cameras, points and observations of a file or folder, and where its pictures lie.

    images: the folder of the pictures, where they are not beside the file. ``warn`` is told what is left out. Raises
    InputError for whatever is missing, damaged or unknown.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "give a COLMAP folder, transforms.json or cameras.json")
    found = find_model(path)
    if found is None:
        what = "no cameras in this folder" if path.is_dir() else "not a file of cameras"
        raise InputError(f"{path}: {what}", "it should hold sparse/0 or transforms.json")
    if found.is_dir():
        model = read_colmap(found)
    elif found.suffix.lower() == ".json":
        model = _read_json(found, warn)
    else:
        model = read_bundler(found, lambda name: _picture(found, name, images), warn)
    return _with_pictures(model, found, path, images)


def _read_json(path: Path, warn: Warn) -> Model:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not a readable JSON file ({error})", "give transforms.json or cameras.json"
        ) from error
    try:
        if opensfm.is_opensfm(data):
            return opensfm.read_opensfm(data, path, warn)
        if isinstance(data, dict) and "views" in data:
            return check_model(path, [(_our_view(data, view), Lens()) for view in data["views"]])
        if isinstance(data, dict) and "frames" in data:
            return read_nerfstudio(data, path, warn)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"{path}: a camera is incomplete or malformed ({error!r})", "export the cameras again"
        ) from error
    raise InputError(f"{path}: holds no cameras", 'it should have "frames" (nerfstudio) or "views"')


def _our_view(data: dict[str, Any], view: dict[str, Any]) -> Camera:
    width, height = (int(view.get(key, data.get(key, 0))) for key in ("width", "height"))
    pose = matrix(view["world_to_camera"], 4)
    return Camera(str(view["name"]), width, height, matrix(view["intrinsics"], 3), pose)


def _picture(found: Path, name: str, images: Path | None) -> Path | None:
    """The file of a picture: in ``images``, else in images/ beside or up to two folders above, else beside."""
    home = found if found.is_dir() else found.parent
    home = home.resolve()
    below = [home / "images", home.parent / "images", home.parent.parent / "images", home, home.parent]
    clean = bundler.clean_name(name)
    if Path(clean).is_absolute() or ".." in Path(clean).parts or "\0" in clean:
        return None
    folders = below if images is None else [images]
    try:
        return next((f / clean for f in folders if (f / clean).is_file()), None)
    except OSError:  # a name that is too long
        return None


def _with_pictures(model: Model, found: Path, path: Path, images: Path | None) -> Model:
    """The model with the places of its pictures and masks where its format does not tell them."""
    pictures = [
        p if p is not None and images is None else _picture(found, c.name, images)
        for c, p in zip(model.cameras, model.pictures)
    ]
    home = path if path.is_dir() else path.parent
    masks = [m if m is not None else _mask(home, c.name) for c, m in zip(model.cameras, model.masks)]
    return replace(model, pictures=tuple(pictures), masks=tuple(masks))


def _mask(home: Path, name: str) -> Path | None:
    path = home / "masks" / f"{name}.png"
    return path if path.is_file() else None


# ---------------------------------------------------------------- fitting a model to a format


def fitted(model: Model, warn: Warn = ignore) -> Model:
    """The model with its cameras brought to the size of their pictures, where these were found and are of another.

    Raises CannotError for a picture of another shape.
    """
    cameras, pixels = list(model.cameras), model.pixels.copy()
    changed = 0
    for index, (camera, picture) in enumerate(zip(model.cameras, model.pictures)):
        if picture is None:
            continue
        width, height = stored_size(read_photo_header(picture))
        if (width, height) == (camera.width, camera.height):
            continue
        if abs(width * camera.height / camera.width - height) > 1:
            raise CannotError(
                f"{picture}: is {width}x{height}, but its camera {camera.width}x{camera.height}",
                "give the pictures that the cameras were found for, with --images",
            )
        cameras[index] = camera.resized(width, height)
        pixels[model.sightings.view == index] *= (width / camera.width, height / camera.height)
        changed += 1
    if not changed:
        return model
    warn(f"{changed} cameras are scaled to the size of their pictures")
    return replace(model, cameras=tuple(cameras), sightings=replace(model.sightings, pixel=pixels))


def approximated(model: Model, warn: Warn) -> Model:
    """The model with cameras that Bundler can hold; says how far pixels move at most."""
    pairs = [bundler.nearest(c, b) for c, b in zip(model.cameras, model.lenses)]
    worst = max(_difference(c, b, *pair) for c, b, pair in zip(model.cameras, model.lenses, pairs))
    if worst > 1e-6:
        warn(f"Bundler's cameras differ: pixels are off by up to {worst:.3g}")
    return replace(model, cameras=tuple(c for c, _ in pairs), lenses=tuple(b for _, b in pairs))


def _difference(camera: Camera, bend: Lens, other: Camera, other_bend: Lens) -> float:
    """How far apart two cameras at one place see directions through the picture, in pixels. Raises CannotError."""
    if bend.kind != "perspective":
        raise CannotError(f"Bundler cannot hold the {bend.kind} lens of {camera.name}", "write a COLMAP model")
    x, y = np.meshgrid(np.linspace(0, camera.width, 9), np.linspace(0, camera.height, 9))
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) @ np.linalg.inv(camera.intrinsics).T
    world = (rays - camera.translation) @ camera.rotation
    return float(np.abs(project(camera, bend, world) - project(other, other_bend, world)).max())


def not_held(model: Model, target: str) -> list[str]:
    """What a file of the format ``target`` does not hold of a model, a line for each."""
    seen, out = model.sightings, []
    if target == "nerfstudio" and len(seen):
        out.append("which pictures saw which points is not kept in transforms.json")
    loose = int((seen.point < 0).sum())
    if loose and target in ("bundler", "opensfm", "scene"):
        out.append(f"{loose} observations without a point are left out")
    if model.errors is not None and (model.errors > 0).any() and target in ("nerfstudio", "bundler", "opensfm"):
        out.append("the points' reprojection errors are not kept")
    if any(m is not None for m in model.masks) and target in ("colmap", "colmap-text", "bundler"):
        out.append("masks are not kept")
    skew = max(abs(float(c.intrinsics[0, 1])) for c in model.cameras)
    if skew > 1e-6:
        out.append(f"the skew of the cameras (up to {skew:.3g} pixels) is not kept")
    if target == "bundler":
        out.append("sizes of the pictures are not kept; keep the pictures with it")
    return out


# ---------------------------------------------------------------- writing


def write_model_file(model: Model, path: Path, target: str, alone: bool = False) -> None:
    """Write one file with what belongs to it beside it (transforms.json names its points, if it is not ``alone``):
    nerfstudio, opensfm or bundler. Raises CannotError."""
    if target == "nerfstudio":
        points = None
        if len(model.points) and not alone:
            points = f"{path.stem}.ply"
            _write_points(model, path.with_name(points))
        path.write_text(nerfstudio_text(model, points), encoding="utf-8", newline="\n")
    elif target == "opensfm":
        opensfm.write_opensfm(model, path)
    else:
        write_bundler(model, path)


def write_model_folder(model: Model, folder: Path, target: str, warn: Warn = ignore) -> None:
    """Fill an empty folder: any of MODEL_FORMATS. Pictures and masks that were found are copied, but not into a COLMAP
    model, which has none; those of a scene are undistorted. Raises CannotError, and InputError for a scene whose
    pictures are not there."""
    if target in ("colmap", "colmap-text"):
        write_colmap(model, folder, text=target == "colmap-text")
        return
    model = fitted(model, warn)
    if target == "scene":
        _write_scene(model, folder, warn)
        return
    _copy_pictures(model, folder, target, warn)
    if target == "nerfstudio":
        if len(model.points):
            _write_points(model, folder / _POINTS)
        text = nerfstudio_text(model, _POINTS if len(model.points) else None)
        (folder / "transforms.json").write_text(text, encoding="utf-8", newline="\n")
    elif target == "opensfm":
        opensfm.write_opensfm(model, folder / "reconstruction.json")
    else:
        write_bundler(model, folder / "bundle.out", "images/")


def _write_scene(model: Model, folder: Path, warn: Warn) -> None:
    from mvgen.core.io.cameras import fill_scene_folder
    from mvgen.core.io.undistort import undistorted
    from mvgen.core.scene import Scene, View

    missing = [c.name for c, p in zip(model.cameras, model.pictures) if p is None]
    if missing:
        raise InputError(f"{missing[0]}: the picture was not found", "name the folder of the pictures with --images")
    drafts = folder / "undistorted"
    drafts.mkdir()
    model = undistorted(model, drafts, warn)
    views = [View(c, p, m) for c, p, m in zip(model.cameras, model.pictures, model.masks) if p is not None]
    fill_scene_folder(Scene(tuple(views), model.points, model.sightings.tracks), folder)
    shutil.rmtree(drafts)


def _copy_pictures(model: Model, folder: Path, target: str, warn: Warn) -> None:
    from mvgen.core.io.cameras import copy_into

    missing = [c.name for c, p in zip(model.cameras, model.pictures) if p is None]
    if missing:
        warn(f"{len(missing)} pictures were not found and are not copied ({missing[0]}); --images names their folder")
    for camera, picture, mask in zip(model.cameras, model.pictures, model.masks):
        if picture is not None:
            copy_into(picture, folder / "images" / camera.name)
        if mask is not None and target != "bundler":
            copy_into(mask, folder / "masks" / f"{camera.name}.png")


def _write_points(model: Model, path: Path) -> None:
    from mvgen.core.io.meshes import save_points

    save_points(model.points, path)
