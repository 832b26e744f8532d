"""mvgen refine --interactive: what is painted and refined in a browser is what the command makes of the same region."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh, save_mesh
from tests.browser import choose, command_page, drag, needs_browser, picture, press, wait_until
from tests.core.refine.made import ball

pytest.importorskip("viser")
pytestmark = needs_browser

WIDTH, HEIGHT = 800, 600
PAINTED = [(320.0 + 5 * k, 293.0) for k in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_mesh(rough(ball(5, True)), tmp_path / "ball.ply")
    save_mesh(ball(6, True), tmp_path / "detail.ply")
    save_mesh(ball(3, False), tmp_path / "low.ply")
    return tmp_path


def rough(mesh: Mesh) -> Mesh:
    """With small waves, as detail that can become stronger."""
    waves = np.sin(25 * mesh.vertices).prod(1, keepdims=True)
    return Mesh(mesh.vertices * (1 + 0.01 * waves), mesh.faces)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mvgen", *words], cwd=folder, capture_output=True, text=True)


def load(folder: Path, name: str) -> Mesh:
    return load_mesh(folder / name)


def slide(tab: Any, label: str, value: float) -> None:
    """Write a number beside a slider."""
    row = tab.get_by_text(label, exact=True).first.locator("xpath=ancestor::*[.//input][1]")
    box = row.locator("input:not([type=hidden])").first
    box.fill(f"{value:g}")
    box.press("Enter")


def read(tab: Any, text: str) -> None:
    """Wait for a text; upper case counts, so that what is refined already is not "nothing is refined yet"."""
    tab.get_by_text(re.compile(re.escape(text))).first.wait_for(timeout=60_000)


def shape(tab: Any) -> NDArray[np.int64]:
    """[H, W, 3]: the picture, without the panel."""
    return picture(tab)[:, : WIDTH - 350].astype(np.int64)


def still(tab: Any) -> NDArray[np.int64]:
    """The picture when it no longer changes."""
    seen = [shape(tab)]

    def rests() -> bool:
        seen.append(shape(tab))
        return len(seen) > 3 and all(np.array_equal(seen[-1], one) for one in seen[-4:])

    wait_until(tab, rests)
    return seen[-1]


def enabled(tab: Any, label: str) -> bool:
    return bool(tab.get_by_role("button", name=label, exact=True).is_enabled())


def written(tab: Any, folder: Path, button: str, name: str) -> Path:
    (folder / name).unlink(missing_ok=True)
    press(tab, button)
    wait_until(tab, (folder / name).exists)
    return folder / name


@pytest.mark.slow
def test_painting_refining_comparing_undoing_and_saving(folder: Path) -> None:
    words = ["refine", "ball.ply", "-o", "fine.ply", "--interactive", "--falloff", "0.02", "--json=report.json"]
    with command_page(folder, words, WIDTH, HEIGHT) as (tab, process):
        first = still(tab)
        press(tab, "refine")
        read(tab, "nothing is selected")
        slide(tab, "radius %", 4)
        choose(tab, "tool", "brush")
        drag(tab, PAINTED)
        written(tab, folder, "save region", "fine.npz")
        slide(tab, "amount", 2)
        slide(tab, "strength", 0.5)
        press(tab, "refine")
        read(tab, "Refined ")
        made = written(tab, folder, "save", "fine.ply").read_bytes()

        slide(tab, "shown", 0)
        wait_until(tab, lambda: (shape(tab) != first).any(2).mean() < 0.001)  # the selection is drawn no more
        before = still(tab)
        slide(tab, "shown", 1)
        wait_until(tab, lambda: (shape(tab) != before).any(2).mean() > 0.001)
        after = still(tab)
        slide(tab, "shown", 0.5)
        left = np.flatnonzero((before != after).any((0, 2)))
        one, other = slice(None, int(np.percentile(left, 25))), slice(int(np.percentile(left, 75)), None)

        def is_half() -> bool:
            seen = shape(tab)
            return np.array_equal(seen[:, one], after[:, one]) and np.array_equal(seen[:, other], before[:, other])

        wait_until(tab, is_half)
        slide(tab, "shown", 1)
        wait_until(tab, lambda: np.array_equal(shape(tab), after))

        press(tab, "undo refinement")
        read(tab, "As it was at first")
        press(tab, "save")
        read(tab, "nothing is refined yet")
        press(tab, "refine")
        read(tab, "Refined ")
        assert written(tab, folder, "save", "fine.ply").read_bytes() == made
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0 and "Traceback" not in told
    report = json.loads((folder / "report.json").read_text())
    assert report["how"] == "sharpen 2" and report["written"] == ["fine.npz", "fine.ply"]
    command = [
        "refine",
        "ball.ply",
        "-o",
        "other.ply",
        "--region",
        "fine.npz=0.5",
        "--sharpen",
        "2",
        "--falloff",
        "0.02",
    ]
    assert run(folder, *command).returncode == 0
    assert made == (folder / "other.ply").read_bytes()
    assert np.abs(load(folder, "fine.ply").vertices - load(folder, "ball.ply").vertices).max() > 1e-3


@pytest.mark.slow
def test_new_faces_and_a_page_that_goes_on_meanwhile(folder: Path) -> None:
    settings = ["--set", "iterations=6", "--set", "pixels=4"]
    rest = ["--detail", "detail.ply", "--region", "sphere:0,0,1,0.6=0.8", *settings]
    words = ["refine", "low.ply", "-o", "fine.ply", "--interactive", *rest]
    with command_page(folder, words, WIDTH, HEIGHT) as (tab, process):
        selected = tab.get_by_text(" selected").first
        start = selected.inner_text()
        press(tab, "refine")
        wait_until(tab, lambda: not enabled(tab, "refine"))
        press(tab, "invert")
        wait_until(tab, lambda: selected.inner_text() != start)
        assert not enabled(tab, "refine") and not tab.get_by_text("Refined ").count()
        press(tab, "invert")
        read(tab, "Refined ")
        assert tab.get_by_text("faces now").count() and enabled(tab, "refine")
        written(tab, folder, "save", "fine.ply")
        read(tab, f"{len(load(folder, 'fine.ply').vertices):,} vertices selected")
        press(tab, "refine")
        wait_until(tab, lambda: not enabled(tab, "refine"))
        process.send_signal(signal.SIGINT)  # in the middle of it: what was saved counts
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0 and "Traceback" not in told
    assert run(folder, "refine", "low.ply", "-o", "other.ply", *rest).returncode == 0
    assert (folder / "fine.ply").read_bytes() == (folder / "other.ply").read_bytes()


@pytest.mark.slow
def test_without_saving_it_is_an_interruption(folder: Path) -> None:
    words = ["refine", "ball.ply", "-o", "fine.ply", "--interactive", "--region", "sphere:0,0,1,0.6"]
    with command_page(folder, words, WIDTH, HEIGHT) as (tab, process):
        press(tab, "refine")
        read(tab, "Refined ")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130 and not (folder / "fine.ply").exists()
