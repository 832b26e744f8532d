"""Pictures of distorting lenses become those of pinhole cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.cameras import read_scene_folder
from mvgen.core.io.images import read_image, read_mask, read_view_mask, write_image, write_mask
from mvgen.core.io.model import Lens, Model, Sightings, intrinsics, lens
from mvgen.core.io.models import write_model_folder
from mvgen.core.io.undistort import NEGLIGIBLE, pinhole, undistorted

WIDTH, HEIGHT = 160, 120
CAMERA = Camera("a.png", WIDTH, HEIGHT, intrinsics(130, 125, 82, 58), np.eye(4))
LENSES = {
    "barrel": lens("perspective", k1=-0.2, k2=0.03),
    "pincushion": lens("perspective", k1=0.15),
    "opencv": lens("perspective", k1=-0.1, k2=0.02, p1=3e-3, p2=-2e-3),
    "full opencv": lens("perspective", k1=0.1, k2=-0.02, p1=1e-3, p2=-2e-3, k3=0.003, k4=0.01, k5=0.002, k6=1e-3),
    "fisheye": lens("fisheye", k1=0.03, k2=-0.004),
}


def world(points: np.ndarray) -> np.ndarray:
    """Smooth colours [..., 3] of places [..., 2] on the plane at distance 1."""
    x, y = points[..., 0], points[..., 1]
    return 127 + 90 * np.stack([np.sin(9 * x), np.cos(8 * y), np.sin(6 * (x + y))], axis=-1)


def rays_of(camera: Camera, bend: Lens) -> np.ndarray:
    """Places [H, W, 2] on the plane at distance 1 that the pixels of a lens see, by OpenCV's projection."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    pixels, k, none = np.stack([x, y], -1).reshape(-1, 2), camera.intrinsics, np.zeros(3)
    focal = k[[0, 1], [0, 1]]
    rays = (pixels - k[:2, 2]) / focal
    for _ in range(60):
        points = np.c_[rays, np.ones(len(rays))]
        if bend.kind == "fisheye":
            values = np.array([bend.value(f"k{i}") for i in range(1, 5)])
            seen = cv2.fisheye.projectPoints(points[:, None], none, none, k, values)[0]
        else:
            seen = cv2.projectPoints(points, none, none, k, np.array(bend.values))[0]
        rays = rays + (pixels - seen.reshape(-1, 2)) / focal
    assert np.abs(seen.reshape(-1, 2) - pixels).max() < 1e-3
    return rays.reshape(camera.height, camera.width, 2)


def photo(camera: Camera, bend: Lens) -> np.ndarray:
    return world(rays_of(camera, bend)).round().astype(np.uint8)


def model_of(folder: Path, bend: Lens, camera: Camera = CAMERA) -> Model:
    """One camera, its photo and a mask of the right half of the world."""
    write_image(photo(camera, bend), folder / camera.name)
    write_mask(rays_of(camera, bend)[..., 0] > 0, folder / "mask.png")
    points = PointCloud(np.array([[0.1, 0.1, 2.0]]))
    seen = Sightings(np.zeros(1, np.int32), np.zeros(1, np.int32), np.full((1, 2), 50.0))
    return Model((camera,), (bend,), points, seen, None, (folder / camera.name,), (folder / "mask.png",))


@pytest.mark.parametrize("name", LENSES)
def test_a_scene_shows_what_a_pinhole_camera_sees(name: str, tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "scene").mkdir()
    write_model_folder(model_of(tmp_path, LENSES[name]), tmp_path / "scene", "scene", told.append)
    assert len(told) == 1 and "undistorted" in told[0]
    assert not (tmp_path / "scene" / "undistorted").exists()
    scene = read_scene_folder(tmp_path / "scene")
    (view,) = scene.views
    wanted = photo(view.camera, Lens())
    assert np.abs(read_image(view.image_path).astype(int) - wanted).max() <= 3
    mask = read_view_mask(view)
    assert mask is not None and (mask != (rays_of(view.camera, Lens())[..., 0] > 0)).mean() < 0.01
    assert scene.tracks.tolist() == [[0, 0]]


@pytest.mark.parametrize("name", LENSES)
def test_nothing_beyond_the_border_and_hardly_less_than_can_be_shown(name: str) -> None:
    flat = pinhole(CAMERA, LENSES[name])
    assert (flat.width, flat.height, flat.name) == (WIDTH, HEIGHT, CAMERA.name)
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays = np.stack([x - 82, y - 58], -1) / flat.intrinsics[[0, 1], [0, 1]]
    seen = LENSES[name].distort(rays) * [130, 125] + [82, 58]
    spare = np.minimum(seen.min((0, 1)) - 0.5, [WIDTH - 0.5, HEIGHT - 0.5] - seen.max((0, 1)))
    assert -0.05 < spare.min() < 0.05


def test_negligible_distortion_is_left_and_the_file_is_copied(tmp_path: Path) -> None:
    weak = lens("perspective", k1=NEGLIGIBLE / 500)
    assert pinhole(CAMERA, weak) is CAMERA
    (tmp_path / "scene").mkdir()
    write_model_folder(model_of(tmp_path, weak), tmp_path / "scene", "scene")
    assert (tmp_path / "scene" / "images" / "a.png").read_bytes() == (tmp_path / "a.png").read_bytes()


@pytest.mark.parametrize("bend", [Lens("fov", (0.9,)), Lens("eucm", (0.6, 1.1)), lens("perspective", k1=-40.0)])
def test_lenses_that_cannot_be_undistorted_are_refused_by_name(bend: Lens) -> None:
    with pytest.raises(CannotError, match=r"a\.png"):
        pinhole(CAMERA, bend)


def test_pictures_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = model_of(tmp_path, LENSES["barrel"])
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="not found"):
        undistorted(replace(model, pictures=(None,)), tmp_path / "x")
    write_mask(read_mask(tmp_path / "mask.png")[:-1], tmp_path / "mask.png")
    with pytest.raises(InputError, match=r"mask\.png: is 160x119"):
        undistorted(model, tmp_path / "x")
    write_image(np.zeros((60, 80, 3), np.uint8), tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: is 80x60"):
        undistorted(model, tmp_path / "x")


def test_pixels_count_as_they_are_stored(tmp_path: Path) -> None:
    from PIL import Image

    model = model_of(tmp_path, LENSES["barrel"])
    plain = undistorted(model, _fresh(tmp_path / "x")).pictures[0]
    with Image.open(tmp_path / "a.png") as image:
        exif = image.getexif()
        exif[0x0112] = 6  # held upright, so that the picture is shown turned
        image.save(tmp_path / "a.png", exif=exif)
    turned = undistorted(model, _fresh(tmp_path / "y")).pictures[0]
    assert plain is not None and turned is not None
    np.testing.assert_array_equal(read_image(turned), read_image(plain))


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder
