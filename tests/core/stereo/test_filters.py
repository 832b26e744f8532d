"""Speckles and skies."""

from __future__ import annotations

import numpy as np

from mvgen.core.stereo.filters import sky, speckles

STEP = 0.01  # inverse depth of a pixel of disparity


def test_small_islands_are_speckles() -> None:
    rho = np.full((120, 160), 0.5, np.float32)
    rho[40:43, 50:53] = 0.8  # nine pixels, thirty pixels of disparity nearer
    rho[80:110, 100:150] = 0.8
    rho[10:20, 10:20] = 0
    found = speckles(rho, STEP)
    assert found[40:43, 50:53].all()
    assert found.sum() == 9


def test_a_slope_is_no_speckle() -> None:
    rho = np.linspace(0.2, 0.9, 160, dtype=np.float32)[None].repeat(120, 0)
    assert not speckles(rho, STEP).any()


def test_nothing_known_nothing_found() -> None:
    assert not speckles(np.zeros((40, 40), np.float32), STEP).any()


def outdoors(top: tuple[int, int, int], noise: float = 0.0) -> np.ndarray:
    """A plain upper half over a busy lower one."""
    rng = np.random.default_rng(0)
    image = np.empty((120, 160, 3))
    image[:60] = np.array(top) + np.kron(rng.normal(0, noise, (20, 40, 1)), np.ones((3, 4, 1)))
    image[60:] = np.kron(rng.integers(0, 255, (20, 40, 3)), np.ones((3, 4, 1)))
    return image.clip(0, 255).astype(np.uint8)


def test_sky_is_found() -> None:
    for colour in ((120, 160, 230), (235, 236, 238)):
        found = sky(outdoors(colour))
        assert found[:56].all() and not found[66:].any()


def test_what_is_no_sky() -> None:
    assert not sky(outdoors((120, 160, 230), noise=40)).any()  # busy
    assert not sky(outdoors((30, 40, 60))).any()  # dark
    assert not sky(outdoors((200, 180, 120))).any()  # a yellow wall
    assert not sky(outdoors((120, 160, 230))[::-1]).any()  # water below
