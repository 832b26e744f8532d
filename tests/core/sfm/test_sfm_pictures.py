"""Upright copies and undistortion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.io.images import read_image, read_photos, write_image
from mvgen.core.progress import Silent
from mvgen.core.sfm.lens import Lens
from mvgen.core.sfm.pictures import prepare_pictures, undistorted_copy
from tests.core.sfm import worlds


@given(st.floats(-0.3, 0.3), st.floats(0.6, 3), st.integers(16, 300), st.integers(16, 300))
def test_a_pinhole_picture_shows_nothing_beyond_it(radial: float, ratio: float, width: int, height: int) -> None:
    lens = Lens.simple(width, height, ratio * max(width, height), radial)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    seen = lens.distort(np.stack([x, y], -1), lens.pinhole)
    slack = 0.25 if lens.pinhole[0, 0] == lens.focal else 1e-6
    assert (seen >= 0.5 - slack).all()
    assert (seen <= np.array([width, height]) - 0.5 + slack).all()


@given(
    st.tuples(*[st.floats(-0.15, 0.15)] * 2, *[st.floats(-0.01, 0.01)] * 2),
    st.floats(0.9, 3),
    st.tuples(st.floats(0.45, 0.55), st.floats(0.45, 0.55)),
)
def test_undistorted_pixels_are_distorted_back(
    terms: tuple[float, ...], ratio: float, centre: tuple[float, float]
) -> None:
    lens = Lens(200, 120, (ratio * 200, ratio * 190, centre[0] * 200, centre[1] * 120, *terms))
    x, y = np.meshgrid(np.linspace(0, 200, 9), np.linspace(0, 120, 9))
    pixels = np.stack([x, y], -1).reshape(-1, 2)
    np.testing.assert_allclose(lens.distort(lens.undistort(pixels), lens.pinhole), pixels, atol=1e-6)


def test_undistortion_straightens_a_picture(tmp_path: Path) -> None:
    """A smooth pattern seen through the lens and undistorted is the pattern seen by the pinhole camera."""
    lens = Lens.simple(160, 120, 150.0, -0.15)
    x, y = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    pixels = np.stack([x, y], -1)

    def pattern(rays: np.ndarray) -> np.ndarray:
        value = 127 + 60 * np.sin(9 * rays[..., 0]) + 60 * np.cos(11 * rays[..., 1])
        return np.repeat(value[..., None], 3, -1).astype(np.uint8)

    rays = (pixels - [80, 60]) / 150.0
    for _ in range(60):  # invert the radial term by iteration
        rays = (pixels - [80, 60]) / 150.0 / (1 - 0.15 * (rays**2).sum(-1, keepdims=True))
    write_image(pattern(rays), tmp_path / "a.png")
    undistorted_copy(tmp_path / "a.png", tmp_path / "b.png", lens)
    expected = pattern((pixels - [80, 60]) / lens.pinhole[0, 0])
    assert np.abs(read_image(tmp_path / "b.png").astype(int) - expected)[2:-2, 2:-2].max() <= 4


def test_negligible_distortion_leaves_the_file_alone(tmp_path: Path) -> None:
    write_image(worlds.texture(0, 60, 80), tmp_path / "a.png")
    lens = Lens.simple(80, 60, 90.0, 1e-4)
    undistorted_copy(tmp_path / "a.png", tmp_path / "b.png", lens)
    assert lens.pinhole[0, 0] == 90
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_copies_keep_plain_photos_and_scale_large_ones(tmp_path: Path) -> None:
    image = worlds.texture(1, 120, 160)
    paths = [worlds.save_photo(image, tmp_path / f"{i}.jpg", with_focal=i == 0) for i in range(2)]
    write_image(image, tmp_path / "2.tif")
    photos = read_photos([*paths, tmp_path / "2.tif"])
    whole = prepare_pictures(photos, tmp_path / "whole", 1600, 2, Silent())
    assert [p.name for p in whole] == ["0.jpg", "1.jpg", "2.png"]
    assert whole[0].path.read_bytes() == paths[0].read_bytes()
    assert np.array_equal(read_image(whole[2].path), image)
    assert [p.camera for p in whole] == [0, 1, 1]
    small = prepare_pictures(photos, tmp_path / "small", 80, 1, Silent())
    assert (small[0].width, small[0].height) == (80, 60)
    assert small[0].focal == pytest.approx((whole[0].focal or 0) / 2)
    assert small[1].focal is None


def test_copies_keep_the_focal_length_in_their_exif(tmp_path: Path) -> None:
    path = worlds.save_photo(worlds.texture(1, 120, 160), tmp_path / "a.jpg")
    photos = read_photos([path])
    picture = prepare_pictures(photos, tmp_path / "out", 80, 1, Silent())[0]
    again = read_photos([picture.path])[0]
    assert again.focal_px == pytest.approx((photos[0].focal_px or 0) / 2) and again.orientation == 1
