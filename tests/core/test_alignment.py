"""Similarities found again after they were applied."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mvgen.core import alignment
from mvgen.core.camera import Camera, Similarity
from mvgen.core.geometry import Mesh
from mvgen.core.nearest import Samples, sample_surface
from mvgen.core.render.orbit import orbit_cameras


def some_similarity(seed: int) -> Similarity:
    rng = np.random.default_rng(seed)
    return Similarity(float(np.exp(rng.normal())), Rotation.random(rng=seed).as_matrix(), rng.normal(size=3) * 5)


def same(one: Similarity, other: Similarity, tolerance: float) -> bool:
    corners = np.vstack([np.zeros(3), np.eye(3)])
    return bool(np.abs(one.apply(corners) - other.apply(corners)).max() < tolerance)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_umeyama_finds_the_similarity(seed: int) -> None:
    move = some_similarity(seed)
    points = np.random.default_rng(seed + 1).normal(size=(10, 3))
    assert same(alignment.umeyama(points, move.apply(points)), move, 1e-8)


def test_umeyama_never_mirrors() -> None:
    points = np.random.default_rng(0).normal(size=(10, 3))
    assert np.isclose(np.linalg.det(alignment.umeyama(points, points * [1, 1, -1]).rotation), 1)


def cameras(count: int) -> list[Camera]:
    points = np.random.default_rng(0).normal(size=(50, 3))
    return orbit_cameras(points, count, (64, 48), np.array([0.0, 1, 0]))


@pytest.mark.parametrize("count", [2, 3, 12])
def test_cameras_find_the_similarity(count: int) -> None:
    move = some_similarity(3)
    views = cameras(count)
    pairs = [(c.moved(move.inverse()), c) for c in views]
    assert same(alignment.align_cameras(pairs), move, 1e-8)
    turn, shift = alignment.camera_errors(pairs, move)
    assert turn.max() < 1e-5 and shift.max() < 1e-8


def test_a_wrong_camera_does_not_lead_astray() -> None:
    views = cameras(8)
    pairs = [(c, c) for c in views[:7]] + [(views[0].moved(some_similarity(1)), views[7])]
    found = alignment.align_cameras(pairs)
    assert same(found, Similarity.identity(), 1e-6)
    turn, _ = alignment.camera_errors(pairs, found)
    assert turn[:7].max() < 1e-4 and turn[7] > 1


def test_cameras_match_by_name_alone() -> None:
    one, two = cameras(2)
    found = alignment.matching_cameras(
        [replace(one, name="x/VIEW_000.JPG"), replace(two, name="other.png")], [one, two]
    )
    assert [t.name for _, t in found] == [one.name]


def goal_and_points() -> tuple[alignment.Goal, np.ndarray]:
    """An L of three unlike boxes: no turn maps it to itself."""
    parts = [trimesh.creation.box(extents=e) for e in ([3, 1, 1], [1, 2, 0.7], [0.6, 0.5, 1.8])]
    parts[1].apply_translation([1, 1.5, 0])
    parts[2].apply_translation([-1, 0.3, 1.2])
    whole = trimesh.util.concatenate(parts)
    mesh = Mesh(np.asarray(whole.vertices, np.float64), np.asarray(whole.faces, np.int32))
    samples, _ = sample_surface(mesh, 6000, np.random.default_rng(0))
    points = sample_surface(mesh, 6000, np.random.default_rng(1))[0].points
    everything = np.arange(len(samples))
    return alignment.Goal(samples, everything, mesh.diagonal, lambda x, _: np.ones(len(x), bool)), points


def test_icp_refines_scale_turn_and_shift() -> None:
    goal, points = goal_and_points()
    off = Similarity(1.04, Rotation.from_rotvec([0.03, -0.05, 0.04]).as_matrix(), np.array([0.06, -0.05, 0.04]))
    found = alignment.icp(goal, off.inverse().apply(points), Similarity.identity(), reach=0.1)
    assert same(found, off, 0.02)


def test_icp_trusts_most_not_all() -> None:
    goal, points = goal_and_points()
    stray = np.random.default_rng(2).uniform(-3, 3, (600, 3))
    mixed = np.random.default_rng(3).permutation(np.vstack([points, stray]))
    assert same(alignment.icp(goal, mixed, Similarity.identity()), Similarity.identity(), 0.02)


def test_search_finds_a_far_pose() -> None:
    goal, points = goal_and_points()
    move = some_similarity(5)
    found = alignment.search(goal, move.inverse().apply(points))
    assert alignment.misfit(goal, move.inverse().apply(points), found) < 0.01
    assert same(found, move, 0.1)


def test_points_without_normals_are_aligned_too() -> None:
    goal, points = goal_and_points()
    bare = alignment.Goal(Samples(goal.samples.points, None), goal.expected, goal.diagonal, goal.inside)
    off = Similarity(1.0, np.eye(3), np.array([0.1, 0, 0]))
    assert same(alignment.icp(bare, off.inverse().apply(points), Similarity.identity()), off, 0.03)
