"""Bundler's bundle.out (v0.3) with its list of pictures, both ways.

Bundler's cameras look along -z with y up, so two axes are turned round here: with R and t of a file, ours are F R
and F t, F = diag(1, -1, -1). Places in pictures are measured from the middle, y up: ours are (w / 2 + x, h / 2 - y).
There is one focal length and a radial distortion k1, k2; the principal point is the middle. Sizes are not in the file,
they are those of the pictures, as stored (without EXIF orientation). Source: N. Snavely, Bundler User's Manual, v0.4,
section 6.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.companions import Warn, ignore, shown
from mvgen.core.io.images import Photo, read_photo_header
from mvgen.core.io.model import Lens, Model, Sightings, check_model, intrinsics, lens

LIST = "list.txt"
_FLIP = np.array([1.0, -1.0, -1.0])
_EXPORT_AGAIN = "the file looks cut short or damaged; export or download it again"


def read_bundler(path: Path, find: Callable[[str], Path | None], warn: Warn = ignore) -> Model:
    """The model of a bundle file; ``find`` gives the file of a picture by the name that list.txt has for it.

    Pictures without a camera are left out. Raises InputError.
    """
    names = _names(path)
    try:
        words = path.read_text(encoding="latin-1").split("\n", 1)[1].split()
        return _model(words, names, path, find, warn)
    except (ValueError, IndexError, OverflowError) as error:
        raise InputError(f"{path}: not a sound bundle file ({error})", _EXPORT_AGAIN) from error


def _names(path: Path) -> list[str]:
    """The names in the list of pictures, without Bundler's focal lengths behind them."""
    for folder in (path.parent, path.resolve().parent.parent):
        if (folder / LIST).is_file():
            lines = (folder / LIST).read_text(encoding="utf-8", errors="replace").splitlines()
            return [re.sub(r"\s+\d+(\s+[\d.eE+-]+)?$", "", line.strip()) for line in lines if line.strip()]
    raise InputError(f"{path}: its {LIST} is missing, which names the pictures", "keep the files together")


def _model(words: list[str], names: list[str], path: Path, find: Callable[[str], Path | None], warn: Warn) -> Model:
    count, point_count = int(words[0]), int(words[1])
    if min(count, point_count) < 0 or 2 + 15 * count + 7 * point_count > len(words):
        raise InputError(f"{path}: ends before its {count} cameras and {point_count} points", _EXPORT_AGAIN)
    if count != len(names):
        raise InputError(f"{path}: has {count} cameras, but {LIST} names {len(names)} pictures", _EXPORT_AGAIN)
    numbers = np.array(words[2 : 2 + 15 * count], np.float64).reshape(count, 15)
    posed = np.flatnonzero(numbers[:, 0] != 0)
    if len(posed) < count:
        warn(f"{path}: {count - len(posed)} pictures without a camera are left out")
    found, pictures = [], []
    for i in posed:
        picture = find(names[i])
        pictures.append(picture)
        found.append(_camera(numbers[i], names[i], picture, path))
    index = np.full(count, -1)
    index[posed] = np.arange(len(posed))
    centres = np.array([[c.width / 2, c.height / 2] for c, _ in found]).reshape(-1, 2)
    cloud, sightings = _points(words[2 + 15 * count :], point_count, index, centres)
    model = check_model(path, found, cloud, sightings)
    return Model(model.cameras, model.lenses, cloud, sightings, None, tuple(pictures), model.masks)


def _camera(values: NDArray[np.float64], name: str, picture: Path | None, path: Path) -> tuple[Camera, Lens]:
    if picture is None:
        raise InputError(
            f"{path}: the picture {shown(name)} was not found, which tells the size", "name its folder with --images"
        )
    width, height = stored_size(read_photo_header(picture))
    pose = np.eye(4)
    pose[:3, :3] = _FLIP[:, None] * values[3:12].reshape(3, 3)
    pose[:3, 3] = _FLIP * values[12:15]
    f = float(values[0])
    camera = Camera(clean_name(name), width, height, intrinsics(f, f, width / 2, height / 2), pose)
    return camera, lens("perspective", k1=float(values[1]), k2=float(values[2]))


def clean_name(name: str) -> str:
    """The path below images/, as other formats name a picture."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "/".join(parts[1:] if len(parts) > 1 and parts[0] == "images" else parts)


def stored_size(photo: Photo) -> tuple[int, int]:
    """Width and height of the pixels in the file, before EXIF orientation."""
    turned = photo.orientation >= 5 and photo.path.suffix.lower() not in (".tif", ".tiff")
    return (photo.height, photo.width) if turned else (photo.width, photo.height)


def _points(
    words: list[str], count: int, index: NDArray[np.int64], centres: NDArray[np.float64]
) -> tuple[PointCloud, Sightings]:
    """Points and where they were seen; ``index``: the view of each camera of the file, ``centres`` its middle."""
    places, views, points, pixels = [], [], [], []
    at = 0
    for point in range(count):
        places.append(words[at : at + 6])
        seen = int(words[at + 6])
        if seen < 0 or at + 7 + 4 * seen > len(words):
            raise ValueError("it ends too early")
        for k in range(at + 7, at + 7 + 4 * seen, 4):
            camera = int(words[k])
            if not 0 <= camera < len(index):
                raise ValueError(f"a point was seen by camera {camera}")
            if index[camera] >= 0:
                points.append(point)
                views.append(index[camera])
                pixels.append((float(words[k + 2]), -float(words[k + 3])))
        at += 7 + 4 * seen
    table = np.array(places, np.float64).reshape(-1, 6)
    cloud = PointCloud(table[:, :3], colours=np.clip(table[:, 3:] / 255, 0, 1).astype(np.float32))
    view = np.array(views, np.int32)
    pixel = np.array(pixels, np.float64).reshape(-1, 2) + centres[view]
    order = np.argsort(view, kind="stable")
    return cloud, Sightings(np.array(points, np.int32)[order], view[order], pixel[order])


def bundler_trouble(camera: Camera, bend: Lens) -> str | None:
    """What of a camera Bundler cannot hold, or None."""
    k = camera.intrinsics
    if bend.kind != "perspective":
        return f"its {bend.kind} lens"
    if not bend.only("k1", "k2"):
        return "its distortion beyond k1 and k2"
    if k[0, 0] != k[1, 1]:
        return "its two focal lengths"
    if not (math.isclose(k[0, 2], camera.width / 2) and math.isclose(k[1, 2], camera.height / 2)):
        return "its principal point, which is not the middle"
    return None


def nearest(camera: Camera, bend: Lens) -> tuple[Camera, Lens]:
    """The camera nearest to one that Bundler can hold: the mean focal length, the middle, and of the lens k1, k2."""
    f = math.sqrt(camera.intrinsics[0, 0] * camera.intrinsics[1, 1])
    matrix = intrinsics(f, f, camera.width / 2, camera.height / 2)
    values = {name: bend.value(name) for name in ("k1", "k2")}
    return Camera(camera.name, camera.width, camera.height, matrix, camera.world_to_camera), lens(
        "perspective", **values
    )


def write_bundler(model: Model, path: Path, folder: str = "") -> None:
    """Write a bundle file, and list.txt beside it with the pictures below ``folder``. Raises CannotError for cameras
    that it cannot hold, see `bundler_trouble`."""
    for camera, bend in zip(model.cameras, model.lenses):
        if (trouble := bundler_trouble(camera, bend)) is not None:
            hint = "--approximate writes what is nearest; a COLMAP model holds it"
            raise CannotError(f"{camera.name}: Bundler cannot hold {trouble}", hint)
    lines = ["# Bundle file v0.3", f"{len(model.cameras)} {len(model.points)}"]
    for camera, bend in zip(model.cameras, model.lenses):
        rotation, translation = _FLIP[:, None] * camera.rotation, _FLIP * camera.translation
        lines.append(_row((camera.intrinsics[0, 0], bend.value("k1"), bend.value("k2"))))
        lines += [_row(row) for row in rotation] + [_row(translation)]
    path.write_text("\n".join(lines + _point_lines(model)) + "\n", encoding="ascii", newline="\n")
    names = "".join(f"{folder}{camera.name}\n" for camera in model.cameras)
    path.with_name(LIST).write_text(names, encoding="utf-8", newline="\n")


def _point_lines(model: Model) -> list[str]:
    cloud, seen = model.points, model.sightings
    colours = np.full((len(cloud), 3), 0.5, np.float32) if cloud.colours is None else cloud.colours
    eight = np.clip(colours * 255 + 0.5, 0, 255).astype(np.uint8).tolist()
    keys = np.zeros(len(seen), np.int64)  # of each observation among those of its picture
    for view in range(len(model.cameras)):
        mine = seen.view == view
        keys[mine] = np.arange(mine.sum())
    mine = np.flatnonzero(seen.point >= 0)
    mine = mine[np.lexsort((keys[mine], seen.view[mine], seen.point[mine]))]
    ends = np.searchsorted(seen.point[mine], np.arange(len(cloud) + 1))
    middle = np.array([[c.width / 2, c.height / 2] for c in model.cameras])
    places = (model.pixels - middle[seen.view]) * [1, -1]
    lines = []
    for i, (xyz, rgb) in enumerate(zip(cloud.points, eight)):
        track = [f"{seen.view[o]} {keys[o]} {_row(places[o])}" for o in mine[ends[i] : ends[i + 1]]]
        lines += [_row(xyz), " ".join(map(str, rgb)), " ".join([str(len(track)), *track])]
    return lines


def _row(values: Any) -> str:
    """Every digit that a float64 has."""
    return " ".join(repr(float(v)) for v in values)
