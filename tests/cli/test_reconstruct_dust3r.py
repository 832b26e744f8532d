"""``mvgen reconstruct --method dust3r``: from weights, from predictions of any origin, and around what is broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from mvgen.core.alignment import align_cameras, camera_errors, matching_cameras
from mvgen.core.dust3r.config import NetworkConfig, tensor_shapes
from mvgen.core.io.cameras import read_cameras
from mvgen.core.io.meshes import load_mesh, load_points
from mvgen.core.render.raycast import Caster
from tests import relief
from tests.cli.test_reconstruct import Box, new_box
from tests.core.dust3r.perfect import write_pairs
from tests.core.fill import fill

TINY = NetworkConfig(32, 1, 2, 32, 4, 2, "linear")
TEXT = (
    "AsymmetricCroCo3DStereo(pos_embed='RoPE100', img_size=(64, 64), head_type='linear', output_mode='pts3d', "
    "depth_mode=('exp', -inf, inf), conf_mode=('exp', 1, inf), enc_embed_dim=32, enc_depth=1, enc_num_heads=2, "
    "dec_embed_dim=32, dec_depth=4, dec_num_heads=2)"
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos in images/, and what a perfect network says of them in pairs/."""
    folder = tmp_path_factory.mktemp("predicted")
    relief.photograph(folder / "images", 4)
    write_pairs(folder / "pairs", relief.cameras(4), Caster(relief.relief()), 256)
    return folder


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return new_box(tmp_path)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    tensors = {k: torch.from_numpy(fill(k, s)) for k, s in tensor_shapes(TINY).items()}
    torch.save({"args": Namespace(model=TEXT), "model": tensors}, path)
    return path


def test_perfect_predictions_become_cameras_and_points(scene: Path, box: Box) -> None:
    box.ok(scene, "--from", "predict", "-o", "p.ply", "--as", "points", "--save-cameras", "c.json")
    pairs = matching_cameras(read_cameras(box.folder / "c.json"), relief.cameras(4))
    similarity = align_cameras(pairs)
    assert len(pairs) == 4 and camera_errors(pairs, similarity)[0].max() < 0.1
    for found, true in pairs:
        assert found.intrinsics[0, 0] == pytest.approx(true.intrinsics[0, 0], rel=0.005)
    at = similarity.apply(load_points(box.folder / "p.ply").points)
    error = np.abs(at[:, 2] - relief.height_at(at[:, 0], at[:, 1]))
    assert len(at) > 3000 and np.percentile(error, 98) < 0.02


def test_cameras_are_drawn_where_they_are(scene: Path, box: Box) -> None:
    box.ok(scene, "--from", "predict", "--stop-after", "align", "-o", "posed", "--save-cameras", "seen.glb")
    drawn, cameras = load_mesh(box.folder / "seen.glb"), read_cameras(box.folder / "posed")
    for camera in cameras:
        assert np.linalg.norm(drawn.vertices - camera.centre, axis=1).min() < 0.02 * drawn.diagonal


def test_stages_go_on_from_one_another_and_end_in_a_textured_mesh(scene: Path, box: Box) -> None:
    box.ok(scene, "--from", "predict", "--stop-after", "align", "-o", "posed")
    assert {p.name for p in (box.folder / "posed").iterdir()} >= {"images", "depth", "sparse", "transforms.json"}
    box.ok("posed", "--from", "fusion", "-o", "mesh.glb", "--faces", "2k")
    assert load_mesh(box.folder / "mesh.glb").texture is not None


def test_a_network_predicts_pairs_that_can_be_aligned_later(scene: Path, weights: Path, box: Box) -> None:
    ran = box.ok(scene / "images", "--method", "dust3r", "--weights", weights, "--stop-after", "predict", "-o", "out")
    assert "non-commercial" in ran.stderr.decode()
    names = sorted(p.name for p in (box.folder / "out" / "pairs").iterdir())
    assert len(names) == 12 and names[0] == "pair_0000_0001.npz"
    with np.load(box.folder / "out" / "pairs" / names[0]) as data:
        assert data["pts3d_i"].shape == (48, 64, 3) and data["conf_j"].shape == (48, 64)


@pytest.mark.slow
def test_one_photo_is_shown_beside_itself(scene: Path, weights: Path, box: Box) -> None:
    box.ok(scene / "images" / "p0.jpg", "--weights", weights, "--stop-after", "predict", "-o", "out")
    assert sorted(p.name for p in (box.folder / "out" / "pairs").iterdir()) == [
        "pair_0000_0001.npz",
        "pair_0001_0000.npz",
    ]


@pytest.mark.slow
def test_auto_takes_the_network_where_the_classic_method_cannot(weights: Path, box: Box) -> None:
    relief.photograph(box.folder / "one", 1)
    ran = box.run("one", "-o", "p.ply", "--as", "points")
    assert ran.returncode == 1 and "mvgen models pull dust3r-512" in ran.stderr.decode()
    shutil.copyfile(weights, box.folder / "tiny.pth")
    ran = box.ok("one", "-o", "s", "--as", "scene", "--weights", "tiny.pth", "--set", "dust3r.min_confidence=0")
    assert "method: dust3r with tiny.pth, as " in ran.stderr.decode()
    assert (box.folder / "s" / "pairs" / "pair_0000_0001.npz").is_file()


def test_one_photo_of_perfect_predictions_becomes_points(box: Box, tmp_path: Path) -> None:
    relief.photograph(tmp_path / "one" / "images", 1)
    write_pairs(tmp_path / "one" / "pairs", relief.cameras(1) * 2, Caster(relief.relief()), 256)
    box.ok(tmp_path / "one", "--from", "predict", "-o", "p.ply", "--as", "points")
    assert len(load_points(box.folder / "p.ply")) > 3000


def test_the_least_sure_pairs_are_left_out(scene: Path, box: Box) -> None:
    shutil.copytree(scene, box.folder / "scene")
    for name in ("pair_0000_0003.npz", "pair_0003_0000.npz"):  # far off, and the network knows it
        with np.load(box.folder / "scene" / "pairs" / name) as data:
            arrays = dict(data)
        arrays["pts3d_j"] = arrays["pts3d_j"] * 1.7 + 1
        arrays |= {key: np.full_like(arrays[key], 1.5) for key in ("conf_i", "conf_j")}
        np.savez(box.folder / "scene" / "pairs" / name, **arrays)
    ran = box.ok("scene", "--from", "predict", "--stop-after", "align", "-o", "out", "-v", "--previews", "seen",
                 "--save-cameras", "c.json", "--set", "dust3r.worst_pairs=17")  # fmt: skip
    assert "2 of 12 predictions are left out" in ran.stderr.decode()
    pairs = matching_cameras(read_cameras(box.folder / "c.json"), relief.cameras(4))
    assert camera_errors(pairs, align_cameras(pairs))[0].max() < 0.1
    assert any("confidence" in p.name for p in (box.folder / "seen").rglob("*.png"))


@pytest.mark.slow
def test_photos_twice_and_in_other_sizes(weights: Path, box: Box) -> None:
    from PIL import Image

    relief.photograph(box.folder / "in", 2)
    shutil.copyfile(box.folder / "in" / "p0.jpg", box.folder / "in" / "p0_again.jpg")
    with Image.open(box.folder / "in" / "p1.jpg") as photo:
        photo.transpose(Image.Transpose.ROTATE_90).save(box.folder / "in" / "upright.jpg")
        photo.resize((200, 150)).save(box.folder / "in" / "small.jpg")
    shutil.copyfile(weights, box.folder / "tiny.pth")
    box.ok("in", "-o", "s", "--as", "scene", "--method", "dust3r", "--weights", "tiny.pth", "--stop-after", "align")
    assert len(list((box.folder / "s" / "pairs").iterdir())) == 20
    assert len(list((box.folder / "s" / "depth").iterdir())) == 5


@pytest.mark.slow
def test_what_cannot_be_is_refused_in_one_line(scene: Path, weights: Path, box: Box) -> None:
    shutil.copytree(scene, box.folder / "scene")
    shutil.copytree(scene, box.folder / "cut")
    shutil.copyfile(weights, box.folder / "tiny.pth")
    (box.folder / "bad.pth").write_bytes(b"not weights at all")
    (box.folder / "cut" / "pairs" / "pair_0000_0001.npz").write_bytes(b"PK")
    shutil.copytree(scene, box.folder / "none", ignore=shutil.ignore_patterns("pairs"))
    shutil.copytree(scene, box.folder / "fewer")
    (box.folder / "fewer" / "images" / "p3.jpg").unlink()
    for arguments, code, told in (
        (["scene/images", "--method", "dust3r", "-o", "x.glb"], 4, "needs its network's weights"),
        (["scene/images", "--method", "dust3r", "--weights", "bad.pth", "-o", "x.glb"], 4, "bad.pth"),
        (["scene/images", "--method", "dust3r", "--weights", "none.pth", "-o", "x.glb"], 3, "none.pth"),
        (["scene/images", "--method", "classic", "--weights", "tiny.pth", "-o", "x.glb"], 2, "has none"),
        (["scene/images", "--weights", "dust3r-224", "-o", "x.glb"], 4, "dust3r-224: is not on this machine"),
        (["scene/images", "--method", "dust3r", "--size", "300", "-o", "x.glb"], 2, "--size"),
        (["scene/images", "--method", "classic", "--stop-after", "align", "-o", "x"], 2, "a stage of dust3r"),
        (["scene", "--from", "predict", "--scale-by", "a,b=1m", "-o", "x.glb"], 2, "--scale-by"),
        (["none", "--from", "align", "-o", "x.glb"], 3, "no predictions"),
        (["cut", "--from", "align", "-o", "x.glb"], 3, "pair_0000_0001.npz"),
        (["fewer", "--from", "align", "-o", "x.glb"], 3, "speaks of photo 3"),
    ):
        ran = box.run(*arguments)
        lines = [line for line in ran.stderr.decode().splitlines() if not line.startswith(("device:", "warning:"))]
        assert ran.returncode == code, (arguments, lines)
        assert lines[0].startswith("error: ") and told in lines[0] and lines[1].startswith("hint: "), lines
        assert len(lines) == 2 and not list(box.folder.glob("x*"))


@pytest.mark.slow
def test_perfect_predictions_of_a_rendered_set_end_in_a_good_mesh(box: Box) -> None:
    data = Path(os.environ.get("MVGEN_DATA", "none")) / "rendered" / "egyptian_cat"
    if not data.is_dir():
        pytest.skip("needs MVGEN_DATA")
    folder = box.folder / "cat"
    shutil.copytree(data / "images", folder / "images")
    cameras = read_cameras(data / "cameras.json")
    write_pairs(folder / "pairs", cameras, Caster(load_mesh(data / "gt.ply")), 512, "swin-3")
    box.ok("cat", "--from", "predict", "-o", "cat.glb", "--save-cameras", "c.json")
    command = [sys.executable, "-m", "mvgen", "eval", "cat.glb", str(data), "--cameras", "c.json", "--json"]
    ran = subprocess.run(command, cwd=box.folder, capture_output=True)
    assert json.loads(ran.stdout)["metrics"]["f_score@1%"] >= 0.95, ran.stderr.decode()
