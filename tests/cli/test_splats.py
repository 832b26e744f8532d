"""Splats in ``mvgen convert`` and ``mvgen info``, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.geometry import PointCloud
from mvgen.core.io.images import read_image
from mvgen.core.io.meshes import load_points, save_points
from mvgen.core.splats.files import load_splats, save_splats
from tests.core.splats import made


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mvgen", *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True)


def test_splats_from_format_to_format(tmp_path: Path) -> None:
    before = made.splats(30)
    save_splats(before, tmp_path / "a.ply")
    done = run(tmp_path, "convert", "a.ply", "-o", "b.spz", "--scale", "2", "--translate", "0,1,0", "--json")
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["kind"] == "splats" and report["splats"] == 30 and report["degree"] == 3
    after = load_splats(tmp_path / "b.spz", frame=None)  # moved along the y of the file that was written
    assert np.allclose(after.means, before.means * [2, -2, -2] + [0, 1, 0], atol=2e-4)
    assert np.allclose(after.log_scales, before.log_scales + np.log(2), atol=0.04)

    piped = run(tmp_path, "convert", "b.spz", "-o", "-", "--format", "compressed.ply")
    again = run(tmp_path, "convert", "-", "-o", "c.splat", "--rotate", "x:180", stdin=piped.stdout)
    assert again.returncode == 0 and b"colours that change with the direction" in again.stderr
    turned = np.sort(load_splats(tmp_path / "c.splat").means, axis=0)  # from y down, by half about x, to y up
    assert np.allclose(turned, np.sort(after.means, axis=0), atol=0.01)


def test_splats_stand_up(tmp_path: Path) -> None:
    before = made.splats(30)
    save_splats(before, tmp_path / "a.ply")
    for target in ("b.ply", "b.spz", "b.glb"):  # SPZ and glTF have y up by themselves
        done = run(tmp_path, "convert", "a.ply", "-o", target, "--to-up", "y")
        assert done.returncode == 0, done.stderr.decode()
        if target.endswith("glb"):
            assert b"written as points" in done.stderr
            means = load_points(tmp_path / target).points
        else:
            means = load_splats(tmp_path / target, frame=None).means
        assert np.allclose(means[:, 1], -before.means[:, 1], atol=2e-4), target


def test_splats_are_told_apart(tmp_path: Path) -> None:
    for name in ("a.ply", "b.compressed.ply", "c.splat", "d.spz"):
        save_splats(made.splats(30, 2), tmp_path / name)
    (tmp_path / "e.glb").write_bytes(made.gltf(made.splats(30, 2)))
    (tmp_path / "f").mkdir()
    for name, data in made.sog(made.splats(30, 2)).items():
        (tmp_path / "f" / name).write_bytes(data)
    names = sorted(p.name for p in tmp_path.iterdir())
    done = run(tmp_path, "info", *names, "--json")
    assert done.returncode == 0, done.stderr.decode()
    files = json.loads(done.stdout)["files"]
    assert [f["kind"] for f in files] == ["splats"] * 6
    assert [f["splats"] for f in files] == [30] * 6 and [f["degree"] for f in files] == [2, 2, 0, 2, 2, 2]
    assert [f["up"] for f in files] == ["-y", "-y", "-y", "y", "y", "-y"]


def test_splats_are_refused_where_they_do_not_fit(tmp_path: Path) -> None:
    save_splats(made.splats(30), tmp_path / "a.ply")
    done = run(tmp_path, "convert", "a.ply", "-o", "a.obj")
    assert done.returncode == 2 and b"splats cannot be written as .obj" in done.stderr and b".spz" in done.stderr
    (tmp_path / "a.spz").write_bytes(b"NGSP" + bytes(30))
    done = run(tmp_path, "info", "a.spz")
    assert done.returncode == 3 and b"a.spz" in done.stderr


def ok(folder: Path, *arguments: str) -> str:
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode()


def test_a_crop_keeps_exactly_those_inside_and_leaves_them_unchanged(tmp_path: Path) -> None:
    before = made.splats(200)
    save_splats(before, tmp_path / "a.ply")
    ok(tmp_path, "convert", "a.ply", "-o", "b.ply", "--crop=-0.5,-inf,-1,0.5,0.25,inf")
    low, high = [-0.5, -np.inf, -1], [0.5, 0.25, np.inf]
    expected = before[((before.means >= low) & (before.means <= high)).all(1)]
    after = load_splats(tmp_path / "b.ply")
    assert 0 < len(after) < 200
    for name in ("means", "quaternions", "log_scales", "logits", "harmonics"):
        assert np.allclose(getattr(after, name), getattr(expected, name), rtol=0, atol=1e-7), name


def test_a_move_and_its_inverse_change_nothing(tmp_path: Path) -> None:
    before = made.splats(100)
    save_splats(before, tmp_path / "a.ply")
    there = ("--about", "0.5,-1,0.25", "--scale", "2", "--rotate", "x:90", "--rotate", "y:30", "--translate", "0,1,0")
    ok(tmp_path, "convert", "a.ply", "-o", "b.ply", *there)
    back = ("--about", "0.5,0,0.25", "--rotate", "y:-30", "--rotate", "x:-90", "--scale", "0.5", "--translate=0,-1,0")
    ok(tmp_path, "convert", "b.ply", "-o", "c.ply", *back)
    moved, after = load_splats(tmp_path / "b.ply"), load_splats(tmp_path / "c.ply")
    assert np.abs(moved.means - before.means).max() > 1
    assert np.abs(after.means - before.means).max() < 1e-6 * np.abs(moved.means).max()
    for name in ("log_scales", "logits", "harmonics"):
        assert np.allclose(getattr(after, name), getattr(before, name), rtol=1e-6, atol=1e-6), name
    assert np.abs((after.quaternions * before.quaternions).sum(1)).min() > 1 - 1e-6


def test_several_files_become_one(tmp_path: Path) -> None:
    first, second = made.splats(30, 1), made.splats(40, 3, seed=1)
    save_splats(first, tmp_path / "a.ply")
    save_splats(second, tmp_path / "b.spz")
    ok(tmp_path, "convert", "a.ply", "b.spz", "-o", "c.ply")
    after = load_splats(tmp_path / "c.ply")
    assert len(after) == 70 and after.degree == 3
    assert np.allclose(after.means, np.concatenate([first.means, second.means]), atol=2e-4)
    assert not after.harmonics[:30, 4:].any()


def test_fewer_splats_and_lower_degrees(tmp_path: Path) -> None:
    before = made.splats(120)
    save_splats(before, tmp_path / "a.ply")
    done = run(tmp_path, "convert", "a.ply", "-o", "b.ply", "--splats", "0.05k", "--degree", "1", "--json")
    report = json.loads(done.stdout)
    assert report["splats"] == 50 and report["degree"] == 1 and "weigh splats" in report["seconds"]
    after = load_splats(tmp_path / "b.ply")
    place = [int(np.flatnonzero((before.means == m).all(1))[0]) for m in after.means]
    assert place == sorted(place)
    assert np.array_equal(after.harmonics, before.harmonics[place, :4])


def test_points_become_splats_and_splats_points(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours = (rng.integers(0, 256, (90, 3)) / 255).astype(np.float32)
    cloud = PointCloud(rng.normal(size=(90, 3)), colours=colours, metadata={"up": "+Y"})
    save_points(cloud, tmp_path / "a.ply")
    ok(tmp_path, "convert", "a.ply", "-o", "b.ply", "--to", "splats")
    splats = load_splats(tmp_path / "b.ply")  # y points down in PLY of splats
    assert np.allclose(splats.means, cloud.points * [1, -1, -1], atol=1e-6)
    assert np.allclose(splats.colours, colours, atol=1e-5)
    ok(tmp_path, "convert", "a.ply", "-o", "b.spz")  # a format of splats alone needs no --to
    assert np.allclose(load_splats(tmp_path / "b.spz", frame=None).means, cloud.points, atol=2e-4)
    assert "warning" not in ok(tmp_path, "convert", "b.ply", "-o", "c.ply", "--to", "points")
    points = load_points(tmp_path / "c.ply")
    assert np.allclose(points.points, splats.means) and points.metadata["up"] == "-Y"
    assert points.colours is not None and np.allclose(points.colours, colours, atol=0.003)


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("a.ply", "-o", "b.ply", "--crop=9,9,9,10,10,10"), 1, "a.ply: nothing of it lies in the box"),
        (("a.ply", "-o", "b.ply", "--crop=1,1,1,0,2,2"), 2, "is not a box"),
        (("a.ply", "-o", "b.ply", "--crop=1,1,1"), 2, "is not a box"),
        (("a.ply", "-o", "b.ply", "--crop=nan,0,0,1,1,1"), 2, "is not a box"),
        (("a.ply", "-o", "b.ply", "--splats", "0"), 2, "would leave nothing"),
        (("a.ply", "-o", "b.ply", "--splats", "some"), 2, "is not a count"),
        (("a.ply", "-o", "b.ply", "--degree", "4"), 2, "--degree"),
        (("a.ply", "-o", "b.ply", "--about", "1,2"), 2, "0,0,1.5"),
        (("a.ply", "-o", "b.obj", "--to", "splats"), 2, "cannot be written as .obj"),
        (("a.ply", "p.ply", "-o", "b.ply"), 2, "only splats are joined"),
        (("p.ply", "-o", "b.ply", "--splats", "5"), 2, "--to splats"),
        (("p.ply", "-o", "b.ply", "--degree", "0"), 2, "--to splats"),
        (("a.ply", "none.ply", "-o", "b.ply"), 3, "none.ply: no such file"),
        (("m.obj", "-o", "b.splat"), 2, "m.obj: holds a mesh"),
    ],
)
def test_what_splats_cannot_be_asked_for(tmp_path: Path, arguments: tuple[str, ...], code: int, complaint: str) -> None:
    save_splats(made.splats(20), tmp_path / "a.ply")
    save_points(PointCloud(np.zeros((3, 3))), tmp_path / "p.ply")
    (tmp_path / "m.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    before = sorted(p.name for p in tmp_path.iterdir())
    done = run(tmp_path, "convert", *arguments)
    told = done.stderr.decode()
    assert done.returncode == code and complaint in told and "Traceback" not in told and not done.stdout
    assert told.count("error:") == 1 and sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.slow
def test_views_of_splats(tmp_path: Path) -> None:
    save_splats(made.splats(60, size=0.5), tmp_path / "a.ply")
    small = ("--size", "64x48", "--background", "white")
    ok(tmp_path, "render", "a.ply", "-o", "whole.png", *small)
    ok(tmp_path, "render", "a.ply", "-o", "anti.png", *small, "--antialiased")
    ok(tmp_path, "convert", "a.ply", "-o", "b.ply", "--crop=0,-9,-9,9,9,9")
    ok(tmp_path, "render", "b.ply", "-o", "half.png", *small)
    ok(tmp_path, "render", "a.ply", "-o", "crop.png", *small, "--crop=0,-9,-9,9,9,9")
    bytes_of = {p.stem: p.read_bytes() for p in tmp_path.glob("*.png")}
    assert bytes_of["half"] == bytes_of["crop"] != bytes_of["whole"]
    assert bytes_of["anti"] != bytes_of["whole"]
    assert read_image(tmp_path / "anti.png").mean() > read_image(tmp_path / "whole.png").mean()  # more of the white
    done = run(tmp_path, "render", "a.ply", "-o", "x.png", "--renderer", "gsplat", "--device", "cpu")
    assert done.returncode == 1 and b"gsplat cannot be used: it needs a CUDA device" in done.stderr
    assert not (tmp_path / "x.png").exists()
