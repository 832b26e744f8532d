"""Walls and gaps thinner than the cells of a grid of distances come out whole; what is right stays."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.io.grids import Grid, grid_surface
from mvgen.core.surface.topology import topology
from mvgen.core.surface.walls import mended
from tests.core.surface.shapes import torus, volume

NODES = 48
CELL = 2 / (NODES - 1)
SPACING = np.full(3, CELL)
PLACES = np.stack(np.meshgrid(*[np.arange(NODES)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * CELL - 1
TURN = np.linalg.qr(np.array([[3.0, 1, 0.5], [-1, 2, 1], [0.3, -1, 2]]))[0]


def box(points, middle, half):
    beyond = np.abs(points - middle) - half
    return np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(1), 0)


def washer(points, inner, outer, thickness):
    """A disc with a round hole."""
    around = np.abs(np.hypot(points[:, 0], points[:, 1]) - (inner + outer) / 2) - (outer - inner) / 2
    beyond = np.stack([around, np.abs(points[:, 2]) - thickness / 2], axis=1)
    return np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(1), 0)


def comb(points):
    """Thin ribs on a thick base."""
    ribs = [box(points, [x, 0, 0], [0.3 * CELL, 0.4, 0.4]) for x in (-0.4, 0.0, 0.4)]
    return np.min([box(points, [0, 0, -0.4], [0.6, 0.4, 0.1]), *ribs], axis=0)


def blocks(points):
    """Two, with a gap of half a cell between them."""
    halves = [box(points, [0, 0, side * (0.3 + CELL / 4)], [0.5, 0.5, 0.3]) for side in (-1, 1)]
    return np.minimum(*halves)


def tunnel(points):
    return np.maximum(np.linalg.norm(points, axis=1) - 0.6, 0.8 * CELL - np.hypot(points[:, 0], points[:, 1]))


def on_nodes(field, turned=True):
    return field(PLACES @ TURN if turned else PLACES).reshape([NODES] * 3)


def surface(values, spacing=SPACING):
    return grid_surface(Grid(values, np.full(3, -1.0), spacing, "sdf", 0.0))


@pytest.mark.parametrize("hole", [1.3 * CELL, 0.3])
@pytest.mark.parametrize("thickness", [0.3, 0.7, 1.2])
def test_a_thin_wall_with_a_hole_is_whole(thickness, hole):
    values = on_nodes(lambda p: washer(p, hole, 0.7, thickness * CELL))
    mesh = surface(values)
    found = topology(mesh, welded=True)
    assert (found.genus, found.components, found.watertight) == (1, 1, True)
    true = np.pi * (0.7**2 - hole**2) * thickness * CELL
    assert volume(mesh) == pytest.approx(true, rel=0.12)
    off = np.abs(washer(mesh.vertices @ TURN, hole, 0.7, thickness * CELL)) / CELL
    assert np.median(off) < 0.01 and off.max() < 0.6


def test_a_thin_wall_goes_on_into_the_corner_with_another():
    found = topology(surface(on_nodes(comb)), welded=True)
    assert (found.genus, found.components) == (0, 1)


def test_a_thin_gap_parts_two_solids():
    found = topology(surface(on_nodes(blocks)), welded=True)
    assert (found.genus, found.components) == (0, 2)


@pytest.mark.parametrize("field", [torus, tunnel, lambda p: box(p, 0, [0.6, 0.4, 0.3])])
def test_what_has_no_thin_walls_stays(field):
    values = on_nodes(field)
    assert mended(values, SPACING).distance is values


def test_rounding_at_nodes_on_the_surface_makes_no_handles():
    side = 2 * CELL * np.array([10.0, 8, 1]) / 2
    values = on_nodes(lambda p: box(p + 1 - 23 * CELL, 0, side), turned=False)
    assert (np.abs(values) < 1e-12).sum() > 100
    values += 1e-10 * np.random.default_rng(0).normal(size=values.shape)
    found = topology(surface(values), welded=True)
    assert (found.genus, found.components) == (0, 1)


def test_truncated_distances_do_and_other_values_stay():
    thin = on_nodes(lambda p: washer(p, 0.3, 0.7, 0.5 * CELL))
    assert len(mended(thin.clip(-3 * CELL, 3 * CELL), SPACING).turned) == len(mended(thin, SPACING).turned) > 100
    for other in (np.tanh(thin / CELL), 2 * thin, np.random.default_rng(0).normal(size=thin.shape) * CELL):
        assert mended(other, SPACING) is None


def test_cells_need_not_be_cubes():
    spacing = np.array([1, 1.3, 0.8]) * CELL
    points = (np.stack(np.meshgrid(*[np.arange(NODES)] * 3, indexing="ij"), axis=-1) * spacing).reshape(-1, 3)
    values = washer((points - points.mean(0)) @ TURN, 0.3, 0.7, 0.5 * CELL).reshape([NODES] * 3)
    found = topology(surface(values, spacing), welded=True)
    assert (found.genus, found.components) == (1, 1)


def test_unknown_nodes_stay_unknown():
    values = on_nodes(lambda p: washer(p, 0.3, 0.7, 0.5 * CELL))
    values[:20] = np.nan
    mesh = surface(values)
    assert np.isfinite(mesh.vertices).all() and mesh.vertices[:, 0].min() > -1 + 18.9 * CELL
