"""Textures from synthetic photos of a cube whose colour at every point is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.io.images import write_image, write_mask
from mvgen.core.scene import View
from mvgen.core.texture import bake, texture_mesh, unwrap, vertex_colours

BACKGROUND = (255, 0, 255)
SIZE = 512


def paint_of(points: np.ndarray) -> np.ndarray:
    """[..., 3] (0..255): the colour of a place, smooth and well away from black and from the background."""
    x, y, z = np.moveaxis(points, -1, 0)
    waves = [np.sin(3 * x + 2 * y + z), np.sin(2 * y - 3 * z + x), np.sin(4 * z + y - 2 * x)]
    return np.stack([110 + 50 * waves[0], 120 + 50 * waves[1], 100 + 40 * waves[2]], axis=-1)


def cube(splits: int = 4) -> Mesh:
    import trimesh

    box = trimesh.creation.box((2, 2, 2))
    for _ in range(splits):
        box = box.subdivide()
    return Mesh(np.asarray(box.vertices), box.faces.astype(np.int32))


def camera(name: str, centre: tuple[float, float, float], pixels: int = 240) -> Camera:
    back = np.asarray(centre) / np.linalg.norm(centre)
    right = np.cross([0.0, 1.0, 0.1], back)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(right, back), -back])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, -rotation @ np.asarray(centre)
    focal = 1.6 * pixels
    intrinsics = np.array([[focal, 0, pixels / 2], [0, focal, pixels / 2], [0, 0, 1]])
    return Camera(name, pixels, pixels, intrinsics, matrix)


def hit_cube(taken: Camera) -> tuple[np.ndarray, np.ndarray]:
    """First points of the cube [-1, 1]^3 along the camera's rays [H, W, 3], and where there are any."""
    rays = taken.rays()
    with np.errstate(divide="ignore"):
        ends = np.sort(np.stack([(-1 - taken.centre) / rays, (1 - taken.centre) / rays]), axis=0)
    enter, leave = ends[0].max(-1), ends[1].min(-1)
    return taken.centre + rays * enter[..., None], enter < leave


def photo(folder: Path, taken: Camera, gain: float = 1.0, cover: slice | None = None) -> View:
    """A photo of the cube; ``cover``: rows and columns that something green hides."""
    points, inside = hit_cube(taken)
    picture = np.where(inside[..., None], paint_of(points) * gain, BACKGROUND)
    if cover is not None:
        picture[cover, cover] = (0, 255, 0)
    path = folder / taken.name
    write_image(np.clip(picture + 0.5, 0, 255).astype(np.uint8), path)
    return View(taken, path)


CENTRES = [
    (5, 0.7, 0.5), (-5, 0.6, 0.7), (0.4, 5, 0.8), (0.5, -5, 0.6), (0.6, 0.4, 5), (0.7, 0.5, -5),
    (3, 3, 3), (-3, 3, 3), (3, -3, 3), (3, 3, -3), (-3, -3, 3), (-3, 3, -3), (3, -3, -3), (-3, -3, -3),
]  # fmt: skip


@pytest.fixture(scope="module")
def views(tmp_path_factory) -> list[View]:
    folder = tmp_path_factory.mktemp("photos")
    return [photo(folder, camera(f"{k:02}.png", centre)) for k, centre in enumerate(CENTRES)]


def look_up(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Points in the middle of faces [F, 3] and their texture colours [F, 3]."""
    assert mesh.uv is not None and mesh.texture is not None
    middle = mesh.uv[mesh.faces].mean(1)
    texel = np.floor((middle * [1, -1] + [0, 1]) * len(mesh.texture)).astype(int)
    return mesh.vertices[mesh.faces].mean(1), mesh.texture[texel[:, 1], texel[:, 0]].astype(float)


def errors(mesh: Mesh) -> np.ndarray:
    points, colours = look_up(mesh)
    return np.abs(colours - paint_of(points)).max(axis=1)


def test_colours_are_exact(views):
    textured = texture_mesh(cube(), views, SIZE)
    assert textured.texture.shape == (SIZE, SIZE, 3) and textured.texture.dtype == np.uint8
    wrong = errors(textured)
    assert wrong.max() < 4
    assert wrong.mean() < 1


def test_large_faces_hide_each_other_pixel_by_pixel(views):
    assert errors(texture_mesh(cube(1), views, SIZE)).max() < 4


def test_size_follows_the_photos(views):
    sizes = [len(texture_mesh(cube(2), part).texture) for part in (views, [photo_of_half(views[0])])]
    assert sizes[0] == 1024  # 6 faces of about 190 x 190 pixels
    assert sizes[1] < sizes[0]


def photo_of_half(view: View) -> View:
    small = replace(view.camera.resized(60, 60), name="small.png")
    return photo(view.image_path.parent, small)


def test_exposure_is_levelled(views, tmp_path):
    gains = np.where(np.arange(len(views)) % 2 == 0, 1.2, 0.8)
    mixed = [photo(tmp_path, view.camera, gain) for view, gain in zip(views, gains)]
    points, colours = look_up(texture_mesh(cube(), mixed, SIZE))
    ratio = (colours / paint_of(points)).mean(axis=1)
    assert 0.85 < ratio.mean() < 1.15
    assert ratio.std() < 0.02  # 0.2 before


def test_something_in_front_of_one_photo_is_outvoted(views, tmp_path):
    # nobody else sees a side of the cube as well as this photo
    spoilt = [photo(tmp_path, views[0].camera, cover=slice(100, 150)), *views[1:]]
    assert errors(texture_mesh(cube(), spoilt, SIZE)).max() < 15


def masked(folder: Path, view: View, part: np.ndarray) -> View:
    """The view with red where ``part`` [H, W] is, outside its mask."""
    from mvgen.core.io.images import read_image

    picture = read_image(view.image_path)
    picture[part] = (255, 0, 0)
    path, mask = folder / view.image_path.name, folder / f"mask_{view.image_path.name}"
    write_image(picture, path)
    write_mask(~part, mask)
    return View(view.camera, path, mask)


def red(colours: np.ndarray) -> np.ndarray:
    """How much redder than the cube's paint, which is green enough everywhere."""
    return colours[..., 0].astype(float) - colours[..., 1]


@pytest.mark.parametrize("count", [2, 14])
def test_what_masks_hide_gives_no_colour(views, tmp_path, count):
    y, x = np.mgrid[:240, :240]
    patches = (abs(x - 125) < 22) & (abs(y - 118) < 22), (x // 6 + y // 6) % 5 == 0
    spoilt = [masked(tmp_path, view, patches[k % 2]) for k, view in enumerate(views[:count])]
    clean = red(texture_mesh(cube(), views[:count], SIZE).texture).max()
    assert red(texture_mesh(cube(), spoilt, SIZE).texture).max() < clean + 12
    unmasked = [replace(view, mask_path=None) for view in spoilt]
    assert red(texture_mesh(cube(), unmasked, SIZE).texture).max() > clean + 60
    coloured = vertex_colours(cube(), spoilt).colours
    assert red(coloured * 255).max() < clean + 12


def test_levelling_ignores_what_masks_hide(views, tmp_path):
    left = np.broadcast_to(np.arange(240) < 140, (240, 240))
    spoilt = [masked(tmp_path, views[0], left), *views[1:]]
    whole = np.array([replace(views[0], mask_path=None), *views[1:]], object)
    assert (
        np.abs(errors(texture_mesh(cube(), spoilt, SIZE)) - errors(texture_mesh(cube(), list(whole), SIZE))).max() < 6
    )


def test_a_mask_that_keeps_nothing_counts_the_photo_out(views, tmp_path):
    blind = [masked(tmp_path, views[0], np.ones((240, 240), bool)), *views[1:]]
    np.testing.assert_array_equal(
        texture_mesh(cube(), blind, SIZE).texture, texture_mesh(cube(), blind[1:], SIZE).texture
    )


def test_masks_of_another_size_are_named(views, tmp_path):
    write_mask(np.ones((10, 12), bool), tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m\.png.*12x10.*240x240"):
        texture_mesh(cube(1), [replace(views[0], mask_path=tmp_path / "m.png")], SIZE)


def test_one_part_hides_another(views):
    """A plate in the mesh between camera and cube: the cube must not be painted with the plate's colour."""
    plate = cube(3)
    both = Mesh(
        np.concatenate([cube().vertices, plate.vertices * [0.02, 0.4, 0.4] + [2.0, 0.3, 0.2]]),
        np.concatenate([cube().faces, plate.faces + len(cube().vertices)]).astype(np.int32),
    )
    spoilt = [with_plate(view) for view in views]
    textured = texture_mesh(both, spoilt, SIZE)
    wrong = errors(textured)[: len(cube().faces)]
    assert np.percentile(wrong, 99) < 6


def with_plate(view: View) -> View:
    """The same photo with a green plate at x = 2 in front."""
    from mvgen.core.io.images import read_image

    corners = np.array([[x, y, z] for x in (1.98, 2.02) for y in (-0.1, 0.7) for z in (-0.2, 0.6)])
    pixels, depth = view.camera.project(corners)
    picture = read_image(view.image_path)
    centre_depth = view.camera.project(np.array([1.0, 0.3, 0.2]))[1]
    if depth.min() < centre_depth:
        import cv2

        hull = cv2.convexHull(np.round(pixels * 16 - 8).astype(np.int32))
        cv2.fillConvexPoly(picture, hull, (0, 255, 0), shift=4)
    path = view.image_path.parent / f"plate_{view.image_path.name}"
    write_image(picture, path)
    return replace(view, image_path=path)


def test_what_nobody_sees_is_filled(views):
    seen_from_above = [view for view in views if view.camera.centre[1] > 2]
    textured = texture_mesh(cube(), seen_from_above, SIZE)
    points, colours = look_up(textured)
    below = points[:, 1] < -0.99
    assert below.any()
    assert colours[below].min() > 40  # not black
    assert np.abs(colours[below] - colours.mean(0)).max() < 100
    assert textured.texture.reshape(-1, 3).min() > 30  # nor is any texel between the charts


def test_background_does_not_reach_the_rim(views):
    _, colours = look_up(texture_mesh(cube(), views[:1], SIZE))
    assert np.abs(colours - BACKGROUND).max(axis=1).min() > 60


def test_texels_around_charts_repeat_their_border(views):
    textured = texture_mesh(cube(), views, SIZE)
    flat = textured.texture.astype(float)
    corners = textured.uv[textured.faces].reshape(-1, 2) * [1, -1] + [0, 1]
    colours = paint_of(textured.vertices[textured.faces].reshape(-1, 3))
    for shift in [(-1.5, 0), (1.5, 0), (0, -1.5), (0, 1.5)]:
        texel = np.clip(np.floor(corners * SIZE + shift).astype(int), 0, SIZE - 1)
        assert np.abs(flat[texel[:, 1], texel[:, 0]] - colours).max() < 25


def test_same_texture_for_any_number_of_threads(views):
    textures = []
    before = numba.get_num_threads()
    try:
        for threads in {1, numba.config.NUMBA_NUM_THREADS}:
            numba.set_num_threads(threads)
            textures.append(texture_mesh(cube(), views, SIZE).texture)
    finally:
        numba.set_num_threads(before)
    for other in textures[1:]:
        np.testing.assert_array_equal(textures[0], other)


def test_bake_keeps_a_given_atlas(views):
    flat = unwrap(cube(), SIZE)
    baked = bake(flat, views, SIZE)
    np.testing.assert_array_equal(baked.uv, flat.uv)
    assert errors(baked).max() < 4


def test_vertex_colours(views):
    coloured = vertex_colours(cube(), views)
    assert coloured.colours.dtype == np.float32
    inner = np.abs(coloured.vertices).max(axis=1) == 1
    wrong = np.abs(coloured.colours * 255 - paint_of(coloured.vertices))[inner].max(axis=1)
    assert np.percentile(wrong, 95) < 6


def test_points_without_faces_do_no_harm(views):
    mesh = cube(2)
    loose = replace(mesh, vertices=np.concatenate([mesh.vertices, [[9.0, 9.0, 9.0], [0.0, 0.0, 0.0]]]))
    assert errors(texture_mesh(loose, views, SIZE)).max() < 4
    assert np.isfinite(vertex_colours(loose, views).colours).all()


def test_without_views_or_atlas(views):
    with pytest.raises(CannotError, match="no photos"):
        texture_mesh(cube(1), [], SIZE)
    with pytest.raises(CannotError, match="no photos"):
        vertex_colours(cube(1), [])
    with pytest.raises(CannotError, match="no texture coordinates"):
        bake(cube(1), views, SIZE)


def test_photos_that_do_not_fit_are_named(views, tmp_path):
    wrong = replace(views[0], camera=views[0].camera.resized(100, 80))
    with pytest.raises(InputError, match=r"00\.png.*240x240"):
        texture_mesh(cube(1), [wrong], SIZE)
    with pytest.raises(InputError, match=r"missing\.png"):
        texture_mesh(cube(1), [replace(views[0], image_path=tmp_path / "missing.png")], SIZE)


def test_views_that_see_nothing_give_an_even_texture(views):
    away = replace(views[0].camera, world_to_camera=np.diag([1.0, -1, -1, 1]) @ views[0].camera.world_to_camera)
    textured = texture_mesh(cube(1), [replace(views[0], camera=away)], 64)
    assert np.ptp(textured.texture) == 0
