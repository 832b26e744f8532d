"""Meshes that are open, tangled, in parts, or have faces without area."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.geometry import Mesh
from mvgen.core.progress import Silent
from mvgen.core.refine.meshes import refine_by_photos, refine_by_views, sharpen
from mvgen.core.refine.photos import Picture
from mvgen.core.refine.refine import RefineOptions
from mvgen.core.refine.views import views_of
from mvgen.core.render.raycast import Caster
from mvgen.core.surface.topology import topology
from tests.core.refine.made import ball, cameras

OPTIONS = RefineOptions(iterations=4, pixels=4)
EYES = cameras(4, 128)


def opened() -> Mesh:
    start = ball(3, False)
    return Mesh(start.vertices, start.faces[start.vertices[start.faces, 1].mean(1) < 0.4])


def tangled() -> Mesh:
    """Three faces at an edge, and two balls that touch in a vertex."""
    start = ball(3, False)
    count = len(start.vertices)
    second = np.where(start.faces == 0, 0, start.faces + count + 1)
    fin = np.array([[start.faces[0, 0], start.faces[0, 1], count]], np.int32)
    vertices = np.concatenate([start.vertices, [[0, 0, 3.0]], 2 * start.vertices[:1] - start.vertices])
    second = np.where(start.faces == 0, 0, start.faces + count + 1)[:, ::-1]
    return Mesh(vertices, np.concatenate([start.faces, fin, second]).astype(np.int32))


def parts() -> Mesh:
    one, two = ball(3, False), ball(2, False)
    vertices = np.concatenate([0.5 * one.vertices, 0.3 * two.vertices + [0.9, 0, 0]])
    return Mesh(vertices, np.concatenate([one.faces, two.faces + len(one.vertices)]).astype(np.int32))


def flat() -> Mesh:
    """Faces with two corners at one place, on a line, and named twice."""
    start = ball(3, False)
    count = len(start.vertices)
    a, b = start.faces[0, :2]
    middle = (start.vertices[a] + start.vertices[b]) / 2
    faces = [[a, a, b], [a, count, b], start.faces[5], [count + 1] * 3]
    return Mesh(
        np.concatenate([start.vertices, [middle, [0.2, 0.1, 0]]]), np.concatenate([start.faces, faces]).astype(np.int32)
    )


@pytest.mark.parametrize("make", [opened, tangled, parts, flat])
def test_every_source_leaves_them_finite_and_no_more_broken(make) -> None:
    mesh = make()
    everywhere = np.ones(len(mesh.vertices))
    fine = Mesh(mesh.vertices * (1 + 0.02 * np.sin(9 * mesh.vertices[:, :1])), mesh.faces)
    before = topology(mesh, welded=True)
    caster = Caster(Mesh(mesh.vertices, mesh.faces, colours=np.abs(np.sin(20 * mesh.vertices)).astype(np.float32)))
    pictures = [Picture(c, 255 * caster.render(c).color.mean(2).astype(np.float32)) for c in EYES]
    for done in (
        refine_by_views(mesh, views_of(fine, EYES), everywhere, OPTIONS, Silent()),
        refine_by_photos(mesh, pictures, everywhere, Silent()),
        sharpen(mesh, 1.0, everywhere, Silent()),
    ):
        after = topology(done.mesh, welded=True)
        assert np.isfinite(done.mesh.vertices).all() and len(done.mesh.faces)
        assert np.abs(done.mesh.vertices).max() < 1.3 * np.abs(mesh.vertices).max()
        assert after.components == before.components and after.holes == before.holes
        assert after.crowded_edges <= before.crowded_edges
