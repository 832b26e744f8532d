"""Refinements that follow each other, and are taken back."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Silent
from mvgen.core.refine.meshes import Result, sharpen
from mvgen.core.refine.region import strengths
from mvgen.core.refine.session import Refinement, carried_over
from tests.core.refine.made import ball

MESH = ball(4, True)
TOP, LEFT = MESH.vertices[:, 1] > 0.3, MESH.vertices[:, 0] < 0
SHARPER = partial(sharpen, amount=1.0)


def finer(mesh, *, strength, progress):
    """A way that makes new faces of those with a strength, and moves nothing."""
    split = strength[mesh.faces].all(1)
    middles = mesh.vertices[mesh.faces[split]].mean(1)
    a, b, c = mesh.faces[split].T
    m = len(mesh.vertices) + np.arange(len(middles))
    faces = np.concatenate([mesh.faces[~split], *(np.stack(t, 1) for t in ((a, b, m), (b, c, m), (c, a, m)))])
    return Result(Mesh(np.concatenate([mesh.vertices, middles]), faces.astype(np.int32)))


def refine(session, way, mask, strength=1.0, how="a way"):
    return session.take(session.refined(way, mask, strength, Silent()), mask, how)


def test_a_refinement_is_that_of_the_command():
    session = Refinement(MESH, TOP, 0.05)
    assert not refine(session, SHARPER, TOP, 0.5, "sharpen 1")
    share = strengths(MESH.vertices, TOP, 0.05 * MESH.diagonal, 0.5)
    wanted = sharpen(MESH, 1.0, share, Silent()).mesh.vertices
    assert np.array_equal(session.now.mesh.vertices, wanted)
    assert (session.now.mesh.vertices != MESH.vertices).any() and np.array_equal(wanted[~TOP], MESH.vertices[~TOP])
    assert session.before.mesh is MESH and session.steps == ("sharpen 1",)


def test_steps_follow_each_other_and_are_taken_back_bit_for_bit():
    session = Refinement(MESH, np.zeros(len(TOP), bool), 0.03)
    refine(session, SHARPER, TOP)
    second = session.now.mesh
    refine(session, SHARPER, LEFT)
    assert session.before.mesh is second and session.first.mesh is MESH and len(session.steps) == 2
    session.undo()
    assert session.now.mesh is second and np.array_equal(session.now.mask, LEFT)
    session.undo()
    assert session.now.mesh is MESH and np.array_equal(session.now.mask, TOP) and not session.steps
    session.undo()  # there is nothing left to take back
    assert session.now.mesh is MESH is session.before.mesh


def test_what_is_painted_meanwhile_is_kept():
    session = Refinement(MESH, TOP, 0.03)
    result = session.refined(SHARPER, TOP, 1.0, Silent())
    session.take(result, TOP | LEFT, "sharpen 1")
    assert np.array_equal(session.now.mask, TOP | LEFT)


def test_a_selection_is_carried_to_new_faces():
    session = Refinement(MESH, TOP, 0.0)
    assert refine(session, finer, TOP)
    now = session.now
    assert len(now.mask) == len(now.mesh.vertices) > len(TOP) and np.array_equal(now.mask[: len(TOP)], TOP)
    assert now.mask[len(TOP) :].all()  # in the middle of faces that were selected
    session.undo()
    assert np.array_equal(session.now.mask, TOP)


def test_carrying_over_takes_the_nearest():
    shifted = Mesh(MESH.vertices[::-1] + 1e-4, MESH.faces)
    assert np.array_equal(carried_over(MESH, TOP, shifted), TOP[::-1])


def test_nothing_selected_is_refused():
    session = Refinement(MESH, TOP, 0.03)
    with pytest.raises(CannotError, match="nothing is selected"):
        session.refined(SHARPER, np.zeros(len(TOP), bool), 1.0, Silent())
    assert not session.steps
