"""Depth maps in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mvgen.core.io.depth import save_depth
from mvgen.core.scene import DepthMap
from tests.core.views import SIZE, around


def some_depth() -> DepthMap:
    rng = np.random.default_rng(0)
    shape = (SIZE[1], SIZE[0])
    depth = np.where(rng.random(shape) < 0.8, rng.uniform(1, 5, shape), 0).astype(np.float32)
    normal = rng.normal(size=(*shape, 3)).astype(np.float32)
    return DepthMap(around([20])[0], depth, normal, rng.random(shape).astype(np.float32))


def test_every_tool_with_numpy_can_read_it(tmp_path: Path) -> None:
    depth_map = some_depth()
    save_depth(depth_map, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        assert sorted(data) == ["confidence", "depth", "intrinsics", "normal", "world_to_camera"]
        assert all(data[k].dtype == np.float32 for k in ("depth", "normal", "confidence"))
        for name in ("depth", "normal", "confidence"):
            assert np.array_equal(data[name], getattr(depth_map, name))
        assert np.array_equal(data["intrinsics"], depth_map.camera.intrinsics)
        assert np.array_equal(data["world_to_camera"], depth_map.camera.world_to_camera)


def test_same_depth_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_depth(some_depth(), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_name_is_kept_as_it_is(tmp_path: Path) -> None:
    save_depth(some_depth(), tmp_path / "depth")  # NumPy would add an extension
    assert [p.name for p in tmp_path.iterdir()] == ["depth"]
