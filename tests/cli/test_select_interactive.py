"""mvgen select-region --interactive: what is selected in a browser is what the same options select without one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.io.meshes import save_mesh
from mvgen.core.region.files import load_region
from mvgen.core.region.things import load_things
from mvgen.core.render.orbit import look_at
from mvgen.core.splats.files import save_splats
from mvgen.core.viewer.stage import FIELD_OF_VIEW, make_stage
from mvgen.core.viewer.things import Thing
from tests.browser import choose, click, command_page, drag, needs_browser, press, wait_until
from tests.core.region.made import on_sphere, sphere, splats_at

pytest.importorskip("viser")
pytestmark = needs_browser

WIDTH, HEIGHT = 840, 600
NAMES = ("mesh.glb", "splats.ply")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shapes, and the browser's first view of each as a camera file."""
    out = tmp_path_factory.mktemp("browser")
    save_mesh(sphere(5), out / "mesh.glb")
    save_splats(splats_at(on_sphere(4000), 0.05), out / "splats.ply")
    for name in NAMES:
        camera = first_view(out, name)
        view = {
            "name": "browser.png",
            "intrinsics": camera.intrinsics.tolist(),
            "world_to_camera": camera.world_to_camera.tolist(),
        }
        (out / f"{name}.json").write_text(json.dumps({"width": WIDTH, "height": HEIGHT, "views": [view]}))
    return out


def first_view(folder: Path, name: str) -> Camera:
    of = load_things(folder / name, name)
    stage = make_stage([Thing(name, of.shape, of.up)])
    eye, target = stage.first_view()
    focal = HEIGHT / 2 / np.tan(FIELD_OF_VIEW / 2)
    lens = np.array([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]])
    return Camera("", WIDTH, HEIGHT, lens, look_at(eye, target, stage.up)).moved(stage.placing.inverse())


@contextmanager
def tab_of(folder: Path, name: str, *arguments: str) -> Iterator[tuple[Any, subprocess.Popen[str]]]:
    """The page of an interactive selection, when it shows the shape, and the command's process."""
    (folder / "picked.npz").unlink(missing_ok=True)
    words = ["select-region", name, "-o", "picked.npz", "--interactive", *arguments]
    with command_page(folder, words, WIDTH, HEIGHT) as opened:
        yield opened


def saved(tab: Any, folder: Path, name: str) -> NDArray[np.bool_]:
    """What the button "save" writes."""
    (folder / "picked.npz").unlink(missing_ok=True)
    press(tab, "save")
    wait_until(tab, lambda: (folder / "picked.npz").exists())
    of = load_things(folder / name, name)
    return load_region(folder / "picked.npz", of.kind, of.count).mask


def headless(folder: Path, name: str, *arguments: str) -> NDArray[np.bool_]:
    command = [sys.executable, "-m", "mvgen", "select-region", name, "-o", "other.npz", "--cameras", f"{name}.json"]
    subprocess.run([*command, *arguments], cwd=folder, check=True, capture_output=True)
    of = load_things(folder / name, name)
    return load_region(folder / "other.npz", of.kind, of.count).mask


def same(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """But for those just at the rim, as a browser's numbers are rounded."""
    return bool((one != other).sum() <= 0.01 * other.sum()) and bool(other.any())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_click_is_the_click_of_the_command(folder: Path, name: str) -> None:
    with tab_of(folder, name) as (tab, process):
        choose(tab, "tool", "click")
        click(tab, 380, 280)
        assert same(saved(tab, folder, name), headless(folder, name, "--click", "browser:380,280,2%"))
        press(tab, "grow")
        wanted = headless(folder, name, "--click", "browser:380,280,2%", "--grow", "2%")
        assert same(saved(tab, folder, name), wanted)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 0


@pytest.mark.slow
def test_rectangle_lasso_brush_box_and_undo(folder: Path) -> None:
    name = "splats.ply"
    with tab_of(folder, name, "--half-space", "0,1,0,0.9") as (tab, _):
        start = headless(folder, name, "--half-space", "0,1,0,0.9")
        assert same(saved(tab, folder, name), start)
        choose(tab, "found", "new")
        choose(tab, "tool", "rectangle")
        drag(tab, [(360, 250), (400, 280), (440, 330)])
        wanted = headless(folder, name, "--lasso", "browser:360,250,440,250,440,330,360,330")
        assert same(saved(tab, folder, name), wanted)
        choose(tab, "tool", "lasso")
        corners = [(360.0, 250.0), (420, 240), (480, 280), (460, 350), (380, 340)]
        drag(tab, corners)
        wanted = headless(folder, name, "--lasso", "browser:" + ",".join(f"{v:g}" for c in corners for v in c))
        assert (saved(tab, folder, name) != wanted).sum() <= 0.1 * wanted.sum()  # the mouse is not heard all the time
        press(tab, "undo")
        press(tab, "undo")
        assert same(saved(tab, folder, name), start)
        choose(tab, "tool", "brush")
        drag(tab, [(360.0 + 4 * k, 300.0) for k in range(20)])
        clicks = [word for k in range(20) for word in ("--click", f"browser:{360 + 4 * k},300,2%")]
        wanted = headless(folder, name, *clicks)
        assert (saved(tab, folder, name) != wanted).sum() <= 0.15 * wanted.sum()


@pytest.mark.slow
def test_without_saving_it_is_an_interruption(folder: Path) -> None:
    with tab_of(folder, "mesh.glb") as (tab, process):
        press(tab, "save")  # of nothing: told in the browser
        assert tab.get_by_text("none of its").first.is_visible()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130 and not (folder / "picked.npz").exists()
