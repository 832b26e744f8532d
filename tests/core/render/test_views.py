"""Rendering against what geometry says must be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.progress import Silent
from mvgen.core.render import frames
from mvgen.core.render.orbit import look_at, orbit_cameras, robust_points, up_of
from mvgen.core.render.pictures import depth_range, over, picture, sheet, viridis
from mvgen.core.render.points import render_points
from mvgen.core.render.raycast import Caster, render_mesh
from mvgen.core.render.texture import Texture

UP = np.array([0.0, 1, 0])


def camera(
    eye: list[float], target: tuple[float, float, float] = (0, 0, 0), size: tuple[int, int] = (64, 48)
) -> Camera:
    k = np.array([[60.0, 0, size[0] / 2], [0, 60, size[1] / 2], [0, 0, 1]])
    return Camera("a.png", *size, k, look_at(np.array(eye), np.array(target, float), UP))


def quad(texture: np.ndarray | None = None, offset: float = 0.0) -> Mesh:
    """The square from -1 to 1 in x and y, at z = 0, facing +z; the picture upright seen from there."""
    vertices = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) + offset
    uv = None if texture is None else np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]], np.int32), uv=uv, texture=texture)


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_depth_normal_and_outline_of_a_square(offset: float) -> None:
    eye = [offset, offset, 4.0 + offset]
    view = render_mesh(quad(offset=offset), camera(eye, (offset, offset, offset)))
    seen = view.id >= 0
    assert seen.sum() == 30 * 30  # 2 units at distance 4 with focal 60
    assert seen[9:39, 17:47].all()
    assert np.allclose(view.depth[seen], 4, atol=1e-4) and (view.depth[~seen] == 0).all()
    assert np.allclose(view.normal[seen], [0, 0, -1], atol=1e-6)
    assert (view.alpha[seen] == 1).all() and (view.alpha[~seen] == 0).all()


def test_depth_is_along_the_axis_not_along_the_ray() -> None:
    view = render_mesh(quad(), camera([0, 0, 1.5]))
    assert np.ptp(view.depth[view.id >= 0]) < 1e-4


def test_normals_face_the_camera_from_behind_too() -> None:
    view = render_mesh(quad(), camera([0, 0, -4]))
    assert np.allclose(view.normal[view.id >= 0], [0, 0, -1], atol=1e-6)


def test_texture_lies_the_right_way_up() -> None:
    picture_ = np.zeros((2, 2, 3), np.uint8)
    picture_[0, 0], picture_[0, 1], picture_[1, 0], picture_[1, 1] = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255] * 3
    view = render_mesh(quad(picture_), camera([0, 0, 4]))
    corners = [view.color[11, 19], view.color[11, 44], view.color[36, 19], view.color[36, 44]]
    assert np.allclose(corners, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], atol=1e-3)


def test_a_picture_seen_head_on_at_its_own_size_comes_back() -> None:
    rng = np.random.default_rng(0)
    picture_ = rng.integers(0, 256, (30, 30, 3)).astype(np.uint8)
    view = render_mesh(quad(picture_), camera([0, 0, 4]), supersample=1)
    back = np.rint(255 * view.color[9:39, 17:47])
    assert np.abs(back - picture_).max() <= 1


def test_fine_stripes_far_away_become_even_grey() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    view = render_mesh(quad(stripes), camera([0.03, 0.02, 6]), supersample=1)
    inner = view.color[17:31, 25:39]
    assert abs(inner.mean() - 0.735) < 0.02  # half the light of white, in sRGB
    assert inner.std() < 0.02


def test_vertex_colours_and_clay() -> None:
    colours = np.array([[1.0, 0, 0]] * 4, np.float32)
    assert np.allclose(
        render_mesh(replace(quad(), colours=colours), camera([0, 0, 4])).color[24, 32], [1, 0, 0], atol=1e-3
    )
    clay = render_mesh(quad(), camera([0, 0, 4])).color[24, 32]
    assert clay.min() > 0.3 and clay.max() < 1


def test_nearer_faces_hide_others_and_edges_are_smooth() -> None:
    near, far = quad(), quad(offset=-0.5)
    both = Mesh(np.concatenate([near.vertices, far.vertices]), np.concatenate([near.faces, far.faces + 4]))
    view = render_mesh(both, camera([0, 0, 4]))
    assert set(np.unique(view.id[9:39, 17:47])) == {0, 1}
    tilted = render_mesh(quad(), camera([1, 1.5, 4]))
    assert ((tilted.alpha > 0) & (tilted.alpha < 1)).sum() > 10


def test_a_view_does_not_depend_on_how_many_rays_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    caster = Caster(quad())
    whole = caster.render(camera([1, 1, 3]))
    monkeypatch.setattr("mvgen.core.render.raycast._RAYS", 500)
    parts = caster.render(camera([1, 1, 3]))
    assert np.array_equal(whole.color, parts.color) and np.array_equal(whole.depth, parts.depth)


def test_a_camera_inside_and_one_that_looks_away() -> None:
    assert (render_mesh(quad(), camera([0, 0, 4], (0, 0, 8))).id == -1).all()
    box = Mesh(np.array([[x, y, z] for x in (-1.0, 1) for y in (-1, 1) for z in (-1, 1)]), BOX)
    assert (render_mesh(box, camera([0.1, 0, 0], (0.1, 0, 1))).id >= 0).all()


BOX = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
     [1, 5, 7], [1, 7, 3]], np.int32,
)  # fmt: skip


def test_texture_levels_end_at_one_pixel_and_keep_the_mean() -> None:
    texture = Texture(np.full((33, 7, 3), 90, np.uint8), repeats=False)
    assert texture.levels[-1].shape == (1, 1, 3) and (texture.levels[-1] == 90).all()


def test_dense_points_look_closed_and_the_nearest_wins() -> None:
    rng = np.random.default_rng(0)
    front = np.column_stack([rng.uniform(-1, 1, (20000, 2)), np.zeros(20000)])
    back = front + np.array([0, 0, -0.5])
    colours = np.repeat(np.array([[1.0, 0, 0], [0, 0, 1]], np.float32), 20000, axis=0)
    view = render_points(PointCloud(np.concatenate([front, back]), colours=colours), camera([0, 0, 4]))
    assert (view.id[10:38, 18:46] >= 0).all()
    assert (view.color[10:38, 18:46, 0] > 0.99).mean() > 0.99
    assert np.allclose(view.depth[10:38, 18:46], 4, atol=0.01)


def test_a_few_points_do_not_fail() -> None:
    for count in (1, 2, 3):
        cloud = PointCloud(np.arange(3.0 * count).reshape(count, 3))
        view = render_points(cloud, camera([0, 0, 30]))
        assert view.alpha.max() > 0
    assert np.isfinite(view.color).all()


@pytest.mark.parametrize("up", [[0, 1, 0], [0, 0, 1], [0, -1, 0], [1, 0, 0]])
@pytest.mark.parametrize("elevation", [-30.0, 0.0, 20.0, 90.0])
def test_orbit_frames_the_object_and_keeps_up_up(up: list[float], elevation: float) -> None:
    axis = np.array(up, float)
    points = np.random.default_rng(0).normal(size=(500, 3)) * [1, 2, 0.3] + 7
    for view in orbit_cameras(points, 5, (160, 120), axis, elevation):
        pixels, depth = view.project(points)
        assert (depth > 0).all()
        assert (pixels > 0).all() and (pixels < [160, 120]).all()
        assert np.isclose(np.linalg.det(view.rotation), 1)
        assert (view.rotation @ axis)[1] <= 1e-9  # up in the world is up (-y) in the picture
        if elevation < 90:
            assert np.isclose(np.degrees(np.arcsin(-view.forward @ axis)), elevation)


def test_the_first_view_of_an_orbit_at_azimuth_zero_is_the_front() -> None:
    first, quarter = orbit_cameras(np.eye(3), 4, (64, 64), UP, 0, 0)[:2]
    assert np.allclose(first.forward, [0, 0, -1]) and np.allclose(quarter.forward, [-1, 0, 0])


def test_up_and_robust_bounds() -> None:
    assert up_of({"mvgen": {"up": "-Z"}}).tolist() == [0, 0, -1]
    assert up_of({}).tolist() == up_of({"mvgen": 3}).tolist() == [0, 1, 0]
    points = np.random.default_rng(0).uniform(size=(1000, 3))
    assert np.ptp(robust_points(PointCloud(np.vstack([points, [[100.0, 0, 0]]])))) < 2
    assert len(robust_points(PointCloud(points))) == 1000


def test_pictures_of_buffers() -> None:
    eye = camera([0, 0, 4])
    view = render_mesh(quad(), eye)
    reach = depth_range(quad().vertices, [eye])
    for what in ("color", "depth", "normal", "alpha", "id"):
        out = picture(view, what, reach)
        assert out.shape == (48, 64, 4) and out.dtype == np.uint8
        assert out[0, 0, 3] == (255 if what == "alpha" else 0) and out[24, 32, 3] == 255
    assert picture(view, "normal", reach)[24, 32, :3].tolist() == [128, 128, 255]
    assert over(picture(view, "id", reach), (1, 0, 0))[0, 0].tolist() == [255, 0, 0]
    assert viridis(np.array([1.0])).sum() > viridis(np.array([0.0])).sum()


@pytest.mark.parametrize("count", [1, 2, 5, 8, 12, 37])
def test_a_sheet_holds_every_picture(count: int) -> None:
    tiles = [np.full((30, 40, 4), i + 1, np.uint8) for i in range(count)]
    out = sheet(tiles)
    assert [int((out[..., 0] == i + 1).sum()) for i in range(count)] == [1200] * count


def test_frame_names_are_plain_and_different() -> None:
    def names(*given: str) -> list[str]:
        return frames.frame_names([replace(camera([0, 0, 4]), name=n) for n in given])

    assert names("a.jpg", "b.JPG") == ["a", "b"]
    assert names("../../etc/a.jpg", "/x/a.jpg") == ["etc_a", "x_a"]
    assert names("a.jpg", "a.png") == ["a.jpg", "a.png"]
    assert names("a.jpg", "a.jpg") == ["0000_a.jpg", "0001_a.jpg"]


def test_fitting_cameras_to_sizes() -> None:
    wide = camera([0, 0, 4], size=(100, 50))
    small = frames.fit_camera(wide, (40, 40))
    assert (small.width, small.height) == (40, 20) and np.isclose(small.intrinsics[0, 0], 24)
    tall = camera([0, 0, 4], size=(50, 100))
    same = frames.same_size([wide, tall])[1]
    assert (same.width, same.height) == (100, 50)
    assert np.allclose(same.project(np.zeros((1, 3)))[0], [[50, 25]])


def test_a_view_that_is_too_large_is_refused() -> None:
    with pytest.raises(CannotError, match="too many"):
        next(frames.buffers(quad(), [camera([0, 0, 4], size=(20000, 20000))], Silent()))
