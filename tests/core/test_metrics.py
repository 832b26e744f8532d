"""Distances, overlap and picture metrics on shapes and pictures whose values are known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core import metrics
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.nearest import Nearest, point_triangle_distance, sample_surface


def as_mesh(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices, np.float64), np.asarray(shape.faces, np.int32))


def box(size: tuple[float, float, float], shift: float = 0.0) -> Mesh:
    shape = trimesh.creation.box(extents=size)
    shape.apply_translation([shift, 0, 0])
    return as_mesh(shape)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_point_triangle_distance_agrees_with_trimesh(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(20, 3, 3))
    corners[0] = corners[0, :1]  # a single point
    corners[1, 2] = (corners[1, 0] + corners[1, 1]) / 2  # a line
    points = rng.normal(size=(20, 3)) * 2
    expected = np.linalg.norm(trimesh.triangles.closest_point(corners[2:], points[2:]) - points[2:], axis=1)
    found = point_triangle_distance(points, corners)
    assert np.allclose(found[2:], expected, atol=1e-9)
    assert np.isclose(found[0], np.linalg.norm(points[0] - corners[0, 0]))


def test_nearest_on_a_coarse_mesh_is_exact() -> None:
    points = np.random.default_rng(0).uniform(-2, 2, (500, 3))
    distance, normals = Nearest(box((2, 2, 2))).query(points)
    outside = np.linalg.norm(np.maximum(np.abs(points) - 1, 0), axis=1)
    inner = (1 - np.abs(points)).min(1)
    assert np.allclose(distance, np.where(inner > 0, inner, outside), atol=2e-3)
    assert normals is not None and np.allclose(np.linalg.norm(normals, axis=1), 1)


def test_nearest_point_of_a_cloud_brings_its_normal() -> None:
    cloud = PointCloud(np.eye(3), normals=np.eye(3, dtype=np.float32))
    distance, normals = Nearest(cloud).query(np.array([[2.0, 0, 0]]))
    assert distance.tolist() == [1] and normals is not None and normals.tolist() == [[1, 0, 0]]


def test_samples_are_even_by_area_and_lie_on_the_surface() -> None:
    samples, face = sample_surface(box((1, 1, 4)), 20000, np.random.default_rng(0))
    on_side = np.abs(samples.points).max(1)
    assert np.isclose(np.abs(samples.points[:, :2]).max(), 0.5) and on_side.max() <= 2 + 1e-9
    ends = np.abs(np.abs(samples.points[:, 2]) - 2) < 1e-9
    assert abs(ends.mean() - 2 / 18) < 0.01
    assert len(face) == 20000 and not len(sample_surface(box((0, 0, 0)), 5, np.random.default_rng(0))[0])


def test_distance_metrics_of_known_distances() -> None:
    there, back = np.array([0.0, 0.01, 0.03]), np.array([0.0, 0.02])
    out = metrics.distance_metrics(there, back, [0.01, 0.025])
    assert np.isclose(out["accuracy"] or 0, 0.04 / 3) and out["accuracy_median"] == 0.01
    assert np.isclose(out["chamfer"] or 0, (0.04 / 3 + 0.01) / 2)
    assert out["precision@1%"] == pytest.approx(2 / 3) and out["recall@1%"] == 0.5
    assert out["f_score@1%"] == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert out["recall@2.5%"] == 1
    nothing = metrics.distance_metrics(np.zeros(0), np.full(3, np.inf), [0.01])
    assert nothing["f_score@1%"] == 0 and nothing["accuracy"] is None and nothing["chamfer"] is None


def test_every_metric_is_announced() -> None:
    names = metrics.metric_names([0.01])
    assert set(metrics.distance_metrics(np.zeros(1), np.zeros(1), [0.01])) <= set(names)
    assert metrics.lower_is_better("rotation_error_max") and not metrics.lower_is_better("f_score@1%")


def test_normal_consistency_ignores_the_side() -> None:
    one = np.array([[1.0, 0, 0], [0, 1, 0]])
    assert metrics.normal_consistency([(one, -one)]) == 1
    assert metrics.normal_consistency([(one, one[::-1])]) == 0
    assert metrics.normal_consistency([(one, None)]) is None


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 1.0), (0.5, 1 / 3), (3.0, 0.0)])
def test_volume_iou_of_boxes(shift: float, expected: float) -> None:
    assert metrics.volume_iou(box((1, 1, 1)), box((1, 1, 1), shift)) == pytest.approx(expected, abs=0.02)


def test_volume_iou_of_nested_balls_and_a_soup_of_triangles() -> None:
    small = as_mesh(trimesh.creation.icosphere(subdivisions=3, radius=1))
    large = as_mesh(trimesh.creation.icosphere(subdivisions=3, radius=1.25))
    assert metrics.volume_iou(small, large) == pytest.approx(0.512, abs=0.01)
    soup = Mesh(
        small.vertices[small.faces].reshape(-1, 3), np.arange(3 * len(small.faces), dtype=np.int32).reshape(-1, 3)
    )
    assert metrics.open_edges(soup) == 0 and metrics.volume_iou(soup, small) == 1


def test_volume_iou_needs_closed_meshes() -> None:
    whole = box((1, 1, 1))
    holed = Mesh(whole.vertices, whole.faces[1:])
    assert metrics.open_edges(holed) == 3
    with pytest.raises(CannotError, match="3 open edges"):
        metrics.volume_iou(holed, whole)


def test_psnr_of_a_known_error_and_mask() -> None:
    one = np.zeros((8, 8, 3), np.float32)
    other = one + np.float32(0.1)
    other[4:] = 1
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    assert metrics.psnr(one, other, mask) == pytest.approx(20, abs=1e-4)
    assert metrics.psnr(one, one, mask) == 100


def test_ssim_agrees_with_its_definition_away_from_the_border() -> None:
    rng = np.random.default_rng(0)
    one = rng.random((31, 31, 3))
    other = np.clip(one + rng.normal(0, 0.1, one.shape), 0, 1)
    x = np.arange(11) - 5
    window = np.exp(-(x[:, None] ** 2 + x[None, :] ** 2) / (2 * 1.5**2))[..., None]
    window /= window.sum()
    a, b = one[10:21, 10:21], other[10:21, 10:21]
    ma, mb = (window * a).sum((0, 1)), (window * b).sum((0, 1))
    va, vb = (window * a * a).sum((0, 1)) - ma**2, (window * b * b).sum((0, 1)) - mb**2
    both = (window * a * b).sum((0, 1)) - ma * mb
    expected = (2 * ma * mb + 1e-4) * (2 * both + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    middle = np.zeros((31, 31), bool)
    middle[15, 15] = True
    everywhere = np.ones((31, 31), bool)
    assert metrics.ssim(one, one, everywhere) == pytest.approx(1)
    # only the middle pixel is asked for, but all take part in its window
    value = metrics.ssim_map(one, other, everywhere)[middle].mean()
    assert value == pytest.approx(expected.mean(), abs=1e-6)


def test_ssim_does_not_see_outside_the_mask() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 24, 24, 3))
    mask = np.zeros((24, 24), bool)
    mask[5:15, 5:15] = True
    changed = other.copy()
    changed[~mask] = 0.5
    assert metrics.ssim(one, other, mask) == pytest.approx(metrics.ssim(one, changed, mask), abs=1e-9)
