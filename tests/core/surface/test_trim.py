"""What is kept of a closed surface: parts near points that no view looks through, and small gaps between them."""

from __future__ import annotations

import numpy as np

from mvgen.core.geometry import PointCloud
from mvgen.core.scene import DepthMap
from mvgen.core.surface import SurfaceOptions, trim
from tests.core.surface.test_simplify import joined, sheet
from tests.core.views import SIZE, camera

CAMERA = camera(np.array([0.5, 0.5, 3.0]), np.array([0.5, 0.5, 0.0]))
WALL = sheet(20)  # in the plane z = 0; its points are a twentieth apart
VEIL = sheet(20, (0, 0, 0.3))  # between it and the camera
FIRM = SurfaceOptions(trim=8.0, gap=0.0)


def sees(distance: float) -> DepthMap:
    empty = np.zeros((0, 0), np.float32)
    return DepthMap(CAMERA, np.full((SIZE[1], SIZE[0]), distance, np.float32), empty, empty)


def test_a_veil_before_a_wall_is_cut() -> None:
    left = trim(joined(WALL, VEIL), PointCloud(WALL.vertices), [sees(3.0)], FIRM)
    assert len(left.faces) == len(WALL.faces)
    assert np.allclose(left.vertices[:, 2], 0)


def test_a_veil_that_points_support_stays() -> None:
    both = joined(WALL, VEIL)
    assert len(trim(both, PointCloud(both.vertices), [sees(3.0)], FIRM).faces) == len(both.faces)


def test_near_surface_stays_where_no_view_knows_better() -> None:
    both, points = joined(WALL, VEIL), PointCloud(WALL.vertices)
    for maps in ([sees(0.0)], [sees(2.0)], []):
        assert len(trim(both, points, maps, FIRM).faces) == len(both.faces)


def test_surface_far_from_points_is_cut() -> None:
    left = trim(WALL, PointCloud(WALL.vertices[WALL.vertices[:, 0] < 0.3]), [], FIRM)
    assert 0.6 < left.vertices[:, 0].max() <= 0.3 + 8 * 0.05


def test_small_gaps_stay_closed_and_large_ones_open() -> None:
    centre = np.abs(WALL.vertices[:, :2] - 0.5).max(axis=1)
    points = PointCloud(WALL.vertices[centre > 0.2])  # a hole of 0.4 by 0.4
    tight = {"trim": 1.0}
    open_wall = trim(WALL, points, [], SurfaceOptions(**tight, gap=4.0))
    closed = trim(WALL, points, [], SurfaceOptions(**tight, gap=12.0))
    assert len(open_wall.faces) < 0.95 * len(WALL.faces)
    assert len(closed.faces) == len(WALL.faces)
