"""The measures that the benchmarks print."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.agreement import BAR, agreement
from benchmarks.reconstruct import rectified
from benchmarks.sgbm import disparities
from benchmarks.stereo import scores, thinned
from mvgen.core.camera import Camera
from mvgen.core.io.meshes import load_mesh

DATA = os.environ.get("MVGEN_DATA")


def noise(height=96, width=160):
    rng = np.random.default_rng(3)
    return cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3)).astype(np.uint8), (0, 0), 1.0)


def test_sgbm_finds_a_shift_and_both_pictures_agree():
    left = noise()
    right = np.roll(left, -7, axis=1)
    found, residual = disparities(left, right, 32)
    inner = np.s_[8:-8, 20:-20]
    assert np.median(found[inner]) == pytest.approx(7, abs=0.1)
    assert (residual[inner] < 1).mean() > 0.95


def test_sgbm_loses_no_columns_to_its_range():
    found, _ = disparities(noise(), np.roll(noise(), -7, axis=1), 64)
    assert np.isfinite(found[:, 10:60]).mean() > 0.9


def test_scores_count_what_is_wrong():
    truth = np.full((2, 5), 10, np.float32)
    found = truth + np.array([[0, 0.4, 0.6, 2.5, np.inf], [0, 0, 0, 0, 0]], np.float32)
    known = np.array([[True] * 5, [True, True, True, False, False]])
    density, bad2, bad_half, median = scores(found, truth, known)
    assert density == pytest.approx(100 * 7 / 8)
    assert bad2 == pytest.approx(100 / 7)
    assert bad_half == pytest.approx(200 / 7)
    assert median == 0


def test_thinning_keeps_the_surest():
    found = np.arange(10, dtype=np.float32).reshape(2, 5)
    doubt = found[::-1].copy()
    kept = thinned(found, doubt, np.ones((2, 5), bool), 0.3)
    assert np.isfinite(kept).sum() == 3
    assert (kept[1, :3] == found[1, :3]).all()


def test_rectified_pictures_correspond_row_by_row():
    """A far plane of noise, seen by a camera and by one beside it that is turned."""
    intrinsics = np.array([[150.0, 0, 80], [0, 150, 48], [0, 0, 1]])
    turn = cv2.Rodrigues(np.array([0.03, -0.05, 0.04]))[0]
    one, other = (Camera(n, 160, 96, intrinsics, np.eye(4)) for n in "ab")
    other.world_to_camera[:3, :3] = turn
    other.world_to_camera[:3, 3] = turn @ [-0.2, 0.01, 0]
    image = noise()
    plane = intrinsics @ (turn + np.outer(other.world_to_camera[:3, 3], [0, 0, 1]) / 4) @ np.linalg.inv(intrinsics)
    moved = cv2.warpPerspective(image, plane, (160, 96))
    left, right = rectified((one, image), (other, moved))
    found, residual = disparities(left, right, 32)
    inner = np.s_[16:-16, 30:-30]
    assert (residual[inner] < 1).mean() > 0.9
    assert np.median(found[inner]) == pytest.approx(150 * np.hypot(0.2, 0.01) / 4, abs=0.5)


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")
@pytest.mark.parametrize("name", ["oded_spot/spot_low_resolution", "trimesh_cad/fandisk", "oded_cube/cube_no_bottom"])
def test_one_box_selects_the_same_of_a_mesh_its_points_and_its_splats(name):
    mesh = load_mesh(Path(str(DATA)) / "meshes" / f"{name}.obj")
    same = agreement(mesh)
    assert min(same[pair] for pair in ("mesh-points", "mesh-splats", "points-splats")) > BAR
    if len(mesh.vertices) < 100:  # its faces are as large as the box
        assert same["by vertices, mesh-points"] < BAR
