"""Depth maps of a known plane become points on it; what one view alone believes does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError
from mvgen.core.fusion import FusionOptions, confirm_view, depth_maps, fuse
from mvgen.core.fusion.fuse import believed
from mvgen.core.fusion.region import Region
from mvgen.core.io.images import write_image
from mvgen.core.progress import Silent
from mvgen.core.scene import DepthMap, Scene, View
from mvgen.core.stereo.depth import StereoResult
from tests.core.views import SIZE, around, scene

NORMAL = np.array([0.1, 0.2, 1.0]) / np.linalg.norm([0.1, 0.2, 1.0])  # of the plane through the origin
EVERYWHERE = Region(np.zeros(3), np.inf, np.inf)
OPTIONS = FusionOptions(max_cost=0.4, min_views=2)


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


def stereo_of_plane(folder: Path, cameras: list[Camera]) -> StereoResult:
    """States as the matcher leaves them: exact planes, small costs; pictures of a dark plane."""
    files, views = [], []
    for i, camera in enumerate(cameras):
        rho = (1 / depth_of_plane(camera)).astype(np.float32)
        state = np.stack([rho, *np.gradient(rho)[::-1], np.full(rho.shape, 0.1, np.float32)], -1)
        files.append(folder / f"{i}.npy")
        np.save(files[-1], state)
        write_image(np.full((SIZE[1], SIZE[0], 3), 40, np.uint8), folder / camera.name)
        views.append(View(camera, folder / camera.name))
    world = scene(cameras, np.zeros((1, 3)))
    count = len(cameras)
    others = [[j for j in range(count) if j != i] for i in range(count)]
    full = Scene(tuple(views), world.points, world.tracks)
    return StereoResult(full, tuple(cameras), others, [(0.1, 1.0)] * count, [0.005] * count, tuple(files))


def spoil(stereo: StereoResult, view: int, rows: slice, columns: slice, factor: float = 1.0, cost: float = 0.1) -> None:
    state = np.load(stereo.files[view])
    state[rows, columns, 0] *= factor
    state[rows, columns, 3] = cost
    np.save(stereo.files[view], state)


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


def test_agreeing_views_confirm_each_other(tmp_path: Path) -> None:
    stereo = stereo_of_plane(tmp_path, around([-8, 0, 8]))
    maps = list(depth_maps(stereo, OPTIONS, Silent()))
    assert [m.camera.name for m, _ in maps] == ["p0.png", "p1.png", "p2.png"]
    middle = maps[1][0]
    known = middle.depth > 0
    assert known.mean() > 0.6  # the rest is seen by one of the others alone
    assert np.abs(middle.depth / depth_of_plane(middle.camera) - 1)[known].max() < 3e-3
    assert np.allclose(middle.confidence[known], 0.9, atol=1e-5) and (middle.confidence[~known] == 0).all()
    assert np.allclose(middle.normal[known], middle.camera.rotation @ NORMAL, atol=0.02)


def test_what_no_other_view_confirms_is_dropped(tmp_path: Path) -> None:
    stereo = stereo_of_plane(tmp_path, around([-8, 0, 8]))
    spoil(stereo, 1, slice(20, 40), slice(30, 50), factor=1.3)
    depth = list(depth_maps(stereo, OPTIONS, Silent()))[1][0].depth
    assert (depth[20:40, 30:50] == 0).all()
    assert (depth[24:36, 52:58] > 0).all()


def test_bad_costs_and_speckles_are_not_believed(tmp_path: Path) -> None:
    stereo = stereo_of_plane(tmp_path, around([-8, 8]))
    spoil(stereo, 0, slice(0, 10), slice(0, 80), cost=1.0)
    spoil(stereo, 0, slice(30, 33), slice(40, 43), factor=1.8)
    rho = believed(stereo, 0, OPTIONS.max_cost)
    assert (rho[:10] == 0).all() and (rho[30:33, 40:43] == 0).all()
    assert (rho[12:28] > 0).all()


def test_two_views_need_only_each_other(tmp_path: Path) -> None:
    stereo = stereo_of_plane(tmp_path, around([-8, 8]))
    confirmed = confirm_view(stereo, lambda i: believed(stereo, i, OPTIONS.max_cost), 0, OPTIONS)
    assert (confirmed.votes[confirmed.rho > 0] == 1).all()
    assert (confirmed.rho > 0).mean() > 0.6


def test_sky_is_left_out(tmp_path: Path) -> None:
    stereo = stereo_of_plane(tmp_path, around([-8, 0, 8]))
    for view in stereo.scene.views:
        image = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
        image[:25] = (140, 170, 230)
        write_image(image, view.image_path)
    depth = list(depth_maps(stereo, OPTIONS, Silent()))[1][0].depth
    assert (depth[:20] == 0).all() and (depth[40:, 30:50] > 0).any()
