"""Cameras survive every file they are written to, and damaged files are refused."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.cameras import (
    read_camera_model,
    read_cameras,
    read_scene_folder,
    save_cameras,
    write_scene_folder,
)
from mvgen.core.io.images import write_image
from mvgen.core.scene import Scene, View


def make_scene(seed: int, views: int = 3, points: int = 7, folder: Path = Path("nowhere")) -> Scene:
    rng = np.random.default_rng(seed)
    cameras = []
    for i in range(views):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.random(rng=rng).as_matrix()
        pose[:3, 3] = rng.normal(size=3) * 10 ** rng.uniform(-2, 2)
        k = np.array([[rng.uniform(10, 900), 0, 31.5], [0, rng.uniform(10, 900), 20.25], [0, 0, 1]])
        cameras.append(Camera(f"phöto {i}.png", 64, 48, k if i else np.diag([50.0, 50, 1]), pose))
    seen = rng.random((points, views)) < 0.6
    cloud = PointCloud(
        rng.normal(size=(points, 3)), colours=(rng.integers(0, 256, (points, 3)) / 255).astype(np.float32)
    )
    tracks = np.argwhere(seen).astype(np.int32)
    return Scene(tuple(View(c, folder / c.name) for c in cameras), cloud, tracks)


def assert_same_cameras(found: list[Camera], scene: Scene, exactly: float = 1e-12) -> None:
    assert [c.name for c in found] == [v.camera.name for v in scene.views]
    for got, want in zip(found, (v.camera for v in scene.views)):
        assert (got.width, got.height) == (want.width, want.height)
        np.testing.assert_allclose(got.intrinsics, want.intrinsics, rtol=exactly)
        np.testing.assert_allclose(got.rotation, want.rotation, atol=exactly)
        np.testing.assert_allclose(got.translation, want.translation, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 20))
def test_colmap_round_trip(seed: int, views: int, points: int) -> None:
    scene = make_scene(seed, views, points)
    with tempfile.TemporaryDirectory() as name:
        save_cameras(scene, Path(name) / "model")
        model = read_camera_model(Path(name) / "model")
    assert_same_cameras(list(model.cameras), scene)
    assert not model.distortion.any()
    np.testing.assert_array_equal(model.points.points, scene.points.points)
    np.testing.assert_array_equal(model.points.colours, scene.points.colours)
    np.testing.assert_array_equal(model.tracks, scene.tracks)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_transforms_round_trip(seed: int, views: int) -> None:
    scene = make_scene(seed, views)
    with tempfile.TemporaryDirectory() as name:
        save_cameras(scene, Path(name) / "transforms.json")
        assert_same_cameras(read_cameras(Path(name) / "transforms.json"), scene)
        assert_same_cameras(read_cameras(Path(name)), scene)


def test_transforms_have_opengl_axes(tmp_path: Path) -> None:
    """A camera at the origin that looks along +z with y down is turned half way round x for OpenGL."""
    save_cameras(Scene((View(Camera("a.png", 4, 4, np.eye(3), np.eye(4)), Path()),), PointCloud(np.zeros((0, 3))),
                       np.zeros((0, 2), np.int32)), tmp_path / "t.json")  # fmt: skip
    frame = json.loads((tmp_path / "t.json").read_text())["frames"][0]
    np.testing.assert_array_equal(frame["transform_matrix"], np.diag([1, -1, -1, 1]))


def test_scene_folder_round_trip(tmp_path: Path) -> None:
    scene = make_scene(1, folder=tmp_path)
    for view in scene.views:
        write_image(np.zeros((48, 64, 3), np.uint8), view.image_path)
    write_scene_folder(scene, tmp_path / "scene")
    back = read_scene_folder(tmp_path / "scene")
    assert_same_cameras([v.camera for v in back.views], scene)
    assert all(v.image_path.is_file() for v in back.views)
    assert_same_cameras(read_cameras(tmp_path / "scene" / "transforms.json"), scene)
    write_image(np.zeros((40, 64, 3), np.uint8), back.views[0].image_path)
    with pytest.raises(InputError, match="size"):
        read_scene_folder(tmp_path / "scene")


def test_colmap_reads_our_model(tmp_path: Path) -> None:
    scene = make_scene(2)
    save_cameras(scene, tmp_path / "model")
    code = (
        "import json, sys, pycolmap; r = pycolmap.Reconstruction(sys.argv[1]);"
        "print(json.dumps({i.name: [i.cam_from_world().matrix().tolist(), i.num_points3D]"
        " for i in r.images.values()}))"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")], capture_output=True, check=True).stdout
    found = json.loads(out.splitlines()[-1])
    for index, view in enumerate(scene.views):
        matrix, count = found[view.camera.name]
        np.testing.assert_allclose(matrix, view.camera.world_to_camera[:3], atol=1e-9)
        assert count == (scene.tracks[:, 1] == index).sum()


@pytest.mark.parametrize(
    ("line", "intrinsics", "distortion"),
    [
        ("SIMPLE_PINHOLE 64 48 50 32 24", (50, 50, 32, 24), (0, 0, 0, 0)),
        ("PINHOLE 64 48 50 51 32 24", (50, 51, 32, 24), (0, 0, 0, 0)),
        ("SIMPLE_RADIAL 64 48 50 32 24 .1", (50, 50, 32, 24), (0.1, 0, 0, 0)),
        ("RADIAL 64 48 50 32 24 .1 .2", (50, 50, 32, 24), (0.1, 0.2, 0, 0)),
        ("OPENCV 64 48 50 51 32 24 .1 .2 .3 .4", (50, 51, 32, 24), (0.1, 0.2, 0.3, 0.4)),
    ],
)
def test_colmap_text_models(tmp_path: Path, line: str, intrinsics: tuple, distortion: tuple) -> None:
    (tmp_path / "cameras.txt").write_text(f"# a comment\n7 {line}\n")
    (tmp_path / "images.txt").write_text(
        "# a comment\n2 1 0 0 0 1 2 3 7 b c.png\n\n1 0 1 0 0 0 0 0 7 a.png\n1 2 5 3 4 -1\n"
    )
    (tmp_path / "points3D.txt").write_text("5 1 2 3 255 0 0 0.5 1 0\n")
    model = read_camera_model(tmp_path)
    k = model.cameras[0].intrinsics
    assert [c.name for c in model.cameras] == ["a.png", "b c.png"]
    assert (k[0, 0], k[1, 1], k[0, 2], k[1, 2]) == intrinsics
    assert tuple(model.distortion[0]) == distortion
    np.testing.assert_allclose(model.cameras[0].rotation, np.diag([1, -1, -1]), atol=1e-12)
    np.testing.assert_array_equal(model.tracks, [[0, 0]])
    assert [c.name for c in read_cameras(tmp_path / "images.txt")] == ["a.png", "b c.png"]


def test_our_cameras_json(tmp_path: Path) -> None:
    view = {"name": "a.png", "intrinsics": np.diag([5.0, 6, 1]).tolist(), "world_to_camera": np.eye(4).tolist()}
    (tmp_path / "cameras.json").write_text(json.dumps({"width": 8, "height": 6, "views": [view]}))
    camera = read_cameras(tmp_path / "cameras.json")[0]
    assert (camera.width, camera.height, camera.intrinsics[1, 1]) == (8, 6, 6)


def test_size_and_field_of_view_from_other_sources(tmp_path: Path) -> None:
    write_image(np.zeros((6, 8, 3), np.uint8), tmp_path / "a.png")
    data = {"camera_angle_x": np.pi / 2, "frames": [{"file_path": "./a", "transform_matrix": np.eye(4).tolist()}]}
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    camera = read_cameras(tmp_path)[0]
    assert (camera.name, camera.width, camera.height) == ("a.png", 8, 6)
    assert camera.intrinsics[0, 0] == pytest.approx(4)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_colmap_models_are_refused_or_sound(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        save_cameras(make_scene(0), folder)
        file = folder / data.draw(st.sampled_from(["cameras.bin", "images.bin", "points3D.bin"]))
        raw = bytearray(file.read_bytes())
        if data.draw(st.booleans()):
            raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
            file.write_bytes(raw)
            with pytest.raises(InputError):
                read_camera_model(folder)
            return
        at = data.draw(st.integers(0, len(raw) - 8))
        raw[at : at + 8] = struct.pack("<Q", data.draw(st.integers(0, 2**64 - 1)))
        file.write_bytes(raw)
        try:
            model = read_camera_model(folder)
        except InputError:
            return
        assert all(np.isfinite(c.world_to_camera).all() for c in model.cameras)
        assert np.isfinite(model.points.points).all()


def one_frame(focal: str, matrix: np.ndarray) -> str:
    frame = json.dumps({"file_path": "a.png", "transform_matrix": matrix.tolist()})
    return f'{{"w": 4, "h": 4, "fl_x": {focal}, "frames": [{frame}]}}'


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "[]",
            "{}",
            '{"views": []}',
            '{"views": [{"name": "a"}]}',
            '{"frames": 3}',
            '{"frames": [{"w": 1}]}',
        ),
        one_frame("NaN", np.eye(4)),
        one_frame("0", np.eye(4)),
        one_frame("1e999", np.eye(4)),
        one_frame("1", np.eye(3)),
        one_frame("1", np.zeros((4, 4))),
        one_frame("1", np.diag([1, 1, -1, 1])),
        one_frame("1", np.diag([2, 2, 2, 1])),
    ],
)
def test_bad_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "transforms.json").write_text(text)
    with pytest.raises(InputError, match=r"transforms\.json") as caught:
        read_cameras(tmp_path / "transforms.json")
    assert caught.value.hint


def test_missing_files_unknown_models_and_escaping_names_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(InputError):
            read_cameras(path)
    (tmp_path / "images.txt").write_text("1 1 0 0 0 0 0 0 1 ../a.png\n\n")
    with pytest.raises(InputError, match=r"cameras\.txt"):
        read_cameras(tmp_path)
    (tmp_path / "cameras.txt").write_text("1 FISHEYE 4 4 1 2 2\n")
    with pytest.raises(InputError, match="FISHEYE"):
        read_cameras(tmp_path)
    (tmp_path / "cameras.txt").write_text("1 SIMPLE_PINHOLE 4 4 1 2 2\n")
    with pytest.raises(InputError, match="out of its folder"):
        read_cameras(tmp_path)
