"""Conditions on places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from mvgen.core.box import Box
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.nearest import sample_surface
from mvgen.core.region import select
from mvgen.core.splats.harmonics import DEGREE_ZERO
from mvgen.core.splats.points import splats_of_points
from tests.core.region.made import on_sphere, sphere, splats_at, things

INDICES = st.sets(st.integers(0, 29))


def mask(indices):
    out = np.zeros(30, bool)
    out[list(indices)] = True
    return out


@given(a=INDICES, b=INDICES, c=INDICES)
def test_the_algebra_is_that_of_sets(a, b, c):
    def indices(found):
        return set(np.flatnonzero(found).tolist())

    whole = set(range(30))
    assert indices(select.combined(mask(a), "and", mask(b))) == a & b
    assert indices(select.combined(mask(a), "or", mask(b))) == a | b
    assert indices(select.combined(mask(a), "minus", mask(b))) == a - b
    both = select.combined(~mask(a), "and", select.combined(mask(b), "or", mask(c)))
    assert indices(both) == (whole - a) & (b | c)
    left = ~select.combined(mask(a), "or", mask(b))
    assert np.array_equal(left, select.combined(~mask(a), "and", ~mask(b)))  # De Morgan


def test_spheres_and_half_spaces():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0]])
    assert select.in_sphere(points, np.zeros(3), 1.0).tolist() == [True, True, False]
    assert select.in_half_space(points, (0, 1, 0), 2).tolist() == [False, False, True]


def test_colours_of_all_kinds():
    rgb = np.float32([[1, 0, 0], [0.95, 0.05, 0.05], [0, 0, 1]])
    wanted = [True, True, False]
    cloud = PointCloud(np.eye(3), colours=rgb)
    assert select.of_colour(things(cloud), (1, 0, 0), 20).tolist() == wanted
    faces = np.array([[0, 1, 2]], np.int32)
    assert select.of_colour(things(Mesh(np.eye(3), faces, colours=rgb)), (1, 0, 0), 20).tolist() == wanted
    painted = replace(splats_at(np.eye(3)), harmonics=((rgb - 0.5) / DEGREE_ZERO)[:, None].astype(np.float32))
    assert select.of_colour(things(painted), (1, 0, 0), 20).tolist() == wanted
    texture = np.zeros((2, 2, 3), np.uint8)
    texture[0] = [255, 0, 0]
    uv = np.array([[0.5, 0.9], [0.2, 0.9], [0.5, 0.1]])
    assert select.of_colour(things(Mesh(np.eye(3), faces, uv=uv, texture=texture)), (1, 0, 0), 20).tolist() == wanted
    with pytest.raises(CannotError, match="no colours"):
        select.of_colour(things(PointCloud(np.eye(3))), (1, 0, 0), 20)


def test_opacities_and_scales_of_splats():
    splats = splats_at(np.eye(3), 0.1)
    splats.logits[:] = [-9, 0, 9]
    splats.log_scales[0] = np.log([0.01, 0.5, 0.01])
    assert select.of_opacity(things(splats), 0.4, 0.6).tolist() == [False, True, False]
    assert select.of_scale(things(splats), 0.2, np.inf).tolist() == [True, False, False]
    with pytest.raises(CannotError, match="no opacities"):
        select.of_opacity(things(sphere(0)), 0, 1)
    with pytest.raises(CannotError, match="no sizes"):
        select.of_scale(things(sphere(0)), 0, 1)


def test_normals():
    ball = sphere(3)
    wanted = ball.vertices[:, 1] >= np.cos(np.radians(40))
    assert (select.of_normal(things(ball), (0, 1, 0), 40) == wanted).mean() > 0.99
    points = on_sphere(400)
    cloud = PointCloud(points, normals=points.astype(np.float32))
    assert np.array_equal(select.of_normal(things(cloud), (0, 3, 0), 40), points[:, 1] >= np.cos(np.radians(40)))
    flat = splats_at(np.eye(3))
    flat.log_scales[:, 1] -= 2
    assert select.of_normal(things(flat), (0, -1, 0), 10).all()  # the shortest axis has no sign
    assert not select.of_normal(things(flat), (1, 0, 0), 10).any()
    with pytest.raises(CannotError, match="no normals"):
        select.of_normal(things(PointCloud(points)), (0, 1, 0), 10)


def test_one_box_selects_the_same_of_a_mesh_its_points_and_its_splats():
    mesh = sphere(4)
    rng = np.random.default_rng(0)
    samples = sample_surface(mesh, 100_000, rng)[0].points
    cloud = PointCloud(sample_surface(mesh, 20_000, rng)[0].points)
    box = Box((-2, -0.3, -2), (0.4, 2, 0.5))
    labels = []
    for shape in (mesh, cloud, splats_of_points(cloud, "rdf")):
        places = things(shape).places
        labels.append(box.holds(places)[cKDTree(places).query(samples)[1]])
    for one in labels:
        for other in labels:
            assert (one == other).mean() > 0.97
    assert 0.1 < labels[0].mean() < 0.9
