"""Topology, repair and the other changes of meshes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.surface.change import keep_parts, remesh, smooth, transformed
from mvgen.core.surface.poisson import keep_faces
from mvgen.core.surface.repair import fill_holes, repair
from mvgen.core.surface.topology import topology, weld
from tests.core.surface.shapes import mesh_of, sphere, torus, volume


def tetrahedron(origin=(0.0, 0, 0), size=1.0):
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) * size + origin
    return Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32))


def joined(*parts):
    starts = np.cumsum([0, *(len(p.vertices) for p in parts)])
    faces = np.concatenate([p.faces + s for p, s in zip(parts, starts)]).astype(np.int32)
    return Mesh(np.concatenate([p.vertices for p in parts]), faces)


def turned(mesh, which=slice(None)):
    faces = mesh.faces.copy()
    faces[which] = faces[which][:, ::-1]
    return replace(mesh, faces=faces)


def soup(mesh):
    return Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(3 * len(mesh.faces), dtype=np.int32).reshape(-1, 3))


def moebius(count=24):
    a = 2 * np.pi * np.arange(count) / count
    rows = []
    for side in (-0.3, 0.3):
        r = 1 + side * np.cos(a / 2)
        rows.append(np.stack([r * np.cos(a), r * np.sin(a), side * np.sin(a / 2)], axis=1))
    i = np.arange(count)
    n, m = (i + 1) % count, np.where(i + 1 == count, 1, 0)
    low, high = i, i + count
    next_low, next_high = np.where(m, n + count, n), np.where(m, n, n + count)
    faces = np.concatenate([np.stack([low, next_low, high], 1), np.stack([high, next_low, next_high], 1)])
    return Mesh(np.concatenate(rows), faces.astype(np.int32))


def test_topology_of_known_shapes():
    ball, ring = topology(mesh_of(sphere, 20)), topology(mesh_of(torus, 30))
    assert ball.watertight and (ball.genus, ball.components, ball.holes) == (0, 1, 0)
    assert ring.watertight and ring.genus == 1
    two = topology(joined(mesh_of(torus, 30), tetrahedron((5, 0, 0))))
    assert (two.genus, two.components) == (1, 2)
    cut = topology(keep_faces(tetrahedron(), np.array([True, True, True, False])))
    assert not cut.watertight and (cut.open_edges, cut.holes, cut.genus) == (3, 1, 0)
    strip = topology(moebius())
    assert not strip.orientable and strip.genus is None
    assert topology(soup(mesh_of(torus, 30))).genus == 1
    assert topology(Mesh(np.zeros((3, 3)), np.zeros((0, 3), np.int32))).faces == 0


def test_a_sound_mesh_stays_as_it_is():
    ring = mesh_of(torus, 30)
    fixed, done = repair(ring)
    assert np.array_equal(fixed.vertices[fixed.faces], ring.vertices[ring.faces])
    assert len(fixed.vertices) == len(ring.vertices)
    assert set(vars(done).values()) == {0}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_any_faces_turned_doubled_or_flat_are_mended(seed):
    rng = np.random.default_rng(seed)
    ring = mesh_of(torus, 24)
    bad = soup(turned(ring, rng.random(len(ring.faces)) < 0.3))
    double = rng.choice(len(bad.faces), 5)
    flat = np.stack([rng.choice(len(bad.vertices), 6)] * 2 + [rng.choice(len(bad.vertices), 6)], axis=1)
    bad = Mesh(bad.vertices, np.concatenate([bad.faces, bad.faces[double], flat]).astype(np.int32))
    fixed, done = repair(bad)
    found = topology(fixed, welded=True)
    assert found.watertight and found.genus == 1 and len(fixed.faces) == len(ring.faces)
    assert volume(fixed) == pytest.approx(volume(ring))
    assert done.duplicate + done.degenerate >= 11 - 5 and done.welded > 0


def test_a_body_that_is_inside_out_is_turned_and_a_cavity_is_not():
    fixed, done = repair(turned(mesh_of(sphere, 20)))
    assert volume(fixed) > 0 and done.turned == len(fixed.faces)
    small = mesh_of(sphere, 20)
    cavity = turned(replace(small, vertices=0.3 * small.vertices))
    hollow = joined(mesh_of(sphere, 30), cavity)
    fixed, _ = repair(hollow)
    assert volume(fixed) == pytest.approx(volume(hollow))


def test_solids_that_touch_along_an_edge_or_at_a_point_come_apart_whole():
    one = tetrahedron()
    along = Mesh(one.vertices * [-1, -1, 1], one.faces)  # shares the edge on the z axis
    at = Mesh(one.vertices * [-1, -1, -1], one.faces[:, ::-1].copy())  # shares the origin
    for other in (along, at):
        both = joined(one, other)
        assert topology(both).genus is None
        fixed, _ = repair(both)
        found = topology(fixed, welded=True)
        assert found.watertight and found.components == 2 and found.genus == 0
        assert volume(fixed) == pytest.approx(1 / 3)


def test_solids_with_a_common_wall_stay_two():
    one = tetrahedron()
    other = Mesh(one.vertices * [-1, 1, 1], one.faces[:, ::-1].copy())  # shares the face in x = 0
    fixed, _ = repair(joined(one, other))
    found = topology(fixed, welded=True)
    assert found.watertight and found.components == 2 and volume(fixed) == pytest.approx(1 / 3)


def test_three_faces_at_an_edge_are_parted():
    vertices = np.array([[0.0, 0, 0], [0, 0, 1], [1, 0, 0.5], [-1, 1, 0.5], [-1, -1, 0.5]])
    fixed, done = repair(Mesh(vertices, np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]], np.int32)))
    found = topology(fixed, welded=True)
    assert done.crowded_edges == 1 and found.crowded_edges == 0 and len(fixed.faces) == 3


def test_of_three_faces_turned_the_same_way_the_flattest_two_stay_joined():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0.5, 1, 0.1], [0.5, -1, 0], [0.5, 0.2, 1]])
    mended, report = repair(Mesh(vertices, np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]], np.int32)))
    assert report.crowded_edges == 1 and topology(mended, welded=True).components == 2
    parts = [set(map(tuple, mended.vertices[face])) for face in mended.faces]
    assert len(parts[0] & parts[1]) == 2 and len({tuple(f) for f in mended.faces}) == 3
    assert set(mended.faces[0]) & set(mended.faces[1]) and not set(mended.faces[0]) & set(mended.faces[2])


def test_a_one_sided_strip_is_told_and_left():
    fixed, done = repair(moebius())
    assert done.one_sided == len(fixed.faces) == 48


def test_nothing_but_degenerate_faces_leaves_nothing():
    flat = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2], [0, 0, 1]], np.int32))
    assert len(repair(flat)[0].faces) == 0


def test_holes_are_closed_up_to_a_size():
    ball = mesh_of(sphere, 30)
    centre = ball.vertices[ball.faces].mean(1)
    small, large = centre[:, 2] > 0.78, centre[:, 2] < -0.3
    open_ball = weld(keep_faces(ball, ~(small | large)))
    assert topology(open_ball).holes == 2
    some, count = fill_holes(open_ball, 1.0)
    assert count == 1 and topology(some, welded=True).holes == 1
    whole, count = fill_holes(open_ball, None)
    assert count == 2 and topology(whole).watertight
    assert np.array_equal(whole.vertices, open_ball.vertices) and volume(whole) > 0
    same, count = fill_holes(ball, None)
    assert count == 0 and same is ball


def test_parts_are_kept_by_area():
    mesh = joined(mesh_of(sphere, 16), tetrahedron((3, 0, 0)), tetrahedron((5, 0, 0), 0.1))
    assert topology(keep_parts(mesh, 1)).components == 1
    assert topology(keep_parts(mesh, 2)).components == 2
    assert topology(keep_parts(mesh, 9)).components == 3
    assert topology(keep_parts(mesh, None, 0.1)).components == 2


def test_smoothing_takes_noise_but_not_size():
    ball = mesh_of(sphere, 40)
    rough = replace(ball, vertices=ball.vertices + 0.01 * np.random.default_rng(0).normal(size=ball.vertices.shape))
    even = smooth(rough, 10)
    assert np.abs(sphere(even.vertices)).mean() < 0.6 * np.abs(sphere(rough.vertices)).mean()
    assert volume(even) == pytest.approx(volume(ball), rel=0.01)
    assert np.allclose(weld(smooth(soup(rough), 3)).vertices.mean(0), smooth(rough, 3).vertices.mean(0), atol=1e-9)


def test_smoothing_keeps_a_border_where_it_is():
    ball = mesh_of(sphere, 40)
    half = keep_faces(ball, ball.vertices[ball.faces].mean(1)[:, 2] > 0)
    assert smooth(half, 20).vertices[:, 2].min() == pytest.approx(half.vertices[:, 2].min(), abs=0.03)


def test_remeshing_makes_even_triangles():
    ring = mesh_of(torus, 40)
    even = remesh(ring, 0.03)
    sides = np.linalg.norm(even.vertices[even.faces] - np.roll(even.vertices[even.faces], 1, axis=1), axis=2)
    assert np.median(sides) == pytest.approx(0.03 * ring.diagonal, rel=0.2)
    assert sides.std() < 0.3 * sides.mean()
    assert topology(even).genus == 1 and np.abs(torus(even.vertices)).max() < 0.02
    with pytest.raises(CannotError, match="faces"):
        remesh(ring, 1e-6)


def test_a_mirrored_mesh_still_faces_outwards():
    ball = mesh_of(sphere, 20)
    mirrored = transformed(ball, np.diag([-2.0, 2, 2, 1]))
    assert volume(mirrored) == pytest.approx(8 * volume(ball))
