"""Speckles."""

from __future__ import annotations

import numpy as np

from mvgen.core.stereo.filters import speckles

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
