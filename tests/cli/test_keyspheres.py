"""Codecs of fields and published networks, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh, save_mesh
from mvgen.core.nearest import Nearest
from mvgen.core.surface.topology import topology

SMALL = ("--effort", "1", "--samples", "6000", "--width", "8", "--layers", "2")


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([sys.executable, "-m", "mvgen", *map(str, arguments)], cwd=folder, capture_output=True)
    assert b"Traceback" not in done.stderr
    return done


def ok(folder: Path, *arguments: object) -> dict[str, Any]:
    done = run(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture
def box(tmp_path: Path) -> Path:
    ball = trimesh.creation.icosphere(3, 2.0)
    vertices = np.asarray(ball.vertices) + np.array([10, 0, -5])
    save_mesh(Mesh(vertices, np.asarray(ball.faces, np.int32)), tmp_path / "ball.ply")
    return tmp_path


@pytest.mark.slow
def test_a_field_returns_in_the_mesh_s_own_place(box: Path) -> None:
    report = ok(box, "compress", "ball.ply", "-o", "b.mks", "--codec", "keyspheres", "--spheres", 8, *SMALL)
    assert report["codec"] == "keyspheres" and report["bytes"] < 7900
    found = ok(box, "decompress", "b.mks", "-o", "b.ply", "--resolution", 40)
    mesh = load_mesh(box / "b.ply")
    assert np.allclose(mesh.bounds, [[8, -2, -7], [12, 2, -3]], atol=0.2) and found["faces"] == len(mesh.faces)
    listed = ok(box, "decompress", "b.mks", "--list")["files"][0]
    assert listed["resolution"] == 128 and listed["faces"] > found["faces"]


@pytest.mark.slow
def test_a_hole_stays_open(box: Path) -> None:
    mesh = load_mesh(box / "ball.ply")
    low = mesh.vertices[mesh.faces].mean(1)[:, 2] < -4
    save_mesh(replace(mesh, faces=mesh.faces[low], normals=None), box / "open.ply")
    words = ("--effort", 1, "--samples", 20000, "--width", 16, "--layers", 3, "--spheres", 8, "--target-size", 2400)
    report = ok(box, "compress", "open.ply", "-o", "o.mks", "--codec", "keyspheres", *words)
    assert report["bytes"] <= 2400 and report["mean_error"] < 3e-3
    ok(box, "decompress", "o.mks", "-o", "o.ply", "--resolution", 64)
    back = load_mesh(box / "o.ply")
    shape = topology(back)
    assert shape.holes == 1 and shape.components == 1 and abs(back.bounds[1, 2] + 4) < 0.1


@pytest.mark.slow
def test_colours_survive_but_not_as_published(box: Path) -> None:
    mesh = load_mesh(box / "ball.ply")
    red = ((mesh.vertices[:, 2] + 7) / 4).clip(0, 1)
    save_mesh(replace(mesh, colours=np.stack([red, 0 * red, 1 - red], axis=1).astype(np.float32)), box / "red.ply")
    words = ("--codec", "keyspheres", "--spheres", 8, "--target-size", 900, *SMALL)
    report = ok(box, "compress", "red.ply", "-o", "r.mks", *words)
    assert report["bytes"] <= 900 and report["colours"]
    ok(box, "decompress", "r.mks", "-o", "r.ply", "--resolution", 40)
    back = load_mesh(box / "r.ply")
    assert back.colours is not None and back.colours[:, 1].max() < 0.2
    assert np.abs(back.colours[:, 0] - ((back.vertices[:, 2] + 7) / 4).clip(0, 1)).mean() < 0.04
    done = run(box, "compress", "red.ply", "-o", "n.mks", "--codec", "keyspheres", "--paper")
    assert done.returncode == 1 and b"colours" in done.stderr and not (box / "n.mks").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--paper"], "--paper"),
        (["--codec", "keyspheres", "--latent"], "--paper"),
        (["--width", "8"], "--width"),
        (["--codec", "keyspheres", "--spheres", "3", "--spheres-file", "x"], "contradict"),
    ],
)
def test_options_that_would_do_nothing_are_refused(box: Path, options: list[str], word: str) -> None:
    done = run(box, "compress", "ball.ply", "-o", "b.mks", *options)
    assert done.returncode == 2 and word in done.stderr.decode() and not (box / "b.mks").exists()


@pytest.mark.slow
def test_other_archives_are_no_networks(box: Path) -> None:
    (box / "x.pth").write_bytes(b"PK\x03\x04 but nothing more")
    done = run(box, "decompress", "x.pth", "-o", "x.obj")
    assert done.returncode == 3 and b"x.pth" in done.stderr and not (box / "x.obj").exists()


def test_a_published_network_gives_the_published_mesh(tmp_path: Path) -> None:
    folder = Path(os.environ.get("MVGEN_DATA", "/nowhere")) / "keyspheres"
    if not folder.is_dir():
        pytest.skip("needs MVGEN_DATA/keyspheres")
    report = ok(tmp_path, "decompress", folder / "128in_1064655.pth", "-o", "x.obj", "--resolution", 128)
    mesh, shipped = load_mesh(tmp_path / "x.obj"), load_mesh(folder / "1064655.obj")
    there, back = Nearest(shipped).query(mesh.vertices)[0], Nearest(mesh).query(shipped.vertices)[0]
    assert (there.mean() + back.mean()) / 2 / shipped.diagonal < 1e-4 and report["spheres"] == 128
