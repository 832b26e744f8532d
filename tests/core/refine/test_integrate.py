"""Vertices that give faces the normals they should have."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.refine.integrate import Pull, face_normals, least_rotations, towards_normals, vertex_normals
from tests.core.refine.made import ball, off


def angle(one, two):
    return np.degrees(np.arccos(np.clip((one * two).sum(1), -1, 1))).mean()


def test_faces_get_the_normals_of_another_surface():
    start, goal = ball(4, False), ball(4, True)
    wanted = face_normals(goal.vertices, goal.faces)
    everything = np.ones(len(start.vertices), bool)
    places = start.vertices
    for _ in range(4):
        places = towards_normals(places, start.faces, wanted, everything, 2.0)
    assert angle(face_normals(start.vertices, start.faces), wanted) > 7
    assert angle(face_normals(places, start.faces), wanted) < 0.4
    assert np.abs(places - goal.vertices).mean() < 0.45 * np.abs(start.vertices - goal.vertices).mean()


def test_faces_that_are_not_trusted_do_not_turn_others():
    start, goal = ball(4, False), ball(4, True)
    wanted = face_normals(goal.vertices, goal.faces)
    wrong = np.zeros(len(wanted), bool)
    wrong[::10] = True
    spoilt = np.where(wrong[:, None], np.roll(wanted, 40, axis=0), wanted)
    off = []
    for trust in (np.ones(len(wanted)), np.where(wrong, 1e-3, 1.0)):
        places = start.vertices
        for _ in range(4):
            free = np.ones(len(places), bool)
            places = towards_normals(places, start.faces, spoilt, free, 2.0, trust=trust)
        off.append(angle(face_normals(places, start.faces)[~wrong], wanted[~wrong]))
    assert off[1] < 0.5 < 2 < off[0]


def test_what_is_not_free_stays_bit_for_bit():
    start, goal = ball(3, False), ball(3, True)
    free = start.vertices[:, 1] > 0
    places = towards_normals(start.vertices, start.faces, face_normals(goal.vertices, goal.faces), free, 2.0)
    assert np.array_equal(places[~free], start.vertices[~free])
    assert (places[free] != start.vertices[free]).any(1).mean() > 0.9


def test_nothing_moves_where_normals_are_as_wanted():
    start = ball(3, True)
    places = towards_normals(
        start.vertices, start.faces, face_normals(start.vertices, start.faces), np.ones(len(start.vertices), bool), 2.0
    )
    assert np.abs(places - start.vertices).max() < 1e-9


def test_a_pull_moves_the_whole():
    start = ball(3, False)
    weight = np.full(len(start.vertices), 10.0)
    pull = Pull(1.1 * start.vertices, weight)
    normals = face_normals(start.vertices, start.faces)
    places = towards_normals(start.vertices, start.faces, normals, np.ones(len(start.vertices), bool), 2.0, pull=pull)
    assert np.linalg.norm(places, axis=1).mean() == pytest.approx(1.1, abs=0.01)


def test_rotations_are_rotations():
    rng = np.random.default_rng(0)
    one, two = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.normal(size=(2, 200, 3)))
    turns = least_rotations(one, two)
    near = (one * two).sum(1) > -0.95
    assert np.allclose(np.einsum("nab,nb->na", turns, one)[near], two[near])
    assert np.allclose((turns @ turns.transpose(0, 2, 1))[near], np.eye(3))
    trace = np.trace(turns, axis1=1, axis2=2)
    assert np.allclose(((trace - 1) / 2)[near], (one * two).sum(1)[near])  # the angle is the one between them


def test_vertex_normals_of_a_ball_point_outward():
    plain = ball(3, False)
    assert angle(vertex_normals(plain.vertices, plain.faces), plain.vertices) < 1
    assert off(plain)[0] > 0.01
