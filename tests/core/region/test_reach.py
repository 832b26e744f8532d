"""Growing, parts, and ways along surfaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.region import reach
from mvgen.core.region.things import load_things
from tests.core.region.made import joined, on_sphere, shifted, sphere, splats_at, things


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), radius=st.floats(0.001, 2), share=st.floats(0, 1))
def test_growing_adds_just_what_is_within_the_radius(seed, radius, share):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (60, 3)) * [1, 1, rng.choice([0, 1])]
    mask = rng.random(60) < share
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    near = (distance[:, mask] <= radius).any(1) | mask
    assert np.array_equal(reach.grown(points, mask, radius), near)
    if mask.any() and not mask.all():
        assert np.array_equal(reach._grown_far(points, mask, radius), near)
    rest = (distance[:, ~mask] <= radius).any(1)
    assert np.array_equal(reach.shrunk(points, mask, radius), mask & ~rest)


def test_growing_far_is_growing():
    points = on_sphere(20_000)
    far = 50 * reach.spacing(points)
    for mask in (points[:, 1] > 0.4, np.random.default_rng(0).random(20_000) < 1e-3):
        distance = cKDTree(points[mask]).query(points)[0]
        assert np.array_equal(reach.grown(points, mask, far), distance <= far)
        assert np.array_equal(reach.shrunk(points, ~mask, far), ~mask & (distance > far))


def test_growing_nothing_and_shrinking_everything():
    points = on_sphere(50)
    nothing, everything = np.zeros(50, bool), np.ones(50, bool)
    assert not reach.grown(points, nothing, 1).any()
    assert reach.shrunk(points, everything, 1).all()


def test_parts_of_a_mesh_are_joined_by_faces_and_places():
    large, small = sphere(3), shifted(sphere(1), (1.01, 0, 0))  # they overlap in space
    soup = Mesh(large.vertices[large.faces].reshape(-1, 3), np.arange(large.faces.size, dtype=np.int32).reshape(-1, 3))
    for first in (large, soup):
        label = reach.parts(things(joined(small, first)), 0.01)
        assert (label[: len(small.vertices)] == 1).all() and (label[len(small.vertices) :] == 0).all()


def test_parts_of_points_and_splats_are_apart_by_more_than_the_gap():
    points = np.concatenate([on_sphere(300) * 0.2, on_sphere(900, 1) * 0.2 + [2, 0, 0]])
    for shape in (PointCloud(points), splats_at(points)):
        label = reach.parts(things(shape), 0.1)
        assert (label[:300] == 1).all() and (label[300:] == 0).all()
    assert (reach.parts(things(PointCloud(points)), 1.7) == 0).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), gap=st.floats(0.02, 1))
def test_near_points_are_of_one_part_and_far_ones_are_not_linked(seed, gap):
    points = np.random.default_rng(seed).uniform(-1, 1, (60, 3)) * [1, 0.5, 2]
    label = reach.parts(things(PointCloud(points)), gap)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    same = label[:, None] == label[None]
    assert same[distance < gap].all()
    _, linked = connected_components(csr_matrix(distance <= 3.5 * gap))
    assert not same[linked[:, None] != linked[None]].any()
    assert (np.diff(np.bincount(label)) <= 0).all()


def test_cells_hang_together_where_they_touch(tmp_path):
    values = np.zeros((9, 9, 9), bool)
    values[0, 0, 0] = values[1, 1, 1] = values[2, 1, 1] = values[4, 1, 1] = True
    np.savez(tmp_path / "a.npz", values=values, origin=[0.1, 0, 0], spacing=[0.3, 0.3, 0.3])
    of = load_things(tmp_path / "a.npz", "a")
    assert reach.parts(of, reach.usual_gap(of)).tolist() == [0, 0, 0, 1]


def test_ways_along_a_sphere_are_as_long_as_its_arcs():
    ball = things(sphere(4))
    angle = np.arccos(np.clip(ball.places[:, 1], -1, 1))
    start = np.array([0, 1.0, 0])
    start = ball.places[reach.nearest(ball.places, start)]
    angle = np.arccos(np.clip(ball.places @ start, -1, 1))
    got = reach.along_surface(ball, start, 1.0)
    assert not got[angle > 1.01].any() and got[angle < 0.92].all()


def test_ways_do_not_jump_between_sheets():
    side = np.linspace(0, 1, 30)
    x, y = (v.reshape(-1) for v in np.meshgrid(side, side))
    sheets = np.concatenate([np.stack([x, y, 0 * x], 1), np.stack([x, y, 0 * x + 0.2], 1)])
    for shape in (PointCloud(sheets), splats_at(sheets)):
        got = reach.along_surface(things(shape), np.array([0.5, 0.5, 0.0]), 0.4)
        assert got[:900].sum() > 300 and not got[900:].any()
    away = np.linalg.norm(sheets[:900] - [0.5, 0.5, 0], axis=1)
    assert got[:900][away < 0.36].all()


def test_long_ways_over_points_are_as_long_as_arcs():
    points = on_sphere(60_000)
    radius = 2.0
    assert radius > reach._FAR_WALK * reach.spacing(points)
    ball = things(PointCloud(points))
    got = reach.along_surface(ball, points[7], radius)
    angle = np.arccos(np.clip(points @ points[7], -1, 1))
    assert not got[angle > 1.01 * radius].any() and got[angle < 0.95 * radius].all()


def test_long_ways_do_not_jump_between_sheets():
    flat = np.random.default_rng(0).random((60_000, 2))
    sheets = np.concatenate([np.c_[flat, np.zeros(60_000)], np.c_[flat, np.full(60_000, 0.04)]])
    got = reach.along_surface(things(PointCloud(sheets)), np.array([0.5, 0.5, 0.0]), 0.6)
    away = np.linalg.norm(flat - 0.5, axis=1)
    assert reach._FAR_WALK * reach.spacing(sheets) < 0.6
    assert got[:60_000][away < 0.57].all() and not got[60_000:].any()


def test_ways_stay_on_a_mesh_with_doubled_vertices():
    ball = sphere(3)
    soup = Mesh(ball.vertices[ball.faces].reshape(-1, 3), np.arange(ball.faces.size, dtype=np.int32).reshape(-1, 3))
    whole = reach.along_surface(things(ball), np.array([0, 1.0, 0]), 0.8)
    assert np.array_equal(reach.along_surface(things(soup), np.array([0, 1.0, 0]), 0.8), whole[ball.faces].reshape(-1))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_points(count):
    few = things(PointCloud(on_sphere(count)))
    assert reach.along_surface(few, few.places[0], 0.001)[0]
    assert len(reach.parts(few, 0.1)) == count and reach.spacing(few.places) >= 0
