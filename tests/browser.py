"""A headless Chromium for tests that look at pages."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

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
            tab.goto(url)
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
