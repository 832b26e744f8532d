"""mvgen view, end to end: the real command, and what a browser shows of it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.guidance.orbits import load_views, middle
from mvgen.core.io.cameras import write_scene_folder
from mvgen.core.io.images import write_image
from mvgen.core.io.meshes import save_mesh, save_points
from mvgen.core.render.orbit import look_at
from mvgen.core.scene import Scene, View
from mvgen.core.splats.files import save_splats
from mvgen.core.splats.model import Splats
from mvgen.core.viewer.stage import FIELD_OF_VIEW, make_stage
from mvgen.core.viewer.things import load_thing
from tests.browser import needs_browser, page, served, wait_for

pytest.importorskip("viser")

RED, GREEN, BLUE = (220, 20, 30), (10, 170, 40), (20, 40, 230)
PLACES = {RED: (-2.0, 0, 0), GREEN: (2.0, 0, 0), BLUE: (0.0, 3, 0)}  # +Y is up


def parts(folder: Path) -> list[str]:
    """A red box, green points and blue splats as files."""
    rng = np.random.default_rng(0)
    box = trimesh.creation.box((1, 1, 1))
    colours = np.tile(np.float32(RED) / 255, (8, 1))
    save_mesh(
        Mesh(np.asarray(box.vertices) + PLACES[RED], np.asarray(box.faces, np.int32), colours=colours),
        folder / "red.glb",
    )
    ball = rng.normal(size=(2000, 3)) * 0.2
    save_points(
        PointCloud(ball + PLACES[GREEN], colours=np.tile(np.float32(GREEN) / 255, (2000, 1))), folder / "green.ply"
    )
    save_splats(
        Splats(
            (rng.normal(size=(300, 3)) * 0.2 + PLACES[BLUE]).astype(np.float32),
            np.tile(np.float32([1, 0, 0, 0]), (300, 1)),
            np.full((300, 3), np.log(0.15), np.float32),
            np.full(300, 4, np.float32),
            np.tile((np.float32(BLUE) / 255 - 0.5) / 0.28209479177387814, (300, 1, 1)).astype(np.float32),
        ),
        folder / "blue.ply",
    )
    return ["red.glb", "green.ply", "blue.ply"]


@dataclass(frozen=True)
class Viewer:
    process: subprocess.Popen[str]
    url: str
    lines: list[str]

    def end(self) -> tuple[int, str]:
        """Ctrl-C: the exit code and standard output."""
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, out


@contextmanager
def viewer(folder: Path, *arguments: str) -> Iterator[Viewer]:
    with served(folder, ["view", *arguments, "--port", "0"]) as (process, url, lines):
        yield Viewer(process, url, lines)


def refused(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mvgen", "view", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_it_serves_on_this_machine_until_it_is_interrupted(tmp_path: Path) -> None:
    names = parts(tmp_path)
    with viewer(tmp_path, *names, "--json") as one:
        assert one.url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(one.url) as answer:
            assert answer.status == 200 and b"<html" in answer.read()[:500].lower()
        code, out = one.end()
    report = json.loads(out)
    assert code == 0 and report["url"] == one.url
    assert [(f["path"], f["kind"]) for f in report["files"]] == [*zip(names, ("mesh", "points", "splats"))]
    assert report["files"][0]["faces"] == 12 and report["files"][2]["splats"] == 300


def test_a_taken_port_and_a_foreign_address_are_told(tmp_path: Path) -> None:
    (name, *_) = parts(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, text = refused(tmp_path, name, "--port", port)
        assert code == 1 and f"error: 127.0.0.1:{port}: cannot be listened on" in text and "hint: " in text
    code, text = refused(tmp_path, name, "--host", "192.0.2.1")  # of no machine, by RFC 5737
    assert code == 1 and "error: 192.0.2.1: is no address of this machine" in text and "hint: " in text


def test_what_cannot_be_shown_is_told(tmp_path: Path) -> None:
    write_image(np.zeros((4, 4, 3), np.uint8), tmp_path / "photo.png")
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("photo.png", "photo.png: is not a mesh or point file"),
        ("empty", "empty: holds neither cameras nor splats"),
        ("gone.glb", "gone.glb: no such file"),
    ):
        code, text = refused(tmp_path, name)
        assert code == 3 and f"error: {words}" in text
    assert refused(tmp_path, "gone.glb", "--background", "reddish")[0] == 2


@pytest.mark.slow
def test_a_record_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    red, _, blue = parts(tmp_path)
    make_scene(tmp_path)
    (tmp_path / "there.json").write_text("{}")
    for arguments, code, words in (
        ([blue, "--record", "views.txt"], 2, "--record views.txt: is not the name of a list of views"),
        ([blue, red, "--record", "views.json"], 2, "--record is for one thing"),
        ([blue, "--record", "gone/views.json"], 3, "gone"),
        ([blue, "--record", "there.json", "--no-overwrite"], 3, "there.json: exists already"),
        (["scene", "--record", "views.json"], 3, "scene: is a scene"),
    ):
        got, text = refused(tmp_path, *arguments)
        assert got == code and words in text
    assert (tmp_path / "there.json").read_text() == "{}" and not (tmp_path / "views.json").exists()


def test_without_viser_the_way_to_it_is_told(tmp_path: Path) -> None:
    (name, *_) = parts(tmp_path)
    script = "import sys; sys.modules['viser'] = None; from mvgen.cli.main import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, "view", name], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and 'hint: pip install "mvgen[demo]"' in done.stderr


def test_what_a_page_still_computes_is_not_waited_for() -> None:
    script = (
        "import threading, concurrent.futures, viser; from mvgen.cli.main import main; "
        "concurrent.futures.ThreadPoolExecutor(1).submit(threading.Event().wait); main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("mvgen ")


class TestInABrowser:
    pytestmark = needs_browser

    @pytest.mark.slow
    def test_colours_appear_where_the_first_view_projects_them(self, tmp_path: Path) -> None:
        names = parts(tmp_path)
        pixels = projected(tmp_path, names, 1400, 700)
        red, green, blue = (pixels[c] for c in (RED, GREEN, BLUE))
        assert red[0] < blue[0] < green[0] and blue[1] < min(red[1], green[1]) - 100
        with viewer(tmp_path, *names, "--background", "#ffee88") as one, page(one.url, 1400, 700) as tab:
            seen = wait_for(
                tab,  # points and splats have the very colours of their files; those of meshes are toned by viser
                lambda p: hue_at(p, red) == RED and near(p, GREEN, green) and near(p, BLUE, blue),
            )
            assert seen[690, 5].tolist() == [255, 238, 136]
            switch(tab, 1)
            wait_for(tab, lambda p: hue_at(p, green) is None and hue_at(p, red) == RED)

    @pytest.mark.slow
    def test_cameras_stand_in_the_scene_with_their_photos(self, tmp_path: Path) -> None:
        scene = make_scene(tmp_path)
        pixels = projected(tmp_path, ["scene"], 1200, 600, np.array([c.camera.centre for c in scene.views]))
        with viewer(tmp_path, "scene") as one, page(one.url, 1200, 600) as tab:
            wait_for(tab, lambda p: photo_near(p, RED, pixels[0]) and photo_near(p, BLUE, pixels[1]))
            switch(tab, 3)  # photos
            wait_for(tab, lambda p: not photo_near(p, RED, pixels[0]))

    @pytest.mark.slow
    def test_views_are_recorded_and_drawn_again(self, tmp_path: Path) -> None:
        blue = parts(tmp_path)[2]
        with viewer(tmp_path, blue, "--record", "views.json", "--json") as one, page(one.url, 900, 700) as tab:
            wait_for(tab, lambda p: bool((np.abs(p[300:400, 400:500].astype(int) - BLUE).max(-1) < 25).any()))
            press(tab, "save views")
            assert tab.get_by_text("there is no view yet").first.is_visible()
            tab.locator("input:visible").first.fill("a blue ball")
            tab.wait_for_timeout(500)
            press(tab, "add view")
            tab.mouse.move(450, 350)
            tab.mouse.down()
            tab.mouse.move(250, 300, steps=10)
            tab.mouse.up()
            tab.wait_for_timeout(1000)
            press(tab, "add view")
            press(tab, "add view")
            press(tab, "remove last")
            assert tab.get_by_text("2 views").first.is_visible()
            press(tab, "save views")
            code, out = one.end()
        report = json.loads(out)
        assert code == 0 and report["views"] == 2 and report["written"] == ["views.json"]
        first, second = load_views(tmp_path / "views.json")
        assert first.prompt == second.prompt == "a blue ball" and first.fov == pytest.approx(40, abs=0.1)
        stage = make_stage([load_thing(tmp_path / blue, blue)])
        eye, target = (stage.placing.inverse().apply(place[None])[0] for place in stage.first_view())
        assert np.allclose(first.target, target, atol=1e-3)
        assert np.allclose(middle(first, stage.up, 64).centre, eye, atol=1e-2)
        assert np.ptp(first.azimuth) == pytest.approx(30) and np.ptp(first.elevation) == pytest.approx(20)
        assert abs(np.mean(second.azimuth) - np.mean(first.azimuth)) > 10
        command = [sys.executable, "-m", "mvgen", "render", blue, "--views", "views.json", "-o", "drawn/"]
        subprocess.run([*command, "--size", "300x200"], cwd=tmp_path, check=True, capture_output=True)
        for name in ("view_000.png", "view_001.png"):
            seen = np.asarray(Image.open(tmp_path / "drawn" / name))
            assert seen.shape == (200, 200, 4) and np.abs(seen[100, 100, :3].astype(int) - BLUE).max() < 25

    @pytest.mark.slow
    def test_without_saving_a_record_is_an_interruption(self, tmp_path: Path) -> None:
        red = parts(tmp_path)[0]
        with viewer(tmp_path, red, "--record", "views.json") as one, page(one.url, 900, 700) as tab:
            tab.wait_for_timeout(2000)
            press(tab, "add view")
            assert one.end()[0] == 130
        assert not (tmp_path / "views.json").exists()


def press(tab: Any, label: str) -> None:
    tab.get_by_role("button", name=label, exact=True).click()
    tab.wait_for_timeout(700)


def switch(tab: Any, number: int) -> None:
    """Click one of the panel's boxes."""
    tab.locator("input[type=checkbox]:visible").nth(number).click()


def make_scene(folder: Path) -> Scene:
    """Two cameras beside each other, one with a red, one with a blue photo."""
    views = []
    for name, colour, x in (("a.png", RED, -1.0), ("b.png", BLUE, 1.0)):
        write_image(np.full((48, 64, 3), colour, np.uint8), folder / name)
        pose = look_at(np.array([x, 0, 0]), np.array([x, 0, 5.0]), np.array([0.0, -1, 0]))
        views.append(View(Camera(name, 64, 48, np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]), pose), folder / name))
    points = PointCloud(np.random.default_rng(0).uniform([-1, -1, 2], [1, 1, 4], (50, 3)))
    scene = Scene(tuple(views), points, np.array([[0, 0], [0, 1]], np.int32))
    write_scene_folder(scene, folder / "scene")
    return scene


def projected(folder: Path, names: list[str], width: int, height: int, places: NDArray[np.float64] | None = None):
    """Pixels of PLACES by colour, or of other places in a list, in the first view of a window."""
    stage = make_stage([load_thing(folder / name, name) for name in names])
    eye, target = stage.first_view()
    focal = height / 2 / np.tan(FIELD_OF_VIEW / 2)
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    camera = Camera("", width, height, intrinsics, look_at(eye, target, stage.up))
    pixels = camera.project(stage.placing.apply(np.array([*PLACES.values()]) if places is None else places))[0]
    return dict(zip(PLACES, pixels)) if places is None else list(pixels)


def hue_at(seen: NDArray[np.uint8], place: NDArray[np.float64]) -> tuple[int, int, int] | None:
    """Which of the colours dominates a pixel."""
    pixel = seen[int(place[1]), int(place[0])].astype(int)
    return next((c for c in PLACES if pixel[np.argmax(c)] > 2 * np.delete(pixel, np.argmax(c)).max()), None)


def near(seen: NDArray[np.uint8], colour: tuple[int, int, int], place: NDArray[np.float64]) -> bool:
    """Whether a pixel has about a colour."""
    return bool(np.abs(seen[int(place[1]), int(place[0])].astype(int) - colour).max() <= 25)


def photo_near(seen: NDArray[np.uint8], colour: tuple[int, int, int], place: NDArray[np.float64]) -> bool:
    """Whether many pixels of a photo's colour are around a place."""
    x, y = (int(v) for v in place)
    patch = seen[max(y - 60, 0) : y + 60, max(x - 60, 0) : x + 60].astype(int)
    return bool((np.abs(patch - colour).max(-1) < 30).sum() > 200)
