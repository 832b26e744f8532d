"""What can be selected, from files."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.meshes import save_mesh, save_points
from mvgen.core.region.files import load_regions
from mvgen.core.region.interactive3d import save_parts
from mvgen.core.region.things import load_things
from mvgen.core.splats.files import save_splats
from tests.core.region.made import on_sphere, sphere, splats_at, things

POINTS = on_sphere(50)


def test_kinds_follow_the_file(tmp_path):
    save_mesh(sphere(1), tmp_path / "a.obj")
    save_points(PointCloud(POINTS), tmp_path / "b.ply")
    save_splats(splats_at(POINTS), tmp_path / "c.ply")
    np.save(tmp_path / "d.npy", np.ones((2, 3, 4), bool))
    for name, kind, count in (("a.obj", "vertices", 42), ("b.ply", "points", 50), ("c.ply", "splats", 50)):
        of = load_things(tmp_path / name, name)
        assert (of.kind, of.count, of.places.shape, of.among) == (kind, count, (count, 3), None)
        assert of.diagonal == pytest.approx(np.linalg.norm(np.ptp(of.places, axis=0)), rel=0.01)
    cells = load_things(tmp_path / "d.npy", "d")
    assert (cells.kind, cells.count, len(cells.places)) == ("cells", 24, 24)


def test_splats_keep_the_numbers_of_their_file(tmp_path):
    save_splats(splats_at(POINTS), tmp_path / "a.spz")  # with other axes than in memory
    flipped = load_things(tmp_path / "a.spz", "a").places
    assert np.abs(flipped - POINTS * [1, -1, -1]).max() < 0.01


def test_of_a_grid_only_occupied_cells_are_places(tmp_path):
    values = np.zeros((4, 5, 6), np.float32)
    values[1, 2, 3] = values[3, 0, 5] = 0.9
    np.savez(tmp_path / "a.npz", values=values, origin=[10, 0, 0], spacing=0.5)
    of = load_things(tmp_path / "a.npz", "a")
    assert of.places.tolist() == [[10.5, 1, 1.5], [11.5, 0, 2.5]]
    region = of.region(np.array([False, True]), "x")
    assert region.count == 120 and region.indices.tolist() == [3 * 30 + 5]
    assert region.bounds.tolist() == [[11.5, 0, 2.5]] * 2
    assert of.mask(region).tolist() == [False, True]
    np.save(tmp_path / "none.npy", np.zeros((4, 4, 4), bool))
    with pytest.raises(CannotError, match="none of its cells is occupied"):
        load_things(tmp_path / "none.npy", "none")


def test_grids_of_interactive3d_go_both_ways(tmp_path):
    occupied = np.zeros((1, 32, 32, 32), bool)
    occupied[0, 8:24, 8:24, 8:24] = True
    np.save(tmp_path / "binaries.npy", occupied)
    for path in (tmp_path, tmp_path / "binaries.npy"):
        of = load_things(path, "grid")
        assert of.count == 32**3 and len(of.places) == 16**3
        assert of.places.min(0) == pytest.approx([-1.2 + 8.5 * 2.4 / 32] * 3)
    first, second = of.region(of.places[:, 0] > 0, "a"), of.region(of.places[:, 0] <= 0, "b")
    out = tmp_path / "out"
    out.mkdir()
    save_parts([first, second], of.grid, out)
    assert np.array_equal(np.load(out / "binaries.npy"), occupied)
    assert np.load(out / "occs.npy").dtype == np.float32 and np.load(out / "occs.npy").shape == (32**3,)
    places = np.load(out / "grid_coords.npy")
    assert places.dtype == np.int64 and places[33].tolist() == [0, 1, 1]
    assert np.load(out / "occ_index_0_gs.npy").dtype == np.int64
    masks = [np.load(out / f"occ_mask_{i}_gs.npy") for i in (0, 1)]
    assert len(masks[0]) == 16**3 and len(masks[1]) == 16**3 // 2 and masks[1].all()
    again = load_regions(out, "cells", 32**3)
    assert [np.array_equal(a.mask, b.mask) for a, b in zip(again, (first, second))] == [True, True]


@pytest.mark.parametrize("values", [np.zeros((3, 4, 4, 4), bool), np.zeros((4, 5, 6), bool), np.zeros(3, "<U1")])
def test_what_is_no_grid_of_interactive3d(tmp_path, values):
    np.save(tmp_path / "binaries.npy", values)
    with pytest.raises(InputError, match=r"binaries\.npy"):
        load_things(tmp_path, "grid")


def test_what_cannot_be_selected_from(tmp_path):
    with pytest.raises(InputError, match="neither splats nor"):
        load_things(tmp_path, "folder")
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match=r"a\.npz"):
        load_things(tmp_path / "a.npz", "a")


def test_the_border_of_a_mesh_is_in_faces_that_are_partly_selected():
    square = Mesh(
        np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [3, 1, 0]]),
        np.array([[0, 1, 2], [0, 2, 3], [1, 4, 2]], np.int32),
    )
    of = things(square)
    assert of.border(np.array([True, True, True, False, False])) == pytest.approx(1.5 / 2)
    assert of.border(np.array([True, True, True, True, False])) == pytest.approx(1 / 2)
    assert of.border(np.ones(5, bool)) == of.border(np.zeros(5, bool)) == 0
    assert things(PointCloud(POINTS)).border(POINTS[:, 0] > 0) == 0
