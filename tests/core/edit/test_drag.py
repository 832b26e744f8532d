"""Drags without pictures, on a limb."""

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.edit.drag import STRIDE, dragged
from mvgen.core.edit.operations import begun
from mvgen.core.edit.recipe import Handle
from mvgen.core.errors import CannotError
from mvgen.core.render.orbit import orbit_cameras
from mvgen.core.render.splats import Painter
from tests.core.edit.shapes import limb, same_rows

TIP = (0.0, 1.2, 0.0)


def within(splats, centre, radius):
    return np.linalg.norm(splats.means - np.array(centre), axis=1) <= radius


def apart(points):
    few = points[:: max(1, len(points) // 200)].astype(np.float64)
    return np.linalg.norm(few[:, None] - few[None], axis=-1)


def test_a_rigid_part_keeps_its_shape_and_lands():
    before = limb()
    part = within(before, TIP, 0.4)
    middle = before.means[part].mean(0)
    handle = Handle(tuple(map(float, middle)), (0.5, 1.7, 0.2), 0.4)
    part = within(before, handle.source, 0.4)
    out = dragged(begun(before), [handle], True)
    after = out.splats.means[: len(before)][part]
    far = apart(before.means[part]) > 1e-3
    change = np.abs(apart(after) / np.where(far, apart(before.means[part]), 1) - 1)[far]
    assert change.max() < 0.01
    landed = before.means[part].mean(0) + np.array(handle.target) - handle.source
    assert np.linalg.norm(after.mean(0) - landed) < 1e-4
    still = ~within(before, handle.source, 0.8)
    assert still.any() and same_rows(before, out.splats, np.flatnonzero(still))
    assert not out.touched[: len(before)][still].any()


def test_a_region_moves_as_one_body_without_a_radius():
    before = limb(1000)
    mask = before.means[:, 1] > 0.5
    editing = replace(begun(before), selected=mask)
    low, high = (0.0, 0.5, 0.0), (0.0, 1.25, 0.0)
    out = dragged(editing, [Handle(low, (0.0, 0.5001, 0.0)), Handle(high, (0.75, 0.5, 0.0))], True).splats
    assert len(out) == len(before) and same_rows(before, out, ~mask)
    assert np.abs(apart(out.means[mask]) - apart(before.means[mask])).max() < 1e-5
    assert out.means[mask, 0].max() > 0.6  # two handles turn it by a quarter
    assert out.means[mask, 1].max() < 0.9


def picture_cameras(points, size=(120, 160)):
    return orbit_cameras(points.astype(np.float64), 8, size, np.array([0.0, 1, 0]), 0.0, 0.0)


def covered(camera: Camera, start, end, painter) -> float:
    """The least opacity seen along a line, which lies inside of the limb."""
    line = np.linspace(start, end, 200)
    pixels, _ = camera.project(line)
    column, row = np.floor(pixels).astype(int).T
    return float(painter.render(camera).alpha[row, column].min())


def test_plasticine_grows_a_limb_without_holes():
    before = limb()
    source, target, radius = np.array(TIP), np.array([0.3, 2.2, 0.0]), 0.5
    first = within(before, source, radius)
    out = dragged(begun(before), [Handle(TIP, tuple(target), radius)], False)
    assert out.touched.sum() > 1.2 * first.sum()  # what the front met, and what came to fill gaps
    assert len(out.splats) > len(before)
    step = STRIDE * radius
    assert out.splats.means[:, 1].max() > before.means[:, 1].max() + 1.0 - step
    assert not out.touched[: len(before)][before.means[:, 1] < 0.5].any()
    still = np.flatnonzero(~out.touched[: len(before)])
    assert same_rows(before, out.splats, still)
    painter = Painter(out.splats)
    start, end = np.array([0.0, 0.0, 0.0]), source + 0.9 * (target - source)
    found = [covered(c, start, end, painter) for c in picture_cameras(out.splats.means)]
    assert min(found) > 0.9


def test_without_what_comes_and_stretches_there_would_be_holes():
    """The check of the test before can fail."""
    before = limb()
    out = dragged(begun(before), [Handle(TIP, (0.3, 2.2, 0.0), 0.5)], False).splats[: len(before)]
    bare = Painter(replace(out, log_scales=before.log_scales - 1))
    start, end = np.array([0.0, 1.2, 0.0]), np.array([0.27, 2.1, 0.0])
    assert min(covered(c, start, end, bare) for c in picture_cameras(out.means)) < 0.9


def test_both_ends_at_once():
    before = limb(1500)
    handles = [Handle(TIP, (0.0, 1.8, 0.0), 0.4), Handle((0.0, -1.2, 0.0), (0.0, -1.8, 0.0), 0.4)]
    for rigid in (True, False):
        out = dragged(begun(before), handles, rigid).splats
        assert out.means[:, 1].max() > 1.7 and out.means[:, 1].min() < -1.7
        middle = np.flatnonzero(np.abs(before.means[:, 1]) < 0.2)
        assert same_rows(before, out, middle)


def test_what_is_not_selected_holds():
    before = limb(1500)
    mask = before.means[:, 0] > 0
    for rigid in (True, False):
        out = dragged(replace(begun(before), selected=mask), [Handle(TIP, (0.5, 1.4, 0.0), 0.6)], rigid).splats
        assert same_rows(before, out, ~mask)
        assert not same_rows(before, out, mask)


def test_splats_turn_with_what_they_are_part_of():
    before = limb(1500)
    out = dragged(begun(before), [Handle(TIP, (1.2, 0.6, 0.0), 1.0)], True)
    assert np.isfinite(out.splats.harmonics).all() and np.isfinite(out.splats.quaternions).all()
    bent = np.flatnonzero(out.touched[:1500] & ~within(before, TIP, 1.0))
    assert not np.array_equal(out.splats.harmonics[bent, 1:], before.harmonics[bent, 1:])
    energy = [np.square(s.harmonics[bent, 1:4]).sum((1, 2)) for s in (before, out.splats)]
    assert np.allclose(*energy, rtol=1e-4)  # turns keep the length of each band


def test_a_drag_of_nothing_is_told():
    with pytest.raises(CannotError, match="nothing selected lies"):
        dragged(begun(limb(100)), [Handle((5.0, 5.0, 5.0), (0.0, 0.0, 0.0), 0.1)], True)
