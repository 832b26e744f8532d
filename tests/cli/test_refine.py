"""``mvgen refine``, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh, save_mesh
from mvgen.core.region.files import save_region
from mvgen.core.region.model import Region
from mvgen.core.splats.files import load_splats, save_splats
from mvgen.core.texture.atlas import unwrap
from tests.core.refine import networks
from tests.core.refine.made import ball, cameras, off
from tests.core.splats.fit.ball import ball as balls
from tests.core.splats.fit.ball import scene

MAPS = ("--normals", "normals", "--cameras", "cameras.json")
QUICK = ("--set", "iterations=6", "--set", "tolerance=3", "--set", "pixels=4", "--set", "reach=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smooth ball, one with bumps, normal maps of that one, a textured ball, a region."""
    out = tmp_path_factory.mktemp("refine")
    save_mesh(ball(3, False), out / "low.ply")
    save_mesh(ball(6, True), out / "high.ply")
    flat = unwrap(ball(3, False), 64)
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    save_mesh(Mesh(flat.vertices, flat.faces, uv=flat.uv, texture=picture), out / "skin.glb")
    low = load_mesh(out / "low.ply", print)
    save_region(Region("vertices", low.vertices[:, 1] > 0.2, name="top"), out / "top.npz")
    views = [
        {"name": c.name, "intrinsics": c.intrinsics.tolist(), "world_to_camera": c.world_to_camera.tolist()}
        for c in cameras(6, 200)
    ]
    (out / "cameras.json").write_text(json.dumps({"width": 200, "height": 200, "views": views}))
    command = ["render", "high.ply", "-o", "normals/", "--what", "normal", "--cameras", "cameras.json", "-q"]
    subprocess.run([sys.executable, "-m", "mvgen", *command], cwd=out, check=True)
    (out / "text.ply").write_text("no mesh at all")
    return out


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mvgen", "refine", *arguments], cwd=folder, input=stdin, capture_output=True
    )


def done(folder: Path, *arguments: str) -> tuple[dict, str]:
    out = run(folder, *arguments, "--json")
    assert out.returncode == 0, out.stderr.decode()
    return json.loads(out.stdout), out.stderr.decode()


def test_normal_maps_bring_detail_back(folder: Path) -> None:
    report, told = done(folder, "low.ply", "-o", "maps.ply", *MAPS, *QUICK)
    assert "opengl" in told and report["normal_error"] < 0.5 * report["normal_error_before"]
    assert report["watertight"] and report["genus"] == 0
    assert off(load_mesh(folder / "maps.ply", print))[1] < 0.5 * off(load_mesh(folder / "low.ply", print))[1]


@pytest.mark.slow
def test_a_detailed_mesh_and_the_same_bytes_through_pipes(folder: Path) -> None:
    done(folder, "low.ply", "-o", "detail.ply", "--detail", "high.ply", "--preview", "seen.png", *QUICK)
    assert off(load_mesh(folder / "detail.ply", print))[1] < 0.5 * off(load_mesh(folder / "low.ply", print))[1]
    seen = np.asarray(Image.open(folder / "seen.png").convert("L"), float)
    assert seen.shape[1] > 1200 and np.abs(seen[:640, :640] - seen[:640, 644:1284]).mean() > 0.5
    piped = run(
        folder,
        "-",
        "-o",
        "-",
        "--format",
        "ply",
        "--detail",
        "high.ply",
        "--threads",
        "1",
        *QUICK,
        stdin=(folder / "low.ply").read_bytes(),
    )
    assert piped.stdout == (folder / "detail.ply").read_bytes()


def test_alone_it_sharpens_and_says_so(folder: Path) -> None:
    report, told = done(folder, "high.ply", "-o", "sharp.ply")
    assert "--sharpen 0.5" in told and report["how"] == "sharpen 0.5"
    before, after = (load_mesh(folder / name, print) for name in ("high.ply", "sharp.ply"))
    assert np.array_equal(before.faces, after.faces) and (before.vertices != after.vertices).any()


@pytest.mark.slow
def test_outside_of_a_region_nothing_changes(folder: Path) -> None:
    done(folder, "low.ply", "-o", "part.ply", *MAPS, "--region", "top.npz", *QUICK)
    before, after = (load_mesh(folder / name, print) for name in ("low.ply", "part.ply"))
    outside = {tuple(v) for v in before.vertices[before.vertices[:, 1] <= 0.2]}
    assert outside <= {tuple(v) for v in after.vertices} and len(after.faces) > len(before.faces)
    done(folder, "skin.glb", "-o", "skin2.glb", *MAPS, "--region", "sphere:0,1,0,0.8=0.5", *QUICK)
    before, after = (load_mesh(folder / name, print) for name in ("skin.glb", "skin2.glb"))
    same = np.linalg.norm(before.vertices - [0, 1, 0], axis=1) > 0.8
    assert np.array_equal(before.vertices[same], after.vertices[same]) and (before.vertices != after.vertices).any()
    assert np.array_equal(before.uv, after.uv) and np.array_equal(before.texture, after.texture)


def test_texture_is_baked_again(folder: Path) -> None:
    done(folder, "skin.glb", "-o", "fine.glb", *MAPS, *QUICK)
    after = load_mesh(folder / "fine.glb", print)
    assert after.texture is not None and after.texture.std() > 30


@pytest.mark.slow
def test_the_photos_that_the_file_names_come_before_sharpening(folder: Path) -> None:
    low = load_mesh(folder / "low.ply", print)
    names = [f"view_{k:03d}.png" for k in range(6)]
    (folder / "scene" / "images").mkdir(parents=True)
    (folder / "scene" / "cameras.json").write_bytes((folder / "cameras.json").read_bytes())
    command = ["render", "skin.glb", "-o", "scene/images/", "--cameras", "cameras.json", "--background", "black", "-q"]
    subprocess.run([sys.executable, "-m", "mvgen", *command], cwd=folder, check=True)
    for about, how, told in (
        ({"scene": "scene", "photos": names}, "photos of scene", "the photos of scene"),
        ({"scene": "scene", "photos": ["other.png"]}, "sharpen 0.5", "none of the photos"),
        ({"scene": "normals"}, "sharpen 0.5", "no cameras"),
        ({"scene": "../../etc"}, "sharpen 0.5", "neither below its folder nor beside it"),
        ({}, "sharpen 0.5", "names no photos"),
    ):
        save_mesh(replace(low, metadata=about), folder / "told.ply")
        report, said = done(folder, "told.ply", "-o", "auto.ply")
        assert report["how"] == how and told in said, said
    save_mesh(replace(low, metadata={"scene": "scene"}), folder / "told.ply")
    assert done(folder, "told.ply", "-o", "auto.ply", "--sharpen", "1")[0]["how"] == "sharpen 1"


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ball of splats off its photos, and these."""
    out = tmp_path_factory.mktemp("splats")
    scene(out / "scene")
    right = balls()
    pale = replace(right, harmonics=right.harmonics * np.float32(0.5), metadata={"scene_frame": "rub"})
    save_splats(pale, out / "pale.ply")
    save_splats(replace(pale, metadata={"scene_frame": "rub", "scene": "scene"}), out / "told.ply")
    return out


class TestSplats:
    @pytest.mark.slow
    def test_they_come_nearer_to_the_photos(self, posed: Path) -> None:
        region = ("--region", "sphere:0,-1,0,0.9", "--region", "sphere:0,1,0,0.5")
        report, _ = done(posed, "pale.ply", "-o", "fine.ply", "--images", "scene", "--iterations", "60", *region)
        before, after = load_splats(posed / "pale.ply"), load_splats(posed / "fine.ply")
        inside = (np.linalg.norm(before.means - np.float32([0, -1, 0]), axis=1) <= 0.9) | (
            np.linalg.norm(before.means - np.float32([0, 1, 0]), axis=1) <= 0.5
        )
        for name in ("means", "quaternions", "log_scales", "logits", "harmonics"):
            same = getattr(before, name) == getattr(after, name)
            assert same[~inside].all(), name
        assert report["psnr"] > report["psnr_before"] + 0.1 and report["fitted"] == inside.sum() > 20
        again = run(posed, "-", "-o", "-", "--images", "scene", "--iterations", "60", *region,
                    stdin=(posed / "pale.ply").read_bytes())  # fmt: skip
        assert again.stdout == (posed / "fine.ply").read_bytes()

    def test_the_scene_that_the_file_names_is_taken(self, posed: Path) -> None:
        report, told = done(posed, "told.ply", "-o", "auto.ply", "--iterations", "5")
        assert report["how"] == "photos of scene" and "names the photos of scene" in told

    @pytest.mark.slow
    def test_what_is_of_meshes_is_refused(self, posed: Path) -> None:
        for arguments, code, told in (
            (("pale.ply", "-o", "x.ply"), 2, "names none"),
            (("told.ply", "-o", "x.ply", "--sharpen", "1"), 2, "--sharpen is of meshes"),
            (("told.ply", "-o", "x.ply", "--set", "pixels=3"), 2, "--set is of meshes"),
            (("told.ply", "-o", "x.ply", "--region", "sphere:0,1,0,1=0.5"), 2, "STRENGTH is of meshes"),
            (("told.ply", "-o", "x.ply", "--region", "sphere:9,9,9,1"), 1, "selects none"),
            (("told.ply", "-o", "x.glb"), 2, "cannot be written"),
            (("told.ply", "-o", "x.ply", "--images", "gone"), 3, "gone"),
        ):
            out = run(posed, *arguments)
            text = out.stderr.decode()
            assert out.returncode == code and told in text and "Traceback" not in text, (arguments, text)
        assert not (posed / "x.ply").exists()


@pytest.mark.slow
def test_a_network_s_depths(folder: Path) -> None:
    networks.taught(folder / "depths", load_mesh(folder / "low.ply", print))
    report, told = done(folder, "low.ply", "-o", "depth.ply", "--estimator", "depths", *QUICK)
    assert report["how"] == "depth maps" and "DepthAnythingForDepthEstimation of depths, 14 pictures" in told
    assert "of 14 depth maps agree with the mesh" in told
    first = (folder / "depth.ply").read_bytes()
    networks.depth_anything(folder / "chance")
    out = run(folder, "low.ply", "-o", "x.ply", "--estimator", "chance")
    assert out.returncode == 1 and b"no depth map agrees with the mesh" in out.stderr
    done(folder, "low.ply", "-o", "depth.ply", "--estimator", "depths", *QUICK)
    assert (folder / "depth.ply").read_bytes() == first


@pytest.mark.slow
def test_a_diffusion_model_s_normals(folder: Path) -> None:
    model = str(networks.controlled(folder / "model"))
    call = ("low.ply", "--normal-model", model, "--prompt", "scales", "--strength", "0.5", *QUICK)
    report, told = done(folder, *call, "-o", "drawn.ply")
    assert report["how"] == "diffusion" and "6 normal maps in a picture of 96 x 64, strength 0.5, 'scales'" in told
    done(folder, *call, "-o", "again.ply")
    done(folder, *call, "-o", "other.ply", "--seed", "1")
    first, second, third = ((folder / f"{name}.ply").read_bytes() for name in ("drawn", "again", "other"))
    assert first == second != third


@pytest.mark.slow
def test_what_cannot_be_done_is_told_in_a_line(folder: Path) -> None:
    mirrored, far = folder / "mirrored", folder / "empty"
    for target, change in (
        (mirrored, lambda p: p * [-1, 1, 1] + [255, 0, 0]),
        (folder / "plain", lambda p: p * 0 + 90),
    ):
        target.mkdir()
        for name in sorted((folder / "normals").glob("*.png")):
            picture = np.asarray(Image.open(name)).astype(int)
            picture[..., :3] = change(picture[..., :3])
            Image.fromarray(picture.astype(np.uint8)).save(target / name.name)
    far.mkdir()
    cases = [
        (("low.ply", "-o", "x.txt"), 2, "cannot be written"),
        (("text.ply", "-o", "x.ply"), 3, "text.ply"),
        (("low.ply", "-o", "x.ply", "--normals", "normals"), 2, "belong together"),
        (("low.ply", "-o", "x.ply", "--sharpen", "1", "--detail", "high.ply"), 2, "give one"),
        (("low.ply", "-o", "x.ply", "--detail", "text.ply"), 3, "text.ply"),
        (("low.ply", "-o", "x.ply", *MAPS, "--frame", "world"), 2, "--frame opengl"),
        (("low.ply", "-o", "x.ply", "--normals", "empty", "--cameras", "cameras.json"), 3, "no normal maps"),
        (("low.ply", "-o", "x.ply", "--normals", "mirrored", "--cameras", "cameras.json"), 3, "mirrored"),
        (("low.ply", "-o", "x.ply", "--normals", "plain", "--cameras", "cameras.json"), 3, "not a normal map"),
        (("low.ply", "-o", "x.ply", "--region", "sphere:9,9,9,1"), 1, "selects none"),
        (("low.ply", "-o", "x.ply", "--region", "top.npz=7"), 2, "strength"),
        (("low.ply", "-o", "-", "--interactive"), 2, "--interactive writes a file"),
        (("low.ply", "-o", "x.ply", "--estimator", "gone"), 3, "gone"),
        (("low.ply", "-o", "x.ply", "--estimator", "depth-anything-small"), 4, "mvgen models pull depth-anything"),
        (("low.ply", "-o", "x.ply", "--estimator", "normals"), 4, "normals"),
        (("low.ply", "-o", "x.ply", "--estimator", "normals", "--detail", "high.ply"), 2, "give one"),
        (("low.ply", "-o", "x.ply", "--normal-model", "normals"), 4, "neither a pipeline"),
        (("low.ply", "-o", "x.ply", "--normal-model", "someone/something"), 4, "not on this machine"),
        (("low.ply", "-o", "x.ply", "--prompt", "scales"), 2, "of --normal-model"),
        (("low.ply", "-o", "x.ply", "--iterations", "7"), 2, "--iterations is of splats"),
    ]
    for arguments, code, told in cases:
        out = run(folder, *arguments)
        text = out.stderr.decode()
        assert out.returncode == code and told in text and "Traceback" not in text, (arguments, text)
    assert not (folder / "x.ply").exists()
