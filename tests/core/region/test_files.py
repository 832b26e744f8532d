"""Region files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.errors import InputError, UsageError
from mvgen.core.region.files import load_region, load_regions, save_region
from mvgen.core.region.model import Region, region_of

MASK = np.arange(20) % 3 == 0
WING = Region("splats", MASK, np.array([[0.0, 0, 0], [1, 2, 3]]), "wing")
HEAD = Region("splats", np.arange(20) > 15, None, "head")


def test_a_region_is_read_as_it_was_written(tmp_path):
    save_region(WING, tmp_path / "a.npz")
    got = load_region(tmp_path / "a.npz", "splats", 20)
    assert (got.kind, got.name, got.count) == ("splats", "wing", 20)
    assert np.array_equal(got.mask, MASK) and np.array_equal(got.bounds, WING.bounds)


def test_regions_have_names(tmp_path):
    save_region([WING, HEAD], tmp_path / "a.npz")
    assert [r.name for r in load_regions(tmp_path / "a.npz", "splats", 20)] == ["wing", "head"]
    head = load_region(tmp_path / "a.npz", "splats", 20, "head")
    assert head.indices.tolist() == [16, 17, 18, 19] and head.bounds is None
    with pytest.raises(UsageError, match="several regions: wing, head"):
        load_region(tmp_path / "a.npz", "splats", 20)
    with pytest.raises(UsageError, match="no region tail"):
        load_region(tmp_path / "a.npz", "splats", 20, "tail")


@given(mask=st.lists(st.booleans(), min_size=1, max_size=50))
def test_both_formats_keep_any_mask(tmp_path_factory, mask):
    folder = tmp_path_factory.mktemp("any")
    region = Region("points", np.array(mask))
    for name in ("a.npz", "a.npy"):
        save_region(region, folder / name)
        assert load_region(folder / name, "points", len(mask)).mask.tolist() == mask


def test_an_index_list_and_a_mask_of_another_tool(tmp_path):
    np.save(tmp_path / "i.npy", np.array([5, 1, 1], np.int32))
    assert load_region(tmp_path / "i.npy", "cells", 8).indices.tolist() == [1, 5]
    np.save(tmp_path / "m.npy", np.arange(8).reshape(1, 2, 2, 2) > 5)
    assert load_region(tmp_path / "m.npy", "cells", 8).indices.tolist() == [6, 7]


def test_labels_number_the_names(tmp_path):
    np.savez(tmp_path / "l.npz", labels=np.array([-1, 0, 1, 1], np.int16), names=["a", "b"], kind="points")
    a, b = load_regions(tmp_path / "l.npz", "points", 4)
    assert (a.name, b.name, a.indices.tolist(), b.indices.tolist()) == ("a", "b", [1], [2, 3])


def test_a_folder_of_interactive3d_parts(tmp_path):
    np.save(tmp_path / "occ_index_0_gs_.npy", np.array([1, 2]))
    np.save(tmp_path / "occ_index_1_gs.npy", np.array([7]))
    first, second = load_regions(tmp_path, "cells", 8)
    assert (first.name, second.name, second.indices.tolist()) == ("0", "1", [7])


def test_a_region_of_other_things_is_refused(tmp_path):
    save_region(WING, tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"a\.npz: is a region of 20 splats, but the input has 21"):
        load_region(tmp_path / "a.npz", "splats", 21)
    with pytest.raises(InputError, match="of splats, not of points"):
        load_region(tmp_path / "a.npz", "points", 20)
    np.save(tmp_path / "i.npy", np.array([30]))
    with pytest.raises(InputError, match="the index 30"):
        load_region(tmp_path / "i.npy", "points", 20)
    np.save(tmp_path / "m.npy", np.ones(3, bool))
    with pytest.raises(InputError, match="marks 3 things"):
        load_region(tmp_path / "m.npy", "points", 20)


@pytest.mark.parametrize(
    "arrays",
    [
        {"values": np.ones(3)},
        {"indices": np.array([0.5])},
        {"indices": np.array([1, 2]), "sizes": np.array([3])},
        {"indices": np.array([1, 2]), "sizes": np.array([1, 1]), "names": np.array(["a", "a"])},
        {"indices": np.array([1]), "kind": np.array("cows")},
        {"indices": np.array([-1])},
        {"labels": np.array([0, 1])},
        {"indices": np.array([1]), "count": np.array([[20, 20]])},
    ],
)
def test_a_damaged_region_is_named(tmp_path, arrays):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=r"bad\.npz"):
        load_regions(tmp_path / "bad.npz", "points", 20)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"hello"])
@pytest.mark.parametrize("name", ["bad.npz", "bad.npy"])
def test_rubbish_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="bad"):
        load_region(tmp_path / name, "points", 20)


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="one region, not 2"):
        save_region([WING, HEAD], tmp_path / "a.npy")
    with pytest.raises(UsageError, match="names"):
        save_region([WING, WING], tmp_path / "a.npz")
    with pytest.raises(UsageError, match=r"\.txt"):
        save_region(WING, tmp_path / "a.txt")


def test_bounds_are_those_of_what_is_meant():
    points = np.array([[0.0, 0, 0], [1, 2, 3], [5, 5, 5]])
    assert region_of("points", np.array([1, 1, 0], bool), points).bounds.tolist() == [[0, 0, 0], [1, 2, 3]]
    assert region_of("points", np.zeros(3, bool), points).bounds is None
