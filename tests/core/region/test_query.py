"""Selections as data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.images import write_image
from mvgen.core.progress import Silent
from mvgen.core.region.files import save_region
from mvgen.core.region.language import Ball, Lasso, Length, Pixel, Range
from mvgen.core.region.model import Region
from mvgen.core.region.preview import preview
from mvgen.core.region.query import Query, Saved, Steps, selected, stepped
from mvgen.core.region.sight import standard_cameras
from tests.core.region.made import eyes, joined, on_sphere, shifted, sphere, splats_at, things

POINTS = on_sphere(3000)
CLOUD = things(PointCloud(POINTS))
EYES = eyes(CLOUD)


def pick(query, of=CLOUD, seen=EYES):
    return selected(of, query, seen, Silent())


def test_conditions_of_different_kinds_must_all_hold():
    box = ((-2.0, 0.0, -2.0), (2.0, 2.0, 2.0))
    ball = Ball((1.0, 0, 0), Length(0.5, False))
    both = pick(Query(boxes=[box], balls=[ball]))
    assert np.array_equal(both, pick(Query(boxes=[box])) & pick(Query(balls=[ball]))) and both.any()


def test_of_several_boxes_one_is_enough_and_of_half_spaces_all():
    low, high = ((-2.0, -2, -2), (2.0, -0.5, 2)), ((-2.0, 0.5, -2), (2.0, 2, 2))
    assert np.array_equal(pick(Query(boxes=[low, high])), np.abs(POINTS[:, 1]) >= 0.5)
    band = pick(Query(planes=[((0, 1, 0), -0.5), ((0, -1, 0), -0.5)]))
    assert np.array_equal(band, np.abs(POINTS[:, 1]) <= 0.5)


def test_lengths_can_be_shares_of_the_diagonal():
    share = pick(Query(balls=[Ball((1.0, 0, 0), Length(0.1, True))]))
    same = pick(Query(balls=[Ball((1.0, 0, 0), Length(0.1 * CLOUD.diagonal, False))]))
    assert np.array_equal(share, same) and share.any()


def test_clicks_parts_and_ways_begin_at_pixels():
    pixel = Pixel("view_000", 480, 360)
    clicked = pick(Query(clicks=[Ball(pixel, Length(0.3, False))]))
    toward = standard_cameras(CLOUD)[0].centre
    near = np.argmax(POINTS @ toward)
    assert clicked[near] and 30 < clicked.sum() < 150
    way = pick(Query(walks=[Ball(pixel, Length(0.3, False))]))
    assert way[near] and (way & ~clicked).sum() < 5 + 0.1 * way.sum()
    two = things(joined(sphere(3), shifted(sphere(2), (3, 0, 0))))
    seen = eyes(two)
    small = pick(Query(part=(3.0, 1.0, 0.0)), two, seen)
    assert small.sum() == 162 and np.array_equal(small, pick(Query(part=2), two, seen))
    with pytest.raises(CannotError, match="has 2 parts, not 3"):
        pick(Query(part=3), two, seen)


def test_masks_intersect(tmp_path):
    left, top = np.zeros((720, 960), np.uint8), np.zeros((360, 480), np.uint8)
    left[:, :480], top[:180] = 255, 255
    for name, values in (("left.png", left), ("top.png", top)):
        write_image(np.repeat(values[..., None], 3, axis=2), tmp_path / name)
    masks = [(tmp_path / "left.png", "view_000"), (tmp_path / "top.png", "view_000")]
    each = [pick(Query(masks=[one])) for one in masks]
    assert np.array_equal(pick(Query(masks=masks)), each[0] & each[1]) and (each[0] & each[1]).any()
    write_image(np.zeros((9, 9, 3), np.uint8), tmp_path / "square.png")
    with pytest.raises(InputError, match=r"square\.png"):
        pick(Query(masks=[(tmp_path / "square.png", "view_000")]))


def test_cameras_that_are_not_there():
    with pytest.raises(UsageError, match="no camera has the name side"):
        pick(Query(lassos=[Lasso("side", ((0, 0), (9, 0), (9, 9)))]))


def test_opacities_of_points_are_refused():
    with pytest.raises(CannotError, match=r"a\.ply: points have no opacities"):
        pick(Query(opacity=Range(0, 1)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), invert=st.booleans())
def test_steps_are_set_algebra_on_indices(tmp_path_factory, seed, invert):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("steps")
    of = things(PointCloud(rng.normal(size=(40, 3))))
    sets = [set(np.flatnonzero(rng.random(40) < 0.4).tolist()) for _ in range(4)]
    saved = []
    for i, indices in enumerate(sets):
        mask = np.isin(np.arange(40), list(indices))
        save_region(Region("points", mask), folder / f"{i}.npz")
        saved.append(Saved(folder / f"{i}.npz"))
    start = pick(Query(saved=saved[:1]), of, eyes(of))
    got = stepped(of, start, Steps(invert=invert, both=saved[1:2], either=saved[2:3], minus=saved[3:]))
    first = set(range(40)) - sets[0] if invert else sets[0]
    assert set(np.flatnonzero(got).tolist()) == ((first & sets[1]) | sets[2]) - sets[3]


def test_grow_comes_before_shrink_and_invert():
    start = pick(Query(balls=[Ball((1.0, 0, 0), Length(0.5, False))]))
    closed = stepped(CLOUD, start, Steps(grow=Length(0.2, False), shrink=Length(0.2, False)))
    assert (closed & start).sum() == start.sum()
    rest = stepped(CLOUD, start, Steps(grow=Length(0.2, False), invert=True))
    assert not (rest & start).any() and rest.sum() < (~start).sum()


@pytest.mark.parametrize("shape", [PointCloud(POINTS), splats_at(POINTS, 0.08), sphere(4)])
def test_a_preview_shows_the_selection_in_orange(shape):
    of = things(shape)
    cameras = standard_cameras(of, 1, (120, 90))
    plain = preview(of, np.zeros(len(of.places), bool), cameras, Silent()).astype(int)
    full = preview(of, np.ones(len(of.places), bool), cameras, Silent()).astype(int)
    middle = np.s_[40:50, 55:65]
    assert (full[middle][..., 0] - full[middle][..., 2] > 90).all()
    assert (np.abs(plain[middle][..., 0] - plain[middle][..., 2]) < 40).all()
    assert np.array_equal(full[0, 0], [255, 255, 255])
