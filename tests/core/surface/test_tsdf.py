"""Surfaces from depth maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.errors import CannotError
from mvgen.core.progress import Silent
from mvgen.core.surface.topology import topology
from mvgen.core.surface.tsdf import TsdfOptions, map_bounds, tsdf_surface
from tests.core.surface.shapes import euler, mesh_of, sphere, torus, volume
from tests.core.surface.views import rendered


class Heard(Silent):
    def __init__(self):
        self.notes, self.said = [], []

    def note(self, text):
        self.notes.append(text)

    def say(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def ring():
    """Depth maps of a torus, red where x > 0, else blue."""
    mesh = mesh_of(torus)
    colours = np.where(mesh.vertices[:, :1] > 0, [1.0, 0, 0], [0, 0, 1.0]).astype(np.float32)
    return rendered(replace(mesh, colours=colours))


def surface(maps, options=None, progress=None):
    return tsdf_surface(lambda: maps, map_bounds(lambda: maps), options or TsdfOptions(), progress or Silent())


def test_a_torus_from_all_around_is_one_closed_ring(ring):
    mesh = surface(ring)
    assert euler(mesh) == 0 and volume(mesh) == pytest.approx(2 * np.pi**2 * 0.6 * 0.25**2, rel=0.02)
    assert np.abs(torus(mesh.vertices)).max() < 0.02 and np.abs(torus(mesh.vertices)).mean() < 0.004
    assert mesh.colours is not None
    clear = np.abs(mesh.vertices[:, 0]) > 0.05
    assert ((mesh.colours[:, 0] > 0.5) == (mesh.vertices[:, 0] > 0))[clear].all()


def test_noise_of_single_maps_averages_out(ring):
    rng = np.random.default_rng(0)
    noisy = []
    for depth_map, _ in ring:
        noise = np.float32(0.01) * rng.normal(size=depth_map.depth.shape).astype(np.float32)
        noisy.append((replace(depth_map, depth=np.where(depth_map.depth > 0, depth_map.depth + noise, 0)), None))
    mesh = surface(noisy)
    assert mesh.colours is None
    assert np.abs(torus(mesh.vertices)).mean() < 0.005


def test_what_no_map_has_seen_stays_open(ring):
    mesh = surface(ring[:1])
    toward = ring[0][0].camera.centre / np.linalg.norm(ring[0][0].camera.centre)
    assert (mesh.vertices @ toward).min() > -0.6
    assert euler(mesh) != 0


def test_a_drilled_hole_whose_depth_no_map_sees_is_closed():
    def drilled(points):
        wall = np.maximum(np.hypot(points[:, 0] - 0.3, points[:, 2]) - 0.07, -points[:, 1])
        return np.maximum(sphere(points), -wall)

    maps = rendered(mesh_of(drilled, 160), 12)
    heard = Heard()
    mesh = surface(maps, progress=heard)
    assert any("gaps that no map looks through" in said for said in heard.said)
    found = topology(mesh, welded=True)
    assert found.watertight and found.genus == 0
    deep = mesh.vertices[np.hypot(mesh.vertices[:, 0] - 0.3, mesh.vertices[:, 2]) < 0.05]
    assert deep[:, 1].min() < 0.65 < 0.75 < np.abs(deep[:, 1]).max()


def test_views_without_confidence_say_nothing(ring):
    liar = [(replace(m, depth=m.depth * np.float32(0.9), confidence=np.zeros_like(m.confidence)), i) for m, i in ring]
    one, two = surface(ring), surface(ring + liar)
    assert np.array_equal(one.vertices, two.vertices) and np.array_equal(one.faces, two.faces)


def test_memory_is_planned_and_voxels_follow(ring):
    heard = Heard()
    coarse = surface(ring, TsdfOptions(memory_mb=1), heard)
    assert len(coarse.faces) < 0.5 * len(surface(ring).faces)
    assert any("too fine for 1 MB" in note for note in heard.notes)
    assert np.abs(torus(coarse.vertices)).mean() < 0.04


def test_the_voxel_may_be_given(ring):
    mesh = surface(ring, TsdfOptions(voxel=0.1))
    edge = np.linalg.norm(mesh.vertices[mesh.faces[:, 0]] - mesh.vertices[mesh.faces[:, 1]], axis=1)
    assert 0.03 < np.median(edge) < 0.15


def test_far_from_the_origin_nothing_is_lost(ring):
    from mvgen.core.camera import Similarity

    away = Similarity(1.0, np.eye(3), np.array([1e5, -2e5, 3e5]))
    mesh = surface([(replace(m, camera=m.camera.moved(away)), i) for m, i in ring])
    assert np.abs(torus(mesh.vertices - away.translation)).mean() < 0.004


def test_maps_are_read_one_at_a_time_and_twice(ring):
    opened = []

    def maps():
        opened.append(True)
        yield from ring

    tsdf_surface(maps, map_bounds(lambda: ring), TsdfOptions(), Silent())
    assert len(opened) == 2


def test_no_depths_no_surface(ring):
    empty = [(replace(m, depth=np.zeros_like(m.depth)), i) for m, i in ring]
    with pytest.raises(CannotError, match="no depths"):
        map_bounds(lambda: empty)
    with pytest.raises(CannotError, match="no depth lies"):
        tsdf_surface(lambda: empty, np.array([[-1.0] * 3, [1.0] * 3]), TsdfOptions(), Silent())
    with pytest.raises(CannotError, match="enclose nothing"):
        tsdf_surface(lambda: ring, np.zeros((2, 3)), TsdfOptions(), Silent())


def test_a_far_pixel_does_not_stretch_the_bounds():
    maps = rendered(mesh_of(sphere), 6)
    maps[0][0].depth[0, 0] = 1000
    assert np.ptp(map_bounds(lambda: maps), axis=0).max() < 4
