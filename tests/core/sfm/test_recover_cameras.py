"""Photos of known worlds give the right cameras, or the right explanation."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.errors import CannotError, InputError
from mvgen.core.io.cameras import read_camera_model, read_cameras, write_scene_folder
from mvgen.core.io.images import find_photos, read_image, read_photos, write_image
from mvgen.core.sfm import SfmResult, recover_cameras
from tests.core.sfm import worlds

DATA = os.environ.get("MVGEN_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")


def recover(paths: list[Path], folder: Path, threads: int = 2, seed: int = 0) -> SfmResult:
    return recover_cameras(read_photos(paths), folder, seed=seed, threads=threads)


def in_folder(name: str) -> list[Path]:
    return find_photos([Path(DATA or "") / name / "images"])


def test_three_photos(tmp_path: Path) -> None:
    cameras = worlds.sideways(3)
    result = recover(worlds.photograph(tmp_path, cameras, (worlds.WALL, worlds.BOX)), tmp_path / "out")
    found = [v.camera for v in result.scene.views]
    assert [c.name for c in found] == [c.name for c in cameras]
    assert worlds.turn_errors(found, cameras).max() < 0.1
    assert found[0].intrinsics[0, 0] == pytest.approx(worlds.FOCAL, rel=0.01)
    assert all(v.registered and v.matches > 100 and v.points > 100 and v.neighbour for v in result.verdicts)
    assert 0 < result.reprojection_error < 0.5
    assert {"features", "matches", "cameras", "undistort"} <= set(result.seconds)
    check_sparse_points(result)
    check_files(result, tmp_path)


def check_sparse_points(result: SfmResult) -> None:
    """They project into the views that are said to see them, with the colours found there."""
    scene = result.scene
    assert scene.tracks[:, 0].max() < len(scene.points)
    assert (np.bincount(scene.tracks[:, 0]) >= 2).all()
    assert scene.points.colours is not None
    off = []
    for index, view in enumerate(scene.views):
        mine = scene.tracks[scene.tracks[:, 1] == index, 0]
        pixels, depth = view.camera.project(scene.points.points[mine])
        assert (depth > 0).all()
        assert ((pixels > -1) & (pixels < np.array(worlds.SIZE) + 1)).all()
        x, y = np.clip(pixels, 0, np.array(worlds.SIZE) - 1).astype(int).T
        off.append(np.abs(read_image(view.image_path)[y, x] / 255 - scene.points.colours[mine]).mean())
    assert max(off) < 0.05


def check_files(result: SfmResult, folder: Path) -> None:
    """Writing pictures and models works in the process that recovered cameras, which never loads pycolmap."""
    assert "pycolmap" not in sys.modules
    write_image(np.zeros((4, 4, 3), np.uint8), folder / "a.png")
    write_scene_folder(result.scene, folder / "scene")
    assert len(read_camera_model(folder / "scene").tracks) == len(result.scene.tracks)


def test_one_photo_is_too_few(tmp_path: Path) -> None:
    paths = worlds.photograph(tmp_path, worlds.sideways(1), (worlds.WALL,))
    with pytest.raises(CannotError, match="at least two overlapping photos"):
        recover(paths, tmp_path / "out")


def test_a_broken_photo_is_named_before_work_starts(tmp_path: Path) -> None:
    paths = [worlds.save_photo(worlds.texture(i, 120, 160), tmp_path / f"p{i}.jpg") for i in range(3)]
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    with pytest.raises(InputError, match=r"p1\.jpg"):
        recover(paths, tmp_path / "out")
    assert not (tmp_path / "out" / "sfm").exists()


@pytest.mark.slow
def test_the_result_depends_on_the_seed_alone(tmp_path: Path) -> None:
    paths = worlds.photograph(tmp_path, worlds.sideways(4), (worlds.WALL, worlds.BOX), with_focal=False)
    first, second = (recover(paths, tmp_path / str(threads), threads) for threads in (1, 2))
    assert first.scene.points.points.tobytes() == second.scene.points.points.tobytes()
    assert first.scene.tracks.tobytes() == second.scene.tracks.tobytes()
    for a, b in zip(first.scene.views, second.scene.views):
        assert a.camera.world_to_camera.tobytes() == b.camera.world_to_camera.tobytes()
        assert a.camera.intrinsics.tobytes() == b.camera.intrinsics.tobytes()
        assert a.image_path.read_bytes() == b.image_path.read_bytes()
    assert first.verdicts == second.verdicts


@pytest.mark.slow
@pytest.mark.parametrize("with_focal", [True, False])
def test_two_photos(tmp_path: Path, with_focal: bool) -> None:
    cameras = worlds.sideways(2)
    paths = worlds.photograph(tmp_path, cameras, (worlds.WALL, worlds.BOX), with_focal)
    result = recover(paths, tmp_path / "out")
    assert worlds.turn_errors([v.camera for v in result.scene.views], cameras).max() < (0.1 if with_focal else 3)
    assert len(result.scene.points) > 200


@pytest.mark.slow
def test_four_photos_tell_their_focal_length(tmp_path: Path) -> None:
    cameras = worlds.sideways(4)
    result = recover(worlds.photograph(tmp_path, cameras, (worlds.WALL, worlds.BOX), False), tmp_path / "out")
    assert result.scene.views[0].camera.intrinsics[0, 0] == pytest.approx(worlds.FOCAL, rel=0.02)
    assert worlds.turn_errors([v.camera for v in result.scene.views], cameras).max() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("with_focal", [True, False])
def test_a_turning_camera_is_told_to_move(tmp_path: Path, with_focal: bool) -> None:
    paths = worlds.photograph(tmp_path, worlds.turning(4), (worlds.WALL, worlds.BOX), with_focal)
    with pytest.raises(CannotError, match="only turned") as caught:
        recover(paths, tmp_path / "out")
    assert "sideways" in (caught.value.hint or "")


@pytest.mark.slow
def test_one_plane_needs_a_known_focal_length(tmp_path: Path) -> None:
    cameras = worlds.sideways(4)
    for folder in ("with", "without"):
        (tmp_path / folder).mkdir()
    result = recover(worlds.photograph(tmp_path / "with", cameras, (worlds.WALL,)), tmp_path / "out")
    assert worlds.turn_errors([v.camera for v in result.scene.views], cameras).max() < 0.5
    with pytest.raises(CannotError, match="flat surface") as caught:
        recover(worlds.photograph(tmp_path / "without", cameras, (worlds.WALL,), False), tmp_path / "out2")
    assert "EXIF" in (caught.value.hint or "")


@pytest.mark.slow
def test_unrelated_and_empty_photos_are_explained(tmp_path: Path) -> None:
    unrelated = [worlds.save_photo(worlds.texture(i, 360, 480), tmp_path / f"u{i}.jpg") for i in range(3)]
    with pytest.raises(CannotError, match="do not overlap"):
        recover(unrelated, tmp_path / "out")
    grey = [worlds.save_photo(np.full((360, 480, 3), 90 + i, np.uint8), tmp_path / f"g{i}.jpg") for i in range(2)]
    with pytest.raises(CannotError, match="too little texture"):
        recover(grey, tmp_path / "out2")


@pytest.mark.slow
def test_partial_success_says_what_became_of_each_photo(tmp_path: Path) -> None:
    paths = worlds.photograph(tmp_path, worlds.sideways(3), (worlds.WALL, worlds.BOX))
    paths.append(worlds.save_photo(worlds.texture(9, 360, 480), tmp_path / "stranger.jpg"))
    result = recover(paths, tmp_path / "out")
    assert [v.registered for v in result.verdicts] == [True, True, True, False]
    assert result.verdicts[3].name == "stranger.jpg"
    assert result.verdicts[3].reason
    assert result.verdicts[3].advice
    assert not (tmp_path / "out" / "images" / "stranger.jpg").exists()


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["spot", "egyptian_cat", "exploding_barrel"])
@pytest.mark.parametrize("part", ["", "/three"])
def test_rendered_sets(tmp_path: Path, name: str, part: str) -> None:
    true = read_cameras(Path(DATA or "") / f"rendered/{name}{part}/cameras.json")
    result = recover(in_folder(f"rendered/{name}{part}"), tmp_path)
    assert len(result.scene.views) == len(true)
    assert worlds.turn_errors([v.camera for v in result.scene.views], true).max() < 0.15


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count", "error"),
    [("opensfm_berlin", 3, 0.7), ("kermit_gpl", 11, 0.4), ("brighton_beach", 6, 0.4), ("buddha", 13, 0.6)],
)
def test_real_photos(tmp_path: Path, name: str, count: int, error: float) -> None:
    result = recover(in_folder(f"photos/{name}"), tmp_path)
    assert len(result.scene.views) == count
    assert result.reprojection_error < error


@needs_data
@pytest.mark.slow
def test_two_real_photos_from_a_phone_with_and_without_exif(tmp_path: Path) -> None:
    photos = read_photos(in_folder("photos/opensfm_berlin")[:2])
    bare = [replace(p, focal_px=None, camera=("", "", p.width, p.height, None)) for p in photos]
    for which, given in (("exif", photos), ("bare", bare)):
        result = recover_cameras(given, tmp_path / which, threads=2)
        assert len(result.scene.views) == 2
        assert 0.7 < result.scene.views[0].camera.intrinsics[0, 0] / 1391 < 1.3  # the reference of the whole set
