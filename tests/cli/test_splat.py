"""``mvgen splat`` from photos to splats, and on to pictures and a mesh."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.io.meshes import load_mesh
from mvgen.core.splats.files import load_splats
from tests.core.splats.fit.ball import scene

SETTINGS = ("--set", "rates.means=2e-3", "--set", "rates.colours=2e-2")
QUICK = ("--splats", "400", "--iterations", "150", "--degree", "1", *SETTINGS)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "mvgen", *arguments], cwd=folder, capture_output=True)


def refused(folder: Path, *arguments: str) -> tuple[int, str]:
    done = run(folder, *arguments)
    text = done.stderr.decode()
    assert "Traceback" not in text
    return done.returncode, text


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scene(tmp_path_factory.mktemp("posed"))


@pytest.mark.slow
def test_photos_to_splats_to_a_picture_and_a_mesh(posed: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "splat", str(posed), "-o", "a.ply", "--points", str(posed / "points.ply"), *QUICK,
               "--hold-out", "4", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["fitted"]["photos"] == 6 and report["held_out"]["photos"] == 2
    assert report["fitted"]["psnr"] > 20 and report["splats"] == len(load_splats(tmp_path / "a.ply")) <= 400
    assert {"read", "start", "fit", "compare"} <= report["seconds"].keys()

    shown = run(tmp_path, "render", "a.ply", "-o", "like/", "--cameras", str(posed / "cameras.json"))
    assert shown.returncode == 0, shown.stderr.decode()
    from mvgen.core.io.images import read_image

    for name in ("01", "05"):
        seen, photo = read_image(tmp_path / "like" / f"{name}.png"), read_image(posed / "images" / f"{name}.png")
        assert np.abs(seen[..., :3].astype(int) - photo).mean() < 25  # in place, not turned about

    meshed = run(tmp_path, "mesh", "a.ply", "-o", "a.glb", "--set", "splats.pixels=96", "--faces", "2k")
    assert meshed.returncode == 0, meshed.stderr.decode()
    mesh = load_mesh(tmp_path / "a.glb")
    radius = np.linalg.norm(mesh.vertices, axis=1)
    assert len(mesh.faces) <= 2000 and mesh.colours is not None and abs(np.median(radius) - 1) < 0.15


@pytest.mark.slow
def test_the_same_call_writes_the_same_file_also_after_a_kill(posed: Path, tmp_path: Path) -> None:
    call = ["splat", str(posed), "--points", str(posed / "points.ply"), *QUICK[:2], "--iterations", "160", "-q"]
    assert run(tmp_path, *call, "-o", "whole.spz").returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "mvgen", *call, "-o", "again.spz", "--checkpoint", "kept"], cwd=tmp_path
    )
    limit = time.monotonic() + 120
    while not list((tmp_path / "kept").glob("*.safetensors")) and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "again.spz").exists()
    assert run(tmp_path, *call, "-o", "again.spz", "--checkpoint", "kept").returncode == 0
    assert (tmp_path / "again.spz").read_bytes() == (tmp_path / "whole.spz").read_bytes()


@pytest.mark.slow
def test_what_cannot_be_done_is_told_in_a_line(posed: Path, tmp_path: Path) -> None:
    source = str(posed)
    code, text = refused(tmp_path, "splat", source, "-o", "a.obj")
    assert code == 2 and "a.obj: splats cannot be written" in text
    code, text = refused(tmp_path, "splat", str(posed / "images"), "-o", "a.ply")
    assert code == 3 and "no cameras" in text and "mvgen reconstruct" in text
    code, text = refused(tmp_path, "splat", source, "-o", "a.ply", "--splats", "0")
    assert code == 2 and "--splats 0" in text
    code, text = refused(tmp_path, "splat", source, "-o", "a.ply", "--hold-out", "1")
    assert code == 1 and "at least 2" in text
    code, text = refused(tmp_path, "splat", source, "-o", "a.ply", "--depths", str(posed / "images"))
    assert code == 3 and "images" in text
    lone = scene(tmp_path / "lone", 2)
    (lone / "images" / "01.png").unlink()
    code, text = refused(tmp_path, "splat", str(lone), "-o", "a.ply")
    assert code == 3 and "01.png" in text and "hint: " in text
    (lone / "images" / "01.png").write_bytes((lone / "images" / "00.png").read_bytes()[:200])
    code, text = refused(tmp_path, "splat", str(lone), "-o", "a.ply")
    assert code == 3 and "01.png" in text
    assert [p.name for p in tmp_path.iterdir()] == ["lone"]
