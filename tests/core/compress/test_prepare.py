"""Meshes made ready, and whether they have an inside."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from mvgen.core.compress.decimate import Stages
from mvgen.core.compress.measure import Surface, mean_distance
from mvgen.core.compress.prepare import openness, prepared
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh


def shape(made: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(made.vertices), np.asarray(made.faces, np.int32))


BALL = shape(trimesh.creation.icosphere(3, 0.3))


def test_a_soup_becomes_a_mesh_and_keeps_its_colours() -> None:
    corners = BALL.vertices[BALL.faces].reshape(-1, 3)
    soup = Mesh(
        corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3), colours=corners.astype(np.float32) + 0.5
    )
    found = prepared(soup)
    assert len(found.vertices) == len(BALL.vertices) and len(found.faces) == len(BALL.faces)
    assert found.colours is not None
    assert np.allclose(found.colours, found.vertices + 0.5, atol=1e-6)


def test_empty_faces_and_loose_vertices_go() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [9, 9, 9]])
    found = prepared(Mesh(vertices, np.array([[0, 1, 2], [0, 3, 1]], np.int32)))
    assert (len(found.vertices), len(found.faces)) == (3, 1)
    with pytest.raises(CannotError):
        prepared(Mesh(vertices, np.array([[0, 3, 1]], np.int32)))


def test_what_has_an_inside() -> None:
    assert openness(BALL).has_inside
    turned = Mesh(BALL.vertices, BALL.faces[:, ::-1].copy())
    assert openness(turned).has_inside
    holed = openness(Mesh(BALL.vertices, BALL.faces[BALL.vertices[BALL.faces].mean(1)[:, 2] < 0.1]))
    assert not holed.has_inside and holed.open_edges > 0 and "open" in holed.why
    pinhole = openness(Mesh(BALL.vertices, BALL.faces[1:]))
    assert pinhole.has_inside and pinhole.open_edges == 3  # so small a hole leaves no doubt about the inside
    mixed = np.concatenate([BALL.faces[:600], BALL.faces[600:, ::-1]])
    twisted = openness(Mesh(BALL.vertices, mixed))
    assert not twisted.has_inside and twisted.twisted_edges > 0
    flat = openness(Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]], np.int32)))
    assert not flat.has_inside


def test_stages_have_fewer_faces_and_stay_near() -> None:
    stages = Stages(BALL)
    half = stages.with_faces(600)
    assert 580 <= len(half.faces) <= 600
    assert stages.with_faces(10**6) is BALL
    assert mean_distance(Surface(BALL), Surface(half), 5000, 0) < 0.001
    number = stages.nearest_stage(300)
    mesh = stages.stage(number)
    assert mesh is not None and 270 <= len(mesh.faces) <= 300
