"""A mesh before and after, in slabs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mvgen.core.geometry import Mesh
from mvgen.core.viewer import compare
from mvgen.core.viewer.compare import SAME, Comparison, part, slabs
from mvgen.core.viewer.serve import serving
from mvgen.core.viewer.stage import make_stage
from mvgen.core.viewer.things import Thing
from tests.core.region.made import sphere

BEFORE = sphere(4)
TOP = BEFORE.vertices[:, 1] > 0.5
MOVED = replace(BEFORE, vertices=np.where(TOP[:, None], 1.05 * BEFORE.vertices, BEFORE.vertices))
X = np.array([1.0, 0, 0])


def finer(mesh: Mesh, chosen: np.ndarray) -> Mesh:
    """Some faces [F] split in their middles."""
    a, b, c = mesh.faces[chosen].T
    m = len(mesh.vertices) + np.arange(chosen.sum())
    faces = np.concatenate([mesh.faces[~chosen], *(np.stack(t, 1) for t in ((a, b, m), (b, c, m), (c, a, m)))])
    return Mesh(np.concatenate([mesh.vertices, mesh.vertices[mesh.faces[chosen]].mean(1)]), faces.astype(np.int32))


def test_slabs_span_what_has_changed_from_side_to_side() -> None:
    one, two = slabs(BEFORE, MOVED, X, 10)
    changed = TOP[BEFORE.faces].any(1)
    assert np.array_equal(one, two) and np.array_equal(one != SAME, changed)
    place = BEFORE.vertices[BEFORE.faces].mean(1) @ X
    assert set(one[changed]) == set(range(10)) and (np.diff(one[changed][np.argsort(place[changed])]) >= 0).all()
    assert not np.array_equal(slabs(BEFORE, MOVED, -X, 10)[0], one)


def test_new_faces_are_told_from_old_ones() -> None:
    chosen = TOP[BEFORE.faces].all(1)
    after = finer(BEFORE, chosen)
    one, two = slabs(BEFORE, after, X, 10)
    assert np.array_equal(one != SAME, chosen)
    assert (two[: (~chosen).sum()] == SAME).all() and (two[(~chosen).sum() :] != SAME).all()


def test_equal_meshes_have_no_slabs() -> None:
    one, two = slabs(BEFORE, replace(BEFORE, vertices=BEFORE.vertices.copy()), X, 10)
    assert (one == SAME).all() and (two == SAME).all()


def test_parts_hold_the_faces_where_they_were() -> None:
    chosen = TOP[BEFORE.faces].all(1)
    piece = part(BEFORE, chosen)
    assert np.array_equal(piece.vertices[piece.faces], BEFORE.vertices[BEFORE.faces[chosen]])
    assert len(piece.vertices) == TOP.sum()


class Node:
    def __init__(self, mesh: Mesh, visible: bool):
        self.mesh, self.visible, self.there = mesh, visible, True

    def remove(self) -> None:
        self.there = False


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Comparison, list[Node]]]:
    """A comparison, and all nodes it has ever added."""
    pytest.importorskip("viser")
    nodes: list[Node] = []

    def add(server: Any, path: str, mesh: Mesh, stage: Any, visible: bool = True) -> Node:
        nodes.append(Node(mesh, visible))
        return nodes[-1]

    monkeypatch.setattr(compare, "add_mesh", add)
    stage = make_stage([Thing("ball", BEFORE, np.array([0.0, 1, 0]))])
    with serving("127.0.0.1", 0, "test") as server:
        yield Comparison(server, stage), nodes


def seen(nodes: list[Node]) -> np.ndarray:
    """[F, 3]: middles of the faces that are visible, in order."""
    there = [n.mesh for n in nodes if n.there and n.visible]
    middles = np.concatenate([m.vertices[m.faces].mean(1) for m in there])
    return middles[np.lexsort(middles.T)]


def ordered(mesh: Mesh) -> np.ndarray:
    middles = mesh.vertices[mesh.faces].mean(1)
    return middles[np.lexsort(middles.T)]


@pytest.mark.parametrize("after", [MOVED, finer(BEFORE, TOP[BEFORE.faces].all(1))], ids=["moved", "new faces"])
def test_the_border_moves_from_before_to_after(shown: tuple[Comparison, list[Node]], after: Mesh) -> None:
    comparison, nodes = shown
    comparison.show(BEFORE, BEFORE)
    assert np.array_equal(seen(nodes), ordered(BEFORE)) and len(nodes) == 1
    comparison.show(BEFORE, after)
    assert np.array_equal(seen(nodes), ordered(after))
    comparison.wipe(0.0)
    assert np.array_equal(seen(nodes), ordered(BEFORE))
    comparison.wipe(0.5)
    half = seen(nodes)
    side = half @ comparison.across
    for mesh, place in ((after, side < 0), (BEFORE, side > 0)):  # what is after comes from the left
        wanted = ordered(mesh)
        far = np.abs(wanted @ comparison.across) > 0.05 * np.linalg.norm(comparison.across)
        here = (wanted @ comparison.across < 0) == (mesh is after)
        assert {*map(tuple, wanted[far & here])} <= {*map(tuple, half[place])}


def test_colours_are_shown_whole(shown: tuple[Comparison, list[Node]]) -> None:
    comparison, nodes = shown
    before, after = (replace(m, colours=np.ones_like(m.vertices, np.float32)) for m in (BEFORE, MOVED))
    comparison.show(before, after)
    assert all(n.mesh.colours is None for n in nodes)
    comparison.colour(True)
    there = [n for n in nodes if n.there]
    assert [n.mesh is m for n, m in zip(there, (before, after))] == [True, True]
    for share, wanted in ((0.0, [True, False]), (1.0, [False, True])):
        comparison.wipe(share)
        assert [n.visible for n in there] == wanted
