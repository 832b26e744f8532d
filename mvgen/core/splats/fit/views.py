"""The pictures that splats are fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.io.depth import find_depths, load_depth
from mvgen.core.io.images import read_image, read_mask
from mvgen.core.io.meshes import load_mesh
from mvgen.core.io.model import Model
from mvgen.core.io.models import find_model, fitted, read_model
from mvgen.core.io.undistort import undistorted
from mvgen.core.progress import Progress
from mvgen.core.render.raycast import Caster
from mvgen.core.scene import DepthMap


@dataclass(frozen=True, eq=False)
class Photo:
    """A camera, its picture [H, W, 3] uint8 sRGB and, where there are any, its mask [H, W] in [0, 1], its depth
    [H, W] along the optical axis, 0 where unknown, and the surface's normals [H, W, 3] in camera axes."""

    camera: Camera
    picture: NDArray[np.uint8]
    mask: NDArray[np.float32] | None = None
    depth: NDArray[np.float32] | None = None
    normal: NDArray[np.float32] | None = None


def read_posed(path: Path, images: Path | None, folder: Path, warn: Warn = ignore) -> Model:
    """The pinhole cameras of a scene, COLMAP model or camera file, with the pictures they belong to.

    Pictures of distorting lenses are undistorted into an empty folder. Raises InputError, CannotError.
    """
    if path.is_dir() and find_model(path) is None:
        raise InputError(f"{path}: no cameras in this folder", "of photos alone: mvgen reconstruct PHOTOS --as splats")
    model = fitted(read_model(path, images, warn), warn)
    for camera, picture in zip(model.cameras, model.pictures):
        if picture is None:
            raise InputError(f"{camera.name}: the picture was not found", "name their folder with --images")
    return undistorted(model, folder, warn)


def posed_photos(
    path: Path,
    size: int,
    scratch: Path,
    progress: Progress,
    images: Path | None = None,
    depths: Path | None = None,
    surface: Mesh | None = None,
) -> tuple[list[Photo], PointCloud | None]:
    """The photos of a scene, with what is known of the surface, and the scene's points where nothing is.

    size: of the longer side, at most. images, depths, surface: where they are not those of the scene folder. scratch: a
    folder for pictures that have to be undistorted. Raises InputError, CannotError.
    """
    flat = scratch / "undistorted"
    flat.mkdir()
    model = read_posed(path, images, flat, progress.warn)
    photos = load_photos(model, size)
    if depths is not None or (path / "depth").is_dir():
        photos = with_depths(photos, depths or path, progress)
    if surface is None and (path / "surface.ply").is_file():
        surface = load_mesh(path / "surface.ply")
    if surface is not None:
        photos = with_surface(photos, surface)
    unknown = all(p.depth is None for p in photos)
    return photos, model.points if unknown and len(model.points) else None


def load_photos(model: Model, long_side: int) -> list[Photo]:
    """The pictures of a model that `read_posed` has read, with the longer side reduced to at most ``long_side`` pixels.

    Raises InputError for pictures that are missing, damaged or of another size than their camera says.
    """
    return [
        _load(camera, picture, mask, long_side)
        for camera, picture, mask in zip(model.cameras, model.pictures, model.masks)
    ]


def with_depths(photos: Sequence[Photo], folder: Path, progress: Progress) -> list[Photo]:
    """The photos with the depth maps that a folder has of them, matched by name.

    Raises InputError where it has none of them, or a damaged one.
    """
    files, _ = find_depths(folder, [p.camera for p in photos])
    named = {Path(f.camera.name if f.camera else f.path.stem).stem: f for f in files}
    found = [named.get(Path(p.camera.name).stem) for p in photos]
    if not any(found):
        raise InputError(f"{folder}: has no depth map of any of the photos", "they are matched by name")
    missing = sum(f is None for f in found)
    if missing:
        progress.note(f"{folder}: {missing} photos have no depth map")
    return [p if f is None else _deep(p, load_depth(f.path, f.camera)) for p, f in zip(photos, found)]


def with_surface(photos: Sequence[Photo], mesh: Mesh) -> list[Photo]:
    """The photos with the depths and normals of a mesh in their frame, in place of what they had where it is seen."""
    caster = Caster(mesh)
    out = []
    for photo in photos:
        view = caster.render(photo.camera, supersample=1)
        hit = view.depth > 0
        depth = view.depth if photo.depth is None else np.where(hit, view.depth, photo.depth)
        normal = view.normal if photo.normal is None else np.where(hit[..., None], view.normal, photo.normal)
        out.append(replace(photo, depth=depth, normal=normal))
    return out


def _deep(photo: Photo, depth_map: DepthMap) -> Photo:
    size = (photo.camera.width, photo.camera.height)
    depth: NDArray[Any] = cv2.resize(depth_map.depth, size, interpolation=cv2.INTER_NEAREST)
    normal: NDArray[Any] = cv2.resize(depth_map.normal, size, interpolation=cv2.INTER_NEAREST)
    return replace(photo, depth=depth, normal=normal)


def split(photos: Sequence[Photo], hold_out: int) -> tuple[list[Photo], list[Photo]]:
    """Those to fit, and every hold_out-th, beginning with the first, to compare with; 0 holds none out."""
    held = [bool(hold_out) and i % hold_out == 0 for i in range(len(photos))]
    return [p for p, h in zip(photos, held) if not h], [p for p, h in zip(photos, held) if h]


def _load(camera: Camera, path: Path | None, mask_path: Path | None, long_side: int) -> Photo:
    assert path is not None
    picture = read_image(path)
    if picture.shape[:2] != (camera.height, camera.width):
        raise InputError(
            f"{path}: is {picture.shape[1]} x {picture.shape[0]}, its camera {camera.width} x {camera.height}",
            "export cameras and pictures together",
        )
    small = camera.fitted(long_side)
    mask = None if mask_path is None else read_mask(mask_path).astype(np.float32)
    return Photo(small, _reduced(picture, small), None if mask is None else _reduced(mask, small))


def _reduced(values: NDArray[Any], camera: Camera) -> NDArray[Any]:
    if values.shape[:2] == (camera.height, camera.width):
        return values
    return cv2.resize(values, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
