"""The example pipeline in stages, run by make."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.processes import kill
from mvgen.core.io.meshes import load_any

ROOT = Path(__file__).parents[2]
CONVERTS = importlib.util.find_spec("mvgen.commands.convert") is not None

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]


def command(folder, *more, **variables):
    given = {"OUT": folder, "VIEWS": 3, "ARC": 36, "SIZE": "320x240", "PYTHON": sys.executable} | variables
    given["MVGEN"] = f"{sys.executable} -m mvgen"
    return ["make", "-C", ROOT / "examples", "-f", "stages.mk", *(f"{k}={v}" for k, v in given.items()), *more]


def make(folder, *more, **variables):
    """Standard output of make, which lists the commands that it runs."""
    run = subprocess.run(command(folder, *more, **variables), env=environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def touched(path):
    """A file that is newer than all others, for a while."""
    before = path.stat()
    path.touch()
    yield
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages") / "out"
    make(folder, "model")
    return folder


def test_nothing_is_made_twice(made):
    assert "reconstruct" not in make(made, "model")
    assert len(load_any(made / "model.glb").faces) > 1000


def test_a_touched_file_makes_anew_what_depends_on_it_alone(made):
    steps = {"make_photos.py": "photos", "--stop-after stereo": "scene", "--from fusion": "model", " convert ": "other"}

    def due():
        listed = make(made, "-n")
        return {name for text, name in steps.items() if text in listed}

    others = {"other"} - {"other" for k in ("obj", "ply", "stl") if (made / f"model.{k}").exists()}
    assert due() == others
    with touched(next(iter(sorted((made / "photos" / "images").iterdir())))):
        assert due() == {"scene", "model", "other"}
    with touched(next(iter(sorted((made / "scene" / "depth").iterdir())))):
        assert due() == {"model", "other"}
    with touched(made / "model.glb"):
        assert due() == {"other"}
    assert due() == others


def test_a_killed_run_goes_on(made, tmp_path):
    images, out = made / "photos" / "images", tmp_path / "out"
    child = subprocess.Popen(command(out, "model", IMAGES=images), env=environment(), start_new_session=True)
    finished = out / "work" / "scene" / ".mvgen" / "sfm.json"
    end = time.monotonic() + 300
    while not finished.exists():
        assert child.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    kill(child.pid)
    child.wait()
    assert not (out / "scene").exists() and not (out / "model.glb").exists()
    before = finished.stat().st_mtime_ns
    make(out, "model", IMAGES=images)
    assert finished.stat().st_mtime_ns == before  # cameras were not looked for again
    assert (out / "model.glb").read_bytes() == (made / "model.glb").read_bytes()


@pytest.mark.skipif(not CONVERTS, reason="mvgen convert is not there yet")
def test_the_mesh_is_written_in_three_formats(made):
    make(made)
    faces = len(load_any(made / "model.glb").faces)
    for kind in ("obj", "ply", "stl"):
        assert len(load_any(made / f"model.{kind}").faces) == faces
    assert "mvgen" not in make(made)
