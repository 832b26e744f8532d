"""Selections made step by step."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.errors import CannotError
from mvgen.core.geometry import PointCloud
from mvgen.core.region.session import Session
from mvgen.core.region.sight import standard_cameras
from tests.core.region.made import joined, on_sphere, shifted, sphere, things

POINTS = on_sphere(5000)


@pytest.fixture
def session():
    return Session(things(PointCloud(POINTS)), np.zeros(5000, bool))


def test_what_is_found_changes_the_selection(session):
    up, right = POINTS[:, 1] > 0, POINTS[:, 0] > 0
    session.take(up, "new")
    for change, wanted in (("add", up | right), ("remove", up & ~right), ("keep", up & right), ("new", right)):
        session.take(right, change)
        assert np.array_equal(session.mask, wanted)
        session.undo()
        assert np.array_equal(session.mask, up)
    session.invert()
    assert np.array_equal(session.mask, ~up)
    session.undo()
    session.undo()
    session.undo()  # there is nothing left to take back
    assert not session.mask.any() and len(session.chosen()) == 0


def test_growing_and_shrinking(session):
    session.take(POINTS[:, 1] > 0.5, "new")
    before = session.mask.sum()
    session.grow(0.1)
    assert session.mask.sum() > before
    session.shrink(0.3)
    assert session.mask.sum() < before


def test_tools_look_through_a_camera(session):
    camera = standard_cameras(session.things)[0]
    dab = session.at(camera, 480, 360, 0.2)
    assert dab.any() and np.array_equal(session.along(camera, [(480, 360), (1, 1)], 0.2), dab)
    stroke = session.along(camera, [(480 + k, 360) for k in range(0, 120, 10)], 0.2)
    assert stroke.sum() > 1.5 * dab.sum()
    frame = [(400.0, 300.0), (560, 300), (560, 420), (400, 420)]
    assert 0 < session.inside(camera, frame, False).sum() < session.inside(camera, frame, True).sum()
    with pytest.raises(CannotError, match="nothing of it is at 1,1"):
        session.at(camera, 1, 1, 0.2)
    assert not session.along(camera, [(1, 1)], 0.2).any()


def test_a_part_is_found_by_a_pixel_of_it():
    two = things(joined(sphere(3), shifted(sphere(2), (4, 0, 0))))
    session = Session(two, np.zeros(len(two.places), bool))
    camera = standard_cameras(two)[0]
    pixel = camera.project(np.array([4.0, 0, 0]))[0]
    assert np.array_equal(session.part_at(camera, *pixel), two.places[:, 0] > 2)
