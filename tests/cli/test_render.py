"""mvgen render, end to end."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.guidance.orbits import Orbit, views_text
from mvgen.core.io.meshes import save_mesh, save_points
from mvgen.core.splats.files import save_splats
from mvgen.core.splats.model import Splats

DATA = os.environ.get("MVGEN_DATA")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a textured square, a cloud and three cameras, two of which have pictures of the same name."""
    square = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    picture = np.full((16, 16, 3), [200, 40, 40], np.uint8)
    mesh = Mesh(square, np.array([[0, 1, 2], [0, 2, 3]], np.int32), uv=square[:, :2] / 2 + 0.5, texture=picture)
    save_mesh(mesh, tmp_path / "square.glb")
    save_points(PointCloud(np.random.default_rng(0).uniform(-1, 1, (500, 3))), tmp_path / "cloud.ply")
    pose = np.diag([1.0, -1, -1, 1])
    pose[2, 3] = 4
    views = [
        {"name": name, "intrinsics": [[60, 0, 32], [0, 60, 24], [0, 0, 1]], "world_to_camera": pose.tolist()}
        for name in ("a/one.jpg", "a/two.jpg", "b/one.jpg")
    ]
    (tmp_path / "cameras.json").write_text(json.dumps({"width": 64, "height": 48, "views": views}))
    return tmp_path


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mvgen", "render", *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True)


def ok(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = run(folder, *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done


def test_what_a_file_lacks_is_told(folder: Path) -> None:
    (folder / "bare.obj").write_text("mtllib gone.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    done = ok(folder, "bare.obj", "-o", "x.png", "--size", "64x48", "--json")
    (told,) = json.loads(done.stdout)["warnings"]
    assert "gone.mtl" in told and f"warning: {told}" in done.stderr.decode()


def test_a_picture_is_transparent_unless_a_background_is_named(folder: Path) -> None:
    done = ok(folder, "square.glb", "-o", "x.png", "--size", "64x48", "--azimuth", "0", "--elevation", "0", "--json")
    report = json.loads(done.stdout)
    assert report["views"] == 1 and report["size"] == [64, 48] and report["written"] == ["x.png"]
    image = np.asarray(Image.open(folder / "x.png"))
    assert image.shape == (48, 64, 4) and image[0, 0, 3] == 0 and image[24, 32].tolist() == [200, 40, 40, 255]
    ok(folder, "square.glb", "-o", "y.png", "--size", "64x48", "--background", "#00ff00")
    assert np.asarray(Image.open(folder / "y.png"))[0, 0].tolist() == [0, 255, 0]


def test_the_same_command_writes_the_same_bytes(folder: Path) -> None:
    for name, threads in (("a.png", "1"), ("b.png", "2")):
        ok(folder, "square.glb", "-o", name, "--orbit", "3", "--size", "40", "--threads", threads)
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    assert Image.open(folder / "a.png").width > 80  # a sheet of three


def test_through_pipes(folder: Path) -> None:
    done = ok(folder, "-", "-o", "-", "--size", "32", stdin=(folder / "cloud.ply").read_bytes())
    assert Image.open(io.BytesIO(done.stdout)).size == (32, 32)


def test_frames_carry_the_names_of_the_cameras_pictures(folder: Path) -> None:
    ok(folder, "square.glb", "-o", "frames/", "--cameras", "cameras.json", "--what", "depth")
    names = sorted(p.name for p in (folder / "frames").glob("*.png"))
    assert names == ["a_one.png", "a_two.png", "b_one.png"]
    assert Image.open(folder / "frames/a_one.png").size == (64, 48)


def test_numbers_of_one_view(folder: Path) -> None:
    ok(folder, "square.glb", "-o", "x.npz", "--size", "64x48", "--azimuth", "0", "--elevation", "0")
    with np.load(folder / "x.npz") as view:
        assert set(view) == {"color", "depth", "normal", "alpha", "id", "intrinsics", "world_to_camera"}
        distance = -view["world_to_camera"][:3, :3].T @ view["world_to_camera"][:3, 3]
        assert np.isclose(view["depth"][24, 32], distance[2], rtol=1e-5)
        assert view["id"].max() == 1


def test_views_are_the_middles_of_orbits(folder: Path, tmp_path: Path) -> None:
    orbits = [
        Orbit("", (0.0, 0, 0), (-10.0, 10.0), (side - 20.0, side + 20.0), (3.0, 5.0), fov=30.0) for side in (0, 90)
    ]
    (tmp_path / "views.json").write_text(views_text(orbits))
    ok(folder, "square.glb", "-o", "front/", "--views", str(tmp_path / "views.json"), "--size", "64x48")
    names = sorted(p.name for p in (folder / "front").glob("*.png"))
    assert names == ["view_000.png", "view_001.png"]
    covered = [(np.asarray(Image.open(folder / "front" / name))[..., 3] > 0).mean() for name in names]
    assert covered[0] > 10 * covered[1]  # the square is flat
    ok(folder, "square.glb", "-o", "sheet.png", "--views", str(tmp_path / "views.json"))
    assert Image.open(folder / "sheet.png").size[0] > 900


def test_films(folder: Path) -> None:
    ok(folder, "square.glb", "-o", "x.mp4", "--orbit", "4", "--size", "51x35")
    frames = imageio.mimread(folder / "x.mp4")
    assert len(frames) == 4 and frames[0].shape == (36, 52, 3) and frames[0][0, 0].min() > 240
    ok(folder, "square.glb", "-o", "x.gif", "--orbit", "3", "--size", "32", "--background", "black")
    film = Image.open(folder / "x.gif")
    assert (film.n_frames, film.size) == (3, (32, 32))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["missing.glb", "-o", "x.png"], 3, "missing.glb: no such file"),
        (["cameras.json", "-o", "x.png"], 3, "is not a mesh or point file"),
        (["square.glb", "-o", "x.xyz"], 2, "cannot write views as .xyz"),
        (["square.glb", "-o", "x.png", "--size", "0x3"], 2, "is not a size"),
        (["square.glb", "-o", "x.png", "--background", "mauve"], 2, "is not a colour"),
        (["square.glb", "-o", "x.png", "--cameras", "cameras.json", "--orbit", "3"], 2, "both name the views"),
        (["square.glb", "-o", "x.png", "--views", "cameras.json", "--orbit", "3"], 2, "both name the views"),
        (["square.glb", "-o", "x.png", "--views", "cameras.json"], 3, "cameras.json: is no list of views"),
        (["square.glb", "-o", "x.png", "--views", "gone.json"], 3, "gone.json: no such file"),
        (["square.glb", "-o", "x.npz", "--cameras", "cameras.json"], 2, "holds one view"),
        (["square.glb", "-o", "nowhere/x.png"], 3, "folder does not exist"),
        (["square.glb", "-o", "x.png", "--cameras", "square.glb"], 3, "square.glb"),
        (["square.glb", "-o", "x.png", "--size", "30000"], 1, "too many"),
    ],
)
def test_errors_name_the_matter_and_leave_nothing(folder: Path, arguments: list[str], code: int, text: str) -> None:
    before = sorted(p.name for p in folder.iterdir())
    done = run(folder, *arguments)
    error = done.stderr.decode()
    assert done.returncode == code and text in error, error
    assert "Traceback" not in error and "hint:" in error
    assert sorted(p.name for p in folder.iterdir()) == before


@pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")
def test_a_real_mesh_in_all_ways(folder: Path) -> None:
    mesh = str(Path(str(DATA)) / "textured_meshes/duck/Duck.glb")
    seen = {}
    for what in ("color", "normal", "id"):
        ok(folder, mesh, "-o", f"{what}.png", "--size", "80x60", "--what", what, "--background", "black")
        seen[what] = np.asarray(Image.open(folder / f"{what}.png").convert("RGB"))
    assert all(0.1 < (image.max(2) > 0).mean() < 0.9 for image in seen.values())
    yellow = seen["color"][30, 40]
    assert yellow[0] > 200 and yellow[2] < 80


@pytest.mark.slow
def test_splats(folder: Path) -> None:
    """A red ball in front of a blue one, y down as in 3DGS PLY: the red one is in front, and up is up."""
    harmonics = np.zeros((3, 1, 3), np.float32)
    harmonics[:, 0] = np.array([[0.5, -0.5, -0.5], [-0.5, -0.5, 0.5], [-0.5, 0.5, -0.5]]) / 0.28209479177387814
    splats = Splats(
        np.array([[0, 0, -1], [0, 0, 1], [0, -1.5, 0]], np.float32),
        np.array([[1, 0, 0, 0]] * 3, np.float32),
        np.full((3, 3), np.log(0.3), np.float32),
        np.full(3, 6.0, np.float32),
        harmonics,
    )
    for name in ("s.ply", "s.spz"):
        save_splats(splats, folder / name)
        ok(folder, name, "-o", "s.png", "--size", "96x72", "--azimuth", "0", "--elevation", "0")
        with Image.open(folder / "s.png") as picture:
            seen = np.asarray(picture)
        solid = seen[..., 3] > 200
        red, green, blue = (solid & (seen[..., k] > 150) for k in range(3))
        assert red.sum() > 20 and green.sum() > 20 and blue.sum() == 0
        assert np.nonzero(green)[0].mean() < np.nonzero(red)[0].mean()
