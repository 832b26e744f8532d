"""Views for guidance: files, and the cameras that are drawn from them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.errors import CannotError, InputError
from mvgen.core.guidance.orbits import (
    Orbit,
    angles,
    around,
    camera_at,
    load_views,
    middle_around,
    sampled,
    side_seen,
    views_text,
    zoomed,
)  # fmt: skip
from tests.core.edit.shapes import limb
from tests.fuzz import damage

UP = np.array([0.0, 1.0, 0.0])
ORBIT = Orbit("a wing", (0.0, 1.0, 0.0), (10.0, 40.0), (-30.0, 30.0), (1.5, 2.0), negative="fog")


def near(splats, mask):
    points = splats.means[mask]
    return zoomed(points, 2 * splats.scales[mask].max(1), "a tip", middle_around(points, splats.means), UP)


def written(folder, tree):
    path = folder / "views.json"
    path.write_text(json.dumps(tree))
    return path


def views(**changes):
    values = json.loads(views_text([ORBIT]))["orbits"][0] | changes
    return {"views": "mvgen", "version": 1, "orbits": [{k: v for k, v in values.items() if v != "gone"}]}


def test_views_are_read_as_they_were_written(tmp_path):
    orbits = (ORBIT, replace(ORBIT, origin=(1.0, 2.0, 3.0), fov=50.0), ORBIT)  # two may share a prompt
    (tmp_path / "views.json").write_text(views_text(orbits))
    assert load_views(tmp_path / "views.json") == orbits


def test_views_of_interactive3d_are_read(tmp_path):
    data = {"edit_center": [0, 0, 1], "recenter_origin": [1, 0, 1], "edit_ele": [30, 40], "edit_azi": [0, 10]}
    (orbit,) = load_views(written(tmp_path, {"a horn": data | {"edit_dist": [3.5, 3.5]}}))
    assert (orbit.prompt, orbit.target, orbit.origin, orbit.fov) == ("a horn", (0, 0, 1), (1, 0, 1), 40)
    z_up = np.array([0.0, 0.0, 1.0])
    eye = camera_at(orbit, 0, orbit.azimuth[0], 3.5, z_up, 64).centre
    assert np.allclose(eye, [4.5, 0, 1])  # its azimuth 0 is the x axis
    for key in data:
        with pytest.raises(InputError, match=r"views\.json"):
            load_views(written(tmp_path, {"a horn": data | {"edit_dist": [3.5, 3.5], key: "x"}}))


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ([], "is no list of views"),
        ({}, "is no list of views"),
        ({"views": "mvgen", "version": 2, "orbits": []}, "version 2"),
        ({"views": "mvgen", "version": 1, "orbits": []}, "has 0 orbits"),
        ({"views": "mvgen", "version": 1, "orbits": [{}] * 1001}, "has 1001 orbits"),
        ({"views": "mvgen", "version": 1, "orbits": [3]}, "orbit 1: should be an object"),
        (views(target="gone"), "orbit 1: target is missing"),
        (views(colour=1), "colour is not known"),
        (views(prompt="a" * 2001), "prompt: should be text"),
        (views(prompt=None), "prompt: should be text"),
        (views(elevation=[0, 91]), "elevation: should be the lowest and the highest, from -90 to 90"),
        (views(azimuth=[20, 10]), "azimuth: should be the lowest"),
        (views(distance=[0, 1]), "distance: should be a number above 0"),
        (views(distance=[2, 1]), "distance: should be the lowest"),
        (views(fov=171), "fov: should be from 1 to 170"),
        (views(target=[1, 2]), "target: should be 3 numbers"),
    ],
)
def test_bad_views_are_told(tmp_path, tree, words):
    path = written(tmp_path, tree)
    with pytest.raises(InputError) as caught:
        load_views(path)
    assert words in caught.value.message and str(path) in caught.value.message


def test_damaged_views_are_told(tmp_path):
    path = tmp_path / "views.json"
    for content in (b"", b"{", b"\xff\xfe", b'{"views": NaN}', b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no list of views"):
            load_views(path)
    with pytest.raises(InputError, match="no such file"):
        load_views(tmp_path / "none.json")


def test_views_damaged_at_random_are_read_or_told(tmp_path):
    whole, path, refused = views_text([ORBIT, replace(ORBIT, origin=(1.0, 2.0, 3.0))]).encode(), tmp_path / "v.json", 0
    rng = np.random.default_rng(0)
    for _ in range(400):
        path.write_bytes(damage(whole, rng))
        try:
            orbits = load_views(path)
        except InputError as error:
            refused += 1
            assert str(path) in error.message and "\n" not in error.message
        else:
            assert np.isfinite([(*o.target, *o.elevation, *o.azimuth, *o.distance, o.fov) for o in orbits]).all()
    assert refused > 200


def test_sampled_cameras_keep_to_their_orbit():
    orbit = replace(ORBIT, origin=(0.5, 1.0, 0.0))
    rng = np.random.default_rng(0)
    cameras = [sampled(orbit, UP, 64, rng) for _ in range(200)]
    found = np.array([[*angles(c.centre - orbit.origin, UP), np.linalg.norm(c.centre - orbit.origin)] for c in cameras])
    for values, (low, high) in zip(found.T, (orbit.elevation, orbit.azimuth, orbit.distance)):
        assert low - 1e-6 <= values.min() < low + 0.1 * (high - low)
        assert high + 1e-6 >= values.max() > high - 0.1 * (high - low)
    for camera in cameras:
        assert np.allclose(camera.project(np.array([orbit.target]))[0], 32)
    again = sampled(orbit, UP, 64, np.random.default_rng(0))
    assert np.array_equal(again.world_to_camera, cameras[0].world_to_camera)


def test_degrees_are_degrees():
    camera = camera_at(replace(ORBIT, target=(0, 0, 0)), 0, 90, 2, UP, 64)
    assert np.allclose(camera.centre, [2, 0, 0])
    assert np.allclose(camera_at(replace(ORBIT, target=(0, 0, 0)), 90, 0, 2, UP, 64).centre, [0, 2, 0])
    edge = camera.centre + camera.forward + np.tan(np.radians(20)) * camera.rotation[0]
    assert np.allclose(camera.project(edge)[0][0], 64)


def test_a_camera_in_its_target_is_refused():
    with pytest.raises(CannotError, match="stands in"):
        camera_at(replace(ORBIT, target=(0, 0, 2), origin=(0, 0, 0)), 0, 0, 2, UP, 64)


def test_the_local_camera_frames_its_region():
    """Within a tenth of the picture, from everywhere on its orbit."""
    splats = limb(6000)
    reach = 2 * splats.scales.max(1)
    for low, high in ((1.0, 9.0), (-9.0, -0.75), (-0.2, 0.2), (0.3, 0.6)):
        mask = (splats.means[:, 1] >= low) & (splats.means[:, 1] <= high)
        orbit = near(splats, mask)
        extents = []
        for seed in range(40):
            camera = sampled(orbit, UP, 512, np.random.default_rng(seed))
            pixels, depth = camera.project(splats.means[mask].astype(np.float64))
            size = reach[mask] * camera.intrinsics[0, 0] / depth
            extents.append(float((np.linalg.norm(pixels - 256, axis=1) + size).max()) / 256)
        assert min(extents) > 0.65 and 0.9 < max(extents) <= 1


def test_a_ball_fills_nine_tenths_of_its_picture():
    points = np.random.default_rng(0).normal(size=(2000, 3))
    points = 0.3 * points / np.linalg.norm(points, axis=1, keepdims=True) + [3.0, 1.0, 0.0]
    orbit = zoomed(points, np.zeros(2000), "ball", np.zeros(3), UP)
    for seed in range(10):
        camera = sampled(orbit, UP, 400, np.random.default_rng(seed))
        extent = np.ptp(camera.project(points)[0], axis=0) / 400
        assert (extent > 0.9).all() and (extent < 1).all()


def test_the_local_camera_stands_outside():
    """Not on the other side of the object."""
    splats = limb(3000)
    mask = (splats.means[:, 1] > 0.2) & (splats.means[:, 0] > 0.1)
    orbit = near(splats, mask)
    eyes = np.array([sampled(orbit, UP, 64, np.random.default_rng(i)).centre for i in range(30)])
    assert (eyes[:, 0] > splats.means[mask].mean(0)[0]).all()


def test_the_local_camera_sees_what_is_above_and_below():
    splats = limb(3000)
    for sign in (1, -1):
        mask = sign * splats.means[:, 1] > 1
        orbit = near(splats, mask)
        cameras = [sampled(orbit, UP, 64, np.random.default_rng(i)) for i in range(60)]
        assert all(sign * (c.centre[1] - orbit.target[1]) > 0 for c in cameras)
        assert np.ptp([angles(c.centre - orbit.target, UP)[1] for c in cameras]) > 300


@pytest.mark.parametrize(
    ("elevation", "azimuth", "word"),
    [(0, 0, "front"), (0, 44, "front"), (0, 46, "side"), (10, -90, "side"), (0, 136, "back"), (0, -180, "back"),
     (61, 0, "overhead"), (59, 180, "back")],
)  # fmt: skip
@pytest.mark.parametrize("up", [UP, -UP, np.array([0.0, 0.0, 1.0])])
def test_words_of_views_are_those_of_the_object(elevation, azimuth, word, up):
    orbit = around(np.zeros((1, 3)), np.ones(1), "cube")
    camera = camera_at(orbit, elevation, azimuth, 3, up, 64)
    assert side_seen(camera, np.zeros(3), up) == word
    local = replace(orbit, target=tuple(camera.centre - 0.5 * up))  # looks at something else from the same place
    assert side_seen(camera_at(local, 90, azimuth, 0.5, up, 64), np.zeros(3), up) == word
