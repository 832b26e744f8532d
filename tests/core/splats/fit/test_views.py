"""Posed photos as a fit takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvgen.core.errors import InputError, MvgenError
from mvgen.core.geometry import Mesh
from mvgen.core.io.depth import save_depth
from mvgen.core.progress import Silent
from mvgen.core.render.splats import Painter
from mvgen.core.scene import DepthMap
from mvgen.core.splats.fit.views import posed_photos, split, with_surface
from tests.core.splats.fit.ball import ball, photos, scene


def posed(path: Path, scratch: Path, size: int = 64, **known):
    scratch.mkdir(parents=True)
    return posed_photos(path, size, scratch, Silent(), **known)


def test_photos_are_reduced_with_their_cameras(tmp_path: Path) -> None:
    folder = scene(tmp_path / "scene", 4)
    whole, points = posed(folder, tmp_path / "a")
    half, _ = posed(folder, tmp_path / "b", 32)
    assert len(whole) == 4 and whole[0].picture.shape == (48, 64, 3) and points is None
    assert half[1].picture.shape == (24, 32, 3) and half[1].camera.width == 32
    assert np.allclose(half[1].camera.intrinsics[:2], whole[1].camera.intrinsics[:2] / 2)
    assert np.abs(half[1].picture.astype(int) - whole[1].picture.reshape(24, 2, 32, 2, 3).mean((1, 3))).max() <= 1


def test_masks_and_depth_maps_of_the_scene_are_taken(tmp_path: Path) -> None:
    folder = scene(tmp_path / "scene", 4)
    (folder / "masks").mkdir()
    white = np.zeros((48, 64), np.uint8)
    white[10:30, 20:50] = 255
    Image.fromarray(white).save(folder / "masks" / "02.png.png")
    (folder / "depth").mkdir()
    for name, photo in [("00", photos(4)[0]), ("03", photos(4)[3])]:
        view = Painter(ball(2000)).render(photo.camera)
        save_depth(DepthMap(photo.camera, view.depth, view.normal, view.alpha), folder / "depth" / f"{name}.npz")
    found, _ = posed(folder, tmp_path / "a")
    assert [p.mask is not None for p in found] == [False, False, True, False]
    assert np.array_equal(found[2].mask, white / 255)
    assert [p.depth is not None for p in found] == [True, False, False, True]
    assert 1.5 < np.median(found[0].depth[found[0].depth > 0]) < 4


def test_a_surface_tells_depths_where_it_is_seen() -> None:
    square = Mesh(
        np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    )
    seen = with_surface(photos(4), square)
    for photo in seen:
        hit = photo.depth > 0
        assert hit.any() and not hit.all()
        places = photo.camera.centre + photo.camera.rays()[hit] * photo.depth[hit][:, None]
        assert np.abs(places[:, 2]).max() < 1e-4


def test_every_so_many_photos_are_held_out() -> None:
    seen, held = split(list(range(12)), 6)
    assert held == [0, 6] and len(seen) == 10
    assert split([1, 2, 3], 0) == ([1, 2, 3], [])


def test_pictures_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = scene(tmp_path / "scene", 4)
    Image.fromarray(np.zeros((50, 64, 3), np.uint8)).save(folder / "images" / "01.png")
    with pytest.raises(MvgenError, match=r"01\.png"):
        posed(folder, tmp_path / "a")
    (folder / "images" / "01.png").unlink()
    with pytest.raises(InputError, match=r"01\.png"):
        posed(folder, tmp_path / "b")
    with pytest.raises(InputError):
        posed(scene(tmp_path / "other", 4), tmp_path / "c", depths=folder / "images")
