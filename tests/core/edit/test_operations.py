"""Operations on splats: exact where they change something, bit for bit the same where they do not."""

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.edit.operations import added, begun, duplicated, kept, moved, recoloured, removed
from mvgen.core.edit.recipe import Mirror, Rotate, Scale, Shear, Stretch, Translate
from mvgen.core.errors import CannotError, UsageError
from mvgen.core.render.splats import Painter
from mvgen.core.splats.harmonics import colours
from mvgen.core.splats.model import matrices
from tests.core.edit.shapes import limb, same_rows
from tests.core.splats import made

STEPS = [
    Rotate(axis="y", degrees=33.0),
    Translate(shift=(0.5, -1.0, 2.0)),
    Scale(factor=1.7),
    Stretch(axis="z", factor=2.5),
    Shear(axis="x", by="y", amount=0.8),
    Mirror(axis="x"),
]


def some(splats, share=0.3, seed=0):
    mask = np.random.default_rng(seed).random(len(splats)) < share
    return mask, replace(begun(splats), selected=mask)


def name_of(step):
    return type(step).__name__


@pytest.mark.parametrize("step", STEPS, ids=name_of)
def test_others_stay_bit_for_bit(step):
    before = made.splats(500)
    mask, editing = some(before)
    out = moved(editing, step.matrix(editing.middle))
    assert same_rows(before, out.splats, ~mask)
    assert not same_rows(before, out.splats, mask)
    assert np.array_equal(out.touched, mask)


@pytest.mark.parametrize("step", STEPS, ids=name_of)
def test_samples_of_splats_move_as_the_map_says(step):
    """Covariances and means against points drawn from the splats and mapped one by one."""
    before = made.splats(20)
    editing = begun(before)
    matrix = step.matrix(editing.middle)
    after = moved(editing, matrix).splats
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(20, 4000, 3))
    unit -= unit.mean(1, keepdims=True)
    root = np.linalg.cholesky(np.einsum("nki,nkj->nij", unit, unit) / 4000)
    unit = np.linalg.solve(root, unit.transpose(0, 2, 1)).transpose(0, 2, 1)  # whose covariance is exactly 1
    axes = matrices(before.quaternions) * np.exp(before.log_scales.astype(np.float64))[:, None]
    points = before.means[:, None] + np.einsum("nij,nkj->nki", axes, unit)
    points = points @ matrix[:3, :3].T + matrix[:3, 3]
    offset = points - points.mean(1, keepdims=True)
    wanted = np.einsum("nki,nkj->nij", offset, offset) / 4000
    got = made.covariances(after)
    assert np.allclose(after.means, points.mean(1), atol=1e-5)
    assert (np.abs(got - wanted).max((1, 2)) < 1e-5 * np.abs(wanted).max((1, 2))).all()


@pytest.mark.parametrize("there", [Rotate(axis="z", degrees=41.0), Mirror(axis="y"), Translate(shift=(1.0, 2.0, 3.0))])
def test_there_and_back(there):
    before = made.splats(500, size=0.25)
    back = {
        Rotate: Rotate(axis="z", degrees=-41.0),
        Mirror: there,
        Translate: Translate(shift=(-1.0, -2.0, -3.0)),
    }[type(there)]
    editing = begun(before)
    editing = moved(editing, there.matrix(editing.middle))
    after = moved(editing, back.matrix(editing.middle)).splats
    assert np.abs(after.means - before.means).max() < 1e-6
    assert np.abs(after.harmonics - before.harmonics).max() < 1e-6
    assert np.abs(after.log_scales - before.log_scales).max() < 1e-6
    assert (1 - np.abs((after.quaternions * before.quaternions).sum(1))).max() < 1e-6


def camera(side: int = 160) -> Camera:
    pose = np.eye(4)
    pose[2, 3] = 6.0
    lens = np.array([[1.2 * side, 0, side / 2], [0, 1.2 * side, side / 2], [0, 0, 1]])
    return Camera("", side, side, lens, pose)


def test_a_mirrored_splat_looks_like_its_mirrored_picture():
    splats = replace(made.splats(400, size=0.6), log_scales=np.random.default_rng(1).uniform(-4, -2, (400, 3)))
    splats = replace(splats, log_scales=splats.log_scales.astype(np.float32))
    plane = Mirror(axis="x", about=(0.0, 0.0, 0.0))
    after = moved(begun(splats), plane.matrix(np.zeros(3))).splats
    one, two = Painter(splats).render(camera()), Painter(after).render(camera())
    shown = one.color * one.alpha[..., None]
    difference = np.abs((two.color * two.alpha[..., None])[:, ::-1] - shown)
    assert shown.max() > 0.5
    assert (difference < 1e-5).mean() > 0.999 and difference.max() < 1 / 255


def test_harmonics_of_a_stretch_follow_its_rotation_alone():
    before = made.splats(50)
    editing = begun(before)
    after = moved(editing, Stretch(axis="x", factor=3.0).matrix(editing.middle)).splats
    assert np.array_equal(after.harmonics, before.harmonics)
    turn = Rotate(axis="y", degrees=50.0)
    both = np.eye(4)
    both[:3, :3] = turn.linear @ Stretch(axis="z", factor=2.0).linear
    after = moved(editing, both).splats
    directions = np.random.default_rng(0).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    there = colours(after.harmonics, directions @ turn.linear.T)
    assert np.allclose(there, colours(before.harmonics, directions), atol=1e-5)


def test_a_removal_leaves_an_edge():
    splats = limb(3000)
    gone = splats.means[:, 1] > 0.8
    out = removed(replace(begun(splats), selected=gone))
    assert not out.touched.any() and np.array_equal(out.unsettled, out.edge)
    heights = out.splats.means[:, 1]
    assert out.edge[heights > 0.75].all() and not out.edge[heights < 0.4].any()
    again = duplicated(replace(out, selected=out.edge))
    assert again.edge.sum() == out.edge.sum() and again.unsettled.sum() == 2 * out.edge.sum()


def test_removed_ones_go_back_to_where_they_were():
    before = made.splats(200)
    mask, editing = some(before)
    rest, part = removed(editing), kept(editing)
    assert len(rest.splats) == (~mask).sum() and rest.selected.all()
    back = added(rest, part.splats, mask)
    assert same_rows(before, back.splats, np.arange(200))
    assert np.array_equal(back.origin >= 0, ~mask) and np.array_equal(back.selected, mask)
    with pytest.raises(UsageError, match="places"):
        added(rest, part.splats[1:], mask[:-1])


def test_added_ones_come_last_and_are_selected():
    before, other = made.splats(30, degree=1), made.splats(10, seed=2)
    out = added(begun(before), other)
    assert len(out.splats) == 40 and out.splats.degree == 3
    assert np.array_equal(out.selected, np.arange(40) >= 30) and np.array_equal(out.touched, out.selected)
    assert np.array_equal(out.splats.harmonics[:30, :4], before.harmonics)


def test_duplicates_are_what_is_edited_next():
    before = made.splats(30)
    mask, editing = some(before)
    out = duplicated(editing)
    out = moved(out, Translate(shift=(1.0, 0.0, 0.0)).matrix(out.middle))
    assert same_rows(before, out.splats, np.arange(30))
    assert np.allclose(out.splats.means[30:], before.means[mask] + np.float32([1, 0, 0]))


def test_recoloured_ones_have_that_mean():
    before = made.splats(100)
    mask, editing = some(before)
    out = recoloured(editing, (0.8, 0.2, 0.5)).splats
    assert np.allclose(0.5 + 0.28209479177387814 * out.harmonics[mask, 0].mean(0), [0.8, 0.2, 0.5], atol=1e-5)
    assert np.allclose(np.diff(out.harmonics[mask, 0], axis=0), np.diff(before.harmonics[mask, 0], axis=0), atol=1e-5)
    assert same_rows(before, out, ~mask)
    assert np.array_equal(out.harmonics[:, 1:], before.harmonics[:, 1:])


def test_moments_follow_their_splats():
    before = made.splats(20)
    names = ("means", "quaternions", "log_scales", "logits", "harmonics")
    moments = {part: {n: getattr(before, n) * (i + 2) for n in names} for i, part in enumerate(("first", "second"))}
    mask = np.arange(20) < 5
    out = duplicated(replace(begun(before, moments), selected=mask))
    out = removed(replace(out, selected=np.arange(25) == 7))
    assert out.moments is not None
    for part in ("first", "second"):
        for n in names:
            assert np.array_equal(out.moments[part][n][:19], np.delete(moments[part][n], 7, 0))
            assert not out.moments[part][n][19:].any()


def test_nothing_to_work_on_is_told():
    editing = replace(begun(made.splats(5)), selected=np.zeros(5, bool))
    for operation in (removed, kept, duplicated):
        with pytest.raises(CannotError, match="selected"):
            operation(editing)
    with pytest.raises(CannotError, match="all splats"):
        removed(begun(limb(5)))
