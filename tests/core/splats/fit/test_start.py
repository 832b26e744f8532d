"""The splats that a fit begins with."""

from dataclasses import replace

import numpy as np

from mvgen.core.geometry import PointCloud
from mvgen.core.render.orbit import look_at
from mvgen.core.render.splats import Painter
from mvgen.core.splats.fit.start import backdrop, first_splats, seen_points
from mvgen.core.splats.model import matrices, merged
from tests.core.splats.fit.ball import ball, photos, points

NONE = PointCloud(np.zeros((0, 3)))


def rng():
    return np.random.default_rng(0)


def deep(number: int = 8):
    painter = Painter(ball(3000))
    views = [(p, painter.render(p.camera)) for p in photos(number)]
    return [replace(p, depth=v.depth, normal=v.normal) for p, v in views]


def test_splats_lie_flat_on_the_points_as_large_as_their_neighbourhood():
    splats = first_splats(points(400), photos(2), 300, rng())
    assert len(splats) == 300
    assert np.allclose(np.linalg.norm(splats.means, axis=1), 1, atol=1e-3)
    thin = matrices(splats.quaternions)[:, :, 2]
    assert np.allclose(np.abs((thin * splats.means).sum(1)), 1, atol=1e-3)
    wide = np.exp(splats.log_scales)
    assert np.allclose(wide[:, 0], wide[:, 1]) and np.allclose(wide[:, 2], 0.2 * wide[:, 0])
    assert 0.1 < np.median(wide[:, 0]) < 0.3  # 300 on a sphere of area 12.6 are 0.2 apart


def test_depths_tell_where_the_surface_is_and_errors_are_left_out():
    seen = deep()
    wrong = seen[0].depth.copy()
    wrong[24, 32] = 0.3 * wrong[24, 32]  # halfway to the camera
    seen[0] = replace(seen[0], depth=wrong)
    cloud = seen_points(seen, 10**6, rng())
    radius = np.linalg.norm(cloud.points, axis=1)
    assert len(cloud) > 2000 and radius.max() < 1.3 and np.median(np.abs(radius - 1)) < 0.05
    assert np.median((cloud.normals * cloud.points).sum(1)) > 0.9
    assert 250 < len(seen_points(seen, 300, rng())) <= 308
    assert seen_points(photos(2), 300, rng()) is None


def test_without_points_splats_lie_where_the_cameras_look():
    splats = first_splats(NONE, photos(8), 500, rng())
    assert len(splats) == 500
    assert np.linalg.norm(splats.means.mean(0)) < 0.3 and np.isfinite(splats.log_scales).all()


def test_a_backdrop_covers_what_the_splats_do_not():
    bright = [replace(p, picture=np.maximum(p.picture, 90)) for p in photos(8, size=(320, 240))]
    splats = first_splats(points(), bright, 400, rng())
    far, dome = backdrop(splats, bright, 200)
    assert 0 < len(far) <= 200 and len(dome) == 200
    for photo in bright:
        assert Painter(merged([splats, far, dome])).render(photo.camera).alpha.min() > 0.8
    elsewhere = look_at(np.array([0.0, 3, 0.1]), np.array([0.0, 9, 0]), np.array([0.0, 0, 1]))
    up = replace(bright[0].camera, world_to_camera=elsewhere)
    assert Painter(dome).render(up).alpha.min() > 0.8
    behind = merged([far, dome])
    assert np.linalg.norm(behind.means, axis=1).min() > 2
    assert np.allclose(behind.colours, 90 / 255, atol=0.05)


def test_there_is_no_backdrop_outside_of_masks():
    masked = photos(4, masked=True)
    splats = first_splats(points(2000), masked, 2000, rng())
    assert [len(part) for part in backdrop(splats, masked, 200)] == [0, 0]
