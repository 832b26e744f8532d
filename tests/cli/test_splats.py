"""Splats in ``mvgen convert`` and ``mvgen info``, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from mvgen.core.io.meshes import load_points
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
