"""Thin plates."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.refine.plate import bent

SIDE = 80


@pytest.fixture(scope="module")
def sheet():
    """Vertices [V, 3] of a flat square with edges of 1, its faces, and which vertices are away from its border."""
    x, y = np.meshgrid(np.arange(float(SIDE)), np.arange(float(SIDE)))
    vertices = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3)
    corner = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).reshape(-1)
    faces = np.concatenate([corner[:, None] + [0, 1, SIDE], corner[:, None] + [1, SIDE + 1, SIDE]]).astype(np.int32)
    inner = ((vertices[:, :2] > 8) & (vertices[:, :2] < SIDE - 9)).all(1)
    return vertices, faces, inner


def waving(vertices, length):
    return vertices + np.sin(2 * np.pi * vertices[:, :1] / length) * [0, 0, 0.1]


def left(sheet, length, wave, hold=1.0):
    """The share of waves of some length that stays."""
    vertices, faces, inner = sheet
    start = waving(vertices, length)
    size = np.ones(len(vertices))
    out = bent(start, faces, size > 0, hold * size, wave * size)
    return np.linalg.norm(out[inner, 2]) / np.linalg.norm(start[inner, 2])


def test_short_waves_go_and_long_ones_stay(sheet):
    assert left(sheet, 8, 16) < 0.1
    assert abs(left(sheet, 16, 16) - 0.5) < 0.05
    assert left(sheet, 32, 16) > 0.9


def test_where_it_is_held_shorter_waves_stay(sheet):
    assert left(sheet, 8, 16, 256.0) > 0.9


def test_what_is_not_free_stays_bit_for_bit(sheet):
    vertices, faces, _ = sheet
    start = waving(vertices, 8)
    free, size = vertices[:, 1] > 40, np.ones(len(vertices))
    out = bent(start, faces, free, size, 16 * size)
    assert np.array_equal(out[~free], start[~free])
    assert np.abs(out[free, 2]).mean() < 0.5 * np.abs(start[free, 2]).mean()
    assert bent(start, faces, free & False, size, size) is start
