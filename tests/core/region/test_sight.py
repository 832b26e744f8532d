"""Selecting in pictures."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.geometry import PointCloud
from mvgen.core.region import sight
from mvgen.core.render.orbit import look_at
from tests.core.region.made import on_sphere, sphere, splats_at, things

LENS = np.array([[400.0, 0, 200], [0, 400, 150], [0, 0, 1]])
FRONT = Camera("a/front.png", 400, 300, LENS, look_at(np.array([0, 0, 4.0]), np.zeros(3), np.array([0, 1.0, 0])))
BACK = Camera("a/back.png", 400, 300, LENS, look_at(np.array([0, 0, -4.0]), np.zeros(3), np.array([0, 1.0, 0])))
DISC = tuple((200 + 60 * np.cos(a), 150 + 60 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 40)[:-1])
POINTS = on_sphere(20_000)
KINDS = {
    "mesh": things(sphere(5)),
    "points": things(PointCloud(POINTS)),
    "splats": things(splats_at(POINTS, 0.02)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_lasso_takes_what_is_seen_in_it(kind):
    of = KINDS[kind]
    eye = sight.sight_of(of, False)
    pixels = FRONT.project(of.places)[0]
    inside = np.linalg.norm(pixels - [200, 150], axis=1) < 58
    outside = np.linalg.norm(pixels - [200, 150], axis=1) > 61
    front = of.places[:, 2] > 0.3
    back = of.places[:, 2] < 0
    got = sight.in_lasso(eye, FRONT, DISC)
    assert got[inside & front].mean() > 0.999 and not got[outside].any() and not got[back].any()
    through = sight.in_lasso(eye, FRONT, DISC, through=True)
    assert through[inside].all() and not through[outside].any() and (through & back).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_is_a_lasso_of_pixels_in_any_size(kind):
    eye = sight.sight_of(KINDS[kind], False)
    half = np.zeros((150, 200), bool)
    half[:, :100] = True
    got = sight.in_mask(eye, FRONT, half)
    pixels, _ = eye.seen(FRONT)
    assert got.any() and (pixels[0, got] <= 100 * 2).all()
    assert got.sum() + sight.in_mask(eye, FRONT, ~half).sum() == eye.seen(FRONT)[1].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_a_click_finds_the_place_on_the_surface(kind):
    eye = sight.sight_of(KINDS[kind], False)
    assert np.linalg.norm(eye.place(FRONT, 200, 150) - [0, 0, 1]) < 0.06
    assert np.linalg.norm(eye.place(BACK, 200, 150) - [0, 0, -1]) < 0.06
    with pytest.raises(CannotError, match=r"nothing of it is at 5,5 in a/front\.png"):
        eye.place(FRONT, 5, 5)


@pytest.mark.parametrize("kind", ["points", "splats"])
def test_a_click_looks_at_a_part_of_the_depths_of_the_whole_picture(kind):
    eye = sight.sight_of(KINDS[kind], False)
    projected = sight._projected(FRONT, eye.things.places)
    whole, _ = eye._depths(FRONT, *projected)
    reach = sight._WINDOW + 1
    for x, y in ((200, 150), (120.4, 80.9), (2, 299), (301.0, 150.0)):
        part, (left, top) = eye._depths(FRONT, *projected, np.array([[x, y]]))
        assert part.size < 0.01 * whole.size
        rows, columns = (slice(max(int(v) - reach, 0), int(v) + reach) for v in (y, x))
        inner = part[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        assert np.array_equal(inner, whole[rows, columns])


def test_faint_splats_do_not_hide_the_surface():
    fog = np.random.default_rng(0).uniform([-1, -1, 1.5], [1, 1, 2.5], (300, 3))
    of = splats_at(np.concatenate([POINTS, fog]), 0.02)
    of.logits[len(POINTS) :] = -4
    assert np.linalg.norm(sight.sight_of(things(of), False).place(FRONT, 200, 150) - [0, 0, 1]) < 0.06


def test_polygons_follow_the_even_odd_rule():
    x, y = np.array([1.0, 5, 9, 5]), np.array([1.0, 5, 9, 12])
    star = [(0, 0), (10, 0), (10, 10), (0, 10)]
    assert sight.in_polygon(x, y, star).tolist() == [True, True, True, False]
    twice = [*star, (0, 0), (4, 0), (4, 4), (0, 4)]  # its corner is counted twice
    assert sight.in_polygon(x, y, twice).tolist() == [False, True, True, False]


def test_cameras_by_name():
    cameras = [FRONT, BACK]
    for name in ("a/front.png", "front.png", "front", "#0"):
        assert sight.camera_named(cameras, name) is FRONT
    with pytest.raises(UsageError, match="no camera has the name side"):
        sight.camera_named(cameras, "side")
    with pytest.raises(UsageError, match="2 cameras have the name front"):
        sight.camera_named([FRONT, Camera("b/front.png", 4, 3, LENS, np.eye(4))], "front")
    for number in ("#2", "#-1", "#x"):
        with pytest.raises(UsageError, match="no camera"):
            sight.camera_named(cameras, number)


def test_masks_of_other_proportions_are_refused():
    sight.check_mask(np.zeros((75, 100), bool), FRONT, "m.png")
    with pytest.raises(InputError, match=r"m\.png: has 100x100 pixels"):
        sight.check_mask(np.zeros((100, 100), bool), FRONT, "m.png")
