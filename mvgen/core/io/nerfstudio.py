"""transforms.json of nerfstudio and of instant-ngp, both ways.

It holds camera-to-world matrices with OpenGL axes (x right, y up, z backwards); pixels are counted as in `Camera`.
Points are a PLY file that it names. Source: https://docs.nerf.studio/quickstart/data_conventions.html.
"""

from __future__ import annotations

import json
import math
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.companions import Warn, companion, ignore, shown
from mvgen.core.io.images import read_photo_header
from mvgen.core.io.model import Lens, Model, check_model, intrinsics, lens

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # between OpenCV and OpenGL camera axes
_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")


def read_nerfstudio(data: dict[str, Any], path: Path, warn: Warn = ignore) -> Model:
    """The model of a parsed file; ``path`` is its name. Raises InputError, and what malformed data leads to."""
    found, pictures, masks = [], [], []
    for frame in data["frames"]:
        both = {**{k: v for k, v in data.items() if k != "frames"}, **frame}
        picture = _beside(path, _with_suffix(str(frame["file_path"])))
        found.append(_camera(both, path, picture))
        pictures.append(picture)
        masks.append(_beside(path, str(frame["mask_path"])) if "mask_path" in frame else None)
    model = check_model(path, found, _points(data, path, warn))
    return Model(
        *(model.cameras, model.lenses, model.points, model.sightings),
        pictures=tuple(pictures),
        masks=tuple(masks),
    )


def _with_suffix(name: str) -> str:
    """NeRF's synthetic sets leave the extension out."""
    return name if PurePosixPath(name).suffix else name + ".png"


def _beside(path: Path, name: str) -> Path | None:
    try:
        return companion(path, name)
    except InputError:
        return None


def _name(file: str) -> str:
    """The path below images/; of pictures elsewhere the file name alone."""
    parts = PurePosixPath(_with_suffix(file)).parts
    return "/".join(parts[1:]) if len(parts) > 1 and parts[0] == "images" else parts[-1]


def _camera(both: dict[str, Any], path: Path, picture: Path | None) -> tuple[Camera, Lens]:
    name = _name(str(both["file_path"]))
    if "w" in both and "h" in both:
        width, height = int(both["w"]), int(both["h"])
    elif picture is not None:
        photo = read_photo_header(picture)
        width, height = photo.width, photo.height
    else:
        raise InputError(f"{path}: does not say how large {shown(name)} is", "put the picture where the file says")
    if "fl_x" in both:
        fx, fy = float(both["fl_x"]), float(both.get("fl_y", both["fl_x"]))
    else:
        fx = fy = width / 2 / math.tan(float(both["camera_angle_x"]) / 2)
    cx, cy = float(both.get("cx", width / 2)), float(both.get("cy", height / 2))
    to_camera = np.linalg.inv(matrix(both["transform_matrix"], 4) @ FLIP).astype(np.float64)
    return Camera(name, width, height, intrinsics(fx, fy, cx, cy), to_camera), _lens(both, path, name)


def _lens(both: dict[str, Any], path: Path, name: str) -> Lens:
    kind = str(both.get("camera_model", "OPENCV_FISHEYE" if both.get("is_fisheye") else "OPENCV"))
    values = {key: float(both.get(key) or 0) for key in ("k1", "k2", "k3", "k4", "p1", "p2")}
    if kind == "OPENCV_FISHEYE":
        return lens("fisheye", **{k: values[k] for k in ("k1", "k2", "k3", "k4")})
    if kind not in _PERSPECTIVE:
        raise InputError(f"{path}: camera model {shown(kind)} is not supported", "use OPENCV or OPENCV_FISHEYE")
    if values.pop("k4"):  # in nerfstudio the factor of r^8, which no other format has
        raise InputError(f"{path}: camera {shown(name)} has a distortion k4", "use OPENCV with k1, k2, k3, p1, p2")
    return lens("perspective", **values)


def _points(data: dict[str, Any], path: Path, warn: Warn) -> PointCloud | None:
    if "ply_file_path" not in data:
        return None
    from mvgen.core.io.meshes import load_points

    try:
        return load_points(companion(path, str(data["ply_file_path"])))
    except InputError as error:
        warn(f"{error.message}; going on without points")
        return None


def matrix(values: Any, size: int) -> NDArray[np.float64]:
    """[size, size]; the last row of a [4, 4] may be missing. Raises ValueError."""
    out = np.array(values, np.float64)
    if size == 4 and out.shape == (3, 4):
        out = np.vstack([out, [0, 0, 0, 1]])
    if out.shape != (size, size):
        raise ValueError(f"a matrix is not {size}x{size}")
    return out


def nerfstudio_text(model: Model, points: str | None = None, masks: bool = True) -> str:
    """A transforms.json whose pictures are in images/ (and masks in masks/) next to it; ``points``: the PLY file with
    the points. Raises CannotError for lenses that it cannot hold."""
    kinds = {_kind(camera, bend) for camera, bend in zip(model.cameras, model.lenses)}
    if len(kinds) > 1:
        raise CannotError("nerfstudio has one camera model for all pictures, these are of two", "split the set")
    frames = []
    for camera, bend, mask in zip(model.cameras, model.lenses, model.masks):
        k = camera.intrinsics
        frame: dict[str, Any] = {
            "file_path": f"images/{camera.name}",
            "fl_x": k[0, 0],
            "fl_y": k[1, 1],
            "cx": k[0, 2],
            "cy": k[1, 2],
            "w": camera.width,
            "h": camera.height,
            "transform_matrix": (np.linalg.inv(camera.world_to_camera) @ FLIP).tolist(),
        }
        if not bend.is_pinhole:
            names = ("k1", "k2", "k3", "k4") if bend.kind == "fisheye" else ("k1", "k2", "k3", "p1", "p2")
            frame |= {name: bend.value(name) for name in names}
        if mask is not None and masks:
            frame["mask_path"] = f"masks/{camera.name}.png"
        frames.append(frame)
    head: dict[str, Any] = {"camera_model": kinds.pop()}
    if points is not None:
        head["ply_file_path"] = points
    return json.dumps({**head, "frames": frames}, indent=1) + "\n"


def _kind(camera: Camera, bend: Lens) -> str:
    if bend.kind == "perspective" and bend.only("k1", "k2", "k3", "p1", "p2"):
        return "OPENCV"
    if bend.kind == "fisheye" and bend.only("k1", "k2", "k3", "k4"):
        return "OPENCV_FISHEYE"
    raise CannotError(f"nerfstudio cannot hold the {bend.kind} lens of {camera.name}", "write a COLMAP model")
