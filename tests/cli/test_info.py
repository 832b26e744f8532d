"""mvgen info, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.info.describe import describe
from mvgen.core.io.cameras import write_scene_folder
from mvgen.core.io.depth import save_depth
from mvgen.core.io.images import write_image
from mvgen.core.io.meshes import save_mesh, save_points
from mvgen.core.scene import DepthMap, Scene, View


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mvgen", "info", *arguments], cwd=folder, input=stdin, capture_output=True
    )


def box(moved: float = 0.0) -> Mesh:
    shape = trimesh.creation.box((1, 2, 3))
    return Mesh(np.asarray(shape.vertices) + moved, np.asarray(shape.faces, np.int32))


def make_scene(folder: Path) -> Scene:
    views = []
    for i in range(2):
        write_image(np.zeros((48, 64, 3), np.uint8), folder / f"{i}.png")
        camera = Camera(f"{i}.png", 64, 48, np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]), np.eye(4))
        views.append(View(camera, folder / f"{i}.png"))
    cloud = PointCloud(np.random.default_rng(0).normal(size=(5, 3)) + np.array([0, 0, 5]))
    return Scene(tuple(views), cloud, np.array([[0, 0], [0, 1], [1, 0]], np.int32))


def values(path: Path) -> dict[str, Any]:
    return describe(path).values


def test_a_closed_box(tmp_path: Path) -> None:
    for suffix in (".glb", ".stl", ".ply", ".obj", ".off", ".3mf"):
        save_mesh(box(), tmp_path / f"a{suffix}")
        found = values(tmp_path / f"a{suffix}")
        assert found["watertight"] and found["places"] == 8 and found["faces"] == 12, suffix
        assert (found["euler"], found["genus"], found["components"]) == (2, 0, 1)
        assert found["area"] == pytest.approx(22) and found["volume"] == pytest.approx(6)
        assert not found["inside_out"]
    assert values(tmp_path / "a.3mf")["units"] == "mm"


def test_open_doubled_and_turned_meshes(tmp_path: Path) -> None:
    whole = box()
    save_mesh(Mesh(whole.vertices, whole.faces[:-1]), tmp_path / "open.ply")
    found = values(tmp_path / "open.ply")
    assert not found["watertight"] and found["boundary_edges"] == 3 and "volume" not in found
    save_mesh(Mesh(whole.vertices, np.concatenate([whole.faces, whole.faces[:1]])), tmp_path / "double.ply")
    found = values(tmp_path / "double.ply")
    assert found["duplicate_faces"] == 1 and found["non_manifold_edges"] == 3 and not found["watertight"]
    save_mesh(Mesh(whole.vertices, whole.faces[:, ::-1]), tmp_path / "turned.ply")
    assert values(tmp_path / "turned.ply")["inside_out"]
    two = np.concatenate([whole.faces, whole.faces + 8, [[0, 0, 1]]]).astype(np.int32)
    save_mesh(Mesh(np.concatenate([whole.vertices, whole.vertices + 9]), two), tmp_path / "two.ply")
    found = values(tmp_path / "two.ply")
    assert (found["components"], found["degenerate_faces"], found["euler"], found["genus"]) == (2, 1, 4, 0)


def test_two_boxes_that_touch_at_a_corner(tmp_path: Path) -> None:
    whole = box()
    other = whole.vertices + np.array([1.0, 2, 3])
    save_mesh(Mesh(np.concatenate([whole.vertices, other]), np.concatenate([whole.faces, whole.faces + 8])),
              tmp_path / "touch.ply")  # fmt: skip
    found = values(tmp_path / "touch.ply")
    assert found["watertight"] and found["places"] == 15
    assert (found["components"], found["pinched_vertices"], found["genus"]) == (1, 1, 0)


def test_a_torus_has_a_hole(tmp_path: Path) -> None:
    ring = trimesh.creation.torus(2, 0.5)
    save_mesh(Mesh(np.asarray(ring.vertices), np.asarray(ring.faces, np.int32)), tmp_path / "ring.glb")
    assert values(tmp_path / "ring.glb")["genus"] == 1


def test_points(tmp_path: Path) -> None:
    grid = np.stack(np.meshgrid(*[np.arange(5.0)] * 3), axis=-1).reshape(-1, 3) / 2
    save_points(PointCloud(grid, confidence=np.linspace(0, 1, 125, dtype=np.float32)), tmp_path / "p.ply")
    found = values(tmp_path / "p.ply")
    assert (found["points"], found["spacing"], found["normals"]) == (125, 0.5, False)
    assert found["confidence"] == [0, 0.5, 1]


def test_a_scene_and_its_missing_pictures(tmp_path: Path) -> None:
    scene = make_scene(tmp_path)
    write_scene_folder(scene, tmp_path / "s")
    (tmp_path / "s/depth").mkdir()
    depth = np.ones((48, 64), np.float32)
    depth[0] = 0
    map_of = DepthMap(scene.views[0].camera, depth, np.zeros((48, 64, 3), np.float32), depth)
    save_depth(map_of, tmp_path / "s/depth/0.npz")
    found = values(tmp_path / "s")
    assert (found["cameras"], found["points"], found["pictures"], found["depth_maps"]) == (2, 5, 2, 1)
    assert found["lens_models"] == {"PINHOLE": 2} and found["mean_track_length"] == pytest.approx(3 / 5)
    (tmp_path / "s/images/1.png").unlink()
    facts = describe(tmp_path / "s")
    assert facts.values["missing_pictures"] == 1 and "pictures not found: 1.png" in facts.notes
    facts = describe(tmp_path / "s/depth/0.npz")
    assert facts.kind == "depth map" and facts.values["known"] == pytest.approx(47 / 48) and facts.values["camera"]


def test_photos(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50
    exif[0x0110] = "Camera X"
    Image.new("RGB", (600, 400)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff nothing")
    found = values(tmp_path / "a.jpg")
    assert (found["width"], found["height"], found["camera"]) == (600, 400, "Camera X")
    assert found["focal_pixels"] == pytest.approx(50 / np.hypot(36, 24) * np.hypot(600, 400), rel=1e-3)
    facts = describe(tmp_path)
    assert facts.kind == "photos" and facts.values["unreadable"] == 1 and "b.jpg" in facts.notes[0]


def test_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "g.npz", grid=np.arange(24.0).reshape(2, 3, 4), names=np.array(["a"]))
    found = values(tmp_path / "g.npz")
    assert found["grid"] == {"shape": "2x3x4", "type": "float64", "lowest": 0.0, "highest": 23.0}
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    assert values(tmp_path / "o.npy")["array"]["type"] == "object"
    head = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000, 100), }".ljust(117)
        + b"\n"
    )
    (tmp_path / "lying.npy").write_bytes(head + bytes(80))
    with pytest.raises(InputError, match="does not fit"):
        describe(tmp_path / "lying.npy")


def test_one_bad_file_among_several(tmp_path: Path) -> None:
    save_mesh(box(), tmp_path / "a.glb")
    (tmp_path / "bad.glb").write_bytes((tmp_path / "a.glb").read_bytes()[:200])
    done = run(tmp_path, "a.glb", "bad.glb", "none.ply", "a.glb", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 3
    assert [f["path"] for f in report["files"]] == ["a.glb", "a.glb"] and len(report["errors"]) == 2
    told = done.stderr.decode()
    assert told.count("error: ") == 2 and "error: bad.glb:" in told and "error: none.ply: no such file" in told
    done = run(tmp_path, "a.glb", "bad.glb", "-q")
    assert done.returncode == 3 and done.stderr.count(b"\n") == 2 and not done.stdout
    assert run(tmp_path, "a.glb", "a.glb").returncode == 0


def test_a_piped_table_has_short_lines(tmp_path: Path) -> None:
    np.savez(tmp_path / f"{'long_' * 30}.npz", **{f"array_{k}": np.zeros((k + 1, 3)) for k in range(40)})
    save_mesh(box(), tmp_path / "a.glb")
    for name in ("a.glb", f"{'long_' * 30}.npz"):
        lines = run(tmp_path, name).stderr.decode().splitlines()
        assert f"file: {name}" in lines and max(map(len, lines)) < 260
        assert all(": " in line and line == line.strip() for line in lines)
    assert "watertight: yes" in run(tmp_path, "a.glb").stderr.decode().splitlines()
    several = run(tmp_path, "a.glb", f"{'long_' * 30}.npz").stderr.decode().splitlines()
    assert all(line == line.rstrip() for line in several)
    assert len(several) == 3 and several[0].split() == ["file", "kind", "format", "holds", "notes"]
    assert several[1].index("mesh") == several[0].index("kind")


def test_a_table_and_a_pipe(tmp_path: Path) -> None:
    save_mesh(box(), tmp_path / "a.glb")
    done = run(tmp_path, "-", "--json", stdin=(tmp_path / "a.glb").read_bytes())
    assert done.returncode == 0 and b"watertight" in done.stderr
    (only,) = json.loads(done.stdout)["files"]
    assert only["path"] == "-" and only["volume"] == pytest.approx(6)
    (tmp_path / "x.txt").write_text("hello")
    done = run(tmp_path, "x.txt")
    assert done.returncode == 3 and done.stderr.startswith(b"error: x.txt: is of no kind that mvgen reads")


DATA = os.environ.get("MVGEN_DATA")


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")
def test_every_file_ends_in_facts_or_one_clear_line() -> None:
    known = 0
    for path in sorted(Path(str(DATA)).rglob("*")):
        try:
            facts = describe(path)
        except InputError as error:
            assert error.message.startswith(str(path)) and "\n" not in error.message and error.hint
        else:
            known += 1
            assert facts.summary and facts.values
    assert known > 150
