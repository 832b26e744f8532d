"""Vertices moved to where photos agree."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Silent
from mvgen.core.refine.integrate import vertex_normals
from mvgen.core.refine.meshes import refine_by_photos
from mvgen.core.refine.photos import Picture, _peak, moved_by_photos
from mvgen.core.render.raycast import Caster
from tests.core.refine.made import cameras


@pytest.fixture(scope="module")
def truth():
    """A ball that is painted with noise."""
    plain = trimesh.creation.icosphere(6)
    rng = np.random.default_rng(0)
    grey = np.zeros(len(plain.vertices))
    for frequency in (12, 25, 50):
        waves = rng.normal(0, frequency, (40, 3))
        grey += np.sin(plain.vertices @ waves.T + rng.uniform(0, 6.3, 40)).sum(1) / 40
    colours = np.repeat(0.5 + grey[:, None] * 0.8, 3, axis=1).clip(0, 1).astype(np.float32)
    return Mesh(np.array(plain.vertices, float), np.array(plain.faces, np.int32), colours=colours)


@pytest.fixture(scope="module")
def pictures(truth):
    caster = Caster(truth)
    return [Picture(c, 255 * caster.render(c).color.mean(2).astype(np.float32)) for c in cameras(16, 320)]


@pytest.fixture(scope="module")
def start():
    plain = trimesh.creation.icosphere(4)
    vertices = np.array(plain.vertices, float)
    wavy = 1 + 0.008 * np.sin(5 * vertices[:, :1]) * np.sin(6 * vertices[:, 1:2])
    return Mesh(vertices * wavy, np.array(plain.faces, np.int32))


def off(vertices):
    return np.abs(np.linalg.norm(vertices, axis=1) - 1).mean()


def test_a_wavy_ball_becomes_round(start, pictures):
    everything = np.ones(len(start.vertices), bool)
    moved, known = moved_by_photos(start.vertices, start.faces, pictures, everything, Silent())
    assert known > 0.4
    assert off(moved) < 0.6 * off(start.vertices)


def test_outside_of_a_region_nothing_moves(start, pictures):
    strength = np.where(start.vertices[:, 1] > 0, 1.0, 0.0)
    done = refine_by_photos(start, pictures, strength, Silent())
    same = (done.mesh.vertices == start.vertices).all(1)
    assert same[strength == 0].all() and not same[strength == 1].all()
    assert np.array_equal(done.mesh.faces, start.faces) and done.known > 0.3


def test_photos_of_another_place_are_refused(start, pictures):
    with pytest.raises(CannotError, match="two photos"):
        moved_by_photos(
            start.vertices + np.array([0, 50.0, 0]), start.faces, pictures, np.ones(len(start.vertices), bool), Silent()
        )


def test_plain_photos_move_nothing(start, pictures):
    plain = [Picture(p.camera, np.full_like(p.grey, 90)) for p in pictures]
    moved, known = moved_by_photos(start.vertices, start.faces, plain, np.ones(len(start.vertices), bool), Silent())
    assert known == 0 and np.abs(moved - start.vertices).max() < 1e-9


def lit(plain, grey):
    """A ball's vertices [V, 3] and its faces, of some brightness [V], in the light of a lamp."""
    vertices, faces = np.array(plain.vertices, float), np.array(plain.faces, np.int32)
    light = 0.55 + 0.45 * vertex_normals(vertices, faces) @ np.array([0.48, 0.64, 0.6])
    colours = np.repeat((light * grey)[:, None], 3, axis=1).clip(0, 1).astype(np.float32)
    return Mesh(vertices, faces, colours=colours)


def taken(mesh):
    caster = Caster(mesh)
    return [Picture(c, 255 * caster.render(c).color.mean(2).astype(np.float32)) for c in cameras(16, 320)]


@pytest.fixture(scope="module")
def half(truth):
    """Brightness [V] of a ball that is painted above and plain below."""
    return np.where(truth.vertices[:, 1] > 0, truth.colours[:, 0] * 1.6, 0.9)


@pytest.mark.slow
def test_plain_parts_become_smooth_beside_painted_ones(half):
    plain, rng = trimesh.creation.icosphere(4), np.random.default_rng(1)
    noise = np.sin(plain.vertices @ rng.normal(0, 30, (3, 40)) + rng.uniform(0, 6.3, 40)).mean(1)
    rough = plain.vertices * (1 + 0.02 * noise)[:, None]
    pictures = taken(lit(trimesh.creation.icosphere(6), half))
    moved, known = moved_by_photos(rough, plain.faces, pictures, np.ones(len(rough), bool), Silent())
    below = plain.vertices[:, 1] < -0.25
    assert 0.2 < known < 0.8
    assert off(moved[below]) < 0.6 * off(rough[below])
    assert abs(np.linalg.norm(moved[below], axis=1).mean() - 1) < 0.001


@pytest.mark.slow
def test_bumps_that_light_and_shade_show_stay(half):
    bumpy = trimesh.creation.icosphere(5)
    x, y, z = bumpy.vertices.T
    height = 0.01 * np.sin(30 * x) * np.sin(30 * z)
    bumpy.vertices = bumpy.vertices * (1 + height)[:, None]
    mesh = lit(bumpy, half[: len(bumpy.vertices)])
    moved, _ = moved_by_photos(mesh.vertices, mesh.faces, taken(mesh), np.ones(len(mesh.vertices), bool), Silent())
    lost = np.linalg.norm(moved, axis=1) - 1 - height
    assert np.abs(lost[y < -0.25]).mean() < 0.21 * np.abs(height[y < -0.25]).mean()


def test_blunt_peaks_know_nothing_and_sharp_ones_are_doubted_less():
    tried = np.arange(-3, 4.0)
    away = (tried - 0.25) ** 2
    scores = np.stack([0.99 - 0.1 * away, 0.9 - 0.05 * away, 0.7 - 0.02 * away]).astype(np.float32)
    moves, doubt = _peak(scores, tried, np.full(3, 2.0))
    assert moves == pytest.approx([0.5, 0.5, 0], abs=1e-3)
    assert doubt[0] < 0.5 * doubt[1] and np.isinf(doubt[2])
