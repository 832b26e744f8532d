"""Pictures of how a reconstruction went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvgen.core.geometry import PointCloud
from mvgen.core.previews import TILE, DepthPreviews, camera_plot, confidence_picture, depth_picture
from mvgen.core.scene import DepthMap
from tests.core.views import SIZE, around, scene

POINTS = np.random.default_rng(0).uniform(-0.5, 0.5, (500, 3))


def ramp(name: str = "p0.png") -> DepthMap:
    """Near on the left, far on the right, unknown in the top rows; sure at the bottom."""
    camera = around([0])[0]
    depth = np.linspace(1, 4, SIZE[0], dtype=np.float32)[None].repeat(SIZE[1], 0)
    depth[:10] = 0
    confidence = np.linspace(0, 1, SIZE[1], dtype=np.float32)[:, None].repeat(SIZE[0], 1)
    normal = np.zeros((SIZE[1], SIZE[0], 3), np.float32)
    return DepthMap(camera.__class__(name, *SIZE, camera.intrinsics, camera.world_to_camera), depth, normal, confidence)


def brightness(picture: np.ndarray) -> np.ndarray:
    return picture.astype(float) @ [0.2126, 0.7152, 0.0722]


def test_near_is_bright_and_unknown_is_grey() -> None:
    picture = depth_picture(ramp())
    assert picture.shape == (SIZE[1], SIZE[0], 3) and picture.dtype == np.uint8
    assert (picture[:10] == 128).all()
    light = brightness(picture)[30]
    assert light[2] > 180 and light[-3] < 60
    assert (np.diff(light[2:-2]) <= 1).all()


def test_sure_is_bright() -> None:
    light = brightness(confidence_picture(ramp()))
    assert (light[:10] == 128).all()
    assert light[12, 40] < light[30, 40] < light[59, 40]


@pytest.mark.parametrize("depth", [0.0, 2.0])
def test_depth_without_contrast_is_drawn_too(depth: float) -> None:
    flat = ramp()
    flat.depth[:] = depth
    picture = depth_picture(flat)
    assert (picture == picture[0, 0]).all()


def test_files_and_contact_sheet(tmp_path: Path) -> None:
    previews = DepthPreviews(tmp_path)
    photo = np.full((SIZE[1], SIZE[0], 3), 200, np.uint8)
    for name in ("a.jpg", "b.photo.png"):
        previews(ramp(name), photo)
    previews.finish(scene(around([0, 20]), POINTS), PointCloud(POINTS))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a_confidence.png", "a_depth.png", "b.photo_confidence.png", "b.photo_depth.png", "cameras.png",
        "contact_sheet.png",
    ]  # fmt: skip
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a_depth.png")), depth_picture(ramp()))
    width, height = Image.open(tmp_path / "contact_sheet.png").size
    assert width >= 3 * TILE and height >= TILE * 0.7


def test_contact_sheet_takes_photos_of_different_shapes(tmp_path: Path) -> None:
    previews = DepthPreviews(tmp_path)
    wide, tall = ramp("a.png"), ramp("b.png")
    tall = DepthMap(tall.camera, tall.depth.T.copy(), tall.normal.transpose(1, 0, 2), tall.confidence.T.copy())
    previews(wide, np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    previews(tall, np.zeros((SIZE[0], SIZE[1], 3), np.uint8))
    previews.finish(scene(around([0, 20]), POINTS), PointCloud(POINTS))
    assert (tmp_path / "contact_sheet.png").stat().st_size > 1000


def test_cameras_are_drawn_in_red_above_the_points() -> None:
    picture = camera_plot(scene(around([0, 120, 240]), POINTS), PointCloud(POINTS))
    assert picture.shape == (720, 960, 3)
    red = picture[..., 0].astype(int) > picture[..., 1].astype(int) + 80
    grey = (np.ptp(picture.astype(int), axis=-1) < 10) & (picture[..., 0] < 200)
    assert red.sum() > 100 and grey.sum() > 100
