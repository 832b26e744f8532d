"""Edges that are collapsed, split and flipped."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.geometry import Mesh
from mvgen.core.surface.topology import topology
from mvgen.kernels.remesh import Surface, flip, remesh, twins_of


def surface(mesh, length, free=None):
    vertices, faces = np.array(mesh.vertices, float), np.array(mesh.faces, np.int32)
    carried = np.c_[np.full(len(vertices), length), vertices @ [1.0, 2, 3]]
    return Surface(vertices, faces, carried, np.ones(len(vertices), bool) if free is None else free(vertices))


def changed(start, rounds=8, turn=30.0, most=10**6):
    for _ in range(rounds):
        start = remesh(start, 0.5, 1.5, turn, most)
    return start


def lengths(s):
    return np.linalg.norm(s.places[s.faces] - s.places[np.roll(s.faces, -1, 1)], axis=2)


def bowl():
    ball = trimesh.creation.icosphere(3)
    return trimesh.Trimesh(ball.vertices, ball.faces[ball.triangles_center[:, 2] < 0.2])


SHAPES = {
    "ball": (lambda: trimesh.creation.icosphere(3), 0),
    "ring": (lambda: trimesh.creation.torus(1, 0.4, 40, 20), 1),
    "block": (lambda: trimesh.creation.box().subdivide().subdivide(), 0),
    "bowl": (lambda: bowl(), 0),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("length", [0.05, 0.7])
def test_the_surface_stays_what_it_is(name, length):
    make, genus = SHAPES[name]
    start = surface(make(), length)
    before = topology(Mesh(start.places, start.faces), welded=True)
    after = changed(start)
    found = topology(Mesh(after.places, after.faces), welded=True)
    assert (found.genus, found.holes, found.components) == (genus, before.holes, before.components)
    assert found.open_edges == before.open_edges and found.crowded_edges == 0 and found.orientable
    assert len(after.places) == found.vertices  # no vertex is left over
    if length < 0.1:
        assert len(after.faces) > 2 * len(start.faces)
        inner = (twins_of(after.faces) >= 0).reshape(-1, 3)
        assert np.quantile(lengths(after)[inner], 0.99) < 1.5 * length
    else:
        assert len(after.faces) < 0.9 * len(start.faces)


def test_edges_of_features_stay():
    block = surface(trimesh.creation.box().subdivide().subdivide(), 0.2)
    after = changed(block, 15)
    volume = trimesh.Trimesh(after.places, after.faces, process=False).volume
    assert volume == pytest.approx(1, abs=0.02)
    assert len(after.faces) != len(block.faces)


def test_no_face_turns_by_more_than_the_limit():
    ball = surface(trimesh.creation.icosphere(4), 0.3)
    after = changed(ball, 12, turn=20)
    corners = after.places[after.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normals * corners.mean(1)).sum(1).min() > 0


def test_what_is_not_free_stays_with_its_faces():
    start = surface(trimesh.creation.icosphere(4), 0.03, lambda v: v[:, 0] > 0.3)
    after = changed(start)
    kept = start.places[~start.free]
    assert np.array_equal(after.places[~after.free], kept)

    def corners(s):  # of faces of which no corner is free
        return {tuple(map(tuple, s.places[face])) for face in s.faces[~s.free[s.faces].any(1)]}

    assert corners(start) == corners(after) and len(after.faces) > len(start.faces)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.6))
def test_carried_numbers_are_means(seed, length):
    rng = np.random.default_rng(seed)
    ball = trimesh.creation.icosphere(2)
    ball.vertices += rng.normal(0, 0.02, ball.vertices.shape)
    after = changed(surface(ball, length), 3)
    assert np.allclose(after.carried[:, 1], after.places @ [1.0, 2, 3])  # a linear function stays one
    assert np.isfinite(after.places).all() and (after.faces < len(after.places)).all()


def test_the_best_flips_come_first_and_each_face_flips_once():
    start = surface(trimesh.creation.icosphere(3), 0.1)
    gain = np.random.default_rng(0).random(3 * len(start.faces))
    after = flip(start, gain, 0.5, 60.0)
    changed_faces = (after.faces != start.faces).any(1).reshape(-1)
    best = int(np.argmax(np.where(np.arange(len(gain)) < twins_of(start.faces), gain, -1)))
    assert changed_faces[best // 3] and np.array_equal(after.places, start.places)
    assert 0.1 < changed_faces.mean() < 1
    found = topology(Mesh(after.places, after.faces), welded=True)
    assert found.watertight and found.genus == 0
    assert np.array_equal(flip(start, gain, 1.0, 60.0).faces, start.faces)  # none gains that much
    assert np.array_equal(flip(start, gain, 0.5, 1.0).faces, start.faces)  # none is that flat


def test_there_are_never_more_vertices_than_allowed():
    start = surface(trimesh.creation.icosphere(3), 0.01)
    assert len(changed(start, most=700).places) == 700


def test_the_same_twice():
    start = surface(trimesh.creation.torus(1, 0.4, 40, 20), 0.07)
    one, two = changed(start), changed(start)
    assert np.array_equal(one.places, two.places) and np.array_equal(one.faces, two.faces)


def test_edges_that_more_than_two_faces_share_have_no_twins():
    faces = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]], np.int32)
    assert (twins_of(faces) == -1).all()
    assert twins_of(faces[:2]).reshape(-1, 3)[:, 0].tolist() == [3, 0]
    assert (twins_of(np.array([[0, 1, 2], [0, 1, 3]], np.int32)) == -1).all()  # one of them is turned
