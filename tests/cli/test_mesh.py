"""``mvgen mesh`` end to end: surfaces from points, depth maps and grids, and meshes that are cleaned."""

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

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.depth import save_depth
from mvgen.core.io.meshes import load_mesh, save_mesh, save_points
from mvgen.core.render.orbit import look_at
from mvgen.core.render.raycast import Caster
from mvgen.core.scene import DepthMap

DATA = os.environ.get("MVGEN_DATA")
DEFECTIVE = sorted(
    p for p in Path(DATA or "none").glob("meshes_defective/*/*") if p.suffix.lower() in (".obj", ".ply", ".stl")
)
RADIUS = 0.8


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mvgen", "mesh", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done


def ok(folder: Path, *arguments: object) -> dict[str, Any]:
    done = run(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def ball(subdivisions: int = 4) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions, RADIUS)
    return Mesh(np.asarray(shape.vertices), np.asarray(shape.faces, np.int32))


def off_the_ball(path: Path) -> float:
    """The largest distance of a result's vertices from the sphere."""
    return float(np.abs(np.linalg.norm(load_mesh(path).vertices, axis=1) - RADIUS).max())


def sphere_points(count: int, noise: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * (RADIUS + noise * rng.normal(size=(count, 1)))


@pytest.mark.parametrize("normals", [True, False])
def test_a_sphere_of_points(tmp_path: Path, normals: bool) -> None:
    points = sphere_points(8000)
    save_points(PointCloud(points, (points / RADIUS).astype(np.float32) if normals else None), tmp_path / "p.ply")
    report = ok(tmp_path, "p.ply", "-o", "m.glb")
    assert report["method"] == "poisson" and report["watertight"] and report["genus"] == 0
    assert off_the_ball(tmp_path / "m.glb") < 0.02
    mesh = load_mesh(tmp_path / "m.glb")
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)


def sdf(resolution: int) -> np.ndarray:
    axis = np.linspace(-1, 1, resolution)
    return np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1), axis=-1) - RADIUS


def test_a_sphere_of_signed_distances_and_of_occupancy(tmp_path: Path) -> None:
    bounds = np.array([[-1.0, -1, -1], [1, 1, 1]])
    np.savez(tmp_path / "d.npz", values=sdf(48).astype(np.float32), bounds=bounds, kind="sdf")
    report = ok(tmp_path, "d.npz", "-o", "d.ply")
    assert report["method"] == "marching-cubes" and report["watertight"] and report["genus"] == 0
    assert off_the_ball(tmp_path / "d.ply") < 0.005
    np.savez(tmp_path / "o.npz", values=(sdf(48) < 0).astype(np.float32), bounds=bounds, kind="occupancy")
    assert ok(tmp_path, "o.npz", "-o", "o.ply")["watertight"]
    assert off_the_ball(tmp_path / "o.ply") < 2 / 47
    for name in ("d", "o"):
        mesh = load_mesh(tmp_path / f"{name}.ply")
        assert trimesh.Trimesh(mesh.vertices, mesh.faces).volume > 0  # faces look outwards


def test_a_sphere_of_depth_maps(tmp_path: Path) -> None:
    (tmp_path / "depth").mkdir()
    caster = Caster(ball())
    k = np.array([[150.0, 0, 64], [0, 150, 64], [0, 0, 1]])
    for i, direction in enumerate(trimesh.creation.icosphere(1).vertices):
        up = np.array([0.0, 1, 0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0, 0])
        camera = Camera(f"v{i}", 128, 128, k, look_at(2.5 * direction, np.zeros(3), up))
        seen = caster.render(camera)
        depth = np.where(seen.alpha > 0.5, seen.depth, 0).astype(np.float32)
        normal = np.zeros((128, 128, 3), np.float32)
        save_depth(DepthMap(camera, depth, normal, (depth > 0).astype(np.float32)), tmp_path / "depth" / f"v{i}.npz")
    report = ok(tmp_path, "depth", "-o", "m.ply")
    assert report["method"] == "tsdf" and report["watertight"] and report["genus"] == 0
    assert off_the_ball(tmp_path / "m.ply") < 0.02


def test_fewer_faces_keep_the_texture(tmp_path: Path) -> None:
    mesh = ball()
    uv = np.stack([mesh.vertices[:, 0], mesh.vertices[:, 1]], 1) / (2 * RADIUS) + 0.5
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:, 32:, 0] = texture[:, :32, 2] = 255  # red where x > 0, blue where x < 0
    save_mesh(Mesh(mesh.vertices, mesh.faces, uv=uv * [1, 1], texture=texture), tmp_path / "t.glb")
    report = ok(tmp_path, "t.glb", "-o", "s.glb", "--faces", "500")
    small = load_mesh(tmp_path / "s.glb")
    assert report["faces"] == len(small.faces) <= 500 and small.texture is not None and small.uv is not None
    x, y = (small.uv * [1, -1] + [0, 1]).T * np.array(small.texture.shape[:2])[:, None]
    size = small.texture.shape[0]
    colours = small.texture[np.clip(y, 0, size - 1).astype(int), np.clip(x, 0, size - 1).astype(int)]
    right, left = small.vertices[:, 0] > 0.1, small.vertices[:, 0] < -0.1
    assert (colours[right, 0] > 200).mean() > 0.97 and (colours[left, 2] > 200).mean() > 0.97


def test_a_broken_ball_is_repaired_and_closed(tmp_path: Path) -> None:
    mesh = ball(3)
    faces = np.concatenate([mesh.faces[5:, ::-1], mesh.faces[10:20, ::-1], [[0, 0, 1]]]).astype(np.int32)
    save_mesh(Mesh(mesh.vertices, faces), tmp_path / "b.ply")  # inside out, a hole, double and degenerate faces
    report = ok(tmp_path, "b.ply", "-o", "r.ply", "--repair", "--fill-holes", "all")
    assert report["watertight"] and report["genus"] == 0 and report["components"] == 1
    found = load_mesh(tmp_path / "r.ply")
    assert trimesh.Trimesh(found.vertices, found.faces).volume > 0.9 * 4 / 3 * np.pi * RADIUS**3
    one = ok(tmp_path, "r.ply", "-o", "q.ply", "--transform", "scale=2", "--smooth", "2", "--remesh", "5%")
    assert one["watertight"]
    assert load_mesh(tmp_path / "q.ply").bounds[1].max() == pytest.approx(2 * RADIUS, rel=0.03)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["none.ply", "-o", "m.glb"], 3, "none.ply"),
        (["text.ply", "-o", "m.glb"], 3, "text.ply"),
        (["flat.npy", "-o", "m.glb"], 3, "flat.npy"),
        (["p.ply", "-o", "m.xyz"], 2, "m.xyz"),
        (["p.ply", "-o", "m.glb", "--method", "tsdf"], 2, "--method tsdf"),
        (["p.ply", "-o", "m.glb", "--faces", "2"], 2, "--faces"),
        (["p.ply", "-o", "m.glb", "--remesh", "5"], 2, "--remesh"),
        (["few.ply", "-o", "m.glb"], 1, "points"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, arguments: list[str], code: int, told: str) -> None:
    save_points(PointCloud(sphere_points(500)), tmp_path / "p.ply")
    save_points(PointCloud(sphere_points(5)), tmp_path / "few.ply")
    (tmp_path / "text.ply").write_text("hello")
    np.save(tmp_path / "flat.npy", np.full((8, 8, 8), np.nan))
    done = run(tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert "error: " in done.stderr and told in done.stderr
    assert not (tmp_path / "m.glb").exists()


@pytest.mark.slow
@pytest.mark.skipif(not DEFECTIVE, reason="MVGEN_DATA is not set")
@pytest.mark.parametrize("path", DEFECTIVE, ids=lambda p: p.name)
def test_defective_meshes_end_in_a_mesh_or_a_clear_line(tmp_path: Path, path: Path) -> None:
    done = run(tmp_path, path, "-o", "m.glb", "--repair", "--fill-holes", "all")
    if done.returncode == 0:
        assert len(load_mesh(tmp_path / "m.glb").faces)
    else:
        assert done.returncode in (1, 3) and f"error: {path}" in done.stderr
        assert not (tmp_path / "m.glb").exists()
