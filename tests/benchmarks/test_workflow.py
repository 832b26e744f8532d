"""The workflow's bars: watching and killing processes, and the measures, on truth that is known."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from dataclasses import replace

import numpy as np
import psutil
import pytest
import trimesh

from benchmarks import workflow
from benchmarks.processes import Run, mvgen, watch
from benchmarks.workflow import Missed, Place, Row
from mvgen.core.camera import Camera, Similarity
from mvgen.core.geometry import Mesh
from mvgen.core.io.truth import Truth
from mvgen.core.render.orbit import look_at

CHILD = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {!r}], start_new_session=True); {}"


def cameras(count=6):
    intrinsics = np.array([[200.0, 0, 80], [0, 200, 60], [0, 0, 1]])
    out = []
    for k in range(count):
        angle = 0.3 * k
        pose = look_at(5 * np.array([np.sin(angle), 0.3, np.cos(angle)]), np.zeros(3), np.array([0.0, 1, 0]))
        out.append(Camera(f"{k}.jpg", 160, 120, intrinsics, pose))
    return out


def ball():
    shape = trimesh.creation.icosphere(3)
    mesh = Mesh(shape.vertices.astype(float), shape.faces.astype(np.int32))
    return Truth(mesh, mesh.bounds, mesh.diagonal, None, tuple(cameras()))


def test_memory_is_that_of_the_whole_tree(tmp_path):
    hog = "import time; x = bytearray(150_000_000); time.sleep(1.5)"
    run = watch(
        [sys.executable, "-c", CHILD.format(hog, "x = bytearray(100_000_000); time.sleep(1.5)")], tmp_path / "log"
    )
    assert run.code == 0
    assert 250 < run.peak_mb < 330
    assert 1.4 < run.seconds < 10


def test_a_kill_reaches_children_with_groups_of_their_own(tmp_path):
    script = CHILD.format("import time; time.sleep(60)", "time.sleep(60)")
    start = time.perf_counter()
    run = watch([sys.executable, "-c", script], tmp_path / "log", kill_after=1.0)
    assert run.code == -9
    assert 0.9 < run.seconds < 10 and time.perf_counter() - start < 30
    mine = [p for p in psutil.process_iter(["cmdline"]) if "time.sleep(60)" in " ".join(p.info["cmdline"] or ())]
    assert not mine


@pytest.mark.parametrize("option", ["--no-such-thing", "--sice"])  # the second is answered with proposals
def test_an_option_that_a_build_lacks_is_named(option, tmp_path):
    run = mvgen("reconstruct", "x.jpg", "-o", "y.glb", option, log=tmp_path / "log")
    assert run.lacks() == option
    with pytest.raises(Missed) as found:
        workflow.check(run, "line", "bar")
    assert found.value.row == Row("line", "bar", f"not in this build: {option}")


def test_a_failure_is_told_with_its_hint(tmp_path):
    run = mvgen("reconstruct", "nowhere/x.jpg", "-o", tmp_path / "y.glb", log=tmp_path / "log")
    assert run.lacks() is None
    with pytest.raises(Missed) as found:
        workflow.check(run, "line", "bar")
    row = found.value.row
    assert row.held is False and "nowhere/x.jpg" in row.measured and "hint:" in row.measured


def test_scale_is_that_of_the_distances():
    own = cameras()
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    moved = [c.moved(Similarity(0.37, turn, np.array([1.0, 2, 3]))) for c in own]
    assert workflow.scale_of(moved, tuple(own)) == pytest.approx(0.37)


def test_marks_are_where_photos_show_the_points(tmp_path):
    truth = ball()
    ends = workflow.far_apart(truth)
    for end in ends:
        seen = [c for c in truth.cameras if end @ c.centre > 1]  # on a unit ball: above its horizon
        assert len(seen) >= 3
    workflow.write_marks(tmp_path / "marks.csv", truth, ends, 0.0, np.random.default_rng(0))
    head, *lines = (tmp_path / "marks.csv").read_text().splitlines()
    assert head == "name,photo,x,y"
    assert len(lines) >= 6
    for line in lines:
        name, photo, x, y = line.split(",")
        camera = next(c for c in truth.cameras if c.name == photo)
        pixel, _ = camera.project(ends["PQ".index(name)])
        assert [float(x), float(y)] == pytest.approx(pixel, abs=0.006)


def test_moves_of_cameras_are_measured():
    old = {c.name: c for c in cameras()}
    assert workflow.moved(old, list(old.values())) == (0.0, 0.0)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.01), -np.sin(0.01)], [np.sin(0.01), np.cos(0.01)]]
    turned = replace(old["3.jpg"], world_to_camera=turn @ old["3.jpg"].world_to_camera)
    degrees, shift = workflow.moved(old, [turned])
    assert degrees == pytest.approx(np.degrees(0.01)) and shift == pytest.approx(0, abs=1e-12)
    step = np.eye(4)
    step[:3, 3] = [0.03, 0, 0.04]
    shifted = replace(old["1.jpg"], world_to_camera=step @ old["1.jpg"].world_to_camera)
    assert workflow.moved(old, [shifted]) == (pytest.approx(0, abs=1e-5), pytest.approx(0.05))


def fake_attempt(outcome):
    """Runs that write what ``outcome`` says about the number of the run: bytes, or None where it was killed."""
    count = iter(range(1000))

    def attempt(place, photos, name, checkpoint=False, kill_after=None):
        (place.folder / name).mkdir(exist_ok=True)
        data = outcome(next(count), kill_after is not None)
        if data is not None:
            (place.folder / name / "result.glb").write_bytes(data)
        return Run(0 if kill_after is None else -9, 1.0, 1.0, "")

    return attempt


@pytest.mark.parametrize(
    ("outcome", "held", "says"),
    [
        (lambda k, killed: None if killed else b"same", True, "3 of 3 equal; 0 kills left"),
        (lambda k, killed: None if killed else b"same" if k < 3 else b"other", False, "1 of 3 equal"),
        (lambda k, killed: b"same", True, "3 of 3 equal; 0 kills left"),  # finished before the kill
        (lambda k, killed: b"sa" if killed else b"same", False, "3 kills left a partial output"),
    ],
)
def test_kills_are_counted(tmp_path, monkeypatch, outcome, held, says):
    monkeypatch.setattr(workflow, "attempt", fake_attempt(outcome))
    place = Place(tmp_path, Namespace())
    row = workflow.killed(place, tmp_path, {"result.glb": b"same"}, ("kill", "bar"), 3, np.full((3, 1), 0.5))
    assert row.held is held
    assert says in row.measured


def test_lines_without_their_data_say_so(tmp_path, monkeypatch):
    monkeypatch.delenv("MVGEN_DATA", raising=False)
    options = Namespace(work=tmp_path, sets=None, large=None, turntable=None)
    for name in ("large", "cameras", "scale", "add", "masks"):
        rows = list(workflow.measured(name, options))
        assert len(rows) == 1 and rows[0].held is None and "no set" in rows[0].measured
