"""Depth maps in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.io.depth import load_depth, save_depth
from mvgen.core.scene import DepthMap

CAMERA = Camera("view", 8, 6, np.array([[9.0, 0, 4], [0, 9, 3], [0, 0, 1]]), np.eye(4))


def example(seed: int = 0) -> DepthMap:
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(6, 8, 3)).astype(np.float32)
    return DepthMap(CAMERA, rng.random((6, 8), np.float32) + 1, normal, rng.random((6, 8), np.float32))


def test_a_depth_map_comes_back_the_same(tmp_path: Path) -> None:
    save_depth(example(), tmp_path / "view.npz")
    back = load_depth(tmp_path / "view.npz")
    for name in ("depth", "normal", "confidence"):
        np.testing.assert_array_equal(getattr(back, name), getattr(example(), name))
    np.testing.assert_array_equal(back.camera.intrinsics, CAMERA.intrinsics)
    assert (back.camera.name, back.camera.width, back.camera.height) == ("view", 8, 6)


def test_depth_alone_is_enough_with_a_camera(tmp_path: Path) -> None:
    depth = np.full((3, 4), 2.0)
    depth[0, 0], depth[0, 1], depth[0, 2] = np.nan, -1, np.inf
    np.savez(tmp_path / "a.npz", depth=depth)
    found = load_depth(tmp_path / "a.npz", CAMERA)
    assert not found.depth[0, :3].any() and (found.depth[1:] == 2).all()
    assert found.camera.intrinsics[0, 0] == 4.5
    np.testing.assert_allclose(found.normal[1:], np.broadcast_to([0, 0, -1], (2, 4, 3)), atol=1e-6)
    assert (found.confidence == (found.depth > 0)).all()
    with pytest.raises(InputError, match="where its camera was"):
        load_depth(tmp_path / "a.npz")


def test_what_is_no_depth_map_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    wrong: list[dict[str, object]] = [
        {"points": np.zeros((3, 3))},
        {"depth": np.zeros(5)},
        {
            "depth": np.ones((2, 2)),
            "normal": np.zeros((3, 3, 3)),
            "intrinsics": np.eye(3),
            "world_to_camera": np.eye(4),
        },
        {"depth": np.ones((2, 2)), "intrinsics": np.eye(3), "world_to_camera": 2 * np.eye(4)},
        {"depth": np.array([[object()]], object)},
    ]
    for arrays in wrong:
        np.savez(path, **arrays)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"x\.npz"):
            load_depth(path)
    save_depth(example(), path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"x\.npz"):
        load_depth(path)
    with pytest.raises(InputError, match="no such file"):
        load_depth(tmp_path / "missing.npz")
