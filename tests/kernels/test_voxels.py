"""Enclosed cells against winding numbers by solid angles."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from mvgen.kernels.voxels import add_crossings, winding_reference


@pytest.mark.parametrize("turned_out", [True, False])
def test_crossings_agree_with_the_reference(turned_out: bool) -> None:
    ball = trimesh.creation.icosphere(subdivisions=1, radius=3.3)
    ball.apply_translation([4.1, 5.2, 4.7])
    corners = np.ascontiguousarray(ball.triangles if turned_out else ball.triangles[:, ::-1])
    counts = np.zeros((9, 10, 10), np.int32)
    add_crossings(corners, counts)
    winding = np.cumsum(counts, axis=2)[:, :, :-1]
    centres = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in (9, 10, 9)), indexing="ij"), axis=-1).reshape(-1, 3)
    expected = np.rint(winding_reference(corners, centres)).reshape(9, 10, 9)
    assert np.array_equal(winding, expected)
    assert 0 < (winding != 0).sum() < winding.size


def test_shared_edges_over_cell_centres_count_once() -> None:
    box = trimesh.creation.box(extents=[4, 4, 4])
    box.apply_translation([3.001, 3.002, 3.003])
    counts = np.zeros((6, 6, 7), np.int32)
    add_crossings(np.ascontiguousarray(box.triangles), counts)
    winding = np.cumsum(counts, axis=2)[:, :, :-1]
    assert (winding[1:5, 1:5, 1:5] == 1).all() and winding.sum() == 64
