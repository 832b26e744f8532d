"""Skies."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.sky import sky


def landscape(blue: bool) -> tuple[np.ndarray, np.ndarray]:
    """A picture [240, 320, 3] of houses under the sky, and where the sky is."""
    y, x = np.mgrid[:240, :320]
    top = np.where(x < 120, 150, np.where(x < 200, 70, 120))
    above = y < top
    fade = (y / 240.0)[..., None]
    colour = np.array([70.0, 120, 200]) * (1 - fade) + 215 * fade if blue else np.full((240, 320, 3), 225.0)
    clouds = 12 * np.sin(x / 30 + y / 50)[..., None] * [1, 1, 0.8]
    rng = np.random.default_rng(0)
    walls = rng.uniform(40, 200, (60, 80, 1)).repeat(4, 0).repeat(4, 1) * [1.0, 0.9, 0.8]
    picture = np.where(above[..., None], colour + clouds, walls) + rng.normal(0, 2, (240, 320, 3))
    return np.clip(picture, 0, 255).astype(np.uint8), above


@pytest.mark.parametrize("blue", [True, False])
def test_the_sky_is_found(blue: bool) -> None:
    picture, above = landscape(blue)
    found = sky(picture)
    assert (found & above).sum() / (found | above).sum() > 0.95
    assert not sky(picture[::-1]).any()


def test_without_a_sky_there_is_none() -> None:
    rng = np.random.default_rng(1)
    assert not sky(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)).any()
    y, x = np.mgrid[:240, :320]
    stone = np.full((240, 320, 3), 40, np.uint8)
    stone[np.hypot(y - 130, x - 160) < 125 - 30 * (y < 60)] = 190  # grey, smooth, touching the top with its tip
    assert not sky(stone).any()


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
