"""False handles are closed; true ones stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.nearest import sample_surface
from mvgen.core.progress import Silent
from mvgen.core.surface import extract
from mvgen.core.surface.handles import Witnesses, close_handles, labels_of, short_loops
from mvgen.core.surface.poisson import keep_faces
from mvgen.core.surface.topology import edges_of, topology
from tests.core.surface.shapes import BOX, mesh_of, sphere, torus

SPACING = 0.02


def plate(holes, radius, thickness=0.12):
    """Distances of a plate with round holes at places [k, 2]."""

    def field(points):
        x, y, z = points.T
        slab = np.maximum(np.maximum(abs(x), abs(y)) - 0.8, abs(z) - thickness / 2)
        for a, b in holes:
            slab = np.maximum(slab, radius - np.hypot(x - a, y - b))
        return slab

    return field


def strut(points):
    """Two balls with a thin bridge between them, beside a thick one."""
    x, y, z = points.T
    balls = np.hypot(np.hypot(x, y), abs(z) - 0.5) - 0.4
    thick = np.maximum(np.hypot(x, y) - 0.15, abs(z) - 0.4)
    thin = np.maximum(np.hypot(x - 0.3, y) - 0.03, abs(z) - 0.4)
    return np.minimum(np.minimum(balls, thick), thin)


def witnesses(mesh, blind=0.0, count=30_000):
    samples = sample_surface(mesh, count, np.random.default_rng(0))[0]
    assert samples.normals is not None
    return Witnesses(PointCloud(samples.points, samples.normals.astype(np.float32)), SPACING, 0.0, blind)


def genus(mesh):
    found = topology(mesh, welded=True)
    assert found.watertight
    return found.genus


HOLES = [(-0.4, -0.4), (0.4, 0.4), (-0.4, 0.4), (0.4, -0.4)]


@pytest.mark.parametrize(
    ("field", "expected"), [(sphere, 0), (torus, 1), (plate(HOLES, 0.1), 4), (plate(HOLES, 0.03), 4)]
)
def test_true_handles_stay(field, expected):
    mesh = extract(field, BOX, 96)
    assert genus(mesh) == expected
    same, closed = close_handles(mesh, witnesses(mesh), Silent())
    assert closed == 0 and same is mesh


def test_holes_in_which_there_are_points_are_closed_and_no_others():
    holed, whole = extract(plate(HOLES, 0.12), BOX, 96), extract(plate(HOLES[:1], 0.12), BOX, 96)
    mesh, closed = close_handles(holed, witnesses(whole), Silent())
    assert closed == 3 and genus(mesh) == 1
    middles = mesh.vertices[len(holed.vertices) :]
    assert np.linalg.norm(middles[:, :2] - HOLES[0], axis=1).min() > 0.5
    assert len(np.unique(mesh.vertices, axis=0)) == len(mesh.vertices)  # caps lie apart, so welding keeps them so
    assert topology(mesh).genus == 1


def test_what_scatter_hides_is_closed():
    mesh = extract(strut, BOX, 96)
    assert genus(mesh) == 1
    assert close_handles(mesh, witnesses(mesh, blind=0.02), Silent())[1] == 0
    thin, closed = close_handles(mesh, witnesses(mesh, blind=0.08), Silent())
    assert closed == 1 and genus(thin) == 0
    assert np.abs(thin.vertices[len(mesh.vertices) :] - [0.3, 0, 0])[:, :2].max() < 0.1


def test_colours_are_kept():
    mesh = extract(strut, BOX, 96)
    colours = np.full((len(mesh.vertices), 3), 0.25, np.float32)
    done, _ = close_handles(replace(mesh, colours=colours), witnesses(mesh, blind=0.08), Silent())
    assert done.colours is not None and len(done.colours) == len(done.vertices) and (done.colours == 0.25).all()


def test_an_open_surface_keeps_its_border():
    mesh = extract(strut, BOX, 96)
    bowl = keep_faces(mesh, (mesh.vertices[mesh.faces][:, :, 2] < 0.7).all(1))
    done, closed = close_handles(bowl, witnesses(mesh, blind=0.08), Silent())
    before, after = topology(bowl, welded=True), topology(done, welded=True)
    assert closed == 1 and (before.genus, after.genus) == (1, 0)
    assert after.holes == before.holes == 1 and after.open_edges == before.open_edges


def test_what_is_no_manifold_stays():
    mesh = extract(strut, BOX, 48)
    doubled = Mesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:1]]))
    assert close_handles(doubled, witnesses(mesh, blind=0.2), Silent())[0] is doubled


def test_the_shortest_loop_of_a_torus_goes_around_its_tube():
    mesh = mesh_of(torus, 48)
    edges = edges_of(mesh.faces)
    assert genus(mesh) == 1
    (loop, *_) = short_loops(mesh, edges, 10.0)
    length = np.linalg.norm(mesh.vertices[loop] - mesh.vertices[np.roll(loop, 1)], axis=1).sum()
    assert 2 * np.pi * 0.25 * 0.95 < length < 2 * np.pi * 0.25 * 1.3


def test_labels_cancel_around_every_face():
    mesh = mesh_of(torus, 24)
    edges = edges_of(mesh.faces)
    labels = labels_of(mesh.faces, edges)
    assert labels.any()
    # where a walk is the border of some faces it parts the surface
    assert (np.bitwise_xor.reduce(labels[edges.of].reshape(-1, 3), axis=1) == 0).all()
