"""Edges laid along creases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from mvgen.core.geometry import Mesh
from mvgen.core.progress import Silent
from mvgen.core.refine.creases import along_creases, flip_gains, median_normals
from mvgen.core.refine.refine import RefineOptions, refined
from mvgen.core.refine.views import Pixels, pixels_of, views_of
from mvgen.core.surface.topology import topology
from mvgen.kernels.remesh import Surface, twins_of
from tests.core.refine.made import cameras

TRUTH = trimesh.creation.icosphere(1)  # 80 flat sides
TRUTH = Mesh(np.array(TRUTH.vertices, float), np.array(TRUTH.faces, np.int32))


@pytest.fixture(scope="module")
def views():
    return views_of(TRUTH, cameras(8, 256))


def surface(mesh):
    count = len(mesh.vertices)
    carried = np.c_[np.ones((count, 2)), mesh.vertices]
    return Surface(mesh.vertices, mesh.faces, carried, np.ones(count, bool))


def turned_on_it():
    """A fine ball whose edges have nothing to do with those of the truth, put on the truth."""
    fine = trimesh.creation.icosphere(4)
    spin = trimesh.transformations.random_rotation_matrix(np.array([0.3, 0.7, 0.2]))[:3, :3]
    ways = np.array(fine.vertices) @ spin.T
    flat = trimesh.Trimesh(TRUTH.vertices, TRUTH.faces)
    heights = (ways @ flat.face_normals.T) / (flat.triangles[:, 0] * flat.face_normals).sum(1)
    return Mesh(ways / heights.max(1, keepdims=True), np.array(fine.faces, np.int32))


def unrest(state, views):
    """Degrees between what pixels want and the median of their face."""
    pixels = pixels_of(state.places, state.faces, views, 0.1)
    wanted, _ = median_normals(state, pixels)
    cosine = np.concatenate([(p.normals * wanted[p.face]).sum(1) for p in pixels])
    return np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()


def test_faces_no_longer_lie_across_creases(views):
    state = surface(turned_on_it())
    before = unrest(state, views)
    for _ in range(6):
        state, wanted = along_creases(state, views, state.free)
    assert unrest(state, views) < 0.5 * before
    assert wanted.shape == state.faces.shape and np.allclose(np.linalg.norm(wanted, axis=1), 1)
    found = topology(Mesh(state.places, state.faces), welded=True)
    assert found.watertight and found.genus == 0
    assert np.allclose(state.carried[:, 2:], state.places)  # places that are carried slide along


def test_what_is_not_free_stays(views):
    state = surface(turned_on_it())
    state = replace(state, free=state.places[:, 0] > 0)
    after, _ = along_creases(state, views, state.free)
    assert np.array_equal(after.places[~state.free], state.places[~state.free])
    assert (after.places != state.places).any()


def test_a_flip_gains_where_it_follows_a_crease(views):
    """Two sides of the truth, joined by the wrong diagonal."""
    twins = twins_of(TRUTH.faces)
    right = surface(TRUTH)
    gains = flip_gains(right, views, pixels_of(right.places, right.faces, views, 0.1))
    assert gains.max() < 1e-3
    h = int(np.flatnonzero(twins > 0)[40])
    a, b = TRUTH.faces.reshape(-1)[[h, twins[h]]]
    c, d = np.roll(TRUTH.faces, 1, 1).reshape(-1)[[h, twins[h]]]
    faces = TRUTH.faces.copy()
    faces[h // 3], faces[twins[h] // 3] = (d, b, c), (c, a, d)
    wrong = replace(right, faces=faces)
    gains = flip_gains(wrong, views, pixels_of(wrong.places, faces, views, 0.1))
    assert {int(k) // 3 for k in np.argsort(gains)[-2:]} == {h // 3, int(twins[h]) // 3}
    assert gains.max() > 0.001


def test_the_median_is_that_of_most_pixels():
    one = surface(Mesh(np.eye(3), np.array([[0, 1, 2]], np.int32)))
    normals = np.array([[0, 0, 1.0]] * 7 + [[0, 1.0, 0]] * 3)
    shown = Pixels(np.zeros(10, np.int32), normals, np.ones(10), np.zeros((10, 2)))
    median, seen = median_normals(one, [shown])
    assert seen.all() and median[0, 2] > 0.999
    none = Pixels(np.zeros(0, np.int32), np.zeros((0, 3)), np.zeros(0), np.zeros((0, 2)))
    median, seen = median_normals(one, [none])
    assert not seen.any() and np.allclose(median, 1 / np.sqrt(3))


def test_flat_sides_come_back(views):
    """Normals of a ball refined to one of 80 flat sides are those of the sides."""
    ball = trimesh.creation.icosphere(3)
    start = Mesh(np.array(ball.vertices, float), np.array(ball.faces, np.int32))
    options = RefineOptions(iterations=8, pixels=4, reach=1.0)
    done = refined(start, views, np.ones(len(start.vertices)), options, Silent())
    assert done.after < 0.2 * done.before
