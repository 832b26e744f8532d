"""mvgen convert, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.cameras import read_camera_model, write_scene_folder
from mvgen.core.io.images import write_image
from mvgen.core.io.meshes import load_mesh, load_points, save_mesh, save_points
from mvgen.core.scene import Scene, View


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a textured square, coloured points, and a scene of three pictures."""
    square = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    picture = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    normals = np.tile([0.0, 0, 1], (4, 1))
    save_mesh(Mesh(square, faces, normals, uv=square[:, :2] / 2 + 0.5, texture=picture), tmp_path / "square.glb", None)
    rng = np.random.default_rng(1)
    colours = (rng.integers(0, 256, (9, 3)) / 255).astype(np.float32)
    save_points(PointCloud(rng.normal(size=(9, 3)), colours=colours, confidence=colours[:, 0]), tmp_path / "cloud.ply")
    views = []
    for i in range(3):
        pose = np.eye(4)
        pose[:3, 3] = [i, 0, 5]
        write_image(np.full((48, 64, 3), 40 * i, np.uint8), tmp_path / f"{i}.png")
        views.append(View(Camera(f"{i}.png", 64, 48, np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]), pose),
                          tmp_path / f"{i}.png"))  # fmt: skip
    tracks = np.array([[p, v] for p in range(9) for v in range(3)], np.int32)
    write_scene_folder(
        Scene(tuple(views), PointCloud(rng.normal(size=(9, 3)), colours=colours), tracks), tmp_path / "s"
    )
    return tmp_path


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mvgen", "convert", *arguments], cwd=folder, input=stdin, capture_output=True
    )


def ok(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    done = run(folder, *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode()


def test_a_texture_survives_glb_obj_3mf_glb(folder: Path) -> None:
    (folder / "o").mkdir()
    assert "warning" not in ok(folder, "square.glb", "-o", "o/a.obj")
    assert "normals are not kept" in ok(folder, "o/a.obj", "-o", "a.3mf", "--from-units", "cm")
    assert "glTF has metres" in ok(folder, "a.3mf", "-o", "b.glb")
    start, end = load_mesh(folder / "square.glb"), load_mesh(folder / "b.glb")
    assert np.array_equal(start.texture, end.texture) and end.metadata == {"units": "cm", "up": "+Z"}
    assert np.allclose(start.vertices[start.faces], end.vertices[end.faces])
    assert start.uv is not None and end.uv is not None
    assert np.allclose(start.uv[start.faces], end.uv[end.faces], atol=1e-6)


def test_units_and_up_axis(folder: Path) -> None:
    ok(folder, "square.glb", "-o", "mm.3mf", "--to-units", "mm", "--to-up", "z")
    start, back = load_mesh(folder / "square.glb"), load_mesh(folder / "mm.3mf")
    assert back.metadata == {"units": "mm", "up": "+Z"}
    want = 1000 * start.vertices[:, [0, 2, 1]] * [1, -1, 1]
    assert np.allclose(back.vertices[back.faces], want[start.faces])
    ok(folder, "mm.3mf", "-o", "again.glb", "--to-units", "m", "--to-up", "y")
    again = load_mesh(folder / "again.glb")
    assert np.allclose(again.vertices[again.faces], start.vertices[start.faces], atol=1e-7)
    ok(folder, "square.glb", "-o", "x.ply", "--scale", "2", "--rotate", "z:90", "--translate", "0,0,5")
    turned = load_mesh(folder / "x.ply")
    assert np.allclose(turned.vertices, 2 * start.vertices[:, [1, 0, 2]] * [-1, 1, 1] + [0, 0, 5])
    assert np.allclose(turned.normals, [[0, 0, 1]] * 4)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("cloud.ply", "-o", "a.glb", "--to-units", "mm"), "--from-units"),
        (("cloud.ply", "-o", "a.glb", "--to-up", "z"), "--from-up"),
        (("cloud.ply", "-o", "a.stl"), "holds points"),
        (("cloud.ply", "-o", "a.jpg"), "cannot be written as .jpg"),
        (("cloud.ply", "-o", "a", "--to", "colmap"), "no file of cameras"),
        (("s", "-o", "a.jpg"), "cannot be written as .jpg"),
        (("s", "-o", "-", "--to", "colmap"), "standard output"),
        (("square.glb", "-o", "a.ply", "--rotate", "w:3"), "x:90"),
        (("square.glb", "-o", "a.ply", "--translate", "1,2"), "0,0,1.5"),
        (("square.glb", "-o", "-"), "--format"),
    ],
)
def test_what_cannot_be_asked_for(folder: Path, arguments: tuple[str, ...], complaint: str) -> None:
    before = sorted(p.name for p in folder.iterdir())
    done = run(folder, *arguments)
    assert done.returncode == 2 and complaint in done.stderr.decode() and not done.stdout
    assert sorted(p.name for p in folder.iterdir()) == before


def test_losses_are_told(folder: Path) -> None:
    assert "confidence is not kept" in ok(folder, "cloud.ply", "-o", "a.xyz")
    colours = load_points(folder / "a.xyz").colours
    assert np.array_equal(colours, load_points(folder / "cloud.ply").colours)
    assert "the texture is not kept" in ok(folder, "square.glb", "-o", "a.stl")
    assert "becomes colours at vertices" in ok(folder, "square.glb", "-o", "a.off")
    assert "the vertices are written as points" in ok(folder, "square.glb", "-o", "a.xyz")
    assert "without the 3 cameras" in ok(folder, "s", "-o", "a.ply")
    assert "saw which points" in ok(folder, "s", "-o", "t.json")


def test_pipes(folder: Path) -> None:
    done = run(folder, "-", "-o", "-", "--format", "3mf", stdin=(folder / "square.glb").read_bytes())
    assert done.returncode == 0
    (folder / "p.glb").write_bytes(run(folder, "-", "-o", "-", "--format", "glb", stdin=done.stdout).stdout)
    assert np.array_equal(load_mesh(folder / "p.glb").texture, load_mesh(folder / "square.glb").texture)
    done = run(folder, "s", "-o", "-", "--to", "nerfstudio")
    assert done.returncode == 0 and len(json.loads(done.stdout)["frames"]) == 3
    assert b"standard output cannot carry" in done.stderr
    ok(folder, "-", "-o", "c", "--to", "colmap", stdin=done.stdout)
    assert len(read_camera_model(folder / "c").cameras) == 3


@pytest.mark.slow
def test_a_scene_through_every_format(folder: Path) -> None:
    start = read_camera_model(folder / "s")
    before = "s"
    for target in ("bundler", "opensfm", "colmap-text", "nerfstudio", "scene"):
        told = ok(folder, before, "-o", f"to-{target}", "--to", target, "--images", "s/images")
        assert "not found" not in told
        before = f"to-{target}"
    end = read_camera_model(folder / before)
    for got, want in zip(end.cameras, start.cameras):
        assert np.allclose(got.world_to_camera, want.world_to_camera, atol=1e-12)
        assert np.allclose(got.intrinsics, want.intrinsics, rtol=1e-12)
    assert np.allclose(end.points.points, start.points.points, atol=1e-6)  # float in nerfstudio's PLY
    through = read_camera_model(folder / "to-colmap-text")
    assert np.array_equal(through.tracks, start.tracks)
    assert (folder / "to-scene/images/1.png").read_bytes() == (folder / "1.png").read_bytes()


def test_a_scene_is_moved_whole(folder: Path) -> None:
    ok(folder, "s", "-o", "m", "--to", "colmap", "--from-up", "-y", "--to-up", "z", "--scale", "3")
    start, end = read_camera_model(folder / "s"), read_camera_model(folder / "m")
    for a, b in zip(start.cameras, end.cameras):
        assert np.allclose(a.project(start.points.points)[0], b.project(end.points.points)[0], atol=1e-9)
        assert np.allclose(3 * a.centre[[0, 2, 1]] * [1, 1, -1], b.centre)


def test_the_same_command_writes_the_same_bytes(folder: Path) -> None:
    for name in ("a", "b"):
        ok(folder, "square.glb", "-o", f"{name}.3mf", "--from-units", "m", "--to-units", "mm")
        ok(folder, "s", "-o", f"{name}.out")
    assert (folder / "a.3mf").read_bytes() == (folder / "b.3mf").read_bytes()
    assert (folder / "a.out").read_bytes() == (folder / "b.out").read_bytes()


def test_a_report(folder: Path) -> None:
    done = run(folder, "square.glb", "-o", "a.3mf", "--to-units", "mm", "--json")
    report = json.loads(done.stdout)
    assert (report["kind"], report["format"], report["units"], report["faces"]) == ("mesh", "3mf", "mm", 2)
