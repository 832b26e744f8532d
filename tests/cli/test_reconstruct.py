"""mvgen reconstruct, end to end, on photos of a relief whose shape is a formula."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mvgen.core.alignment import align_cameras, matching_cameras
from mvgen.core.io.cameras import read_camera_model, read_cameras
from mvgen.core.io.meshes import load_mesh, load_points
from mvgen.core.render.raycast import render_mesh
from tests import relief
from tests.core.sfm import worlds

QUICK = ("--size", "200", "--faces", "3k")
OLD = b"an older result"


@dataclass(frozen=True)
class Box:
    """A folder to run in, and an empty one for temporary files."""

    folder: Path
    scratch: Path

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        return {**os.environ, "TMPDIR": str(self.scratch), "MVGEN_TEST": str(self.scratch), **more}

    def command(self, *arguments: str | Path, interpreter: tuple[str, ...] = ()) -> list[str]:
        return [sys.executable, *interpreter, "-m", "mvgen", "reconstruct", *map(str, arguments)]

    def run(
        self, *arguments: str | Path, interpreter: tuple[str, ...] = (), **more: str
    ) -> subprocess.CompletedProcess[bytes]:
        command = self.command(*arguments, interpreter=interpreter)
        done = subprocess.run(command, cwd=self.folder, capture_output=True, env=self.environment(more))
        self.check_clean()
        return done

    def ok(self, *arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
        done = self.run(*arguments, **more)
        assert done.returncode == 0, done.stderr.decode()
        return done

    def check_clean(self) -> None:
        assert list(self.scratch.iterdir()) == [], "temporary files were left behind"
        assert [p for p in self.folder.iterdir() if p.name.startswith(".mvgen")] == []
        assert self.processes() == []

    def processes(self) -> list[int]:
        """Running processes that were started here, found by their environment."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                alive = entry.parent.joinpath("stat").read_text().rpartition(") ")[2][0] != "Z"
                if alive and f"MVGEN_TEST={self.scratch}".encode() in entry.read_bytes().split(b"\0"):
                    found.append(int(entry.parent.name))
            except OSError:
                continue
        return found


def new_box(folder: Path) -> Box:
    box = Box(folder / "work", folder / "tmp")
    box.folder.mkdir()
    box.scratch.mkdir()
    return box


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return new_box(tmp_path)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos of the relief."""
    folder = tmp_path_factory.mktemp("relief")
    relief.photograph(folder, 4)
    return folder


@dataclass(frozen=True)
class Done:
    box: Box
    report: dict[str, Any]
    text: str  # standard error without the lines about imports
    imported: set[str]


@pytest.fixture(scope="session")
def done(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run with everything that a run can write."""
    box = new_box(tmp_path_factory.mktemp("done"))
    (box.folder / "scene.glb").write_bytes(OLD)
    more = ["--save-cameras", "transforms.json", "--previews", "previews", "--json", "-v", "--threads", "2"]
    ran = box.ok(photos, "-o", "scene.glb", *QUICK, *more, interpreter=("-X", "importtime"))
    lines = ran.stderr.decode().splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    text = "\n".join(line for line in lines if not line.startswith("import time:"))
    return Done(box, json.loads(ran.stdout), text, imported)


# What a run tells


def test_report(done: Done) -> None:
    report = done.report
    assert report["command"] == "reconstruct" and report["device"] == "cpu" and report["seed"] == 0
    assert report["written"] == ["scene.glb", "transforms.json", "previews"]
    assert [p["name"] for p in report["photos"]] == ["p0.jpg", "p1.jpg", "p2.jpg", "p3.jpg"]
    assert all(p["registered"] and p["matches"] > 100 and p["neighbour"] for p in report["photos"])
    assert report["registered"] == 4 and 0 < report["reprojection_error_px"] < 0.5
    assert 0 < report["faces"] <= 3000 and report["vertices"] > 500 and report["points"] > 1000
    assert report["method"] == "classic" and report["options"]["stereo"]["size"] == 200
    stages = {"load", "features", "matches", "cameras", "depth", "fusion", "surface", "texture", "total"}
    assert stages <= set(report["seconds"])
    assert 50 < report["peak_memory_mb"] < 1500
    assert np.shape(report["result_from_cameras"]) == (4, 4)


def test_what_a_person_reads(done: Done) -> None:
    lines = done.text.splitlines()
    assert lines[-1].startswith("scene.glb: ") and lines[-1].endswith("from 4 of 4 photos")
    assert any(line.startswith("depth: ") for line in lines)
    assert "Traceback" not in done.text


def test_nothing_heavy_is_imported(done: Done) -> None:
    assert "mvgen.core.stereo.depth" in done.imported
    assert not {"torch", "pycolmap", "rich", "trimesh", "diffusers"} & done.imported


# The result


def shape_errors(vertices: np.ndarray, cameras: list[Any]) -> np.ndarray:
    """Heights above the true relief of a result's points, in shares of its length, brought there by its cameras."""
    points = align_cameras(matching_cameras(cameras, relief.cameras(4))).apply(vertices)
    return np.abs(points[:, 2] - relief.height_at(points[:, 0], points[:, 1])) / (2 * relief.HALF[0])


def test_mesh_has_the_shape_of_the_relief(done: Done) -> None:
    mesh = load_mesh(done.box.folder / "scene.glb")
    assert 0 < len(mesh.faces) <= 3000
    errors = shape_errors(mesh.vertices, read_cameras(done.box.folder / "transforms.json"))
    assert np.median(errors) < 0.003 and np.percentile(errors, 90) < 0.01
    assert np.ptp(mesh.vertices, axis=0).max() == pytest.approx(2, rel=0.35)  # the box is that of the sparse points
    assert np.abs(mesh.bounds.mean(axis=0)).max() < 0.3


def test_mesh_looks_like_the_photos_from_the_saved_cameras(done: Done, photos: Path) -> None:
    mesh = load_mesh(done.box.folder / "scene.glb")
    assert mesh.texture is not None and mesh.uv is not None
    for camera in read_cameras(done.box.folder / "transforms.json"):
        view = render_mesh(mesh, camera)
        photo = np.asarray(Image.open(photos / camera.name).resize((camera.width, camera.height))) / 255
        seen = view.alpha > 0.99
        assert seen.mean() > 0.4
        psnr = -10 * np.log10(np.mean((view.color - photo)[seen] ** 2))
        assert psnr > 20


def test_file_remembers_how_it_came_to_be(done: Done) -> None:
    metadata = load_mesh(done.box.folder / "scene.glb").metadata
    own = metadata.get("mvgen", metadata)
    assert own["up"] == "+Y" and own["photos"] == ["p0.jpg", "p1.jpg", "p2.jpg", "p3.jpg"]
    assert np.allclose(own["result_from_cameras"], done.report["result_from_cameras"], atol=1e-6)


def test_previews(done: Done) -> None:
    names = {p.name for p in (done.box.folder / "previews").iterdir() if not p.name.startswith(".")}
    each = {f"p{i}_{what}.png" for i in range(4) for what in ("depth", "confidence")}
    assert names == each | {"cameras.png", "contact_sheet.png"}
    for name in names:
        Image.open(done.box.folder / "previews" / name).load()
    assert Image.open(done.box.folder / "previews" / "p0_depth.png").size == (200, 150)


@pytest.mark.slow
def test_same_bytes_for_another_number_of_threads_and_through_a_pipe(done: Done, photos: Path, box: Box) -> None:
    ran = box.ok(photos, "-o", "-", "--format", "glb", *QUICK, "--threads", "1", "--json")
    assert ran.stdout == (done.box.folder / "scene.glb").read_bytes()
    assert json.loads(ran.stderr.splitlines()[-1])["output"] == "-"
    assert list(box.folder.iterdir()) == []


@pytest.mark.slow
def test_points_and_a_camera_model(photos: Path, box: Box) -> None:
    box.ok(photos, "-o", "cloud.ply", "--as", "points", "--save-cameras", "model", *QUICK)
    cloud = load_points(box.folder / "cloud.ply")
    assert len(cloud) > 1000
    assert cloud.normals is not None and cloud.colours is not None and cloud.confidence is not None
    model = read_camera_model(box.folder / "model")
    assert {c.name for c in model.cameras} == {"p0.jpg", "p1.jpg", "p2.jpg", "p3.jpg"}
    assert np.median(shape_errors(cloud.points, list(model.cameras))) < 0.003


@pytest.mark.slow
def test_any_name_will_do(photos: Path, box: Box) -> None:
    """Spaces, letters of other alphabets, signs that mean something to a shell; the same name in two folders."""
    names = ["summer trip/my photo (1).jpg", "été/my photo (1).JPG", "été/-写真;$(x)'.jpg"]
    for i, name in enumerate(names):
        path = box.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((photos / f"p{i}.jpg").read_bytes())
    more = ["--as", "points", "--save-cameras", "model", "--previews", "previews", *QUICK, "--json"]
    ran = box.ok(*(box.folder / n for n in names), "-o", "my cloud.ply", *more)
    report = json.loads(ran.stdout)
    assert report["registered"] == 3
    listed = [p["name"] for p in report["photos"]]
    assert len(set(listed)) == 3 and Path(names[2]).name in listed
    assert {c.name for c in read_camera_model(box.folder / "model").cameras} == set(listed)
    assert len(list((box.folder / "previews").glob("*_depth.png"))) == 3


@pytest.mark.slow
def test_scene_folder(photos: Path, box: Box) -> None:
    box.ok(photos, "-o", "scene", "--as", "scene", *QUICK)
    folder = box.folder / "scene"
    assert {"images", "sparse", "transforms.json", "depth", "points.ply"} <= {p.name for p in folder.iterdir()}
    cameras = read_cameras(folder)
    with np.load(folder / "depth" / "p1.npz", allow_pickle=False) as data:
        depth = data["depth"]
        assert depth.shape == (150, 200) and (depth > 0).mean() > 0.5
        assert np.allclose(data["world_to_camera"], next(c for c in cameras if c.name == "p1.jpg").world_to_camera)
    assert np.median(shape_errors(load_points(folder / "points.ply").points, cameras)) < 0.003
    assert sorted(p.name for p in (folder / "images").iterdir()) == [f"p{i}.jpg" for i in range(4)]
    box.ok(photos, "-o", "scene", "--as", "scene", *QUICK)  # its own earlier result may be replaced
    (folder / "mine.txt").write_text("keep me")
    refused = box.run(photos, "-o", "scene", "--as", "scene", *QUICK)
    assert refused.returncode == 3 and b"mine.txt" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_other_formats(photos: Path, box: Box, suffix: str) -> None:
    box.ok(photos, "-o", f"relief{suffix}", *QUICK)
    mesh = load_mesh(box.folder / f"relief{suffix}")
    assert 0 < len(mesh.faces) <= 3000
    names = {p.suffix for p in box.folder.iterdir()}
    if suffix == ".obj":
        assert mesh.texture is not None and ".mtl" in names
    else:
        assert mesh.colours is not None and names == {".ply"}


@pytest.mark.slow
def test_another_seed_is_another_run_of_about_the_same_shape(photos: Path, box: Box, done: Done) -> None:
    box.ok(photos, "-o", "other.glb", "--save-cameras", "transforms.json", *QUICK, "--seed", "5")
    assert (box.folder / "other.glb").read_bytes() != (done.box.folder / "scene.glb").read_bytes()
    errors = shape_errors(load_mesh(box.folder / "other.glb").vertices, read_cameras(box.folder / "transforms.json"))
    assert np.median(errors) < 0.003


@pytest.mark.slow
def test_two_photos(photos: Path, box: Box) -> None:
    ran = box.ok(photos / "p1.jpg", photos / "p2.jpg", "-o", "two.glb", "--save-cameras", "t.json", *QUICK)
    assert b"from 2 of 2 photos" in ran.stderr
    mesh, cameras = load_mesh(box.folder / "two.glb"), read_cameras(box.folder / "t.json")
    assert mesh.texture is not None and len(mesh.faces) > 300
    for camera in cameras:
        assert (render_mesh(mesh, camera, 1).alpha > 0).mean() > 0.3


@pytest.mark.slow
def test_a_photo_that_does_not_belong_is_named_and_left_out(photos: Path, box: Box) -> None:
    stranger = box.folder / "holiday.jpg"
    worlds.save_photo(worlds.texture(99, 300, 400), stranger)
    ran = box.ok(*sorted(photos.glob("*.jpg"))[:3], stranger, "-o", "out.ply", "--as", "points", *QUICK, "--json")
    report = json.loads(ran.stdout)
    assert report["registered"] == 3
    verdict = report["photos"][-1]
    assert not verdict["registered"] and verdict["name"] == "holiday.jpg" and verdict["reason"] and verdict["advice"]
    assert any("holiday.jpg" in warning for warning in report["warnings"])
    assert b"warning: holiday.jpg: " in ran.stderr and b"from 3 of 4 photos" in ran.stderr


# What cannot be done, and what is wrong with the files


def refused(box: Box, code: int, *arguments: str | Path) -> str:
    """Run where an older result lies; it must still be there. Returns the error and its hint."""
    (box.folder / "out.glb").write_bytes(OLD)
    before = sorted(box.folder.rglob("*"))
    ran = box.run(*arguments, "-o", "out.glb", *QUICK, "-v")
    text = ran.stderr.decode()
    assert ran.returncode == code, text
    assert ran.stdout == b"" and "Traceback" not in text
    assert (box.folder / "out.glb").read_bytes() == OLD
    assert sorted(box.folder.rglob("*")) == before
    error, hint = text.splitlines()[-2:]
    assert error.startswith("error: ") and hint.startswith("hint: ")
    if code == 3:
        assert "features: " not in text, "work had begun"
    return text


def test_one_photo(photos: Path, box: Box) -> None:
    assert "one photo" in refused(box, 1, photos / "p0.jpg")


def damage(kind: str, photo: Path) -> bytes:
    data = photo.read_bytes()
    if kind == "truncated":
        return data[: len(data) // 3]
    if kind == "corrupt":
        return data[:600] + bytes(400) + np.random.default_rng(0).bytes(len(data) // 2)
    other = {"empty": b"", "text": b"Dear reader,\n" * 90, "gif": b"GIF89a" + bytes(2000), "mesh": b"glTF" + bytes(99)}
    return other[kind]


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "corrupt", "text", "gif", "mesh"])
def test_a_bad_file_among_good_ones_is_named_before_work_starts(photos: Path, box: Box, kind: str) -> None:
    bad = box.folder / "bad.jpg"
    if kind != "missing":
        bad.write_bytes(damage(kind, photos / "p1.jpg"))
    text = refused(box, 3, photos / "p0.jpg", bad, photos / "p2.jpg", photos / "p3.jpg")
    assert f"error: {bad}: " in text


def test_a_file_of_another_kind_is_refused_by_name(photos: Path, box: Box) -> None:
    (box.folder / "notes.txt").write_text("no photo")
    assert "notes.txt: not a photo" in refused(box, 3, photos / "p0.jpg", box.folder / "notes.txt")


def test_an_empty_folder(box: Box) -> None:
    (box.folder / "none").mkdir()
    assert "no photos in this folder" in refused(box, 3, box.folder / "none")


def test_photos_that_do_not_overlap(box: Box) -> None:
    for seed in range(3):
        worlds.save_photo(worlds.texture(50 + seed, 300, 400), box.folder / f"{seed}.jpg")
    text = refused(box, 1, *(box.folder / f"{seed}.jpg" for seed in range(3)))
    assert "do not overlap" in text


@pytest.mark.slow
def test_a_camera_that_only_turns(box: Box) -> None:
    paths = worlds.photograph(box.folder, worlds.turning(3), (worlds.WALL, worlds.BOX))
    assert "the camera only turned" in refused(box, 1, *paths)


@pytest.mark.slow
def test_a_flat_wall_becomes_a_flat_mesh(box: Box) -> None:
    paths = worlds.photograph(box.folder, worlds.sideways(3), (worlds.WALL,))
    ran = box.ok(*paths, "-o", "wall.glb", *QUICK)
    assert b"from 3 of 3 photos" in ran.stderr
    vertices = load_mesh(box.folder / "wall.glb").vertices
    sizes = np.linalg.svd(vertices - vertices.mean(axis=0), compute_uv=False)
    assert sizes[2] < 0.02 * sizes[0]


@pytest.mark.slow
def test_a_flat_wall_without_a_focal_length_is_explained(box: Box) -> None:
    paths = worlds.photograph(box.folder, worlds.sideways(3), (worlds.WALL,), with_focal=False)
    assert "flat" in refused(box, 1, *paths)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["-o", "out.png"], 2, "mesh cannot be written as .png"),
        (["-o", "out"], 2, "--as scene for a folder"),
        (["-o", "cloud.obj", "--as", "points"], 2, "points cannot be written as .obj"),
        (["-o", "-", "--format", "png"], 2, "mesh cannot be written as .png"),
        (["-o", "-", "--as", "scene"], 2, "a folder cannot go to standard output"),
        (["-o", "missing/out.glb"], 3, "its folder does not exist"),
        (["-o", "out.glb", "--save-cameras", "missing/t.json"], 3, "its folder does not exist"),
        (["-o", "out.glb", "--previews", "full"], 3, "holds files that mvgen did not write"),
        (["-o", "old.glb", "--no-overwrite"], 3, "exists already"),
        (["-o", "out.glb", "--set", "stereo.siez=3"], 2, "did you mean stereo.size?"),
        (["-o", "out.glb", "--set", "stereo.sources=0"], 2, "from 1 to 64"),
        (["-o", "out.glb", "--set", "surface.depth=30"], 2, "from 0 to 12"),
        (["-o", "out.glb", "--faces", "0"], 2, "at least 4"),
        (["-o", "out.glb", "--size", "10"], 2, "greater than or equal to 64"),
        (["-o", "out.glb", "--device", "gpu"], 2, "no such device"),
    ],
)
def test_what_could_not_be_written_is_refused_before_work(
    photos: Path, box: Box, arguments: list[str], code: int, told: str
) -> None:
    (box.folder / "old.glb").write_bytes(OLD)
    (box.folder / "full").mkdir()
    (box.folder / "full" / "mine.txt").write_text("keep me")
    before = sorted(box.folder.rglob("*"))
    ran = box.run(photos, *arguments, "-v")
    text = ran.stderr.decode()
    assert (ran.returncode, told in text) == (code, True), text
    assert "load: " not in text
    assert sorted(box.folder.rglob("*")) == before and (box.folder / "old.glb").read_bytes() == OLD


# Interrupts


def start(box: Box, photos: Path, *arguments: str) -> subprocess.Popen[bytes]:
    (box.folder / "out.glb").write_bytes(OLD)
    command = box.command(photos, "-o", "out.glb", "-v", *arguments)
    return subprocess.Popen(command, cwd=box.folder, env=box.environment({}), stderr=subprocess.PIPE)


def wait_for(job: subprocess.Popen[bytes], stage: str) -> list[str]:
    """Read until the stage is told to be over; the lines so far."""
    lines = []
    assert job.stderr is not None
    for line in job.stderr:
        lines.append(line.decode())
        if line.startswith(f"{stage}: ".encode()):
            return lines
    raise AssertionError(f"{stage} never ended: {''.join(lines)}")


def check_nothing_happened(box: Box, job: subprocess.Popen[bytes], code: int) -> str:
    assert job.stderr is not None
    text = job.stderr.read().decode()
    assert job.wait(timeout=30) == code, text
    assert sorted(p.name for p in box.folder.iterdir()) == ["out.glb"]
    assert (box.folder / "out.glb").read_bytes() == OLD
    box.check_clean()
    return text


@pytest.fixture
def jobs() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Jobs that are ended with the test, whatever becomes of it."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for job in started:
        if job.poll() is None:
            job.kill()
        job.wait()
        if job.stderr is not None:
            job.stderr.close()


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        pytest.param("load", signal.SIGINT),  # while the worker looks for features
        pytest.param("undistort", signal.SIGTERM),  # while depths are estimated
        pytest.param("matches", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("depth", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("fusion", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("surface", signal.SIGHUP, marks=pytest.mark.slow),
    ],
    ids=lambda v: v if isinstance(v, str) else v.name,
)
def test_interrupt_leaves_nothing(
    box: Box, photos: Path, jobs: list[subprocess.Popen[bytes]], stage: str, number: signal.Signals
) -> None:
    jobs.append(start(box, photos, *QUICK, "--previews", "previews"))
    wait_for(jobs[0], stage)
    time.sleep(0.3)
    jobs[0].send_signal(number)
    assert check_nothing_happened(box, jobs[0], 130).endswith("error: interrupted\n")


def worker_of(box: Box, job: subprocess.Popen[bytes]) -> int:
    for _ in range(200):
        others = [pid for pid in box.processes() if pid != job.pid]
        if others:
            return others[0]
        time.sleep(0.05)
    raise AssertionError("no worker was started")


def test_a_worker_that_is_killed_is_explained(box: Box, photos: Path, jobs: list[subprocess.Popen[bytes]]) -> None:
    jobs.append(start(box, photos, *QUICK))
    wait_for(jobs[0], "load")
    os.kill(worker_of(box, jobs[0]), signal.SIGKILL)
    text = check_nothing_happened(box, jobs[0], 1)
    assert "error: finding the cameras was killed from outside" in text and "hint: " in text


def test_a_worker_ends_when_its_parent_is_killed(box: Box, photos: Path, jobs: list[subprocess.Popen[bytes]]) -> None:
    jobs.append(start(box, photos, *QUICK))
    wait_for(jobs[0], "load")
    worker = worker_of(box, jobs[0])
    jobs[0].kill()
    for _ in range(200):
        if not box.processes():
            break
        time.sleep(0.05)
    assert worker not in box.processes()
    assert (box.folder / "out.glb").read_bytes() == OLD


# Surroundings


@pytest.mark.slow
def test_a_home_that_cannot_be_written_is_no_obstacle(photos: Path, box: Box) -> None:
    inputs = [photos / f"p{i}.jpg" for i in range(2)]
    ran = box.ok(*inputs, "-o", "out.ply", "--as", "points", "--size", "100", XDG_CACHE_HOME="/dev/null/cache")
    assert b"warning: compiling kernels" in ran.stderr and b"cannot be written" in ran.stderr


@pytest.mark.slow
def test_pictures_and_meshes_can_be_written_after_a_reconstruction_in_the_same_process(photos: Path, box: Box) -> None:
    """pycolmap would corrupt the heap that PNG and GLB are made on, were it not kept in a worker."""
    code = """
import sys
from pathlib import Path
import numpy as np
from mvgen.core.io.images import find_photos, read_image, read_photos, write_image
from mvgen.core.io.meshes import load_mesh, save_mesh
from mvgen.core.progress import Silent
from mvgen.core.reconstruct import ReconstructOptions, Run, Source, reconstruct
from mvgen.core.stereo.depth import StereoOptions
from mvgen.core.workspace import opened
photos = read_photos(find_photos([Path(sys.argv[1])]))
options = ReconstructOptions(stereo=StereoOptions(size=160), faces=2000)
rng = np.random.default_rng(0)
for k in range(2):
    with opened(Path(f"work{k}")) as workspace:
        mesh = reconstruct(Source(photos), Run(workspace, options, 0, 2, "cpu", Silent())).mesh
    for i in range(30):
        image = rng.integers(0, 255, (200 + i, 300, 3)).astype(np.uint8)
        write_image(image, Path("a.png"))
        assert np.array_equal(read_image(Path("a.png")), image)
        save_mesh(mesh, "a.glb")
    assert len(load_mesh("a.glb").faces) == len(mesh.faces)
assert "pycolmap" not in sys.modules
"""
    command = [sys.executable, "-c", code, str(photos)]
    ran = subprocess.run(command, cwd=box.folder, capture_output=True, env=box.environment({}))
    assert ran.returncode == 0, ran.stderr.decode()
