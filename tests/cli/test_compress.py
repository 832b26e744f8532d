"""``mvgen compress`` end to end."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from mvgen.core.compress.measure import Surface, measure
from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh, save_mesh

pytest.importorskip("DracoPy")
DATA = os.environ.get("MVGEN_DATA")


def run(folder: Path, command: str, *arguments: object, **more: Any) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-m", "mvgen", command, *map(str, arguments)]
    done = subprocess.run(words, cwd=folder, capture_output=True, **more)
    assert b"Traceback" not in done.stderr
    return done


def ok(folder: Path, command: str, *arguments: object) -> dict[str, Any]:
    done = run(folder, command, *arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def ball(subdivisions: int = 3) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions, 0.8)
    bumps = 1 + 0.1 * np.sin(5 * made.vertices[:, :1])
    return Mesh(np.asarray(made.vertices) * bumps, np.asarray(made.faces, np.int32))


@pytest.fixture
def box(tmp_path: Path) -> Path:
    save_mesh(ball(), tmp_path / "ball.ply")
    return tmp_path


def independent(one: Path, other: Path, seed: int = 77) -> tuple[float, float]:
    """Mean and largest distance in diagonals of the first, by points alone."""
    a, b = load_mesh(one), load_mesh(other)
    found = measure(Surface(a), Surface(b), 50_000, seed, prove=False)
    return found.mean / a.diagonal, found.maximum / a.diagonal


def test_size_is_kept_and_the_line_tells(box: Path) -> None:
    done = run(box, "compress", "ball.ply", "-o", "b.mks", "--target-size", "1k", "--effort", "1")
    assert done.returncode == 0 and done.stdout == b""
    line = next(text for text in done.stderr.decode().splitlines() if not text.startswith("warning: "))
    size, source = (box / "b.mks").stat().st_size, (box / "ball.ply").stat().st_size
    assert size <= 1000
    assert line.startswith("ball.ply: ") and f"({source} => {size} bytes, mean error 0." in line and " packed" in line
    report = ok(box, "decompress", "b.mks", "-o", "b.ply")
    mean, most = independent(box / "ball.ply", box / "b.ply")
    assert mean <= 1.02 * report["mean_error"] and report["mean_error"] < 0.01
    assert most <= report["max_error"]


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_also_through_pipes(box: Path) -> None:
    goal = ("--target-size", "700", "--effort", "1", "--codec", "surface")
    ok(box, "compress", "ball.ply", "-o", "a.mks", *goal, "--threads", "1")
    piped = run(box, "compress", "-", "-o", "-", *goal, "--threads", "2", input=(box / "ball.ply").read_bytes())
    assert piped.returncode == 0 and piped.stdout == (box / "a.mks").read_bytes()
    back = run(box, "decompress", "-", "-o", "-", "--format", "ply", input=piped.stdout)
    assert back.returncode == 0 and back.stdout[:4] == b"ply\n"


@pytest.mark.parametrize("codec", ["surface", pytest.param("auto", marks=pytest.mark.slow)])
def test_a_goal_out_of_reach_writes_nothing_unless_asked(box: Path, codec: str) -> None:
    goal = ("--target-size", "400", "--mean-error", "0.001%", "--effort", "1", "--codec", codec)
    done = run(box, "compress", "ball.ply", "-o", "b.mks", *goal)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1 and not (box / "b.mks").exists()
    assert lines[0].startswith("error: ball.ply: the mean error") and "the nearest is" in lines[1]
    report = ok(box, "compress", "ball.ply", "-o", "b.mks", *goal, "--best-effort")
    assert report["missed"] and (box / "b.mks").stat().st_size <= 400


@pytest.mark.parametrize("how", [["--codec", "mesh"], pytest.param(["--target-size", "600"], marks=pytest.mark.slow)])
def test_a_folder_becomes_a_folder_and_a_table(box: Path, how: list[str]) -> None:
    (box / "in" / "deep").mkdir(parents=True)
    save_mesh(ball(2), box / "in" / "a.ply")
    save_mesh(ball(2), box / "in" / "a.stl")
    save_mesh(ball(2), box / "in" / "deep" / "c.off")
    (box / "in" / "bad.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 3\nend_header\n0 0")
    done = run(box, "compress", "in", "-o", "out", "--effort", "1", "--jobs", "2", *how)
    assert done.returncode == 3
    assert done.stderr.decode().count("error: in/bad.ply") == 1
    found = sorted(p.relative_to(box / "out").as_posix() for p in (box / "out").rglob("*.*") if p.name[0] != ".")
    assert found == ["a.ply.mks", "a.stl.mks", "deep/c.mks", "results.csv"]
    with (box / "out" / "results.csv").open() as file:
        rows = {row["input"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"in/a.ply", "in/a.stl", "in/bad.ply", "in/deep/c.off"}
    assert int(rows["in/a.stl"]["bytes"]) == (box / "out" / "a.stl.mks").stat().st_size
    assert rows["in/bad.ply"]["error"] and not rows["in/a.ply"]["error"]


@pytest.mark.slow
def test_an_open_mesh_is_told_and_stays_open(tmp_path: Path) -> None:
    mesh = ball()
    below = mesh.vertices[mesh.faces].mean(1)[:, 2] < 0.2
    save_mesh(Mesh(mesh.vertices, mesh.faces[below]), tmp_path / "open.ply")
    done = run(tmp_path, "compress", "open.ply", "-o", "o.mks", "--effort", "1")
    assert done.returncode == 0
    assert b"open.ply: it has no inside (" in done.stderr
    ok(tmp_path, "decompress", "o.mks", "-o", "o.ply")
    assert independent(tmp_path / "open.ply", tmp_path / "o.ply")[1] < 0.02


@pytest.mark.slow
def test_a_texture_becomes_colours_or_is_refused_by_name(tmp_path: Path) -> None:
    mesh = ball(2)
    uv, texture = np.zeros((len(mesh.vertices), 2)), np.full((8, 8, 3), 99, np.uint8)
    save_mesh(Mesh(mesh.vertices, mesh.faces, uv=uv, texture=texture), tmp_path / "t.glb")
    done = run(tmp_path, "compress", "t.glb", "-o", "t.mks", "--texture", "refuse")
    assert done.returncode == 1 and not (tmp_path / "t.mks").exists()
    assert b"error: t.glb: has a texture (8x8)" in done.stderr and b"hint: --texture" in done.stderr
    done = run(tmp_path, "compress", "t.glb", "-o", "t.mks", "--target-size", "900", "--effort", "1")
    assert done.returncode == 0 and b"t.glb: its texture (8x8) becomes colours" in done.stderr
    ok(tmp_path, "decompress", "t.mks", "-o", "t.ply")
    assert np.abs(load_mesh(tmp_path / "t.ply", print).colours - 99 / 255).max() < 0.02


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["none.ply", "-o", "x.mks"], 3, "none.ply: no such file"),
        (["ball.ply", "-o", "x.mks", "--mean-error", "lots"], 2, "lots is no error"),
        (["ball.ply", "-o", "x.mks", "--max-error", "200%"], 2, "200% is no error"),
        (["ball.ply", "-o", "x.mks", "--target-size", "10"], 2, "at least 64 bytes"),
        (["ball.ply", "-o", "x.mks", "--codec", "zip"], 2, "zip"),
        (["ball.ply", "-o", "none/x.mks"], 3, "its folder does not exist"),
        (["points.ply", "-o", "x.mks"], 3, "points but no faces"),
        (["flat.ply", "-o", "x.mks"], 1, "no face has an area"),
        (["empty", "-o", "x"], 3, "empty: holds no meshes"),
        (["ball.ply", "-o", "x.mks", "--device", "cuda"], 2, "runs on the CPU only"),
        (["ball.ply", "-o", "x.mks", "--codec", "sdf", "--device", "cuda:99"], 1, "--device cuda:99: "),
        (["ball.ply", "ball.ply", "-o", "x"], 2, "two inputs would be written as ball.ply.mks"),
    ],
)
def test_bad_calls_are_told_and_write_nothing(box: Path, arguments: list[str], code: int, told: str) -> None:
    (box / "empty").mkdir()
    head = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
    (box / "points.ply").write_text(f"{head}end_header\n0 0 0\n")
    faces = "element face 1\nproperty list uchar int vertex_indices\n"
    (box / "flat.ply").write_text(f"{head}{faces}end_header\n0 0 0\n3 0 0 0\n")
    before = sorted(box.rglob("*"))
    done = run(box, "compress", *arguments)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == code, lines
    assert told in lines[0] and lines[1].startswith("hint: ")
    assert sorted(box.rglob("*")) == before


def until_it_listens(process: int) -> None:
    """Wait until a process handles SIGTERM (Linux: a bit in its status); a busy machine may take long to start it."""
    status = Path("/proc") / str(process) / "status"
    deadline = time.monotonic() + 60
    while status.exists() and time.monotonic() < deadline:
        caught = next((line for line in status.read_text().splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_leaves_nothing(box: Path, jobs: int) -> None:
    (box / "in").mkdir()
    for index in range(3):
        save_mesh(ball(5), box / "in" / f"{index}.ply")
    words = [sys.executable, "-m", "mvgen", "compress", "in", "-o", "out", "--jobs", str(jobs), "--effort", "9"]
    job = subprocess.Popen(words, cwd=box, stderr=subprocess.PIPE)
    until_it_listens(job.pid)
    time.sleep(3)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=60) == 130
    assert sorted(p.name for p in box.iterdir()) == ["ball.ply", "in"]


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="needs MVGEN_DATA")
@pytest.mark.parametrize("name", ["oded_koala/koala_low_resolution.obj", "oded_plane/plane_holes.obj"])
def test_auto_is_no_worse_than_the_baseline(tmp_path: Path, name: str) -> None:
    """Staged decimation and Draco, searched for long (files beside the meshes)."""
    mesh = Path(str(DATA)) / "meshes" / name
    baseline = mesh.parents[1] / "baseline" / f"{name.partition('_')[2].partition('/')[0]}.json"
    if not baseline.exists():
        baseline = mesh.parents[1] / "baseline" / f"{mesh.stem}.json"
    budgets = json.loads(baseline.read_text())["budgets"]
    for size in (3000, 6000):
        report = ok(tmp_path, "compress", mesh, "-o", "m.mks", "--target-size", size)
        assert report["bytes"] <= size
        assert report["mean_error"] <= 1.02 * max(budgets[str(size)]["error"], 1e-5)
