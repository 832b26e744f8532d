"""A headless Chromium for tests that look at pages."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mvgen.core.viewer.pick import HOW

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(find_spec("playwright") is None, reason="playwright is not installed"),
]
_ARGUMENTS = [
    "--no-sandbox",
    "--use-angle=swiftshader",  # WebGL without a GPU
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def page(url: str, width: int, height: int) -> Iterator[Any]:
    """A page that has been opened; afterwards, whatever it asked other machines for is a failure."""
    from playwright.sync_api import sync_playwright

    foreign: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.on("request", lambda r: foreign.append(r.url) if not r.url.startswith((url, "data:", "blob:")) else 0)
            tab.goto(f"{url}/?fixedDpr=1")  # else viser draws coarser where the machine is slow
            yield tab
        finally:
            browser.close()
    assert not foreign


def picture(tab: Any) -> NDArray[np.uint8]:
    """[H, W, 3]: what the page shows."""
    return np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("RGB"))


def wait_for(tab: Any, holds: Callable[[NDArray[np.uint8]], bool], seconds: float = 40.0) -> NDArray[np.uint8]:
    """The first picture of the page of which something holds. Fails where none does in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = picture(tab)
        if holds(seen):
            return seen
        tab.wait_for_timeout(200)
    pytest.fail(f"the page does not show it within {seconds} seconds")


@contextmanager
def served(folder: Path, words: list[str]) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """A command that runs in a folder and serves a page: its process, the page's address, what it said before."""
    command = [sys.executable, "-m", "mvgen", *words]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if found := re.match(r"http://\S+", line):
                yield process, found[0], lines
                break
        else:
            pytest.fail("".join(lines))
    finally:
        process.kill()
        process.wait()


@contextmanager
def command_page(
    folder: Path, words: list[str], width: int, height: int
) -> Iterator[tuple[Any, subprocess.Popen[str]]]:
    """The page that a command opens in a folder, when something stands in the middle of it, and its process."""
    rows, columns = (slice(n // 2 - 10, n // 2 + 10) for n in (height, width))
    with served(folder, words) as (process, url, _), page(url, width, height) as tab:
        wait_for(tab, lambda p: bool((np.abs(p[rows, columns].astype(int) - 255) > 20).any()))
        tab.wait_for_timeout(500)
        yield tab, process


def choose(tab: Any, label: str, value: str) -> None:
    tab.get_by_label(label, exact=True).first.click()
    tab.get_by_role("option", name=value, exact=True).click()
    if label == "tool":
        tab.get_by_text(HOW[value]).first.wait_for()
    tab.wait_for_timeout(500)


def press(tab: Any, label: str) -> None:
    tab.get_by_role("button", name=label, exact=True).click()
    tab.wait_for_timeout(500)


def click(tab: Any, x: float, y: float) -> None:
    """As a hand does: the mouse comes, stays, and is pressed for a moment."""

    def act() -> None:
        approach(tab, x, y)
        tab.mouse.click(x, y, delay=200)

    until_told(tab, act)


def drag(tab: Any, path: list[tuple[float, float]]) -> None:
    def act() -> None:
        approach(tab, *path[0])
        tab.mouse.down()
        for place in path[1:]:
            tab.mouse.move(*place)
            heard(tab)
        tab.mouse.up()

    until_told(tab, act)


def approach(tab: Any, x: float, y: float) -> None:
    for place in (x - 5, x):
        tab.mouse.move(place, y)
        tab.wait_for_timeout(150)
        heard(tab)


def heard(tab: Any) -> None:
    """Wait until the page knows where the mouse is: a browser tells it once for each picture that it draws."""
    tab.wait_for_timeout(150)
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def until_told(tab: Any, act: Callable[[], None]) -> None:
    """Act, and wait until the panel tells of it."""
    before = told(tab)
    act()
    wait_until(tab, lambda: told(tab) != before)


def told(tab: Any) -> str:
    """How much the panel says is selected."""
    return str(tab.get_by_text(" selected").first.inner_text())


def wait_until(tab: Any, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "the browser does not answer"
        tab.wait_for_timeout(200)
