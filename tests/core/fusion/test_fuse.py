"""Depth maps of a known plane become points on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError
from mvgen.core.fusion import FusionOptions, fuse
from mvgen.core.fusion.region import Region
from mvgen.core.scene import DepthMap
from tests.core.views import SIZE, around

NORMAL = np.array([0.1, 0.2, 1.0]) / np.linalg.norm([0.1, 0.2, 1.0])  # of the plane through the origin
EVERYWHERE = Region(np.zeros(3), np.inf, np.inf)
OPTIONS = FusionOptions()


def depth_of_plane(camera: Camera) -> np.ndarray:
    return -(camera.centre @ NORMAL) / (camera.rays() @ NORMAL)


def colour_at(points: np.ndarray) -> np.ndarray:
    return (127 + 100 * np.sin(3 * points)).astype(np.uint8)


def plane_maps(cameras: list[Camera]) -> list[tuple[DepthMap, np.ndarray]]:
    out = []
    for camera in cameras:
        depth = depth_of_plane(camera).astype(np.float32)
        normal = np.broadcast_to((camera.rotation @ NORMAL).astype(np.float32), (*depth.shape, 3))
        image = colour_at(camera.centre + camera.rays() * depth[..., None])
        out.append((DepthMap(camera, depth, normal, np.full(depth.shape, 0.8, np.float32)), image))
    return out


def test_points_lie_on_the_plane_with_its_normal_and_colours() -> None:
    cloud = fuse(iter(plane_maps(around([-10, 0, 10]))), EVERYWHERE, OPTIONS)
    assert np.abs(cloud.points @ NORMAL).max() < 0.01
    assert cloud.normals is not None and cloud.colours is not None and cloud.confidence is not None
    assert np.allclose(cloud.normals, NORMAL, atol=1e-4)
    assert np.abs(cloud.colours - colour_at(cloud.points) / 255).mean() < 0.03
    assert np.allclose(cloud.confidence, 0.8, atol=1e-5)


def test_cloud_is_thinned_to_about_a_point_per_pixel_on_the_surface() -> None:
    once = fuse(iter(plane_maps(around([0]))), EVERYWHERE, OPTIONS)
    often = fuse(iter(plane_maps(around([-2, -1, 0, 1, 2]))), EVERYWHERE, OPTIONS)
    pixels = SIZE[0] * SIZE[1]
    assert 0.2 * pixels < len(once) < pixels
    assert len(often) < 1.6 * pixels


def test_result_does_not_depend_on_how_much_is_held_at_a_time() -> None:
    maps = plane_maps(around([-10, 0, 10]))
    whole = fuse(iter(maps), EVERYWHERE, OPTIONS)
    small = fuse(iter(maps), EVERYWHERE, replace(OPTIONS, chunk=1000))
    assert np.allclose(whole.points, small.points, atol=1e-12) and len(whole) > 1000


def test_points_outside_the_region_are_left_out() -> None:
    cloud = fuse(iter(plane_maps(around([-10, 0, 10]))), Region(np.zeros(3), 0.7, np.inf), OPTIONS)
    assert 0.5 < np.linalg.norm(cloud.points, axis=1).max() <= 0.7


@pytest.mark.parametrize("region", [EVERYWHERE, Region(np.full(3, 50.0), 0.1, np.inf)])
def test_nothing_left_is_explained(region: Region) -> None:
    maps = plane_maps(around([0]))
    if region is EVERYWHERE:
        maps = [(replace(m, depth=np.zeros_like(m.depth)), image) for m, image in maps]
    with pytest.raises(CannotError, match="no depth") as caught:
        fuse(iter(maps), region, OPTIONS)
    assert caught.value.hint
