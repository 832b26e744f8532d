"""Cameras in files: COLMAP models, nerfstudio's transforms.json, and our cameras.json.

COLMAP and cameras.json use the axes of `Camera` (OpenCV, world to camera, pixel centre at +0.5). transforms.json holds
camera-to-world matrices with OpenGL axes (y up, z backwards), which are converted here and nowhere else. Formats:
https://colmap.github.io/format.html and https://docs.nerf.studio/quickstart/data_conventions.html.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.atomic import atomic_file, atomic_folder
from mvgen.core.io.images import Photo, read_photo_header
from mvgen.core.scene import Scene, View

_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # between OpenCV and OpenGL camera axes
_NO_POINT = (1 << 64) - 1
_MODELS = {  # id: (name, number of parameters)
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
}
_COUNTS = dict(_MODELS.values())


@dataclass(frozen=True, eq=False)
class CameraModel:
    """A camera file: cameras, sparse points with colours, and tracks [T, 2] int32 as in `Scene`.

    distortion [V, 4]: k1, k2, p1, p2 of OpenCV's model for each camera, all 0 for a pinhole.
    """

    cameras: tuple[Camera, ...]
    distortion: NDArray[np.float64]
    points: PointCloud
    tracks: NDArray[np.int32]


def read_cameras(path: Path) -> list[Camera]:
    """Cameras from a COLMAP folder (or one holding sparse/0), its images.bin or .txt, a transforms.json or a
    cameras.json. The pinhole part only: see `read_camera_model` for lens distortion. Raises InputError."""
    return list(read_camera_model(path).cameras)


def read_camera_model(path: Path) -> CameraModel:
    """All that a camera file tells. Raises InputError for whatever is missing, damaged or unknown."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "give a COLMAP folder, transforms.json or cameras.json")
    folder = path.parent if path.name in ("images.bin", "images.txt") else path
    if folder.is_dir():
        for inner in (folder, folder / "sparse" / "0", folder / "sparse"):
            if (inner / "images.bin").exists() or (inner / "images.txt").exists():
                return _read_colmap(inner)
        path = folder / "transforms.json"
        if not path.exists():
            raise InputError(f"{folder}: no cameras in this folder", "it should hold sparse/0 or transforms.json")
    return _read_json(path)


def read_scene_folder(folder: Path) -> Scene:
    """The scene that `write_scene_folder` wrote, or that other tools left in the same form. Raises InputError."""
    folder = Path(folder)
    model = read_camera_model(folder)
    if np.any(model.distortion):
        raise InputError(f"{folder}: the pictures have lens distortion", "undistort them first")
    views = tuple(View(c, folder / "images" / c.name, _mask_of(folder, c)) for c in model.cameras)
    for view in views:
        header = read_photo_header(view.image_path)
        if (header.width, header.height) != (view.camera.width, view.camera.height):
            raise InputError(f"{view.image_path}: not of the size that its camera says", "export the folder again")
    return Scene(views, model.points, model.tracks)


def _mask_of(folder: Path, camera: Camera) -> Path | None:
    path = folder / "masks" / f"{camera.name}.png"
    return path if path.is_file() else None


def write_scene_folder(scene: Scene, folder: Path, replace: bool = False) -> None:
    """Write images/, masks/ where there are any (as COLMAP names them: NAME.jpg.png), sparse/0 (binary COLMAP with
    points and tracks) and transforms.json, whole or not at all.

    Raises InputError when the folder holds other things (see `atomic_folder`).
    """
    with atomic_folder(Path(folder), replace) as draft:
        (draft / "images").mkdir()
        for view in scene.views:
            target = draft / "images" / view.camera.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(view.image_path.read_bytes())
            if view.mask_path is not None:
                mask = draft / "masks" / f"{view.camera.name}.png"
                mask.parent.mkdir(parents=True, exist_ok=True)
                mask.write_bytes(view.mask_path.read_bytes())
        (draft / "sparse" / "0").mkdir(parents=True)
        _write_colmap(scene, draft / "sparse" / "0")
        (draft / "transforms.json").write_text(transforms_json(scene))


def save_cameras(scene: Scene, path: Path, replace: bool = True) -> None:
    """Write cameras alone: ``.json`` as transforms.json, any other name as a folder with a binary COLMAP model."""
    path = Path(path)
    if path.suffix.lower() == ".json":
        with atomic_file(path, replace=replace) as draft:
            draft.write_text(transforms_json(scene))
        return
    with atomic_folder(path) as draft:
        _write_colmap(scene, draft)


def transforms_json(scene: Scene) -> str:
    """The text of a nerfstudio transforms.json; pictures are expected in images/ next to it."""
    frames = []
    for view in scene.views:
        camera = view.camera
        k = camera.intrinsics
        frames.append(
            {
                "file_path": f"images/{camera.name}",
                "fl_x": k[0, 0],
                "fl_y": k[1, 1],
                "cx": k[0, 2],
                "cy": k[1, 2],
                "w": camera.width,
                "h": camera.height,
                "transform_matrix": (np.linalg.inv(camera.world_to_camera) @ _FLIP).tolist(),
                **({} if view.mask_path is None else {"mask_path": f"masks/{camera.name}.png"}),
            }
        )
    return json.dumps({"camera_model": "OPENCV", "frames": frames}, indent=1) + "\n"


# ---------------------------------------------------------------- JSON


def _read_json(path: Path) -> CameraModel:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not a readable JSON file ({error})", "give transforms.json or cameras.json"
        ) from error
    try:
        if isinstance(data, dict) and "views" in data:
            found = [_our_view(data, view) for view in data["views"]]
        elif isinstance(data, dict) and "frames" in data:
            found = [_nerfstudio_frame(data, frame, path) for frame in data["frames"]]
        else:
            raise InputError(f"{path}: holds no cameras", 'it should have "frames" (nerfstudio) or "views"')
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"{path}: a camera is incomplete or malformed ({error!r})", "export the cameras again"
        ) from error
    return _model(path, found, PointCloud(np.zeros((0, 3))), np.zeros((0, 2), np.int32))


def _our_view(data: dict[str, Any], view: dict[str, Any]) -> tuple[Camera, list[float]]:
    width, height = (int(view.get(key, data.get(key, 0))) for key in ("width", "height"))
    matrix = _matrix(view["world_to_camera"], 4)
    return Camera(str(view["name"]), width, height, _matrix(view["intrinsics"], 3), matrix), [0.0] * 4


def _nerfstudio_frame(data: dict[str, Any], frame: dict[str, Any], path: Path) -> tuple[Camera, list[float]]:
    both = {**{k: v for k, v in data.items() if k != "frames"}, **frame}
    file = Path(str(frame["file_path"]))
    name = file.name if file.suffix else file.name + ".png"
    if "w" in both and "h" in both:
        width, height = int(both["w"]), int(both["h"])
    else:  # NeRF's synthetic sets leave the size to the pictures
        photo: Photo = read_photo_header(path.parent / file.parent / name)
        width, height = photo.width, photo.height
    if "fl_x" in both:
        fx, fy = float(both["fl_x"]), float(both.get("fl_y", both["fl_x"]))
    else:
        fx = fy = width / 2 / math.tan(float(both["camera_angle_x"]) / 2)
    cx, cy = float(both.get("cx", width / 2)), float(both.get("cy", height / 2))
    to_camera = np.linalg.inv(_matrix(frame["transform_matrix"], 4) @ _FLIP).astype(np.float64)
    camera = Camera(name, width, height, _intrinsics(fx, fy, cx, cy), to_camera)
    return camera, [float(both.get(key, 0)) for key in ("k1", "k2", "p1", "p2")]


def _matrix(values: Any, size: int) -> NDArray[np.float64]:
    matrix = np.array(values, np.float64)
    if size == 4 and matrix.shape == (3, 4):
        matrix = np.vstack([matrix, [0, 0, 0, 1]])
    if matrix.shape != (size, size):
        raise ValueError(f"a matrix is not {size}x{size}")
    return matrix


def _intrinsics(fx: float, fy: float, cx: float, cy: float) -> NDArray[np.float64]:
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def _model(
    path: Path, found: Sequence[tuple[Camera, list[float]]], points: PointCloud, tracks: NDArray[np.int32]
) -> CameraModel:
    """A model of valid cameras. Raises InputError."""
    if not found:
        raise InputError(f"{path}: holds no cameras", "give a file with at least one camera")
    for camera, lens in found:
        _check(path, camera, lens)
    if len({c.name for c, _ in found}) < len(found):
        raise InputError(f"{path}: two cameras have the same name", "rename one of the pictures")
    return CameraModel(tuple(c for c, _ in found), np.array([lens for _, lens in found], np.float64), points, tracks)


def _check(path: Path, camera: Camera, lens: list[float]) -> None:
    rotation, k = camera.rotation, camera.intrinsics
    problem = None
    if not (1 <= camera.width <= 1 << 20 and 1 <= camera.height <= 1 << 20):
        problem = f"a picture size of {camera.width}x{camera.height}"
    elif not (np.isfinite(camera.world_to_camera).all() and np.isfinite(k).all() and np.isfinite(lens).all()):
        problem = "numbers that are not finite"
    elif not (k[0, 0] > 0 and k[1, 1] > 0):
        problem = "no positive focal length"
    elif not (np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0):
        problem = "a matrix that is no rotation"
    elif not camera.name or Path(camera.name).is_absolute() or ".." in Path(camera.name).parts:
        problem = "a name that leads out of its folder"
    if problem:
        raise InputError(f"{path}: camera {camera.name} has {problem}", "export the cameras again")


# ---------------------------------------------------------------- COLMAP, reading


@dataclass(frozen=True)
class _Lens:
    """A COLMAP camera."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    def pinhole(self) -> tuple[NDArray[np.float64], list[float]]:
        """Intrinsics, and k1, k2, p1, p2."""
        p = self.params
        if self.model in ("PINHOLE", "OPENCV"):
            return _intrinsics(*p[:4]), [*p[4:8], 0, 0, 0, 0][:4]
        return _intrinsics(p[0], p[0], p[1], p[2]), [*p[3:5], 0, 0, 0, 0][:4]


@dataclass(frozen=True, eq=False)
class _Shot:
    """A COLMAP image: its pose and the point (or none) behind each of its observations."""

    id: int
    camera_id: int
    name: str
    quaternion: tuple[float, ...]  # w, x, y, z
    translation: tuple[float, ...]
    point_ids: NDArray[np.uint64]


def _read_colmap(folder: Path) -> CameraModel:
    kind = ".bin" if (folder / "images.bin").exists() else ".txt"
    files = [folder / f"{name}{kind}" for name in ("cameras", "images", "points3D")]
    if not files[0].exists():
        raise InputError(f"{files[0]}: no such file", "a COLMAP model has cameras, images and points3D files")
    readers = (
        (_binary_lenses, _binary_shots, _binary_points) if kind == ".bin" else (_text_lenses, _text_shots, _text_points)
    )
    try:
        lenses = readers[0](files[0])
        shots = sorted(readers[1](files[1]), key=lambda s: s.id)
        points = readers[2](files[2]) if files[2].exists() else {}
        found = []
        for shot in shots:
            lens = lenses[shot.camera_id]
            intrinsics, distortion = lens.pinhole()
            found.append((Camera(shot.name, lens.width, lens.height, intrinsics, _pose(shot)), distortion))
    except (struct.error, ValueError, KeyError, IndexError, OverflowError) as error:
        raise InputError(f"{folder}: the COLMAP model is damaged ({error!r})", "export it again") from error
    order = {key: i for i, key in enumerate(points)}
    tracks = sorted({(order[p], i) for i, s in enumerate(shots) for p in s.point_ids.tolist() if p in order})
    values = np.array(list(points.values()), np.float64).reshape(-1, 6)
    if not np.isfinite(values).all():
        raise InputError(f"{files[2]}: points are not finite", "export the model again")
    cloud = PointCloud(values[:, :3], colours=(values[:, 3:] / 255).astype(np.float32))
    return _model(folder, found, cloud, np.array(tracks, np.int32).reshape(-1, 2))


def _pose(shot: _Shot) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(shot.quaternion, scalar_first=True).as_matrix()
    pose[:3, 3] = shot.translation
    return pose


class _Bytes:
    """Reads little-endian values in turn; a count is believed only where the file is long enough for it."""

    def __init__(self, path: Path):
        self.path, self.raw, self.at = path, path.read_bytes(), 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self.raw, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def count(self, least: int) -> int:
        """A count of records of at least ``least`` bytes."""
        (number,) = self.take("Q")
        if number * least > len(self.raw) - self.at:
            raise ValueError(f"{self.path.name} ends too early")
        return int(number)

    def text(self) -> str:
        end = self.raw.index(b"\0", self.at)
        text, self.at = self.raw[self.at : end].decode("utf-8"), end + 1
        return text

    def array(self, dtype: np.dtype[Any], number: int) -> NDArray[Any]:
        values = np.frombuffer(self.raw, dtype, number, self.at)
        self.at += values.nbytes
        return values

    def finish(self) -> None:
        if self.at != len(self.raw):
            raise ValueError(f"{self.path.name} has {len(self.raw) - self.at} bytes too many")


_OBSERVATION = np.dtype([("x", "<f8"), ("y", "<f8"), ("point", "<u8")])
_TRACK_ELEMENT = np.dtype([("image", "<i4"), ("observation", "<i4")])


def _binary_lenses(path: Path) -> dict[int, _Lens]:
    data, lenses = _Bytes(path), {}
    for _ in range(data.count(24)):
        key, model, width, height = data.take("iiQQ")
        if model not in _MODELS:
            raise _unknown_model(path, f"number {model}")
        name, number = _MODELS[model]
        lenses[key] = _Lens(name, width, height, data.take(f"{number}d"))
    data.finish()
    return lenses


def _binary_shots(path: Path) -> list[_Shot]:
    data, shots = _Bytes(path), []
    for _ in range(data.count(73)):
        key, *numbers, camera = data.take("i7di")
        name = data.text()
        seen = data.array(_OBSERVATION, data.count(_OBSERVATION.itemsize))
        shots.append(_Shot(key, camera, name, tuple(numbers[:4]), tuple(numbers[4:]), seen["point"]))
    data.finish()
    return shots


def _binary_points(path: Path) -> dict[int, tuple[float, ...]]:
    data, points = _Bytes(path), {}
    for _ in range(data.count(51)):
        key, *numbers, _error = data.take("Q3d3Bd")
        data.array(_TRACK_ELEMENT, data.count(_TRACK_ELEMENT.itemsize))
        points[key] = tuple(numbers)
    data.finish()
    return points


def _unknown_model(path: Path, what: str) -> InputError:
    return InputError(f"{path}: camera model {what} is not supported", f"use one of {', '.join(_COUNTS)}")


def _lines(path: Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line.split()


def _text_lenses(path: Path) -> dict[int, _Lens]:
    lenses = {}
    for words in _lines(path):
        if not words:
            continue
        if words[1] not in _COUNTS:
            raise _unknown_model(path, words[1])
        params = tuple(float(w) for w in words[4:])
        if len(params) != _COUNTS[words[1]]:
            raise ValueError(f"{words[1]} with {len(params)} parameters")
        lenses[int(words[0])] = _Lens(words[1], int(words[2]), int(words[3]), params)
    return lenses


def _text_shots(path: Path) -> list[_Shot]:
    lines = list(_lines(path))
    shots = []
    for words, seen in zip(lines[::2], [*lines[1::2], []]):  # every second line lists observations and may be empty
        if not words:
            continue
        numbers = [float(w) for w in words[1:8]]
        ids = [int(w) % (1 << 64) for w in seen[2::3]]  # -1 is no point
        name = " ".join(words[9:])
        shots.append(
            _Shot(int(words[0]), int(words[8]), name, tuple(numbers[:4]), tuple(numbers[4:]), np.array(ids, np.uint64))
        )
    return shots


def _text_points(path: Path) -> dict[int, tuple[float, ...]]:
    return {int(w[0]): tuple(float(v) for v in w[1:7]) for w in _lines(path) if w}


# ---------------------------------------------------------------- COLMAP, writing


def _write_colmap(scene: Scene, folder: Path) -> None:
    """cameras.bin, images.bin and points3D.bin. Observations lie where their points project, which is what a scene
    keeps of them; errors are unset (-1)."""
    cameras = [v.camera for v in scene.views]
    keys = [(c.width, c.height, *(float(c.intrinsics[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))) for c in cameras]
    ids = {key: i + 1 for i, key in enumerate(dict.fromkeys(keys))}
    lenses = [struct.pack("<iiQQ4d", i, 1, *key) for key, i in ids.items()]
    tracks = scene.tracks[np.lexsort((scene.tracks[:, 1], scene.tracks[:, 0]))]
    place = np.zeros(len(tracks), np.int64)  # of each observation in its image
    images = []
    for index, (camera, key) in enumerate(zip(cameras, keys)):
        mine = np.flatnonzero(tracks[:, 1] == index)
        place[mine] = np.arange(len(mine))
        images.append(_image_record(index + 1, camera, ids[key], tracks[mine, 0], scene.points.points))
    (folder / "cameras.bin").write_bytes(struct.pack("<Q", len(lenses)) + b"".join(lenses))
    (folder / "images.bin").write_bytes(struct.pack("<Q", len(images)) + b"".join(images))
    (folder / "points3D.bin").write_bytes(_point_records(scene.points, tracks, place))


def _image_record(
    key: int, camera: Camera, camera_id: int, points: NDArray[np.int32], places: NDArray[np.float64]
) -> bytes:
    quaternion = Rotation.from_matrix(camera.rotation).as_quat(canonical=True, scalar_first=True)
    seen = np.zeros(len(points), _OBSERVATION)
    pixels, _ = camera.project(places[points])
    seen["x"], seen["y"], seen["point"] = pixels[:, 0], pixels[:, 1], points.astype(np.uint64) + 1
    head = struct.pack("<i7di", key, *quaternion, *camera.translation, camera_id)
    return head + camera.name.encode() + b"\0" + struct.pack("<Q", len(seen)) + seen.tobytes()


def _point_records(cloud: PointCloud, tracks: NDArray[np.int32], place: NDArray[np.int64]) -> bytes:
    grey = np.full((len(cloud), 3), 0.5, np.float32)
    colours = np.clip((grey if cloud.colours is None else cloud.colours) * 255 + 0.5, 0, 255).astype(np.uint8)
    elements = np.zeros(len(tracks), _TRACK_ELEMENT)
    elements["image"], elements["observation"] = tracks[:, 1] + 1, place
    ends = np.searchsorted(tracks[:, 0], np.arange(len(cloud) + 1))
    records = [struct.pack("<Q", len(cloud))]
    for i, (xyz, rgb) in enumerate(zip(cloud.points, colours)):
        records.append(struct.pack("<Q3d3BdQ", i + 1, *xyz, *rgb, -1.0, ends[i + 1] - ends[i]))
        records.append(elements[ends[i] : ends[i + 1]].tobytes())
    return b"".join(records)
