"""``mvgen reconstruct`` in stages, from known cameras, at true size, and around what is broken."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from mvgen.core.alignment import align_cameras, matching_cameras
from mvgen.core.camera import Camera
from mvgen.core.io.cameras import read_cameras
from mvgen.core.io.depth import load_depth
from mvgen.core.io.meshes import load_mesh, load_points
from mvgen.core.splats.files import load_splats
from tests import relief
from tests.cli.test_reconstruct import Box, new_box
from tests.core.sfm import worlds

QUICK = ("--size", "160", "--faces", "2k")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("relief")
    relief.photograph(folder, 4)
    return folder


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return new_box(tmp_path)


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Box:
    """One run from photos to mesh that keeps its work."""
    box = new_box(tmp_path_factory.mktemp("whole"))
    box.ok(photos, "-o", "scene.glb", "--checkpoint", "work", "--save-cameras", "cameras.json", *QUICK)
    return box


def camera_file(path: Path, cameras: list[Camera]) -> Path:
    views = [
        {
            "name": c.name,
            "width": c.width,
            "height": c.height,
            "intrinsics": c.intrinsics.tolist(),
            "world_to_camera": c.world_to_camera.tolist(),
        }
        for c in cameras
    ]
    path.write_text(json.dumps({"views": views}))
    return path


def test_a_second_run_repeats_nothing_and_writes_the_same(whole: Box, photos: Path, box: Box) -> None:
    shutil.copytree(whole.folder / "work", box.folder / "work")
    ran = box.ok(photos, "-o", "scene.glb", "--checkpoint", "work", "-v", *QUICK)
    assert (box.folder / "scene.glb").read_bytes() == (whole.folder / "scene.glb").read_bytes()
    for stage in ("load", "sfm", "stereo", "fusion", "surface"):
        assert f"{stage}: finished earlier" in ran.stderr.decode()


def test_another_option_repeats_only_what_depends_on_it(whole: Box, photos: Path, box: Box) -> None:
    shutil.copytree(whole.folder / "work", box.folder / "work")
    ran = box.ok(photos, "-o", "scene.glb", "--checkpoint", "work", "-v", "--size", "160", "--faces", "500")
    text = ran.stderr.decode()
    assert "fusion: finished earlier" in text and "surface: finished earlier" not in text
    assert len(load_mesh(box.folder / "scene.glb").faces) <= 500


@pytest.mark.slow
def test_stages_one_by_one_give_the_same_as_all_at_once(whole: Box, photos: Path, box: Box) -> None:
    """Through folders that hold nothing but files for other tools."""
    box.ok(photos, "-o", "work", "--stop-after", "stereo", *QUICK)
    names = {p.name for p in (box.folder / "work").iterdir() if not p.name.startswith(".")}
    assert names == {"images", "sparse", "transforms.json", "scene.json", "depth"}
    box.ok("work", "--from", "fusion", "-o", "points.ply", "--stop-after", "fusion", *QUICK)
    expected = load_points(whole.folder / "work" / "points.ply")
    np.testing.assert_array_equal(load_points(box.folder / "points.ply").points, expected.points)
    box.ok("work", "--from", "fusion", "-o", "scene.glb", *QUICK)
    assert (box.folder / "scene.glb").read_bytes() == (whole.folder / "scene.glb").read_bytes()


def test_the_mesh_names_its_scene_and_is_refined_by_its_photos(whole: Box) -> None:
    assert load_mesh(whole.folder / "scene.glb").metadata["scene"] == "work"

    def refine(*arguments: str) -> tuple[dict, str]:
        command = [sys.executable, "-m", "mvgen", "refine", *arguments, "--json"]
        ran = subprocess.run(command, cwd=whole.folder, capture_output=True)
        assert ran.returncode == 0, ran.stderr.decode()
        return json.loads(ran.stdout), ran.stderr.decode()

    report, told = refine("scene.glb", "-o", "fine.glb")
    assert report["how"] == "photos of work" and report["known"] > 0.1 and "the photos of work" in told
    assert load_mesh(whole.folder / "fine.glb").metadata["scene"] == "work"
    (whole.folder / "away").mkdir()
    shutil.copy(whole.folder / "scene.glb", whole.folder / "away" / "scene.glb")
    (whole.folder / "work").rename(whole.folder / "gone")
    report, told = refine("scene.glb", "-o", "away/fine.glb")
    (whole.folder / "gone").rename(whole.folder / "work")
    assert report["how"] == "sharpen 0.5" and "names a scene work that is not there" in told and "--sharpen 0.5" in told


def test_depth_maps_of_another_tool(whole: Box, box: Box) -> None:
    """Depths alone, a tenth of them wrong: what no second view agrees on does not reach the points."""
    scene = box.folder / "scene"
    shutil.copytree(whole.folder / "work", scene, ignore=shutil.ignore_patterns(".mvgen", "*.ply", "scene.json"))
    rng = np.random.default_rng(0)
    for path in (scene / "depth").iterdir():
        depth = load_depth(path).depth.copy()
        wrong = rng.random(depth.shape) < 0.1
        depth[wrong] *= rng.uniform(0.6, 0.9, int(wrong.sum())).astype(np.float32)
        np.savez(path, depth=depth)
    box.ok("scene", "--from", "fusion", "--stop-after", "fusion", "-o", "points.ply")
    points = load_points(box.folder / "points.ply")
    similarity = align_cameras(matching_cameras(read_cameras(whole.folder / "cameras.json"), relief.cameras(4)))
    at = similarity.apply(points.points)
    error = np.abs(at[:, 2] - relief.height_at(at[:, 0], at[:, 1]))
    assert len(points) > 3000 and np.percentile(error, 98) < 0.05


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["photos", "--from", "fusion", "-o", "x.glb"], 3, "no cameras"),
        (["photos/p0.jpg", "--from", "fusion", "-o", "x.glb"], 2, "scene folder"),
        (["photos", "photos", "--from", "stereo", "-o", "x.glb"], 2, "one scene folder"),
        (["photos", "--stop-after", "sfm", "--as", "mesh", "-o", "x.glb"], 2, "makes a scene"),
        (["photos", "--stop-after", "load", "--save-cameras", "c.json", "-o", "out"], 2, "finds no cameras"),
        (["photos", "--stop-after", "sfm", "--previews", "p", "-o", "out"], 2, "no depth maps"),
        (["photos", "--checkpoint", "photos", "-o", "x.glb"], 3, "did not write"),
        (["photos", "--cameras", "c.json", "--intrinsics", "500", "-o", "x.glb"], 2, "both say"),
        (["photos", "--intrinsics", "wide", "-o", "x.glb"], 2, "neither a camera file nor a lens"),
        (["photos", "--cameras", "none.json", "-o", "x.glb"], 3, "none.json"),
        (["photos", "--scale-by", "p0,p1", "-o", "x.glb"], 2, "A,B=1.2m"),
        (["photos", "--scale-by", "A,B=1m", "--marks", "none.csv", "-o", "x.glb"], 3, "none.csv"),
        (["photos", "--add-to", "photos", "-o", "x.glb"], 3, "photos"),
        (["photos", "--from", "fusion", "--cameras", "c.json", "-o", "x.glb"], 2, "--cameras says nothing"),
        (["photos", "--from", "stereo", "--mask-sky", "-o", "x.glb"], 2, "--mask-sky"),
        (["photos", "--marks", "m.csv", "-o", "x.glb"], 2, "--marks"),
        (["photos", "--memory", "100m", "-o", "x.glb"], 1, "more than the 0.1 GB allowed"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: list[str], code: int, told: str, photos: Path, box: Box
) -> None:
    shutil.copytree(photos, box.folder / "photos")
    ran = box.run(*arguments)
    lines = [line for line in ran.stderr.decode().splitlines() if line != "device: cpu"]
    assert ran.returncode == code, lines
    assert lines[0].startswith("error: ") and told in lines[0] and lines[1].startswith("hint: ") and len(lines) == 2
    assert [p.name for p in box.folder.iterdir()] == ["photos"]


def test_memory_is_planned_before_the_run(photos: Path, box: Box) -> None:
    ran = box.ok(photos, "-o", "scene", "--stop-after", "load", "-v", "--memory", "2g")
    assert "memory planned: at most 0.3 GB (load 0.3 GB)" in ran.stderr.decode()


def test_photos_that_cannot_be_read_are_skipped_by_name(photos: Path, box: Box) -> None:
    bad = box.folder / "photos"
    shutil.copytree(photos, bad)
    data = (photos / "p0.jpg").read_bytes()
    (bad / "cut.jpg").write_bytes(data[: len(data) // 2])
    (bad / "empty.jpg").write_bytes(b"")
    (bad / "text.jpg").write_text("not a photo")
    ran = box.run("photos", "-o", "scene", "--stop-after", "load")
    assert ran.returncode == 3 and not (box.folder / "scene").exists()
    ran = box.ok("photos", "-o", "scene", "--stop-after", "load", "--skip-bad")
    for name in ("cut.jpg", "empty.jpg", "text.jpg"):
        assert f"warning: photos/{name}: " in ran.stderr.decode()
    assert sorted(p.name for p in (box.folder / "scene" / "images").iterdir()) == [f"p{i}.jpg" for i in range(4)]


def test_known_cameras_stay_and_the_result_lies_in_their_frame(photos: Path, box: Box) -> None:
    true = relief.cameras(4)
    camera_file(box.folder / "true.json", true)
    box.ok(photos, "-o", "points.ply", "--as", "points", "--cameras", "true.json", "--save-cameras", "c.json", *QUICK)
    for found, camera in zip(read_cameras(box.folder / "c.json"), true):
        assert np.allclose(found.world_to_camera, camera.world_to_camera, atol=1e-9)
        assert np.allclose(found.intrinsics, camera.intrinsics, atol=1e-6)
    points = load_points(box.folder / "points.ply").points
    error = np.abs(points[:, 2] - relief.height_at(points[:, 0], points[:, 1]))
    assert np.median(error) < 0.01


@pytest.mark.slow
def test_a_photo_without_a_camera_is_placed_among_known_ones(photos: Path, box: Box) -> None:
    true = relief.cameras(4)
    camera_file(box.folder / "true.json", true[:3])
    box.ok(photos, "-o", "scene", "--stop-after", "sfm", "--cameras", "true.json")
    found = {c.name: c for c in read_cameras(box.folder / "scene")}
    for camera in true[:3]:
        assert np.allclose(found[camera.name].world_to_camera, camera.world_to_camera, atol=1e-9)
    assert np.linalg.norm(found["p3.jpg"].centre - true[3].centre) < 0.05
    assert np.abs(worlds.turn_errors(list(found.values()), true)).max() < 0.2


@pytest.mark.slow
def test_added_photos_leave_the_scene_where_it_is(photos: Path, box: Box) -> None:
    first = [photos / f"p{i}.jpg" for i in range(3)]
    box.ok(*first, "-o", "old", "--as", "scene", *QUICK)
    box.ok(photos / "p3.jpg", "--add-to", "old", "-o", "new", "--as", "scene", *QUICK)
    old, new = ({c.name: c for c in read_cameras(box.folder / name)} for name in ("old", "new"))
    assert sorted(new) == [f"p{i}.jpg" for i in range(4)]
    for name, camera in old.items():
        assert np.allclose(new[name].world_to_camera, camera.world_to_camera, atol=1e-9)
    assert worlds.turn_errors(list(new.values()), relief.cameras(4)).max() < 0.5
    about = [json.loads((box.folder / name / "scene.json").read_text()) for name in ("old", "new")]
    assert about[0]["result_from_cameras"] == about[1]["result_from_cameras"]


@pytest.mark.parametrize("by", ["photos", pytest.param("marks", marks=pytest.mark.slow)])
def test_true_size(photos: Path, box: Box, by: str) -> None:
    true = relief.cameras(4)
    ends = [true[0].centre, true[3].centre]
    names = "p0.jpg,p3.jpg"
    if by == "marks":
        xy = np.array([[-0.9, 0.3], [0.9, -0.4]])
        ends = [np.array([x, y, relief.height_at(x, y)]) for x, y in xy]
        names = "A,B"
        rows = [
            ",".join([name, c.name, *(f"{v:.2f}" for v in c.project(end)[0])])
            for name, end in zip("AB", ends)
            for c in true
        ]
        (box.folder / "marks.csv").write_text("name,photo,x,y\n" + "\n".join(rows) + "\n")
    length = float(np.linalg.norm(ends[1] - ends[0]))  # the relief's units are metres here
    more = ["--marks", "marks.csv"] if by == "marks" else []
    box.ok(photos, "-o", "scene", "--stop-after", "sfm", "--scale-by", f"{names}={length * 100}cm", *more)
    found = {c.name: c for c in read_cameras(box.folder / "scene")}
    got = np.linalg.norm(found["p0.jpg"].centre - found["p3.jpg"].centre)
    want = np.linalg.norm(true[0].centre - true[3].centre)
    assert got == pytest.approx(want, rel=0.005)
    assert json.loads((box.folder / "scene" / "scene.json").read_text())["units"] == "m"


@pytest.mark.slow
def test_a_killed_run_goes_on_and_writes_the_same(whole: Box, photos: Path, box: Box) -> None:
    """Killed without warning again and again until it is through."""
    expected = (whole.folder / "scene.glb").read_bytes()
    command = box.command(photos, "-o", "scene.glb", "--checkpoint", "work", *QUICK)
    chance = random.Random(1)
    for _ in range(6):
        child = subprocess.Popen(
            command, cwd=box.folder, env=box.environment({}), stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            child.wait(timeout=chance.uniform(0.5, 6))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    deadline = time.monotonic() + 10
    while box.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    for left in box.scratch.iterdir():  # nobody can clean up after a SIGKILL
        shutil.rmtree(left, ignore_errors=True)
    box.ok(photos, "-o", "scene.glb", "--checkpoint", "work", *QUICK)
    assert (box.folder / "scene.glb").read_bytes() == expected


@pytest.mark.parametrize("how", [["work", "--from", "sfm"], ["work/images"], ["photos/p3.jpg", "--add-to", "work"]])
def test_pictures_of_the_checkpoint_itself_are_kept(whole: Box, photos: Path, box: Box, how: list[str]) -> None:
    shutil.copytree(whole.folder / "work", box.folder / "work")
    shutil.copytree(photos, box.folder / "photos")
    before = {p.name: p.read_bytes() for p in (box.folder / "work" / "images").iterdir()}
    ran = box.run(*how, "-o", "scene.glb", "--checkpoint", "work", *QUICK)
    assert ran.returncode == 3 and "written anew" in ran.stderr.decode()
    assert {p.name: p.read_bytes() for p in (box.folder / "work" / "images").iterdir()} == before


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"photos": [{"name": "a"}]}',
        '{"result_from_cameras": "x"}',
        *(pytest.param(text, marks=pytest.mark.slow) for text in ("[]", "3", '{"photos": 3}', '{"units": 7}')),
    ],
)
def test_a_damaged_scene_json_is_named(whole: Box, box: Box, text: str) -> None:
    shutil.copytree(whole.folder / "work", box.folder / "scene", ignore=shutil.ignore_patterns(".mvgen"))
    (box.folder / "scene" / "scene.json").write_text(text)
    ran = box.run("scene", "--from", "surface", "--stop-after", "surface", "-o", "x.ply", *QUICK)
    assert ran.returncode == 3 and "scene.json" in ran.stderr.decode() and "Traceback" not in ran.stderr.decode()


@pytest.mark.slow
def test_what_masks_hide_has_no_depth(photos: Path, box: Box) -> None:
    masks = box.folder / "masks"
    masks.mkdir()
    for i in range(4):
        mask = np.full((relief.SIZE[1], relief.SIZE[0]), 255, np.uint8)
        mask[:, :100] = 0
        Image.fromarray(mask).save(masks / f"p{i}.png")
    box.ok(photos, "-o", "scene", "--stop-after", "stereo", "--masks", "masks", *QUICK)
    assert sorted(p.name for p in (box.folder / "scene" / "masks").iterdir()) == [f"p{i}.jpg.png" for i in range(4)]
    for path in sorted((box.folder / "scene" / "depth").iterdir()):
        depth = load_depth(path).depth
        assert not depth[:, :39].any()
        assert (depth[:, 45:] > 0).mean() > 0.3
    box.ok("scene", "--from", "fusion", "-o", "scene.glb", *QUICK)
    assert len(load_mesh(box.folder / "scene.glb").faces) > 100


def test_photos_without_gps_tell_no_size(photos: Path, box: Box) -> None:
    ran = box.run(photos, "-o", "scene", "--stop-after", "sfm", "--scale-by", "gps")
    assert ran.returncode == 1 and "GPS" in ran.stderr.decode() and not (box.folder / "scene").exists()


def test_frames_of_a_film_are_photos(photos: Path, box: Box) -> None:
    frames = [np.asarray(Image.open(p)) for p in sorted(photos.iterdir())]
    imageio.mimwrite(
        box.folder / "film.mp4", [f for f in frames for _ in range(5)], fps=10, quality=9, macro_block_size=4
    )
    box.ok("film.mp4", "--frames", "4", "-o", "scene", "--stop-after", "load", "--contrast", "1")
    assert len(list((box.folder / "scene" / "images").iterdir())) == 4
    ran = box.run(photos, "--frames", "4", "-o", "other", "--stop-after", "load")
    assert ran.returncode == 2 and "no video" in ran.stderr.decode()


@pytest.mark.slow
def test_photos_become_splats(whole: Box, photos: Path) -> None:
    few = ("--set", "splats.iterations=120", "--set", "splats.splats=3000", "--set", "splats.size=200")
    done = whole.ok(photos, "-o", "scene.spz", "--as", "splats", "--checkpoint", "work", "--json", *QUICK, *few)
    report = json.loads(done.stdout)
    splats = load_splats(whole.folder / "scene.spz")
    assert report["splats"] == len(splats) <= 3000
    assert report["fitted"]["photos"] == report["registered"] and report["fitted"]["psnr"] > 18
