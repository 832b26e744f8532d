"""Folds of a surface smoothed away."""

from __future__ import annotations

import numpy as np

from mvgen.core.refine.unfold import folded, unfolded
from tests.core.refine.made import ball


def creased():
    """A ball with a vertex pulled across its neighbours; which one that is."""
    mesh = ball(4, False)
    vertices = mesh.vertices.copy()
    pulled = int(mesh.faces[7, 0])
    around = mesh.faces[(mesh.faces == pulled).any(1)]
    other = int(around[around != pulled][0])
    vertices[pulled] += 2.5 * (vertices[other] - vertices[pulled])
    return mesh, vertices, pulled


def test_a_fold_goes_and_all_else_stays():
    mesh, vertices, pulled = creased()
    everywhere = np.ones(len(vertices), bool)
    assert not folded(mesh.vertices, mesh.faces).any() and folded(vertices, mesh.faces).any()
    out = unfolded(vertices, mesh.faces, everywhere)
    assert not folded(out, mesh.faces).any()
    near = np.unique(mesh.faces[(mesh.faces == pulled).any(1)])
    moved = (out != vertices).any(1)
    assert moved[pulled] and moved.sum() < 3 * len(near)
    assert np.linalg.norm(out - mesh.vertices, axis=1)[moved].max() < 0.1
    assert unfolded(mesh.vertices, mesh.faces, everywhere) is mesh.vertices


def test_what_is_held_stays():
    mesh, vertices, _ = creased()
    free = np.ones(len(vertices), bool)
    free[mesh.faces[folded(vertices, mesh.faces)]] = False
    assert unfolded(vertices, mesh.faces, free) is vertices
