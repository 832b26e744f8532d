"""``mvgen decompress`` end to end: meshes back, listing, testing, damage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh, save_mesh

pytest.importorskip("DracoPy")


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([sys.executable, "-m", "mvgen", *map(str, arguments)], cwd=folder, capture_output=True)
    assert b"Traceback" not in done.stderr
    return done


def ok(folder: Path, *arguments: object) -> dict[str, Any]:
    done = run(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("packed")
    made = trimesh.creation.torus(1.0, 0.3)
    save_mesh(
        Mesh(np.asarray(made.vertices) + np.array([5, 0, 100]), np.asarray(made.faces, np.int32)), folder / "t.ply"
    )
    ok(folder, "compress", "t.ply", "-o", "t.mks", "--target-size", "1500", "--effort", "1")
    return (folder / "t.mks").read_bytes()


@pytest.fixture
def box(tmp_path: Path, packed: bytes) -> Path:
    (tmp_path / "t.mks").write_bytes(packed)
    return tmp_path


@pytest.mark.parametrize("extension", ["glb", "ply", "obj", "stl", "off"])
def test_every_format_lies_where_the_source_was(box: Path, extension: str) -> None:
    report = ok(box, "decompress", "t.mks", "-o", f"t.{extension}")
    mesh = load_mesh(box / f"t.{extension}")
    assert np.allclose(mesh.bounds, [[3.7, -1.3, 99.7], [6.3, 1.3, 100.3]], atol=0.05)
    assert len(mesh.faces) == report["faces"]


def test_many_go_to_a_folder_and_damage_is_told(box: Path, packed: bytes) -> None:
    (box / "u.mks").write_bytes(packed)
    (box / "bad.mks").write_bytes(packed[:-1])
    done = run(box, "decompress", "t.mks", "bad.mks", "u.mks", "-o", "out", "--format", "off")
    assert done.returncode == 3
    assert done.stderr.decode().splitlines()[-2:] == [
        "error: bad.mks: is cut short",
        "hint: copy or download the file again",
    ]
    assert sorted(p.name for p in (box / "out").glob("*.*") if p.name[0] != ".") == ["t.off", "u.off"]


def test_the_mesh_codec_proves_its_largest_error(box: Path) -> None:
    ok(box, "decompress", "t.mks", "-o", "t.ply")
    ok(box, "compress", "t.ply", "-o", "kept.mks", "--codec", "mesh", "--max-error", "0.5%", "--effort", "1")
    (row,) = ok(box, "decompress", "kept.mks", "--list")["files"]
    assert row["max_error_is"] == "proved" and row["max_error"] <= 0.005


def test_list(box: Path, packed: bytes) -> None:
    (row,) = ok(box, "decompress", "t.mks", "--list")["files"]
    assert row["bytes"] == len(packed) and row["version"] == 1
    assert row["max_error_is"] in ("proved", "estimated") and 0 < row["mean_error"] < row["max_error"] < 0.1
    assert np.allclose(row["box"], [2.6, 2.6, 0.6], atol=0.05)
    text = run(box, "decompress", "t.mks", "--list").stderr.decode()
    for word in ("codec", "bytes", "ratio", "mean", "max", "vertices", "faces", "box", "colour", "version"):
        assert word in text


def test_test_finds_every_damage(box: Path, packed: bytes) -> None:
    assert run(box, "decompress", "t.mks", "--test").returncode == 0
    names = []
    for place in range(0, len(packed), 37):
        changed = bytearray(packed)
        changed[place] ^= 16
        names.append(f"{place}.mks")
        (box / names[-1]).write_bytes(changed)
    done = run(box, "decompress", *names, "t.mks", "--test")
    assert done.returncode == 3
    assert done.stderr.decode().count("error: ") == len(names)
    assert "t.mks: sound" in done.stderr.decode()


def test_info_and_convert_read_it(box: Path) -> None:
    (facts,) = ok(box, "info", "t.mks")["files"]
    assert facts["kind"] == "mesh" and facts["format"] == "MKS" and facts["values" if "values" in facts else "codec"]
    ok(box, "convert", "t.mks", "-o", "t.stl")
    assert len(load_mesh(box / "t.stl").faces) == facts["faces"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["t.mks"], 2, "missing option '--output'"),
        (["t.mks", "-o", "t.png"], 2, "cannot be written as .png"),
        (["t.mks", "-o", "t.ply", "--list"], 2, "write no mesh"),
        (["none.mks", "-o", "t.ply"], 3, "none.mks: no such file"),
        (["other.mks", "-o", "t.ply"], 3, "other.mks: is not a compressed mesh"),
        (["t.mks", "t.mks", "-o", "out"], 2, "two inputs would be written as t.glb"),
        (["t.mks", "-o", "-"], 2, "no extension"),
    ],
)
def test_bad_calls_are_told_and_write_nothing(box: Path, arguments: list[str], code: int, told: str) -> None:
    (box / "other.mks").write_bytes(b"something else")
    before = sorted(box.rglob("*"))
    done = run(box, "decompress", *arguments)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == code, lines
    assert told in lines[0] and lines[1].startswith("hint: ")
    assert sorted(box.rglob("*")) == before
