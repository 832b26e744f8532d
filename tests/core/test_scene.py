"""Normals of depth maps."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.scene import depth_normals


def camera(width: int = 40, height: int = 30) -> Camera:
    intrinsics = np.array([[50.0, 0, width / 2], [0, 45.0, height / 2], [0, 0, 1]])
    return Camera("a", width, height, intrinsics, np.eye(4))


@pytest.mark.parametrize("normal", [(0, 0, -1), (0.3, -0.2, -1), (-0.8, 0.1, -0.7)])
def test_a_plane_has_one_normal(normal: tuple[float, ...]) -> None:
    n = np.array(normal) / np.linalg.norm(normal)
    depth = (-2 / (camera().rays() @ n)).astype(np.float32)
    assert np.abs(depth_normals(depth, camera()) - n).max() < 1e-4


def test_a_step_does_not_tilt_the_pixels_beside_it() -> None:
    depth = np.full((30, 40), 2.0, np.float32)
    depth[:, 20:] = 4.0
    assert np.abs(depth_normals(depth, camera()) - [0, 0, -1]).max() < 1e-5


def test_unknown_depths_have_no_normal() -> None:
    depth = np.full((30, 40), 2.0, np.float32)
    depth[10:12] = 0
    depth[20, :10] = depth[20, 11:] = 0
    normal = depth_normals(depth, camera())
    assert not normal[depth == 0].any()
    assert np.isfinite(normal).all()
    assert np.allclose(np.linalg.norm(normal[:10], axis=-1), 1)
