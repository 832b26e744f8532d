"""Of a known plane's depths, what views agree on stays; what one view alone believes does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mvgen.core.camera import Camera
from mvgen.core.io.images import write_image
from mvgen.core.progress import Silent
from mvgen.core.scene import Scene, View
from mvgen.core.stereo.confirm import believed, confirm_view, depth_maps
from mvgen.core.stereo.depth import ConfirmOptions, StereoResult
from tests.core.fusion.test_fuse import NORMAL, depth_of_plane
from tests.core.views import SIZE, around, scene

OPTIONS = ConfirmOptions(max_cost=0.4, min_views=2)


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


def test_what_a_mask_hides_has_no_depth(tmp_path: Path) -> None:
    stereo = stereo_of_plane(tmp_path, around([-8, 0, 8]))
    mask = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    mask[:, :40] = 0
    write_image(mask, tmp_path / "mask.png")
    views = [replace(v, mask_path=tmp_path / "mask.png") for v in stereo.scene.views]
    masked = replace(stereo, scene=replace(stereo.scene, views=tuple(views)))
    found = list(depth_maps(masked, OPTIONS, Silent()))[1][0]
    assert (found.depth[:, :40] == 0).all() and (found.normal[:, :40] == 0).all()
    assert (found.depth[:, 41:] > 0).mean() > 0.6
