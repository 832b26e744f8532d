"""From where splats were seen, as their files tell it."""

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.camera import Similarity
from mvgen.core.splats.files import load_splats, save_splats
from mvgen.core.splats.model import SEEN_FROM
from mvgen.core.splats.seen import SCENE_FRAME, cameras_of, frame_of, in_scene, noted, orbit, up_name, up_of
from tests.core.splats.fit.ball import ball, cameras

SIZE = (64, 48)


def told(number: int = 8):
    return replace(ball(50), metadata=noted(cameras(number)) | {SCENE_FRAME: "rub"})


def test_cameras_come_back():
    splats = told()
    back = cameras_of(splats, SIZE)
    assert len(back) == 8
    for one, other in zip(back, cameras()):
        assert np.allclose(one.world_to_camera, other.world_to_camera, atol=1e-3)
        assert np.allclose(one.intrinsics, other.intrinsics, rtol=1e-3)
    assert len(cameras_of(told(60), SIZE)) == 24


def test_a_file_keeps_the_frame_of_its_scene(tmp_path):
    splats = told()
    assert frame_of(cameras()) == "rub" and up_name(splats) == "y"
    save_splats(splats, tmp_path / "a.ply")
    back = load_splats(tmp_path / "a.ply", frame=None)
    assert back.frame == "rdf" and up_name(back) == "-y"  # upright where y points down
    again = in_scene(back)
    assert again.frame == "rub" and np.allclose(again.means, splats.means, atol=1e-5)
    for one, other in zip(cameras_of(again, SIZE), cameras_of(splats, SIZE)):
        assert np.allclose(one.world_to_camera, other.world_to_camera, atol=1e-5)


def test_what_is_told_moves_with_the_splats():
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    moved = told().moved(Similarity(2.0, turn, np.array([1.0, 2, 3])))
    assert np.allclose(up_of(moved), [0, 0, 1])
    for one, other in zip(cameras_of(moved, SIZE), cameras()):
        assert np.allclose(one.centre, 2 * turn @ other.centre + [1, 2, 3], atol=1e-2)


def test_an_orbit_is_as_wide_as_the_cameras_were_far():
    views = orbit(told(), 5, (80, 60), 10, 0)
    far = np.median([np.linalg.norm(c.centre) for c in cameras()])
    assert len(views) == 5 and views[0].width == 80
    assert np.allclose([np.linalg.norm(c.centre) for c in views], far, rtol=0.02)
    assert orbit(ball(20), 5, SIZE, 10, 0) == []


@pytest.mark.parametrize(
    "about",
    [None, 3, {}, {"eyes": [[0, 0, 1]]}, {"eyes": "a", "targets": [], "up": 0, "across": 40},
     {"eyes": [[0, 0, 1]], "targets": [[0, 0, 0]], "up": [0, 0, 0], "across": 40},
     {"eyes": [[0, 0, float("nan")]], "targets": [[0, 0, 0]], "up": [0, 1, 0], "across": 40}],
)  # fmt: skip
def test_what_cannot_be_read_tells_nothing(about):
    splats = replace(ball(5), metadata={SEEN_FROM: about, SCENE_FRAME: "xyz"})
    assert cameras_of(splats, SIZE) == [] and in_scene(splats) is splats
    assert up_name(splats) == "y" and len(splats.moved(Similarity(2.0, np.eye(3), np.zeros(3)))) == 5
