"""Which meshes have an inside once their holes are filled."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from mvgen.core.compress.holes import Closed, closed
from mvgen.core.compress.prepare import openness, prepared
from mvgen.core.geometry import Mesh
from mvgen.core.surface.topology import topology


def found(made: trimesh.Trimesh, kept: np.ndarray | slice = slice(None)) -> Closed | None:
    mesh = prepared(Mesh(np.asarray(made.vertices, float), np.asarray(made.faces[kept], np.int32)))
    return closed(mesh, openness(mesh))


def sheet(height: float) -> trimesh.Trimesh:
    side = np.linspace(0, 1, 12)
    x, y = np.meshgrid(side, side)
    corner = (np.arange(11)[:, None] * 12 + np.arange(11)).reshape(-1, 1)
    faces = np.concatenate([corner + np.array(c) for c in ((0, 1, 12), (1, 13, 12))])
    return trimesh.Trimesh(np.stack([x, y, height * np.sin(9 * x + 4 * y)], -1).reshape(-1, 3), faces)


def moebius() -> trimesh.Trimesh:
    turn, across = (x.ravel() for x in np.meshgrid(np.linspace(0, 2 * np.pi, 41)[:-1], [-0.3, 0.3], indexing="ij"))
    away = 1 + across * np.cos(turn / 2)
    vertices = np.stack([np.cos(turn) * away, np.sin(turn) * away, across * np.sin(turn / 2)], axis=1)
    k = 2 * np.arange(40)[:, None]
    faces = np.concatenate([k + np.array(c) for c in ((0, 1, 2), (1, 3, 2))])
    return trimesh.Trimesh(vertices, np.where(faces < 80, faces, 81 - faces), process=False)


BALL = trimesh.creation.icosphere(4)
TUBE = trimesh.creation.cylinder(0.3, 1.0, sections=40).subdivide().subdivide()
CUBE = trimesh.creation.box().subdivide().subdivide()


@pytest.mark.parametrize(
    ("made", "kept", "holes"),
    [
        (BALL, BALL.triangles_center[:, 2] < 0, 1),
        (BALL, np.abs(BALL.triangles_center[:, 2]) < 0.9, 2),
        (TUBE, np.abs(TUBE.face_normals[:, 2]) < 0.5, 2),
        (CUBE, CUBE.face_normals[:, 2] < 0.5, 1),
    ],
    ids=["half a ball", "a ball without poles", "a tube", "a box without lid"],
)
def test_holes_are_filled(made: trimesh.Trimesh, kept: np.ndarray, holes: int) -> None:
    shape = found(made, kept)
    assert shape is not None
    assert np.array_equal(~shape.fill, np.arange(len(shape.fill)) < kept.sum()), "the source's faces come first"
    assert topology(shape.mesh).watertight and topology(shape.fills).holes == holes
    assert topology(shape.source).holes == holes


def test_what_has_no_holes_or_encloses_nothing_is_left_alone() -> None:
    for made in (BALL, sheet(0), sheet(0.2), moebius()):
        assert found(made) is None


def test_a_slit_is_no_hole() -> None:
    narrow = CUBE.copy()
    middle = np.flatnonzero((np.abs(narrow.vertices[:, :2]) < 0.2).all(1) & (narrow.vertices[:, 2] > 0.4))[0]
    faces = narrow.faces.copy()
    right = (faces == middle).any(1) & (narrow.triangles_center[:, 0] > 0)
    for width, holes in ((1e-4, 0), (0.1, 1)):
        moved = np.concatenate([narrow.vertices, narrow.vertices[middle][None] + [width, 0, 0]])
        parted = faces.copy()
        parted[right] = np.where(parted[right] == middle, len(moved) - 1, parted[right])
        shape = found(trimesh.Trimesh(moved, parted, process=False))
        assert (shape is not None) == bool(holes)
