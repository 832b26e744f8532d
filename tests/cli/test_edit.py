"""``mvgen edit``, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh, save_mesh
from mvgen.core.region.files import save_region
from mvgen.core.region.model import Region
from mvgen.core.splats.files import load_splats, save_splats
from mvgen.core.splats.fit.state import begin, load_state, save_state
from tests.core.edit.shapes import limb, same_rows
from tests.core.guidance import networks
from tests.core.splats import made
from tests.core.splats.fit.ball import ball, scene


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mvgen", "edit", *arguments]
    hub = os.environ | {"HF_HOME": str(folder / "hub")}
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, env=hub)


def done(folder: Path, *arguments: str) -> dict:
    out = run(folder, *arguments, "--json", "-q")
    assert out.returncode == 0, out.stderr.decode()
    report: dict = json.loads(out.stdout)
    return report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_splats(made.splats(60), tmp_path / "a.ply")
    save_region(
        [Region("splats", np.arange(60) < 20, name="low"), Region("splats", np.arange(60) >= 50, name="high")],
        tmp_path / "r.npz",
    )
    (tmp_path / "bad.json").write_text(
        '{"views": "mvgen", "version": 1, "orbits": [{"prompt": "a hat", "target": [0, 0, 0], "azimuth": [3]}]}'
    )
    return tmp_path


def test_removed_and_added_again_is_the_same_file(folder: Path) -> None:
    report = done(folder, "a.ply", "-o", "rest.ply", "--region", "r.npz:low", "--remove")
    assert (report["splats"], report["removed"], report["changed"]) == (40, 20, 0)
    done(folder, "a.ply", "-o", "part.ply", "--region", "r.npz:low", "--keep")
    done(folder, "rest.ply", "-o", "back.ply", "--region", "r.npz:low", "--add", "part.ply")
    assert (folder / "back.ply").read_bytes() == (folder / "a.ply").read_bytes()


def test_operations_happen_in_the_order_in_which_they_are_given(folder: Path) -> None:
    before = load_splats(folder / "a.ply").means
    done(folder, "a.ply", "-o", "b.ply", "--translate", "1,0,0", "--rotate", "z:90", "--about", "0,0,0")
    done(folder, "a.ply", "-o", "c.ply", "--rotate", "z:90", "--translate", "1,0,0", "--about", "0,0,0")
    turned = before @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    assert np.allclose(load_splats(folder / "b.ply").means, turned + np.array([0, 1, 0]), atol=1e-6)
    assert np.allclose(load_splats(folder / "c.ply").means, turned + np.array([1, 0, 0]), atol=1e-6)
    done(folder, "a.ply", "-o", "d.ply", "--translate", "1,0,0", "--rotate", "z:90", "--translate", "0,0,2",
         "--about", "0,0,0")  # fmt: skip
    assert np.allclose(load_splats(folder / "d.ply").means, turned + np.array([0, 1, 2]), atol=1e-6)


def test_each_region_holds_for_what_follows(folder: Path) -> None:
    before = load_splats(folder / "a.ply")
    done(folder, "a.ply", "-o", "b.ply", "--translate", "1,0,0", "--region", "r.npz:high", "--recolor", "#f00",
         "--region", "r.npz:low")  # fmt: skip
    after = load_splats(folder / "b.ply")  # the first region holds from the beginning, wherever it stands
    assert np.allclose(after.means[50:], before.means[50:] + np.float32([1, 0, 0]))
    assert same_rows(before, after, np.arange(50))
    done(folder, "a.ply", "-o", "c.ply", "--region", "r.npz:high", "--translate", "1,0,0", "--region", "r.npz:low",
         "--scale", "2")  # fmt: skip
    after = load_splats(folder / "c.ply")
    assert same_rows(before, after, np.arange(20, 50))
    assert np.allclose(after.log_scales[:20], before.log_scales[:20] + np.log(2), atol=1e-6)
    assert np.allclose(after.means[50:], before.means[50:] + np.float32([1, 0, 0]))


@pytest.mark.slow
def test_a_recipe_is_written_and_replayed(folder: Path) -> None:
    steps = ["--region", "sphere:0,0,0,1", "--shear", "xy:0.5", "--duplicate", "--mirror", "x", "--stretch", "z:2"]
    report = done(folder, "a.ply", "-o", "b.ply", *steps)
    recipe = json.loads((folder / "b.recipe.json").read_text())
    assert report["recipe"] == recipe and len(recipe["steps"]) == 4
    done(folder, "a.ply", "-o", "c.ply", "--recipe", "b.recipe.json")
    assert (folder / "b.ply").read_bytes() == (folder / "c.ply").read_bytes()
    save_splats(made.splats(90, seed=3), folder / "other.ply")
    report = done(folder, "other.ply", "-o", "d.ply", "--recipe", "b.recipe.json", "--scale", "1.5")
    assert report["splats"] > 90 and len(report["recipe"]["steps"]) == 5
    done(folder, "a.ply", "-o", "e.ply", "--region", "r.npz:low", "--rotate", "x:20")
    save_region(Region("splats", np.arange(90) < 5), folder / "five.npz")
    out = run(folder, "other.ply", "-o", "f.ply", "--recipe", "e.recipe.json")
    assert out.returncode == 3 and b"region of 60 splats, but the input has 90" in out.stderr
    report = done(folder, "other.ply", "-o", "f.ply", "--recipe", "e.recipe.json", "--region", "five.npz")
    assert report["changed"] == 5
    done(folder, "a.ply", "-o", "g.ply", "--rotate", "x:20")
    report = done(folder, "other.ply", "-o", "h.ply", "--recipe", "g.recipe.json", "--region", "five.npz")
    assert report["changed"] == 5


def test_drags_from_the_shell(tmp_path: Path) -> None:
    save_splats(limb(800), tmp_path / "a.ply")  # with y down in the file
    report = done(tmp_path, "a.ply", "-o", "b.ply", "--drag", "0,-1.2,0:0,-2,0:0.5",
                  "--drag", "0,1.2,0:0,2,0:0.5", "--rigid")  # fmt: skip
    assert len(report["recipe"]["steps"]) == 1
    after = load_splats(tmp_path / "b.ply")
    assert after.means[:, 1].min() < -2 and after.means[:, 1].max() > 2
    done(tmp_path, "a.ply", "-o", "c.ply", "--drag", "0,-1.2,0:0,-2,0:0.5")
    assert load_splats(tmp_path / "c.ply").means[:, 1].min() < -1.8


def test_streams(folder: Path) -> None:
    out = run(folder, "-", "-o", "-", "--format", "spz", "--add", "a.ply:scale=2 translate=0,0,9",
              stdin=(folder / "a.ply").read_bytes())  # fmt: skip
    assert out.returncode == 0, out.stderr.decode()
    (folder / "x.spz").write_bytes(out.stdout)
    assert len(load_splats(folder / "x.spz")) == 120
    assert not list(folder.glob("*.recipe.json"))


@pytest.mark.slow
def test_a_checkpoint_stays_one(tmp_path: Path) -> None:
    save_state(begin(ball(50), 2, 1, "cpu"), tmp_path / "a.safetensors")
    done(tmp_path, "a.safetensors", "-o", "b.safetensors", "--region", "box:-9,0,-9,9,9,9", "--duplicate")
    assert len(load_state(tmp_path / "b.safetensors", "cpu")) > 50
    out = run(tmp_path, "a.safetensors", "-o", "b.ply", "--duplicate")
    assert out.returncode == 2 and b"is a checkpoint" in out.stderr
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    out = run(tmp_path, "a.safetensors", "-o", "c.safetensors", "--duplicate")
    assert out.returncode == 3 and b"is damaged" in out.stderr


@pytest.mark.slow
def test_what_was_changed_is_fitted_to_photos(tmp_path: Path) -> None:
    save_splats(ball(), tmp_path / "a.ply")
    scene(tmp_path / "scene")
    report = done(tmp_path, "a.ply", "-o", "b.ply", "--region", "sphere:0,-1,0,0.5", "--scale", "1.1",
                  "--scene", "scene", "--iterations", "5", "--size", "64")  # fmt: skip
    assert [s["operation"] for s in report["recipe"]["steps"]] == ["scale", "refit"]
    before, after = load_splats(tmp_path / "a.ply"), load_splats(tmp_path / "b.ply")
    still = np.linalg.norm(before.means - np.float32([0, -1, 0]), axis=1) > 0.5
    assert same_rows(before, after, still) and report["changed"] == (~still).sum()
    report = done(tmp_path, "a.ply", "-o", "c.ply", "--drag", "0,-1,0:0,-1.4,0:0.4", "--rigid",
                  "--scene", "scene", "--iterations", "10", "--size", "64")  # fmt: skip
    assert len(report["recipe"]["steps"]) == 1
    assert load_splats(tmp_path / "c.ply").means[:, 1].min() < -1.39


@pytest.mark.slow
def test_a_prompt_changes_what_is_selected_alone(tmp_path: Path) -> None:
    save_splats(ball(200), tmp_path / "a.ply")
    model = str(networks.stable_diffusion(tmp_path / "sd"))
    given = ["--region", "sphere:0,-1,0,0.5", "--prompt", "a hat", "--iterations", "3", "--weights", model]
    report = done(tmp_path, "a.ply", "-o", "b.ply", *given, "--negative", "fog", "--guidance-scale", "7.5")
    (step,) = report["recipe"]["steps"]
    assert (step["operation"], step["guidance"]["prompt"], step["guidance"]["scale"]) == ("imagine", "a hat", 7.5)
    before, after = load_splats(tmp_path / "a.ply"), load_splats(tmp_path / "b.ply")
    still = np.linalg.norm(before.means - np.float32([0, -1, 0]), axis=1) > 0.5
    assert same_rows(before, after, still) and report["changed"] == (~still).sum() > 5
    assert not same_rows(before, after, ~still)
    out = run(tmp_path, "a.ply", "-o", "c.ply", "--recipe", "b.recipe.json")
    assert out.returncode == 0 and b"Loading" not in out.stderr and b"Warning" not in out.stderr, out.stderr.decode()
    assert (tmp_path / "b.ply").read_bytes() == (tmp_path / "c.ply").read_bytes()
    done(tmp_path, "a.ply", "-o", "d.ply", "--recipe", "b.recipe.json", "--seed", "1")
    assert (tmp_path / "b.ply").read_bytes() != (tmp_path / "d.ply").read_bytes()
    orbit = {"prompt": "a bird", "target": [0, -1, 0], "elevation": [10, 50], "azimuth": [0, 90], "distance": [2, 3]}
    (tmp_path / "v.json").write_text(json.dumps({"views": "mvgen", "version": 1, "orbits": [orbit]}))
    report = done(tmp_path, "a.ply", "-o", "e.ply", "--views", "v.json", "--iterations", "4", "--weights", model,
                  "--drag", "0,-1,0:0,-1.4,0:0.4", "--rigid")  # fmt: skip
    assert [s["operation"] for s in report["recipe"]["steps"]] == ["drag"]
    assert load_splats(tmp_path / "e.ply").means[:, 1].min() < -1.39


def test_a_mesh_keeps_its_texture(tmp_path: Path) -> None:
    box = trimesh.creation.box().subdivide().subdivide()
    vertices = np.asarray(box.vertices)
    picture = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    mesh = Mesh(vertices, np.asarray(box.faces, np.int32), uv=np.abs(vertices[:, :2]), texture=picture)
    save_mesh(mesh, tmp_path / "a.glb", None)
    report = done(tmp_path, "a.glb", "-o", "b.glb", "--drag", "0,0.5,0:0,0.9,0:0.3", "--rotate", "y:90")
    assert report["kind"] == "mesh" and (tmp_path / "b.recipe.json").exists()
    before, after = load_mesh(tmp_path / "a.glb"), load_mesh(tmp_path / "b.glb")
    assert np.array_equal(before.uv, after.uv) and np.array_equal(before.texture, after.texture)
    assert np.isclose(after.vertices[:, 1].max(), 0.9, atol=1e-6)
    out = run(tmp_path, "a.glb", "-o", "c.glb", "--remove")
    assert out.returncode == 2 and b"remove is for splats" in out.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "nothing is to be done"),
        (["--rotate", "q:1"], 2, "is not a turn"),
        (["--stretch", "x:0"], 2, "is no stretch"),
        (["--shear", "xx:1"], 2, "is no shear"),
        (["--mirror", "u"], 2, "is no axis"),
        (["--scale", "-1"], 2, "is no factor"),
        (["--drag", "0,0,0"], 2, "is no drag"),
        (["--drag", "0,0,0:0,0,0"], 2, "is no drag"),
        (["--drag", "9,9,9:0,0,0:0.1"], 1, "nothing selected lies within"),
        (["--region", "sphere:1,2,3", "--remove"], 2, "is no sphere"),
        (["--region", "box:1,1,1,0,0,0", "--remove"], 2, "is no box"),
        (["--region", "none.npz", "--remove"], 3, "none.npz: no such file"),
        (["--region", "a.ply", "--remove"], 3, "a.ply: not a readable region"),
        (["--region", "r.npz", "--remove"], 2, "several regions"),
        (["--region", "r.npz:mid", "--remove"], 2, "no region mid"),
        (["--region", "r.npz:low", "--region", "r.npz:high", "--remove"], 2, "follows another one"),
        (["--remove"], 1, "all splats would be removed"),
        (["--add", "none.ply"], 3, "none.ply: no such file"),
        (["--add", "a.ply:scale=0"], 2, "--add scale=0"),
        (["--recipe", "a.ply"], 3, "a.ply: is no recipe"),
        (["--iterations", "5", "--recolor", "#fff"], 2, "belongs to --scene or --prompt"),
        (["--prompt", "a hat", "--scene", "s", "--iterations", "5"], 2, "two ways of fitting"),
        (["--prompt", "a hat", "--iterations", "0"], 2, "leaves nothing to do"),
        (["--prompt", " "], 2, "says nothing"),
        (["--negative", "fog", "--remove"], 2, "--negative is for --prompt"),
        (["--guidance-scale", "9", "--remove"], 2, "--guidance-scale is for --prompt"),
        (["--prompt", "a hat", "--strength", "2"], 2, "strength"),
        (["--prompt", "a hat"], 4, "no diffusion model is on this machine"),
        (["--prompt", "a hat", "--weights", "none"], 3, "none: no such file"),
        (["--prompt", "a hat", "--weights", "sd-2-1-base"], 4, "is not on this machine yet"),
        (["--prompt", "a hat", "--weights", "."], 4, "has no model_index.json"),
        (["--views", "none.json"], 3, "none.json: no such file"),
        (["--views", "a.ply"], 3, "a.ply: is no list of views"),
        (["--views", "bad.json"], 3, "bad.json: orbit 1: azimuth: should be"),
        (["--scene", "none", "--iterations", "5", "--recolor", "#fff"], 3, "none: no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_done_is_told_in_one_line(folder: Path, arguments: list[str], code: int, words: str) -> None:
    out = run(folder, "a.ply", "-o", "x.ply", *arguments, "-q")
    lines = out.stderr.decode().splitlines()
    assert out.returncode == code, lines
    assert len(lines) <= 2 and lines[0].startswith("error: ") and words in lines[0], lines
    assert not (folder / "x.ply").exists() and not (folder / "x.recipe.json").exists()
