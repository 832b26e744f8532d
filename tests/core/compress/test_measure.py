"""Distances between surfaces against shapes whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from mvgen.core.compress.measure import Surface, is_within, largest_distance, measure
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh


def shape(made: trimesh.Trimesh, scale: float = 1.0) -> Mesh:
    return Mesh(np.asarray(made.vertices) * scale, np.asarray(made.faces, np.int32))


BALL = shape(trimesh.creation.icosphere(4, 0.3))


def test_two_balls() -> None:
    found = measure(Surface(BALL), Surface(shape(trimesh.creation.icosphere(4, 0.31))), 20_000)
    assert found.mean == pytest.approx(0.01, rel=0.01)
    assert 0.01 <= found.maximum <= 0.01 * 1.03 and found.proved


def test_a_surface_has_no_distance_to_itself() -> None:
    found = measure(Surface(BALL), Surface(BALL), 1000)
    assert found.mean < 1e-9 and found.maximum < 2e-6 and found.proved


def test_a_piece_that_is_lost_counts_in_the_largest() -> None:
    two = trimesh.util.concatenate(
        [trimesh.creation.icosphere(2, 0.3), trimesh.creation.icosphere(1, 0.001).apply_translation([0.5, 0, 0])]
    )
    found = measure(Surface(shape(two)), Surface(shape(trimesh.creation.icosphere(2, 0.3))), 1000)
    assert 0.2 < found.maximum < 0.21 and found.proved


@pytest.mark.parametrize("seed", range(6))
def test_no_point_is_farther_than_what_is_proved(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rough = Mesh(BALL.vertices + rng.normal(scale=0.01, size=BALL.vertices.shape), BALL.faces)
    other = shape(trimesh.creation.icosphere(1 + seed % 3, 0.3))
    one, two = Surface(rough), Surface(other)
    for a, b in ((one, two), (two, one)):
        bound, proved = largest_distance(a, b)
        seen = b.nearest(a.sample(300_000, seed))[0].max()
        assert proved
        assert seen <= bound <= max(seen * 1.1, 1e-5)
    limit = max(largest_distance(one, two)[0], largest_distance(two, one)[0])
    assert is_within(one, two, limit * 1.03) and not is_within(one, two, limit * 0.9)


def test_the_middle_of_a_large_face_is_found() -> None:
    """A square over a dent: no vertex is far, a point inside the face is."""
    flat = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    vertices = np.concatenate([flat.vertices, [[0.4, 0.6, -0.2]]])
    dent = Mesh(vertices, np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]], np.int32))
    bound, proved = largest_distance(Surface(flat), Surface(dent))
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 201)] * 2), -1).reshape(-1, 2)
    true = Surface(dent).nearest(np.c_[grid, np.zeros(len(grid))])[0].max()
    assert proved and true * 0.999 <= bound <= true * 1.03


def test_a_mesh_without_area_is_refused() -> None:
    with pytest.raises(CannotError, match="no area"):
        Surface(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]], np.int32)))
