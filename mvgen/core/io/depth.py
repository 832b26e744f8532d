"""Depth maps as .npz: float32 depth, normal (camera axes), confidence; intrinsics, world_to_camera (OpenCV)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.scene import DepthMap, depth_normals

LARGEST = 1 << 28  # pixels of a depth map


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


def load_depth(path: Path, camera: Camera | None = None) -> DepthMap:
    """A depth map from a file as `save_depth` writes it, or another tool.

    Only ``depth`` has to be there: normals are found from the depths, and confidence is 1 where there is depth. A file
    without ``intrinsics`` and ``world_to_camera`` needs a ``camera``, which is resampled to the size of the map. Depths
    that are negative or not finite count as unknown. The camera's name is the file's, without extension.

    Raises InputError for a file that is missing, damaged, too large, or lacks what it needs.
    """
    path = Path(path)
    arrays = _read(path)
    depth = np.asarray(arrays["depth"], np.float32)
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


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file, none of them larger than a depth map may be."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(item.file_size > 12 * LARGEST + 1024 for item in archive.infolist()):
                raise InputError(f"{path}: larger than {LARGEST >> 20} million pixels", "make the depth map smaller")
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", "check the name") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable depth map ({error})", "write it again") from error
    depth = arrays.get("depth")
    if depth is None or depth.ndim != 2 or not depth.size or depth.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds no depth of rows and columns", 'it should have an array "depth" [H, W]')
    return arrays


def _camera(arrays: dict[str, NDArray[Any]], path: Path, shape: tuple[int, ...], given: Camera | None) -> Camera:
    height, width = shape
    if "intrinsics" not in arrays or "world_to_camera" not in arrays:
        if given is None:
            raise InputError(f"{path}: does not say where its camera was", "give the cameras, too")
        return given.resized(width, height)
    intrinsics, pose = (np.asarray(arrays[key], np.float64) for key in ("intrinsics", "world_to_camera"))
    finite = np.isfinite(intrinsics).all() and np.isfinite(pose).all()
    if intrinsics.shape != (3, 3) or pose.shape != (4, 4) or not finite:
        raise InputError(f"{path}: its camera is malformed", "intrinsics are [3, 3], world_to_camera [4, 4]")
    if abs(np.linalg.det(pose[:3, :3]) - 1) > 1e-3 or not intrinsics[0, 0] > 0 < intrinsics[1, 1]:
        raise InputError(f"{path}: its camera is no rotation and focal length", "world_to_camera is rigid")
    return Camera(path.stem, width, height, intrinsics, pose)
