"""Splats in place of points."""

from __future__ import annotations

import numpy as np

from mvgen.core.camera import Camera
from mvgen.core.geometry import PointCloud
from mvgen.core.render.splats import Painter
from mvgen.core.splats.points import splats_of_points


def test_a_dense_plane_of_points_is_covered_in_its_colours() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 60))
    points = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    colours = np.where(points[:, :1] < 0, [[0.9, 0.2, 0.1]], [[0.1, 0.3, 0.8]]).astype(np.float32)
    splats = splats_of_points(PointCloud(points, colours=colours), "rdf")
    assert np.allclose(splats.means, points) and np.allclose(splats.colours, colours, atol=1e-6) and splats.degree == 0
    pose = np.eye(4)
    pose[2, 3] = 2
    view = Painter(splats).render(Camera("a", 80, 80, np.array([[60.0, 0, 40], [0, 60, 40], [0, 0, 1]]), pose))
    middle = view.alpha[25:55, 25:55]
    assert middle.min() > 0.9
    assert np.allclose(view.color[40, 25], [0.9, 0.2, 0.1], atol=0.02)
    assert np.allclose(view.color[40, 55], [0.1, 0.3, 0.8], atol=0.02)


def test_points_alone_together_and_far_away() -> None:
    one = splats_of_points(PointCloud(np.zeros((1, 3))), "rdf")
    assert len(one) == 1 and np.isfinite(one.log_scales).all()
    same = splats_of_points(PointCloud(np.zeros((9, 3))), "rub")
    assert np.isfinite(same.log_scales).all() and same.frame == "rub"
    cloud = np.random.default_rng(0).random((500, 3))
    cloud[0] = 1e6
    sizes = splats_of_points(PointCloud(cloud), "rdf").scales
    assert sizes[0].max() <= 10 * np.median(sizes) * 1.01
