"""Regions that fade in."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.refine.integrate import face_normals
from mvgen.core.refine.region import SEAM, faded
from tests.core.refine.made import ball


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_faces_beside_what_stays_turn_little_and_the_rest_goes_all_its_way(seed: int) -> None:
    mesh, rng = ball(2, False), np.random.default_rng(seed)
    strength = np.where(mesh.vertices[:, 1] > 0.1, 1.0, 0.0)
    new = mesh.vertices + rng.normal(0, 0.15, mesh.vertices.shape)
    out = faded(mesh.vertices, new, mesh.faces, strength)
    still = (strength == 0)[mesh.faces]
    beside = still.sum(1) == 2
    cosine = (face_normals(out, mesh.faces) * face_normals(mesh.vertices, mesh.faces)).sum(1)
    turned = np.degrees(np.arccos(np.clip(cosine, -1, 1)))[beside]
    freely = face_normals(np.where(strength[:, None] > 0, new, mesh.vertices), mesh.faces)
    assert turned.max() < SEAM + 0.01
    assert (freely * face_normals(mesh.vertices, mesh.faces)).sum(1)[beside].min() < np.cos(np.radians(10))
    inner = np.ones(len(new), bool)
    inner[mesh.faces[still.any(1)]] = False
    assert np.array_equal(out[inner], new[inner])
    assert np.array_equal(out[strength == 0], mesh.vertices[strength == 0])


def test_half_the_strength_is_half_the_way() -> None:
    mesh = ball(2, False)
    out = faded(mesh.vertices, 2 * mesh.vertices, mesh.faces, np.full(len(mesh.vertices), 0.5))
    assert np.allclose(out, 1.5 * mesh.vertices)
