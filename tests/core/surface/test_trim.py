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


def test_among_many_views_one_alone_cuts_nothing() -> None:
    both, points = joined(WALL, VEIL), PointCloud(WALL.vertices)
    blind = [sees(0.0)] * 11
    assert len(trim(both, points, [sees(3.0), *blind], FIRM).faces) == len(both.faces)
    assert len(trim(both, points, [sees(3.0), sees(3.0), *blind[1:]], FIRM).faces) == len(WALL.faces)


def test_small_gaps_stay_closed_and_large_ones_open() -> None:
    wall = sheet(60)
    centre = np.abs(wall.vertices[:, :2] - 0.5).max(axis=1)
    holed = PointCloud(wall.vertices[centre > 0.2])  # a hole 24 points wide
    assert len(trim(wall, holed, [], SurfaceOptions(trim=1.0, gap=15.0)).faces) < 0.9 * len(wall.faces)
    assert len(trim(wall, holed, [], SurfaceOptions(trim=1.0, gap=30.0)).faces) == len(wall.faces)
    pricked = PointCloud(wall.vertices[centre > 0.05])
    assert len(trim(wall, pricked, [], SurfaceOptions(trim=1.0, gap=0.0)).faces) == len(wall.faces)
