"""Texture and colours from one surface to another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mvgen.core.geometry import Mesh
from mvgen.core.nearest import point_triangle_distance
from mvgen.core.render.raycast import render_mesh
from mvgen.core.surface import simplify
from mvgen.core.surface.topology import weld
from mvgen.core.texture.atlas import unwrap
from mvgen.core.texture.transfer import Closest, closest_weights, transfer_colours, transfer_texture
from tests.core.surface.shapes import mesh_of, sphere, torus
from tests.core.surface.views import around


def striped(mesh: Mesh, size: int = 256) -> Mesh:
    """The mesh with a texture that is red, green and blue by the place in space."""
    from mvgen.core.texture.transfer import _texel_places

    flat = unwrap(mesh, size)
    texels, points, _ = _texel_places(flat, size)
    picture = np.zeros((size * size, 3), np.uint8)
    picture[texels] = np.rint(255 * np.clip(points / 2 + 0.5, 0, 1))
    return replace(flat, texture=picture.reshape(size, size, 3))


def test_closest_weights_are_those_of_the_nearest_point():
    rng = np.random.default_rng(0)
    corners, points = rng.normal(size=(500, 3, 3)), 2 * rng.normal(size=(500, 3))
    corners[::50, 2] = corners[::50, 1]  # no area
    w = closest_weights(points, corners)
    assert np.allclose(w.sum(1), 1) and (w >= -1e-12).all()
    distance = np.linalg.norm((corners * w[..., None]).sum(1) - points, axis=1)
    assert np.allclose(distance, point_triangle_distance(points, corners), atol=1e-9)


def test_of_a_thin_sheet_the_side_is_taken_that_faces_the_same_way():
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    mesh = Mesh(np.concatenate([square, square]), np.array([[0, 1, 2], [0, 2, 3], [6, 5, 4], [7, 6, 4]], np.int32))
    points = np.random.default_rng(0).uniform(0.1, 0.9, (100, 3)) * [1, 1, 0]
    for z, faces in ((1, (0, 1)), (-1, (2, 3))):
        assert np.isin(Closest(mesh).query(points, np.tile([0.0, 0, z], (100, 1))).face, faces).all()


def test_a_texture_looks_the_same_on_fewer_faces():
    old = striped(mesh_of(torus, 48))
    new = transfer_texture(old, simplify(weld(old), 1500))
    assert new.texture is not None and new.uv is not None and len(new.faces) <= 1500
    for camera in around(old, 5, 96):
        one, two = render_mesh(old, camera), render_mesh(new, camera)
        both = (one.alpha > 0.99) & (two.alpha > 0.99)
        assert both.sum() > 800 and np.abs(one.color - two.color)[both].mean() < 0.02


def test_colours_are_interpolated():
    old = mesh_of(sphere, 24)
    old = replace(old, colours=(old.vertices / 2 + 0.5).astype(np.float32))
    new = transfer_colours(old, mesh_of(sphere, 37))
    assert new.colours is not None and np.abs(new.colours - (new.vertices / 2 + 0.5)).max() < 0.03
