"""mvgen mesh with every kind of input, all clean-up at once, and its errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.depth import save_depth
from mvgen.core.io.meshes import load_mesh, save_mesh, save_points
from mvgen.core.nearest import sample_surface
from tests.core.surface.shapes import mesh_of, torus
from tests.core.surface.views import rendered


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torus as a mesh, as points, as depth maps of several kinds, and as a grid."""
    out = tmp_path_factory.mktemp("mesh")
    ring = mesh_of(torus, 48)
    save_mesh(ring, out / "ring.ply")
    soup = Mesh(ring.vertices[ring.faces].reshape(-1, 3), np.arange(3 * len(ring.faces), dtype=np.int32).reshape(-1, 3))
    save_mesh(soup, out / "soup.stl")
    save_points(PointCloud(sample_surface(ring, 8000, np.random.default_rng(0))[0].points), out / "points.ply")
    for name in ("own", "other/depth", "other/images", "colmap/stereo/depth_maps", "empty"):
        (out / name).mkdir(parents=True)
    views = []
    for depth_map, image in rendered(ring, 16, 96):
        camera = depth_map.camera
        stem = Path(camera.name).stem
        save_depth(depth_map, out / "own" / f"{stem}.npz")
        Image.fromarray(np.rint(depth_map.depth * 1000).astype(np.uint16)).save(out / "other/depth" / f"{stem}.png")
        Image.fromarray(image).save(out / "other/images" / camera.name)
        raw = b"96&96&1&" + depth_map.depth.astype("<f4").tobytes()
        (out / "colmap/stereo/depth_maps" / f"{camera.name}.geometric.bin").write_bytes(raw)
        pose = {"intrinsics": camera.intrinsics.tolist(), "world_to_camera": camera.world_to_camera.tolist()}
        views.append({"name": camera.name, **pose})
    (out / "cameras.json").write_text(json.dumps({"width": 96, "height": 96, "views": views}))
    side = np.linspace(-1, 1, 32)
    nodes = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)
    np.savez(out / "grid.npz", values=torus(nodes).reshape(32, 32, 32), bounds=[[-1, -1, -1], [1, 1, 1]])
    (out / "broken.npz").write_bytes((out / "grid.npz").read_bytes()[:300])
    (out / "matrix.txt").write_text("1 0 0 5\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    (out / "text.ply").write_text("no mesh at all")
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    from mvgen.core.texture.atlas import unwrap

    flat = unwrap(mesh_of(torus, 24), 64)
    save_mesh(Mesh(flat.vertices, flat.faces, uv=flat.uv, texture=picture), out / "skin.glb")
    return out


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mvgen", "mesh", *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True)


def report(folder: Path, *arguments: str) -> dict:
    done = run(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "method"),
    [
        (["points.ply"], "poisson"),
        (["own"], "tsdf"),
        (["own", "--method", "poisson"], "poisson"),
        (["other", "--cameras", "cameras.json", "--depth-scale", "0.001"], "tsdf"),
        (["colmap", "--cameras", "cameras.json"], "tsdf"),
        (["grid.npz"], "marching-cubes"),
        (["grid.npz", "--method", "flexicubes"], "flexicubes"),
    ],
)
def test_a_closed_ring_comes_of_every_kind_of_input(folder: Path, arguments: list[str], method: str) -> None:
    told = report(folder, *arguments, "-o", "out.ply")
    assert (told["method"], told["watertight"], told["genus"], told["components"]) == (method, True, 1, 1)
    assert told["why"] and told["before"]["faces"] == told["faces"]
    mesh = load_mesh(folder / "out.ply")
    assert np.abs(torus(mesh.vertices)).mean() < 0.006
    assert (mesh.colours is not None) == (arguments[0] == "other")


def test_all_clean_up_in_one_run(folder: Path) -> None:
    steps = ["--transform", "scale=2 translate=0,0,1", "--repair", "--components", "largest", "--fill-holes", "all"]
    told = report(folder, "soup.stl", "-o", "x.glb", *steps, "--smooth", "2", "--remesh", "3%", "--faces", "1.5k")
    assert list(told["steps"]) == ["repair", "components", "fill_holes", "smooth", "remesh", "faces"]
    assert told["watertight"] and told["genus"] == 1 and told["faces"] <= 1500
    mesh = load_mesh(folder / "x.glb")
    assert np.abs(torus((mesh.vertices - [0, 0, 1]) / 2)).max() < 0.03


def test_a_matrix_from_a_file(folder: Path) -> None:
    report(folder, "ring.ply", "-o", "moved.ply", "--transform", "matrix.txt")
    moved, ring = load_mesh(folder / "moved.ply"), load_mesh(folder / "ring.ply")
    assert np.allclose(moved.vertices - ring.vertices, [5, 0, 0], atol=1e-5)


def test_a_texture_stays_while_faces_do_and_is_baked_again_when_they_change(folder: Path) -> None:
    report(folder, "skin.glb", "-o", "same.glb", "--smooth", "1", "--components", "largest", "--repair")
    same, old = load_mesh(folder / "same.glb"), load_mesh(folder / "skin.glb")
    assert np.array_equal(same.texture, old.texture) and np.allclose(same.uv, old.uv, atol=1e-6)
    told = report(folder, "skin.glb", "-o", "small.glb", "--faces", "300", "--texture-size", "128")
    assert told["faces"] <= 300 and told["texture"] == [128, 128] and told["watertight"]
    assert load_mesh(folder / "small.glb").texture is not None


def test_the_same_command_writes_the_same_bytes(folder: Path) -> None:
    for name, threads in (("a.glb", "1"), ("b.glb", "2")):
        report(folder, "own", "-o", name, "--faces", "2k", "--threads", threads)
    assert (folder / "a.glb").read_bytes() == (folder / "b.glb").read_bytes()


def test_through_pipes(folder: Path) -> None:
    done = run(folder, "-", "-o", "-", "--format", "ply", "--repair", stdin=(folder / "soup.stl").read_bytes())
    assert done.returncode == 0 and done.stdout.startswith(b"ply\n")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["empty"], 3, "empty: holds no depth maps"),
        (["broken.npz"], 3, "broken.npz"),
        (["other", "--depth-scale", "0.001"], 3, "no camera is named"),
        (["other", "--cameras", "cameras.json"], 3, "do not tell the unit"),
        (["points.ply", "ring.ply"], 2, "different kinds"),
        (["ring.ply", "soup.stl"], 2, "2 inputs of kind mesh"),
        (["ring.ply", "--method", "poisson"], 2, "cannot be used with a mesh"),
        (["grid.npz", "--level", "9"], 1, "nothing crosses the level"),
        (["ring.ply", "--transform", "spin=3"], 2, "is not a step"),
        (["ring.ply", "--transform", "scale=0"], 2, "flattens everything"),
        (["ring.ply", "--transform", "text.ply"], 3, "holds no matrix"),
        (["ring.ply", "--components", "many"], 2, "names no components"),
        (["ring.ply", "--remesh", "0.000001"], 1, "give a larger --remesh"),
    ],
)
def test_errors_name_the_matter_and_leave_nothing(folder: Path, arguments: list[str], code: int, text: str) -> None:
    done = run(folder, *arguments, "-o", "never.glb")
    error = done.stderr.decode()
    assert done.returncode == code and text in error, error
    assert "Traceback" not in error and "hint:" in error and not (folder / "never.glb").exists()
