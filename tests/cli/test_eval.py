"""mvgen eval, end to end."""

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
from PIL import Image
from scipy.spatial.transform import Rotation

from mvgen.core.camera import Camera, Similarity
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.cameras import read_cameras
from mvgen.core.io.meshes import load_mesh, save_mesh, save_points
from mvgen.core.nearest import sample_surface
from mvgen.core.render.orbit import orbit_cameras
from mvgen.core.render.pictures import over, picture
from mvgen.core.render.raycast import Caster

DATA = os.environ.get("MVGEN_DATA")
BARE = "mtllib {}.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"  # a tetrahedron
MOVE = Similarity(0.4, Rotation.from_euler("xyz", [20, 50, -30], degrees=True).as_matrix(), np.array([3.0, -1, 2]))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mvgen", "eval", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def report(folder: Path, *arguments: str) -> dict[str, Any]:
    done = run(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def coloured_shape() -> Mesh:
    """Two boxes on the ground at y = 0, coloured by place."""
    parts = [trimesh.creation.box(extents=e) for e in ([2, 1, 1], [0.7, 1.5, 0.5])]
    parts[0].apply_translation([0, 0.5, 0])
    parts[1].apply_translation([0.6, 1.75, 0.2])
    whole = trimesh.util.concatenate(parts).subdivide().subdivide()
    vertices = np.asarray(whole.vertices, np.float64)
    colours = (vertices - vertices.min(0)) / np.ptp(vertices, axis=0)
    return Mesh(vertices, np.asarray(whole.faces, np.int32), colours=colours.astype(np.float32))


def write_cameras(cameras: list[Camera], path: Path) -> None:
    views = [
        {"name": c.name, "intrinsics": c.intrinsics.tolist(), "world_to_camera": c.world_to_camera.tolist()}
        for c in cameras
    ]
    document = {"width": cameras[0].width, "height": cameras[0].height, "views": views}
    path.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """truth/ (a rendered set), truth.ply, result.glb in another frame with cameras.json, cloud.ply."""
    base = tmp_path_factory.mktemp("eval")
    mesh, truth = coloured_shape(), base / "truth"
    (truth / "images").mkdir(parents=True)
    cameras = orbit_cameras(mesh.vertices, 6, (80, 60), np.array([0.0, 1, 0]), 25)
    caster = Caster(mesh)
    for camera in cameras:
        image = over(picture(caster.render(camera), "color", (0, 1)), (0.5, 0.5, 0.5))
        Image.fromarray(image).save(truth / "images" / Path(camera.name).with_suffix(".jpg"), quality=97)
    write_cameras(cameras, truth / "cameras.json")
    meta = {"bbox": mesh.bounds.tolist(), "diag": mesh.diagonal, "ground_height": 0.0, "up": "+Y"}
    (truth / "meta.json").write_text(json.dumps(meta))
    save_mesh(mesh, truth / "gt.ply")
    save_mesh(mesh, base / "truth.ply")
    ground = np.array([[-9.0, 0, -9], [9, 0, -9], [9, 0, 9], [-9, 0, 9]])
    with_ground = Mesh(
        np.concatenate([mesh.vertices, ground]),
        np.concatenate([mesh.faces, np.array([[0, 2, 1], [0, 3, 2]], np.int32) + len(mesh.vertices)]),
        colours=np.concatenate([mesh.colours, np.full((4, 3), 0.5, np.float32)]) if mesh.colours is not None else None,
    )
    save_mesh(with_ground.moved(MOVE), base / "result.glb")
    write_cameras([c.moved(MOVE) for c in cameras], base / "cameras.json")
    cloud = sample_surface(mesh, 30000, np.random.default_rng(0))[0].points
    save_points(PointCloud(cloud), base / "cloud.ply")
    return base


def test_what_files_lack_is_told(tmp_path: Path) -> None:
    for name in ("result", "truth"):
        (tmp_path / f"{name}.obj").write_text(BARE.format(f"no_{name}"))
    told = report(tmp_path, "result.obj", "truth.obj")["warnings"]
    assert len(told) == 2 and "no_truth.mtl" in told[0] and "no_result.mtl" in told[1]


def test_a_perfect_result_with_its_cameras(folder: Path) -> None:
    found = report(folder, "result.glb", "truth", "--cameras", "cameras.json")
    values = found["metrics"]
    assert found["alignment"]["by"] == "cameras, then icp"
    assert found["alignment"]["scale"] == pytest.approx(2.5, rel=0.005)
    assert values["f_score@0.5%"] > 0.99 and values["accuracy"] < 0.001
    assert values["registered"] == 1 and values["rotation_error_max"] < 1e-3 and values["centre_error_max"] < 1e-4
    assert values["psnr"] > 26 and values["ssim"] > 0.85 and values["coverage"] > 0.99
    assert values["volume_iou"] is None and "not closed" in found["reasons"]["volume_iou"]
    assert len(found["per_view"]) == 6


@pytest.mark.slow
def test_an_object_on_its_ground_is_found_without_cameras(folder: Path) -> None:
    found = report(folder, "result.glb", "truth")
    assert found["alignment"]["by"] == "similarity"
    assert found["alignment"]["scale"] == pytest.approx(2.5, rel=0.01)
    assert found["metrics"]["f_score@1%"] > 0.98 and found["metrics"]["psnr"] > 26


def test_what_is_missing_and_what_is_wrong_show_in_different_numbers(folder: Path, tmp_path: Path) -> None:
    mesh = load_mesh(folder / "truth.ply")
    low = mesh.vertices[mesh.faces].mean(1)[:, 1] < 1.5
    save_mesh(replace(mesh, faces=mesh.faces[low]), tmp_path / "missing.ply")
    extra = trimesh.creation.icosphere(radius=0.3)
    extra.apply_translation([-0.7, 1.6, 0])
    more = np.asarray(extra.faces, np.int32) + len(mesh.vertices)
    wrong = Mesh(np.concatenate([mesh.vertices, extra.vertices]), np.concatenate([mesh.faces, more]))
    save_mesh(wrong, tmp_path / "wrong.ply")
    missing = report(folder, str(tmp_path / "missing.ply"), "truth.ply", "--align", "none")["metrics"]
    wrong_ = report(folder, str(tmp_path / "wrong.ply"), "truth.ply", "--align", "none")["metrics"]
    assert missing["precision@1%"] > 0.999 and missing["recall@1%"] < 0.85
    assert wrong_["recall@1%"] > 0.999 and wrong_["precision@1%"] < 0.95


def test_closed_meshes_have_an_overlap_and_points_do_not(folder: Path) -> None:
    same = report(folder, "truth.ply", "truth.ply", "--align", "none")
    assert same["metrics"]["volume_iou"] == 1 and same["metrics"]["normal_consistency"] > 0.99
    cloud = report(folder, "cloud.ply", "truth.ply", "--align", "icp")
    assert cloud["metrics"]["f_score@1%"] > 0.99 and cloud["metrics"]["volume_iou"] is None
    assert cloud["metrics"]["normal_consistency"] is None and "normals" in cloud["reasons"]["normal_consistency"]


@pytest.mark.slow
def test_requirements_and_baselines_decide_the_exit_code(folder: Path, tmp_path: Path) -> None:
    base = ["truth.ply", "truth.ply", "--align", "none"]
    kept = run(folder, *base, "--require", "f_score@1%>=0.9,accuracy<=0.1%", f"--json={tmp_path / 'old.json'}")
    assert kept.returncode == 0, kept.stderr
    missed = run(folder, *base, "--require", "f_score@1%>=1.5,psnr>=24")
    assert missed.returncode == 1
    assert "f_score@1% is 1, required >= 1.5" in missed.stderr and "psnr could not be measured" in missed.stderr
    same = run(folder, *base, "--baseline", str(tmp_path / "old.json"))
    assert same.returncode == 0, same.stderr
    worse = run(folder, "cloud.ply", "truth.ply", "--align", "none", "--baseline", str(tmp_path / "old.json"))
    assert worse.returncode == 1 and "volume_iou could not be measured, was 1" in worse.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["truth.ply", "truth.ply", "--require", "fscore@1%>=0.9"], 2, "did you mean f_score@1%?"),
        (["truth.ply", "truth.ply", "--thresholds", "1%,x"], 2, "x: is not a share"),
        (["truth.ply", "truth.ply", "--tolerance", "-1"], 2, "is not a share"),
        (["truth.ply", "truth.ply", "--align", "cameras"], 2, "at least two cameras"),
        (["truth.ply", "truth.ply", "--photos", "truth/images"], 2, "--cameras"),
        (["truth.ply", "."], 3, "holds no gt.ply"),
        (["truth.ply", "missing.ply"], 3, "no such file"),
        (["truth.ply", "truth.ply", "--baseline", "cameras.json"], 3, "is not a report"),
        (["cameras.json", "truth.ply"], 3, "is not a mesh"),
    ],
)
def test_errors(folder: Path, arguments: list[str], code: int, text: str) -> None:
    done = run(folder, *arguments)
    assert done.returncode == code and text in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")
@pytest.mark.parametrize("name", ["spot", "egyptian_cat"])
def test_numbers_agree_with_an_independent_scorer(name: str, tmp_path: Path) -> None:
    scorer = Path(str(DATA)).parent / "tools" / "score_reconstruction.py"
    if not scorer.is_file():
        pytest.skip("no independent scorer beside the data")
    truth = Path(str(DATA)) / "rendered" / name
    mesh = load_mesh(truth / "gt.ply")
    noise = 0.006 * mesh.diagonal * np.random.default_rng(0).normal(size=mesh.vertices.shape)
    kept = mesh.vertices[mesh.faces].mean(1)[:, 1] < np.quantile(mesh.vertices[:, 1], 0.9)
    worse = replace(mesh, vertices=mesh.vertices + noise, faces=mesh.faces[kept])
    save_mesh(worse.moved(MOVE), tmp_path / "result.ply")
    write_cameras([c.moved(MOVE) for c in read_cameras(truth / "cameras.json")], tmp_path / "cameras.json")
    ours = report(tmp_path, "result.ply", str(truth), "--cameras", "cameras.json")["metrics"]
    command = [sys.executable, str(scorer), str(truth), "result.ply", "--cameras", "cameras.json", "--json"]
    theirs = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
    for percent in ("0.5", "1", "2"):
        for mine, other in (("f_score", "f"), ("precision", "precision"), ("recall", "recall")):
            assert 100 * ours[f"{mine}@{percent}%"] == pytest.approx(theirs[f"at_{percent}"][other], abs=0.5)
    for key in ("accuracy", "completeness"):
        assert 100 * ours[key] == pytest.approx(theirs[f"{key}_pct"]["mean"], abs=0.02)
