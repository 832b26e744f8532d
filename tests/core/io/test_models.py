"""Cameras with lens distortion go from any format to any other that can hold them, and back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mvgen.core.camera import Camera, Similarity
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.cameras import read_camera_model, read_scene_folder
from mvgen.core.io.images import write_image
from mvgen.core.io.model import VALUES, Lens, Model, Sightings, intrinsics, lens, project
from mvgen.core.io.models import approximated, not_held, read_model, write_model_file, write_model_folder

LENSES = {
    "pinhole": Lens(),
    "simple radial": lens("perspective", k1=0.1),
    "radial": lens("perspective", k1=0.1, k2=-0.02),
    "opencv": lens("perspective", k1=0.1, k2=-0.02, p1=1e-3, p2=-2e-3),
    "brown": lens("perspective", k1=0.1, k2=-0.02, p1=1e-3, p2=-2e-3, k3=0.003),
    "full opencv": lens("perspective", k1=0.1, k2=-0.02, p1=1e-3, p2=-2e-3, k3=0.003, k4=0.01, k5=0.002, k6=1e-3),
    "simple fisheye": lens("fisheye", k1=0.03),
    "radial fisheye": lens("fisheye", k1=0.03, k2=-0.004),
    "opencv fisheye": lens("fisheye", k1=0.03, k2=-0.004, k3=5e-4, k4=-1e-4),
    "thin prism": lens("fisheye", k1=0.03, k2=-0.004, p1=1e-3, p2=2e-3, k3=5e-4, k4=-1e-4, sx1=1e-3, sy1=-2e-3),
    "fov": Lens("fov", (0.9,)),
    "division": Lens("division", (-0.1,)),
    "eucm": Lens("eucm", (0.6, 1.1)),
    "rad tan": Lens("rad_tan_thin_prism", tuple(0.001 * k for k in range(1, 13))),
}
HELD = {  # what each format can hold
    "colmap": set(LENSES),
    "colmap-text": set(LENSES),
    "nerfstudio": {*list(LENSES)[:5], "simple fisheye", "radial fisheye", "opencv fisheye"},
    "opensfm": {*list(LENSES)[:5], "simple fisheye", "radial fisheye", "opencv fisheye"},
    "bundler": {"pinhole", "simple radial", "radial"},
}


def make_model(seed: int, bend: Lens, plain: bool, folder: Path, views: int = 3, points: int = 20) -> Model:
    """plain: one focal length and the principal point in the middle, which every format can hold."""
    rng = np.random.default_rng(seed)
    cameras, pictures = [], []
    for i in range(views):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-0.4, 0.4, 3)).as_matrix()
        pose[:3, 3] = rng.normal(size=3) + np.array([0, 0, 6])
        f = rng.uniform(40, 90)
        matrix = intrinsics(f, f, 32, 24) if plain else intrinsics(f, f * 1.1, 30.5, 25.25)
        cameras.append(Camera(f"sub/phöto {i}.png", 64, 48, matrix, pose))
        picture = folder / "images" / cameras[-1].name
        picture.parent.mkdir(parents=True, exist_ok=True)
        write_image(np.full((48, 64, 3), 10 * i, np.uint8), picture)
        pictures.append(picture)
    cloud = PointCloud(
        rng.normal(size=(points, 3)).astype(np.float32).astype(np.float64),
        colours=(rng.integers(0, 256, (points, 3)) / 255).astype(np.float32),
    )
    pairs = np.argwhere(rng.random((views, points)) < 0.6)
    seen = Sightings(pairs[:, 1].astype(np.int32), pairs[:, 0].astype(np.int32), rng.uniform(0, 48, (len(pairs), 2)))
    return Model(tuple(cameras), (bend,) * views, cloud, seen, None, tuple(pictures), (None,) * views)


def through(model: Model, target: str, folder: Path) -> Model:
    out = folder / target
    out.mkdir()
    write_model_folder(model, out, target)
    return read_model(out, folder / "images")


def assert_same(back: Model, model: Model, tracks: bool = True, tolerance: float = 1e-9) -> None:
    assert [c.name for c in back.cameras] == [c.name for c in model.cameras]
    for got, want in zip(back.cameras, model.cameras):
        assert (got.width, got.height) == (want.width, want.height)
        np.testing.assert_allclose(got.intrinsics, want.intrinsics, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(got.world_to_camera, want.world_to_camera, rtol=tolerance, atol=tolerance)
    for bend, wanted in zip(back.lenses, model.lenses):
        assert bend.kind == wanted.kind or (bend.is_pinhole and wanted.is_pinhole)
        np.testing.assert_allclose(bend.values, wanted.values, rtol=tolerance)
    np.testing.assert_allclose(back.points.points, model.points.points, rtol=1e-9, atol=1e-12)
    assert back.points.colours is not None and model.points.colours is not None
    assert np.abs(back.points.colours - model.points.colours).max() < 1e-5
    if tracks:
        np.testing.assert_array_equal(back.sightings.tracks, model.sightings.tracks)
        np.testing.assert_allclose(back.pixels, model.pixels, atol=1e-9)


@pytest.mark.parametrize("name", LENSES)
@pytest.mark.parametrize("target", HELD)
@pytest.mark.parametrize("plain", [True, False])
def test_there_and_back(name: str, target: str, plain: bool, tmp_path: Path) -> None:
    model = make_model(3, LENSES[name], plain, tmp_path)
    if name in HELD[target] and (plain or target != "bundler"):
        assert_same(through(model, target, tmp_path), model, tracks=target != "nerfstudio")
    else:
        (tmp_path / "out").mkdir()
        with pytest.raises(CannotError, match="cannot hold"):
            write_model_folder(model, tmp_path / "out", target)


@given(
    seed=st.integers(0, 2**32 - 1),
    chain=st.lists(
        st.sampled_from(["colmap", "colmap-text", "opensfm", "bundler"]), min_size=2, max_size=4, unique=True
    ),
)
@settings(max_examples=15)
def test_a_chain_of_formats_keeps_everything(
    seed: int, chain: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("chain")
    start = make_model(seed, LENSES["radial"], True, folder)
    model = start
    for target in chain:
        model = through(model, target, folder)
    assert_same(model, start)


@pytest.mark.parametrize("name", [n for n in LENSES if LENSES[n].kind == "perspective"])
def test_perspective_lenses_are_opencvs(name: str) -> None:
    bend = LENSES[name]
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3)) + np.array([0, 0, 4])
    camera = Camera("a", 64, 48, intrinsics(50, 55, 31, 22), np.eye(4))
    want = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.intrinsics, np.array(bend.values))[0][:, 0]
    np.testing.assert_allclose(project(camera, bend, points), want, atol=1e-9)


def test_fisheye_lenses_are_opencvs() -> None:
    bend = LENSES["opencv fisheye"]
    points = np.random.default_rng(0).uniform(-2, 2, (50, 3)) + np.array([0, 0, 3])
    camera = Camera("a", 64, 48, intrinsics(50, 55, 31, 22), np.eye(4))
    four = np.array([bend.value(k) for k in ("k1", "k2", "k3", "k4")])
    want = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), camera.intrinsics, four)[0][:, 0]
    np.testing.assert_allclose(project(camera, bend, points), want, atol=1e-9)


def test_colmap_sees_every_lens_as_we_do(tmp_path: Path) -> None:
    """pycolmap reads what we write, text and binary, and projects points to where we do."""
    code = (
        "import json, sys, numpy as np, pycolmap\n"
        "rays = np.random.default_rng(0).uniform(-0.6, 0.6, (20, 3)) + [0, 0, 1.5]\n"
        "out = {}\n"
        "for path in sys.argv[1:]:\n"
        "    r = pycolmap.Reconstruction(path)\n"
        "    image = r.images[1]\n"
        "    camera = r.cameras[image.camera_id]\n"
        "    out[path] = [camera.img_from_cam(rays).tolist(), r.num_points3D(), image.num_points3D]\n"
        "print(json.dumps(out))"
    )
    wanted = {}
    for name, bend in LENSES.items():
        for target in ("colmap", "colmap-text"):
            folder = tmp_path / f"{name} {target}"
            folder.mkdir()
            model = make_model(1, bend, False, tmp_path)
            write_model_folder(model, folder, target)
            wanted[str(folder)] = (name, model)
    done = subprocess.run([sys.executable, "-c", code, *wanted], capture_output=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    rays = np.random.default_rng(0).uniform(-0.6, 0.6, (20, 3)) + np.array([0, 0, 1.5])
    for path, (name, model) in wanted.items():
        pixels, points, seen = found[path]
        assert points == len(model.points)
        assert seen == (model.sightings.view == 0).sum()
        bend = LENSES[name]
        if bend.kind in ("perspective", "fisheye"):
            camera = replace(model.cameras[0], world_to_camera=np.eye(4))
            np.testing.assert_allclose(pixels, project(camera, bend, rays), atol=1e-6, err_msg=name)


def test_bundler_looks_backwards_with_y_up(tmp_path: Path) -> None:
    """The manual's projection, on the file's own numbers, lands where our cameras project."""
    model = make_model(5, LENSES["radial"], True, tmp_path)
    (tmp_path / "b").mkdir()
    write_model_folder(model, tmp_path / "b", "bundler")
    words = (tmp_path / "b" / "bundle.out").read_text().split("\n", 1)[1].split()
    f, k1, k2, *pose = map(float, words[2:17])
    rotation, translation = np.array(pose[:9]).reshape(3, 3), np.array(pose[9:])
    local = model.points.points @ rotation.T + translation
    assert (local[:, 2] < 0).all()
    flat = -local[:, :2] / local[:, 2:]
    r2 = (flat**2).sum(1, keepdims=True)
    pixels = f * (1 + k1 * r2 + k2 * r2**2) * flat
    want = project(model.cameras[0], model.lenses[0], model.points.points)
    np.testing.assert_allclose(np.stack([32 + pixels[:, 0], 24 - pixels[:, 1]], axis=1), want, atol=1e-9)


def test_opensfm_is_normalised(tmp_path: Path) -> None:
    """OpenSfM's pixel centres are whole numbers: its x is (pixel - (w - 1) / 2) / max(w, h)."""
    model = make_model(5, LENSES["brown"], False, tmp_path)
    (tmp_path / "o").mkdir()
    write_model_folder(model, tmp_path / "o", "opensfm")
    camera = json.loads((tmp_path / "o" / "reconstruction.json").read_text())[0]["cameras"]["camera 0"]
    assert camera["projection_type"] == "brown"
    shot = model.cameras[0]
    normal = project(shot, Lens(), model.points.points)
    local = model.points.points @ shot.rotation.T + shot.translation
    x = camera["focal_x"] * local[:, 0] / local[:, 2] + camera["c_x"]
    np.testing.assert_allclose(x * 64 + (64 - 1) / 2 + 0.5, normal[:, 0], atol=1e-9)


def test_approximating_says_how_far_off(tmp_path: Path) -> None:
    model = make_model(2, LENSES["opencv"], False, tmp_path)
    told: list[str] = []
    near = approximated(model, told.append)
    assert_same(through(near, "bundler", tmp_path), near)
    off = float(told[0].rsplit(" ", 1)[1])
    assert 1.5 < off < 10  # the principal point alone is off by (1.5, 1.25)


def test_a_scene_folder_holds_pinholes_alone(tmp_path: Path) -> None:
    model = make_model(0, Lens(), False, tmp_path)
    back = through(model, "scene", tmp_path)
    assert_same(replace(back, sightings=model.sightings), model)
    assert read_scene_folder(tmp_path / "scene").views[0].image_path.is_file()
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="not found"):
        write_model_folder(replace(model, pictures=(None,) * 3), tmp_path / "x", "scene")


def test_cameras_are_scaled_to_their_pictures(tmp_path: Path) -> None:
    model = make_model(0, LENSES["radial"], True, tmp_path)
    large = replace(
        model,
        cameras=tuple(c.resized(128, 96) for c in model.cameras),
        sightings=replace(model.sightings, pixel=2 * model.pixels),
    )
    assert_same(through(large, "opensfm", tmp_path), model)
    odd = replace(large, cameras=tuple(c.resized(128, 64) for c in model.cameras))
    (tmp_path / "x").mkdir()
    with pytest.raises(CannotError, match="but its camera 128x64"):
        write_model_folder(odd, tmp_path / "x", "opensfm")


def test_loose_observations_stay_in_colmap(tmp_path: Path) -> None:
    model = make_model(0, Lens(), True, tmp_path)
    point = model.sightings.point.copy()
    point[::3] = -1
    model = replace(model, sightings=replace(model.sightings, point=point), errors=np.arange(20.0))
    for target in ("colmap", "colmap-text"):
        back = through(model, target, tmp_path)
        np.testing.assert_array_equal(back.sightings.point, point)
        np.testing.assert_array_equal(back.errors, model.errors)
    assert any("observations without a point" in text for text in not_held(model, "bundler"))
    assert any("saw which points" in text for text in not_held(model, "nerfstudio"))


def test_a_moved_model_projects_to_the_same_pixels(tmp_path: Path) -> None:
    model = make_model(0, LENSES["opencv"], False, tmp_path)
    moved = model.moved(Similarity(2.5, Rotation.from_euler("x", 90, degrees=True).as_matrix(), np.array([1.0, 2, 3])))
    for before, after in zip(model.cameras, moved.cameras):
        np.testing.assert_allclose(
            project(after, LENSES["opencv"], moved.points.points),
            project(before, LENSES["opencv"], model.points.points),
            atol=1e-9,
        )


def test_values_are_named_once() -> None:
    assert all(len(b.values) == len(VALUES[b.kind]) for b in LENSES.values())


def test_what_a_file_cannot_say_is_refused(tmp_path: Path) -> None:
    model = make_model(0, LENSES["opencv fisheye"], True, tmp_path)
    write_model_file(model, tmp_path / "t.json", "nerfstudio")
    with pytest.raises(InputError, match="fisheye lens"):
        read_camera_model(tmp_path / "t.json")
    data = json.loads((tmp_path / "t.json").read_text())
    for change, complaint in (
        ({"camera_model": "EQUIRECTANGULAR"}, "EQUIRECTANGULAR"),
        ({"camera_model": "OPENCV"}, "distortion k4"),
    ):
        (tmp_path / "u.json").write_text(json.dumps({**data, **change}))
        with pytest.raises(InputError, match=complaint):
            read_model(tmp_path / "u.json")
    write_model_file(model, tmp_path / "o.json", "opensfm")
    data = json.loads((tmp_path / "o.json").read_text())
    data[0]["cameras"]["camera 0"]["projection_type"] = "spherical"
    (tmp_path / "o.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="spherical"):
        read_model(tmp_path / "o.json")
    mixed = replace(model, lenses=(*model.lenses[:2], Lens()))
    with pytest.raises(CannotError, match="one camera model"):
        write_model_file(mixed, tmp_path / "m.json", "nerfstudio")


def test_names_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes((make_picture(tmp_path / "p.png")).read_bytes())
    inside = tmp_path / "in"
    inside.mkdir()
    frame = {"file_path": "../secret.png", "transform_matrix": np.eye(4).tolist(), "fl_x": 5}
    (inside / "transforms.json").write_text(json.dumps({"frames": [frame]}))
    with pytest.raises(InputError, match="how large"):
        read_model(inside / "transforms.json")
    (inside / "transforms.json").write_text(
        json.dumps({"w": 4, "h": 4, "ply_file_path": "../p.ply", "frames": [{**frame, "file_path": "a.png"}]})
    )
    told: list[str] = []
    assert not len(read_model(inside / "transforms.json", warn=told.append).points)
    assert "outside its folder" in told[0]


def make_picture(path: Path) -> Path:
    write_image(np.zeros((4, 4, 3), np.uint8), path)
    return path
