"""NumPy's files, whole and damaged."""

from pathlib import Path

import numpy as np
import pytest

from mvgen.core.errors import InputError
from mvgen.core.io.arrays import read_arrays


def read(path: Path, largest: int = 1 << 20):
    return read_arrays(path, "thing", largest, ("a", "b"), "write it again")


def test_what_has_a_name_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(5), c=np.arange(6))
    np.save(tmp_path / "y.npy", np.eye(3))
    assert list(read(tmp_path / "x.npz")) == ["a"]
    assert np.array_equal(read(tmp_path / "y.npy")["array"], np.eye(3))


def test_any_damaged_byte_is_survived(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.random.default_rng(0).normal(size=50))
    data = (tmp_path / "x.npz").read_bytes()
    refused = 0
    for place in range(0, len(data), 3):
        (tmp_path / "x.npz").write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            read(tmp_path / "x.npz")
        except InputError as error:
            refused += 1
            assert "x.npz" in error.message and "\n" not in error.message
    assert refused > len(data) / 6


def test_what_is_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(10_000))
    np.save(tmp_path / "y.npy", np.zeros(10_000))
    for name in ("x.npz", "y.npy"):
        with pytest.raises(InputError, match="too large for a thing"):
            read(tmp_path / name, largest=1000)
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.npz")
