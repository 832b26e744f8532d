"""Depth maps as .npz: float32 depth, normal (camera axes), confidence; intrinsics, world_to_camera (OpenCV).

Read are other tools' files, too, whose cameras come from elsewhere: .npy, .pfm, COLMAP's .bin, and grey PNG or TIFF
pictures of whole numbers, for which a scale has to be given.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.io.arrays import read_arrays
from mvgen.core.io.cameras import read_cameras
from mvgen.core.io.images import read_image
from mvgen.core.scene import DepthMap, depth_normals

LARGEST = 1 << 28  # pixels of a depth map
SUFFIXES = (".npz", ".npy", ".pfm", ".bin", ".png", ".tif", ".tiff")
FOLDERS = ("depth", "depths", "depth_maps", "stereo/depth_maps")  # where a scene's depth maps may be
_COLMAP = (".geometric", ".photometric")
_STRETCH = 0.02  # how much the proportions of a depth map may differ from its camera's


def save_depth(depth_map: DepthMap, path: Path) -> None:
    """Write a depth map; depth is along the optical axis in scene units, 0 where unknown."""
    arrays = {
        "depth": depth_map.depth,
        "normal": depth_map.normal,
        "confidence": depth_map.confidence,
        "intrinsics": depth_map.camera.intrinsics,
        "world_to_camera": depth_map.camera.world_to_camera,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # np.savez takes thrice as long
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(values), allow_pickle=False)


@dataclass(frozen=True, eq=False)
class DepthFile:
    """A depth map's file, its camera where that is known from elsewhere, and its picture where there is one."""

    path: Path
    camera: Camera | None = None
    picture: Path | None = None


def find_depths(folder: Path, cameras: Sequence[Camera] = ()) -> tuple[list[DepthFile], list[Path]]:
    """The depth maps of a folder, or of a scene's folder with one of FOLDERS in it, and those without a camera.

    Cameras are those given, else the scene's; a map belongs to the camera whose name it has, with or without extension
    (COLMAP's NAME.jpg.geometric.bin, too; its photometric maps are read where there are no geometric ones). Raises
    InputError where there are no depth maps.
    """
    folder = Path(folder)
    inner = next((folder / name for name in FOLDERS if _depth_files(folder / name)), folder)
    scene = folder if inner != folder else folder.parent
    paths = _depth_files(inner)
    if not paths:
        raise InputError(f"{folder}: holds no depth maps", "it should hold files of kind " + ", ".join(SUFFIXES))
    geometric = {p.name for p in paths if p.stem.endswith(_COLMAP[0])}
    paths = [p for p in paths if p.name.replace(_COLMAP[1], _COLMAP[0]) not in geometric or p.name in geometric]
    if not cameras:
        try:
            cameras = read_cameras(scene)
        except InputError:  # our own files have their cameras in them
            cameras = ()
    names = _names(cameras)
    found, lost = [], []
    for path in paths:
        camera = names.get(_plain(path.relative_to(inner))) or names.get(Path(_plain(Path(path.name))).stem)
        picture = None if camera is None else scene / "images" / camera.name
        if camera is None and path.suffix.lower() != ".npz":
            lost.append(path)
        else:
            found.append(DepthFile(path, camera, picture if picture is not None and picture.is_file() else None))
    return found, lost


def _depth_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def _names(cameras: Sequence[Camera]) -> dict[str, Camera]:
    """Cameras by their names, and by these without folder and extension where that is clear."""
    out: dict[str, Camera | None] = {}
    for camera in cameras:
        stem = Path(camera.name).stem
        out[stem] = None if stem in out else camera
    for camera in cameras:
        out[camera.name] = camera
    return {name: camera for name, camera in out.items() if camera is not None}


def _plain(path: Path) -> str:
    name = path.with_suffix("").as_posix()
    return next((name.removesuffix(end) for end in _COLMAP if name.endswith(end)), name)


def load_picture(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    """[height, width, 3]: a picture brought to the size of its depth map."""
    import cv2

    image = read_image(path)
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def load_depth(path: Path, camera: Camera | None = None, scale: float | None = None) -> DepthMap:
    """A depth map from a file as `save_depth` writes it, or another tool.

    Only ``depth`` has to be there: normals are found from the depths, and confidence is 1 where there is depth. A file
    without ``intrinsics`` and ``world_to_camera`` needs a ``camera``, which is resampled to the size of the map. Depths
    that are negative or not finite count as unknown. The camera's name is the file's, without extension. Depths are
    multiplied by a scale, which pictures of whole numbers cannot do without.

    Raises InputError for a file that is missing, damaged, too large, or lacks what it needs.
    """
    path = Path(path)
    arrays = _read(path) if path.suffix.lower() == ".npz" else {"depth": _foreign(path, scale)}
    depth = np.asarray(arrays["depth"], np.float32) * np.float32(1.0 if scale is None else scale)
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)
    camera = _camera(arrays, path, depth.shape, camera)
    normal, confidence = arrays.get("normal"), arrays.get("confidence")
    if normal is None:
        normal = depth_normals(depth, camera)
    if confidence is None:
        confidence = (depth > 0).astype(np.float32)
    if normal.shape != (*depth.shape, 3) or confidence.shape != depth.shape:
        raise InputError(f"{path}: its normals or confidences are not of the size of its depths", "write it again")
    return DepthMap(camera, depth, np.asarray(normal, np.float32), np.asarray(confidence, np.float32))


def has_confidence(path: Path) -> bool:
    """Whether a depth map says how sure its depths are. Raises InputError for a file that is no depth map."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "confidence.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable depth map ({error})", "write it again") from error


def _foreign(path: Path, scale: float | None) -> NDArray[Any]:
    """Depths [H, W] of a file of another tool."""
    readers = {".npy": _read_npy, ".pfm": _read_pfm, ".bin": _read_colmap}
    try:
        if path.suffix.lower() in readers:
            depth = readers[path.suffix.lower()](path)
        elif path.suffix.lower() in SUFFIXES:
            depth = _read_picture(path, scale)
        else:
            raise InputError(f"{path}: is not a depth map", "give a file of kind " + ", ".join(SUFFIXES))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", "check the name") from error
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise InputError(f"{path}: not a readable depth map ({error})", "write it again") from error
    if depth.ndim != 2 or not depth.size or depth.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds no depth of rows and columns", "it should be an array [H, W]")
    return depth


def _read_npy(path: Path) -> NDArray[Any]:
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    _check_size(values.size)
    return np.array(values)


def _read_pfm(path: Path) -> NDArray[Any]:
    """Portable float map of one channel: the last row comes first; a negative scale means little-endian."""
    with path.open("rb") as file:
        kind = file.readline(16).strip()
        width, height = (int(n) for n in file.readline(64).split())
        order = "<" if float(file.readline(64)) < 0 else ">"
        if kind != b"Pf":
            raise ValueError("it has no single channel")
        return _floats(file.read(), width, height, order)[::-1]


def _read_colmap(path: Path) -> NDArray[Any]:
    """COLMAP's WIDTH&HEIGHT&CHANNELS& and float32 rows."""
    data = path.read_bytes()
    head = data[:64].split(b"&")
    if len(head) < 4:
        raise ValueError("it does not begin with WIDTH&HEIGHT&CHANNELS&")
    width, height, channels = (int(n) for n in head[:3])
    if channels != 1:
        raise ValueError("it has no single channel")
    return _floats(data[sum(len(part) + 1 for part in head[:3]) :], width, height, "<")


def _floats(data: bytes, width: int, height: int, order: str) -> NDArray[Any]:
    _check_size(width * height)
    if min(width, height) < 1 or len(data) < 4 * width * height:
        raise ValueError("it is cut short")
    return np.frombuffer(data, order + "f4", width * height).reshape(height, width)


def _read_picture(path: Path, scale: float | None) -> NDArray[Any]:
    from PIL import Image

    with Image.open(path) as image:
        _check_size(image.width * image.height)
        if image.mode not in ("L", "I", "F") and not image.mode.startswith("I;16"):
            raise InputError(f"{path}: is a colour picture, not a depth map", "depths are grey pictures of 16 bits")
        if scale is None and image.mode != "F":
            raise InputError(
                f"{path}: whole numbers do not tell the unit of depth", "add --depth-scale 0.001 for millimetres"
            )
        values = np.array(image)
    return values.astype(np.int64) if values.dtype.kind in "iu" else values


def _check_size(pixels: int) -> None:
    if pixels > LARGEST:
        raise ValueError(f"it is larger than {LARGEST >> 20} million pixels")


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file, none of them larger than a depth map may be."""
    names = ("depth", "normal", "confidence", "intrinsics", "world_to_camera")
    arrays = read_arrays(path, "depth map", 12 * LARGEST, names, "write it again")
    depth = arrays.get("depth")
    if depth is None or depth.ndim != 2 or not depth.size or depth.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds no depth of rows and columns", 'it should have an array "depth" [H, W]')
    return arrays


def _camera(arrays: dict[str, NDArray[Any]], path: Path, shape: tuple[int, ...], given: Camera | None) -> Camera:
    height, width = shape
    if "intrinsics" not in arrays or "world_to_camera" not in arrays:
        if given is None:
            raise InputError(f"{path}: does not say where its camera was", "give the cameras, too")
        if abs(math.log((given.width / given.height) / (width / height))) > _STRETCH:
            raise InputError(
                f"{path}: {width} x {height} pixels are of other proportions than its camera's picture",
                "give the camera of the picture that the depths belong to",
            )
        return replace(given.resized(width, height), name=given.name)
    intrinsics, pose = (np.asarray(arrays[key], np.float64) for key in ("intrinsics", "world_to_camera"))
    finite = np.isfinite(intrinsics).all() and np.isfinite(pose).all()
    if intrinsics.shape != (3, 3) or pose.shape != (4, 4) or not finite:
        raise InputError(f"{path}: its camera is malformed", "intrinsics are [3, 3], world_to_camera [4, 4]")
    if abs(np.linalg.det(pose[:3, :3]) - 1) > 1e-3 or not intrinsics[0, 0] > 0 < intrinsics[1, 1]:
        raise InputError(f"{path}: its camera is no rotation and focal length", "world_to_camera is rigid")
    return Camera(path.stem, width, height, intrinsics, pose)
