"""Cameras and scenes in files, for the commands that work with pinhole cameras and their pictures.

What each format holds and how its conventions differ from `Camera` stands in `colmap`, `nerfstudio`, `bundler` and
`opensfm`; our own cameras.json has our conventions. `models` converts between them without dropping distortion.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.atomic import atomic_file, atomic_folder
from mvgen.core.io.colmap import write_colmap
from mvgen.core.io.images import read_photo_header
from mvgen.core.io.model import Lens, Model, Sightings
from mvgen.core.io.models import read_model
from mvgen.core.io.nerfstudio import nerfstudio_text
from mvgen.core.scene import Scene, View


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
    """Cameras from a COLMAP folder (or one holding sparse/0), its images.bin or .txt, a transforms.json, a
    cameras.json, or any other file that `read_model` reads. The pinhole part only: see `read_camera_model` for lens
    distortion. Raises InputError."""
    return list(read_camera_model(path).cameras)


def read_camera_model(path: Path) -> CameraModel:
    """All that a camera file tells. Raises InputError for whatever is missing, damaged or unknown, and for lenses that
    k1, k2, p1, p2 do not describe (fisheyes, for example)."""
    model = read_model(Path(path))
    for camera, lens in zip(model.cameras, model.lenses):
        if lens.kind != "perspective" or not lens.only("k1", "k2", "p1", "p2"):
            raise InputError(
                f"{path}: the {lens.kind} lens of {camera.name} is not supported", "undistort the pictures"
            )
    distortion = np.array([lens.values[:4] for lens in model.lenses], np.float64)
    return CameraModel(model.cameras, distortion, model.points, model.sightings.tracks)


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
        fill_scene_folder(scene, draft)


def fill_scene_folder(scene: Scene, folder: Path) -> None:
    """`write_scene_folder` into an empty folder that is there."""
    (folder / "images").mkdir()
    for view in scene.views:
        copy_into(view.image_path, folder / "images" / view.camera.name)
        if view.mask_path is not None:
            copy_into(view.mask_path, folder / "masks" / f"{view.camera.name}.png")
    (folder / "sparse" / "0").mkdir(parents=True)
    write_colmap(model_of(scene), folder / "sparse" / "0")
    (folder / "transforms.json").write_text(transforms_json(scene))


def copy_into(source: Path, target: Path) -> None:
    """Copy a file's bytes, making the folders it needs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def save_cameras(scene: Scene, path: Path, replace: bool = True) -> None:
    """Write cameras alone: ``.json`` as transforms.json, any other name as a folder with a binary COLMAP model."""
    path = Path(path)
    if path.suffix.lower() == ".json":
        with atomic_file(path, replace=replace) as draft:
            draft.write_text(transforms_json(scene))
        return
    with atomic_folder(path) as draft:
        write_colmap(model_of(scene), draft)


def transforms_json(scene: Scene) -> str:
    """The text of a nerfstudio transforms.json; pictures are expected in images/ next to it."""
    return nerfstudio_text(model_of(scene))


def model_of(scene: Scene) -> Model:
    """A scene as a model. Observations lie where their points project, which is what a scene keeps of them."""
    order = np.lexsort((scene.tracks[:, 0], scene.tracks[:, 1]))
    tracks = scene.tracks[order]
    return Model(
        tuple(v.camera for v in scene.views),
        (Lens(),) * len(scene.views),
        scene.points,
        Sightings(tracks[:, 0].astype(np.int32), tracks[:, 1].astype(np.int32)),
        pictures=tuple(v.image_path for v in scene.views),
        masks=tuple(v.mask_path for v in scene.views),
    )
