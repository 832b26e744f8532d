"""Grids of distances and occupancies."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.errors import InputError
from mvgen.core.io.grids import grid_surface, load_grid
from mvgen.core.surface.topology import topology
from tests.core.surface.shapes import sphere, torus, volume

SIDE = np.linspace(-1, 1, 40)
NODES = np.stack(np.meshgrid(SIDE, SIDE, SIDE, indexing="ij"), axis=-1)
RING = torus(NODES.reshape(-1, 3)).reshape(40, 40, 40)


def test_a_distance_with_bounds(tmp_path):
    np.savez(tmp_path / "a.npz", values=RING, bounds=[[-1, -1, -1], [1, 1, 1]])
    grid = load_grid(tmp_path / "a.npz")
    mesh = grid_surface(grid)
    assert (grid.kind, grid.level) == ("sdf", 0.0)
    assert topology(mesh).genus == 1 and volume(mesh) > 0 and np.abs(torus(mesh.vertices)).max() < 0.01


def test_origin_and_spacing_and_a_level(tmp_path):
    np.savez(tmp_path / "a.npz", values=RING, origin=[-1, -1, -1], spacing=2 / 39, level=0.05, kind="sdf")
    mesh = grid_surface(load_grid(tmp_path / "a.npz"))
    assert np.abs(torus(mesh.vertices) - 0.05).max() < 0.01
    assert load_grid(tmp_path / "a.npz", level=0.1).level == 0.1


def test_an_occupancy_ends_where_the_grid_does(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 5, 6), bool))
    grid = load_grid(tmp_path / "a.npy")
    mesh = grid_surface(grid)
    assert (grid.kind, grid.level) == ("occupancy", 0.5) and topology(mesh).watertight
    assert np.allclose(mesh.bounds, [[-0.5] * 3, [3.5, 4.5, 5.5]]) and volume(mesh) > 40


def test_what_is_not_known_makes_no_surface(tmp_path):
    values = sphere(NODES.reshape(-1, 3)).reshape(40, 40, 40)
    values[:20] = np.nan
    np.savez(tmp_path / "a.npz", values=values, kind="sdf", bounds=[[-1, -1, -1], [1, 1, 1]])
    mesh = grid_surface(load_grid(tmp_path / "a.npz"))
    assert mesh.vertices[:, 0].min() > 0 and topology(mesh).holes == 1


@pytest.mark.parametrize(
    "arrays",
    [
        {"other": RING},
        {"values": RING[0]},
        {"values": RING + 1j},
        {"values": np.where(RING < 0, np.inf, RING)},
        {"values": np.full((3, 3, 3), np.nan)},
        {"values": RING, "bounds": [[0, 0, 0], [0, 1, 1]]},
        {"values": RING, "bounds": [0, 1]},
        {"values": RING, "spacing": -1},
        {"values": RING, "origin": [0, np.nan, 0]},
        {"values": RING, "kind": "tea"},
        {"values": RING, "level": "high"},
        {"values": np.array([[[{}]]], object)},
    ],
)
def test_malformed_grids_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=r"a\.npz"):
        load_grid(tmp_path / "a.npz")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_files_are_refused_or_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("grid")
    np.savez(folder / "a.npz", values=RING[:6, :6, :6], kind="sdf")
    raw = bytearray((folder / "a.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a.npz").write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with contextlib.suppress(InputError):
        load_grid(folder / "a.npz")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_grid(tmp_path / "none.npy")
