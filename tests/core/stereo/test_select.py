"""Which views are matched with which, and how deep the search goes."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.stereo.select import angle_deg, inverse_depth_range, source_views, visibility
from tests.core.views import around, scene

RNG = np.random.default_rng(0)
BALL = RNG.normal(size=(400, 3))
BALL *= 0.6 * RNG.random((400, 1)) / np.linalg.norm(BALL, axis=1, keepdims=True)


def test_visibility_lists_what_each_view_saw() -> None:
    seen = [np.array([5, 2, 9]), np.array([], int), np.array([2])]
    found = visibility(scene(around([0, 10, 20]), BALL, seen))
    assert [s.tolist() for s in found] == [[2, 5, 9], [], [2]]


def test_sources_are_views_at_a_good_angle() -> None:
    sources = source_views(scene(around([0, 1, 10, 60, 170]), BALL), 2)
    assert sources[0] == [2, 1]  # ten degrees beats one, which still beats sixty
    assert all(i not in s and len(s) == 2 for i, s in enumerate(sources))


def test_there_are_never_more_sources_than_other_views() -> None:
    assert source_views(scene(around([0, 10]), BALL), 8) == [[1], [0]]


def test_views_without_shared_points_come_last() -> None:
    seen = [np.arange(100), np.arange(100), np.arange(200, 300)]
    sources = source_views(scene(around([0, 12, 10]), BALL, seen), 2)
    assert sources[0] == [1, 2] and sources[1] == [0, 2]
    assert sources[2] == [1, 0]  # nothing shared with either: the nearer direction first


def test_range_holds_the_points_that_were_seen_with_a_margin() -> None:
    views = around([0])
    near = BALL[np.linalg.norm(BALL, axis=1) < 0.3]
    low, high = inverse_depth_range(scene(views, BALL, [np.arange(len(BALL))]), 0, np.arange(len(BALL)))
    depth = views[0].project(near)[1]
    assert low < 1 / depth.max() and 1 / depth.min() < high
    assert 1 / high > 2 and 1 / low < 8  # metres before the camera; the ball lies between 3.4 and 4.6


@pytest.mark.parametrize("count", [0, 5])
def test_range_of_a_view_that_saw_little_comes_from_all_points_in_its_picture(count: int) -> None:
    world = scene(around([0]), BALL, [np.arange(count)])
    assert inverse_depth_range(world, 0, np.arange(count)) == inverse_depth_range(world, 0, np.arange(400))


def test_range_without_points_in_the_picture_is_positive_and_finite() -> None:
    world = scene(around([0]), BALL + np.array([100.0, 0, 0]), [np.arange(0)])
    low, high = inverse_depth_range(world, 0, np.arange(0))
    assert 0 < low < high < np.inf


def test_angles() -> None:
    a = np.array([[1.0, 0, 0], [1, 0, 0], [0, 0, 0]])
    b = np.array([[0.0, 2, 0], [3, 0, 0], [1, 0, 0]])
    assert angle_deg(a, b) == pytest.approx([90, 0, 90])
