"""Pictures of several sizes, and normals from planes."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.io.images import write_image
from mvgen.core.scene import View
from mvgen.core.stereo.depth import camera_normals, grey_of, pyramid, read_at
from tests.core.views import camera

VIEW = camera(np.array([0.0, 0, 4]))


def planes_of(view: Camera, normal: np.ndarray, offset: float) -> np.ndarray:
    """[H, W, 3]: inverse depth of the plane normal . X = offset in camera axes, and its steps in x and y."""
    x, y = np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5)
    k = view.intrinsics
    rho = (normal[0] * (x - k[0, 2]) / k[0, 0] + normal[1] * (y - k[1, 2]) / k[1, 1] + normal[2]) / offset
    steps = np.broadcast_to([normal[0] / k[0, 0] / offset, normal[1] / k[1, 1] / offset], (*rho.shape, 2))
    return np.concatenate([rho[..., None], steps], -1).astype(np.float32)


@pytest.mark.parametrize("normal", [(0, 0, 1), (0.3, -0.2, 1), (-0.6, 0.1, 0.7)])
def test_normals_of_a_plane(normal: tuple[float, float, float]) -> None:
    n = np.array(normal) / np.linalg.norm(normal)
    found = camera_normals(planes_of(VIEW, n, 3.0), VIEW)
    assert np.allclose(found, -n, atol=1e-4)  # towards the camera
    assert np.allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)


def test_pyramid_halves_until_it_is_small() -> None:
    levels = pyramid(np.random.default_rng(0).random((301, 640)).astype(np.float32))
    assert [p.shape for p in levels] == [(301, 640), (151, 320), (76, 160)]
    assert levels[0].grades.shape == (3, 301, 640) and levels[0].grades.dtype == np.float32
    assert abs(levels[2].grades[0].mean() - levels[0].grades[0].mean()) < 0.01


def test_tiny_pictures_have_few_levels() -> None:
    assert [p.shape for p in pyramid(np.zeros((40, 50), np.float32))] == [(40, 50), (20, 25)]


def test_weak_texture_is_matched_in_a_coarser_grade() -> None:
    rng = np.random.default_rng(0)
    grey = np.full((64, 96), 0.5, np.float32)
    grey[:, :32] += rng.normal(0, 0.1, (64, 32))
    support = pyramid(grey)[0].support
    assert (support[:, 4:28] == 0).all() and (support[:, 48:] == 2).all()


def test_picture_of_a_view_is_read_at_the_size_of_the_depth_map(tmp_path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    write_image(image, tmp_path / "a.png")
    view = View(VIEW, tmp_path / "a.png")
    assert np.array_equal(read_at(view, VIEW), image)
    small = read_at(view, VIEW.fitted(40))
    assert small.shape == (30, 40, 3)
    assert np.abs(small.astype(float) - image.reshape(30, 2, 40, 2, 3).mean((1, 3))).max() <= 1


def test_grey_weighs_green_most() -> None:
    colours = np.array([[[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert grey_of(colours)[0] == pytest.approx([1, 0.299, 0.587, 0.114], abs=1e-6)
