"""mvgen select-region, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvgen.core.geometry import PointCloud
from mvgen.core.io.meshes import save_mesh, save_points
from mvgen.core.nearest import sample_surface
from mvgen.core.region.files import load_region, load_regions, open_region
from mvgen.core.splats.files import load_splats, save_splats
from tests.core.region import networks
from tests.core.region.made import on_sphere, sphere, splats_at
from tests.core.surface.test_subdivide import cube

POINTS = on_sphere(2000)
UPPER = "-2,0,-2,2,2,2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mesh, points, splats, a grid and two cameras of one sphere."""
    out = tmp_path_factory.mktemp("select")
    save_mesh(sphere(3), out / "mesh.glb")
    save_points(PointCloud(POINTS), out / "points.ply")
    save_splats(splats_at(POINTS, 0.05), out / "splats.ply")
    side = np.linspace(-1.5, 1.5, 24)
    inside = np.linalg.norm(np.stack(np.meshgrid(side, side, side, indexing="ij"), -1), axis=-1) < 1
    np.savez(out / "grid.npz", values=inside, bounds=[[-1.5] * 3, [1.5] * 3])
    np.save(out / "binaries.npy", inside[None])
    views = []
    for name, sign in (("front.png", 1), ("back.png", -1)):
        pose = np.diag([sign, -1.0, -sign, 1])
        pose[2, 3] = 4
        lens = [[60, 0, 32], [0, 60, 24], [0, 0, 1]]
        views.append({"name": name, "intrinsics": lens, "world_to_camera": pose.tolist()})
    (out / "cameras.json").write_text(json.dumps({"width": 64, "height": 48, "views": views}))
    mask = np.zeros((48, 64), np.uint8)
    mask[:24] = 255
    Image.fromarray(mask).save(out / "mask.png")
    return out


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mvgen", "select-region", *arguments]
    done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True)
    assert b"Traceback" not in done.stderr
    return done


def ok(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    done = run(folder, *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("name", ["mesh.glb", "points.ply", "splats.ply"])
def test_a_box_of_every_kind_of_shape(folder: Path, name: str) -> None:
    from mvgen.core.region.things import load_things

    report = json.loads(ok(folder, name, "-o", "box.npz", "--box", UPPER, "--json"))
    of = load_things(folder / name, name)
    region = load_region(folder / "box.npz", of.kind, of.count)
    assert np.array_equal(region.mask, of.places[:, 1] >= 0)
    assert report["kind"] == of.kind and report["selected"] == int(region.mask.sum()) and report["count"] == of.count
    assert report["bounds"][0][1] >= 0


def test_large_faces_on_the_border_are_told(folder: Path) -> None:
    save_mesh(sphere(1), folder / "coarse.ply")
    done = run(folder, "coarse.ply", "-o", "coarse.npz", "--box", "-2,0.1,-2,2,2,2")
    assert done.returncode == 0 and b"of its area is in faces that are partly selected" in done.stderr
    assert b"partly" not in run(folder, "mesh.glb", "-o", "fine.npz", "--box", "-2,0.8,-2,2,2,2").stderr


def test_a_region_of_a_mesh_is_carried_to_points_and_splats_and_edits(folder: Path) -> None:
    save_mesh(cube(), folder / "cube.ply")
    points = sample_surface(cube(), 3000, np.random.default_rng(0))[0].points
    save_points(PointCloud(points), folder / "on.ply")
    save_splats(splats_at(points, 0.02), folder / "on-splats.ply")
    report = json.loads(ok(folder, "cube.ply", "-o", "corner.npz", "--box=0.1,-9,-9,9,9,9", "--json"))
    assert (report["count"], report["selectable"], report["selected"]) == (8, 8, 4)
    for name, kind in (("on.ply", "points"), ("on-splats.ply", "splats")):
        done = run(folder, name, "-o", "carried.npz", "--region", "corner.npz")
        assert done.returncode == 0 and b"corner.npz: is a region of 8 vertices: carried to 3000 " in done.stderr
        mask = load_region(folder / "carried.npz", kind, 3000).mask
        assert np.mean(mask == (points[:, 0] >= 0.1)) > 0.98
    command = [sys.executable, "-m", "mvgen", "edit", "on-splats.ply", "-o", "less.ply", "--region", "corner.npz"]
    done = subprocess.run([*command, "--remove"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 and "carried to 3000 splats" in done.stderr, done.stderr
    assert abs(len(load_splats(folder / "less.ply")) - (points[:, 0] < 0.1).sum()) < 60
    done = run(folder, "points.ply", "-o", "x.npz", "--region", "corner.npz")
    assert done.returncode == 3 and b"corner.npz: is a region of 8 vertices, which lie elsewhere" in done.stderr


def test_a_box_within_a_face_selects_places_on_it(folder: Path) -> None:
    save_mesh(cube(), folder / "cube.ply")
    done = run(folder, "cube.ply", "-o", "patch.npz", "--box=0.4,-0.2,-0.2,9,0.2,0.2", "--preview", "patch.png")
    assert done.returncode == 0 and b"on its faces are selected, but none of its vertices" in done.stderr
    assert not load_region(folder / "patch.npz", "vertices", 8).mask.any()
    ok(folder, "cube.ply", "-o", "patch.npz", "--half-space=-1,0,0,0.2", "--name", "left", "--append")
    both = open_region(folder / "patch.npz").on_places()
    assert [one.name for one in both] == ["region", "left"] and 0 < both[0].mask.sum() < both[1].mask.sum()


@pytest.mark.slow
def test_a_grid_goes_into_a_folder_of_interactive3d_and_back(folder: Path) -> None:
    ok(folder, "binaries.npy", "-o", "upper.npz", "--box=-2,0,-2,2,2,2", "--preview", "upper.png")
    ok(folder, "binaries.npy", "-o", "parts/", "--region", "upper.npz", "--invert")
    indices = np.load(folder / "parts" / "occ_index_0_gs.npy")
    upper = load_region(folder / "upper.npz", "cells", 24**3)
    occupied = np.load(folder / "binaries.npy").reshape(-1)
    assert np.array_equal(np.isin(np.arange(24**3), indices), occupied & ~upper.mask)
    ok(folder, "parts", "-o", "again.npy", "--region", "parts:0")
    assert np.array_equal(np.load(folder / "again.npy"), indices)
    with Image.open(folder / "upper.png") as picture:
        assert picture.size[0] > 480
    ok(folder, "grid.npz", "-o", "cells.npz", "--sphere", "0,0,0,0.5")


def test_algebra_through_pipes_and_files(folder: Path) -> None:
    left = ok(folder, "points.ply", "-o", "-", "--half-space=-1,0,0,0")
    (folder / "left.npz").write_bytes(left)
    ok(folder, "points.ply", "-o", "a.npz", "--box", UPPER, "--and", "-", stdin=left)
    ok(folder, "points.ply", "-o", "o.npz", "--box", UPPER, "--or", "left.npz")
    ok(folder, "points.ply", "-o", "m.npz", "--box", UPPER, "--minus", "left.npz")
    ok(folder, "points.ply", "-o", "i.npz", "--region", "m.npz", "--invert")
    low, up = POINTS.astype(np.float32)[:, 0] <= 0, POINTS.astype(np.float32)[:, 1] >= 0
    for name, wanted in (("a", low & up), ("o", low | up), ("m", up & ~low), ("i", ~(up & ~low))):
        assert np.array_equal(load_region(folder / f"{name}.npz", "points", 2000).mask, wanted)


@pytest.mark.slow
def test_named_regions_in_one_file(folder: Path) -> None:
    ok(folder, "points.ply", "-o", "named.npz", "--box", UPPER, "--name", "top")
    ok(folder, "points.ply", "-o", "named.npz", "--half-space", "0,-1,0,0", "--name", "bottom", "--append")
    ok(folder, "points.ply", "-o", "named.npz", "--half-space", "0,1,0,0.5", "--name", "top", "--append")
    names = {r.name: r.mask.sum() for r in load_regions(folder / "named.npz", "points", 2000)}
    assert set(names) == {"top", "bottom"} and 350 < names["top"] < 650
    ok(folder, "points.ply", "-o", "two.npz", "--region", "named.npz:top", "--or", "named.npz:bottom")
    done = run(folder, "points.ply", "-o", "x.npz", "--region", "named.npz")
    assert done.returncode == 2 and b"several regions: bottom, top" in done.stderr


@pytest.mark.slow
def test_cameras_masks_clicks_and_lassos(folder: Path) -> None:
    seen = ("--cameras", "cameras.json")
    ok(folder, "mesh.glb", "-o", "mask.npz", "--mask", "mask.png:front", *seen)
    ok(folder, "mesh.glb", "-o", "lasso.npz", "--lasso", "front.png:0,0,64,0,64,24,0,24", *seen)
    masks = [load_region(folder / f"{n}.npz", "vertices", 642) for n in ("mask", "lasso")]
    assert np.array_equal(masks[0].mask, masks[1].mask)
    assert masks[0].bounds is not None and masks[0].bounds[0][1] > -0.1 and masks[0].bounds[0][2] > 0
    ok(folder, "mesh.glb", "-o", "click.npz", "--click", "#1:32,24,0.3", *seen, "--preview", "click.png")
    bounds = load_region(folder / "click.npz", "vertices", 642).bounds
    assert bounds is not None and bounds[1][2] < -0.9
    ok(folder, "splats.ply", "-o", "standard.npz", "--click", "view_000:480,360", "--opacity", "0.5..", "--grow", "1%")


@pytest.mark.slow
def test_words_and_sam(folder: Path, tmp_path: Path) -> None:
    weights = ["--weights", str(networks.clipseg(tmp_path / "a")), "--weights", str(networks.sam(tmp_path / "b"))]
    ok(folder, "points.ply", "-o", "x.npz", "--text", "wings", "--allow-empty", *weights)
    ok(folder, "points.ply", "-o", "x.npz", "--sam", "view_000:480,360", "--allow-empty", *weights)


def test_nothing_selected_is_told_and_not_written(folder: Path) -> None:
    done = run(folder, "points.ply", "-o", "none.npz", "--sphere", "9,9,9,1")
    assert done.returncode == 1 and not (folder / "none.npz").exists()
    assert b"none of its 2,000 points is selected" in done.stderr and b"hint: it spans" in done.stderr
    ok(folder, "points.ply", "-o", "none.npz", "--sphere", "9,9,9,1", "--allow-empty", "--preview", "none.png")
    assert not load_region(folder / "none.npz", "points", 2000).mask.any()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "nothing says what to select"),
        (["--invert"], 2, "nothing says what to select"),
        (["--box", "1,2,3"], 2, "--box 1,2,3: is not a box"),
        (["--sphere", "0,0,nan,1"], 2, "--sphere 0,0,nan,1: is not a place and a radius"),
        (["--box", UPPER, "--grow", "nan"], 2, "--grow nan: is not a length"),
        (["--click", "side:1,2"], 2, "no camera has the name side"),
        (["--click", "1,2"], 2, "--click 1,2: is not"),
        (["--click", "view_000:1,1"], 1, "nothing of it is at 1,1 in view_000.png"),
        (["--mask", "mask.png"], 2, "--mask mask.png: is not"),
        (["--mask", "gone.png:front", "--cameras", "cameras.json"], 3, "gone.png: no such file"),
        (["--mask", "points.ply:front", "--cameras", "cameras.json"], 3, "points.ply"),
        (["--lasso", "front:1,1,2,2,1,2", "--cameras", "gone.json"], 3, "gone.json: no such file"),
        (["--opacity", "0.5.."], 1, "points.ply: points have no opacities"),
        (["--color", "#ff0000"], 1, "points.ply: its points have no colours"),
        (["--normal", "0,1,0"], 1, "points.ply: its points have no normals"),
        (["--inside", "splats.ply"], 3, "splats.ply"),
        (["--inside", "points.ply"], 3, "points.ply: has no faces"),
        (["--region", "gone.npz"], 3, "gone.npz: no such file"),
        (["--region", "other.npz"], 3, "other.npz: is a region of splats, not of points"),
        (["--region", "few.npz"], 3, "few.npz: is a region of 7 points, but the input has 2000"),
        (["--box", UPPER, "--minus", "mask.png"], 3, "mask.png: not a readable region"),
        (["--box", UPPER, "--preview", "a.txt"], 2, "--preview a.txt"),
        (["--box", UPPER, "--preview", "gone/a.png"], 3, "gone/a.png"),
        (["--component", "7"], 1, "points.ply: has 1 part, not 7"),
        (["--text", " "], 2, "--text"),
        (["--text", "wings"], 4, "mvgen models pull clipseg"),
        (["--sam", "view_000:480,360"], 4, "mvgen models pull sam"),
        (["--sam", "view_000:480,360", "--weights", "gone"], 3, "gone: no such file"),
    ],
)
def test_what_is_wrong_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    from mvgen.core.region.files import save_region
    from mvgen.core.region.model import Region

    monkeypatch.setenv("HF_HOME", str(tmp_path))
    save_region(Region("splats", np.ones(2000, bool)), folder / "other.npz")
    save_region(Region("points", np.ones(7, bool)), folder / "few.npz")
    (folder / "wrong.npz").unlink(missing_ok=True)
    done = run(folder, "points.ply", "-o", "wrong.npz", *arguments)
    text = done.stderr.decode()
    assert (done.returncode, words in text, "hint: " in text) == (code, True, True), text
    assert not (folder / "wrong.npz").exists()


def test_without_viser_the_way_to_it_is_told(folder: Path) -> None:
    script = "import sys; sys.modules['viser'] = None; from mvgen.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, "select-region", "points.ply", "-o", "x.npz", "--interactive"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and 'hint: pip install "mvgen[demo]"' in done.stderr


def test_outputs_that_cannot_be(folder: Path) -> None:
    for output, words in (("a.txt", "cannot write a region as .txt"), ("out/", "is a folder, which holds parts")):
        done = run(folder, "points.ply", "-o", output, "--box", UPPER)
        assert done.returncode == 2 and words in done.stderr.decode()
    done = run(folder, "points.ply", "-o", "-", "--box", UPPER, "--append")
    assert done.returncode == 2 and b"--append" in done.stderr
    np.savez(folder / "foreign.npz", x=np.ones(3))
    done = run(folder, "points.ply", "-o", "foreign.npz", "--box", UPPER, "--append")
    assert done.returncode == 3 and b"foreign.npz: holds no region" in done.stderr
