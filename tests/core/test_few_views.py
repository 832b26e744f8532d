"""Pictures from known directions become the shape that they show."""

import os

import numpy as np
import pytest

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, UsageError
from mvgen.core.geometry import Mesh
from mvgen.core.metrics import psnr, volume_iou
from mvgen.core.prepare.cutout import Cutout
from mvgen.core.render.raycast import Caster
from mvgen.core.surface.sparse import extract
from mvgen.core.surface.topology import topology
from mvgen.core.views.hull import centred
from mvgen.core.views.options import DIRECTIONS, ViewsOptions
from mvgen.core.views.place import far_camera, solve, turn
from mvgen.core.views.silhouette import Silhouette
from mvgen.core.views.views import ViewPicture, mesh_from_views

SIDE = 160
AXES = tuple(DIRECTIONS.values())
OBLIQUE = ((45.0, 30.0), (200.0, -25.0))
SMALL = ViewsOptions(resolution=72, faces=4000)


def solid(points):
    """Two boxes: different from every side, with no symmetry, and its own hull from the six sides."""
    low = np.abs(points - [0, -0.2, 0]) - [0.5, 0.15, 0.3]
    high = np.abs(points - [-0.3, 0.2, 0.1]) - [0.2, 0.26, 0.15]
    return np.minimum(low.max(1), high.max(1))


@pytest.fixture(scope="module")
def shape():
    mesh = extract(solid, np.array([[-0.6] * 3, [0.6] * 3]), 61)
    mesh = mesh.moved(centred(mesh.bounds))
    return Mesh(mesh.vertices, mesh.faces, colours=(mesh.vertices - mesh.vertices.min(0)).astype(np.float32))


def pictures(shape, directions, scales=None, shifts=None, hard=False):
    """Parallel views on grey, each with its own scale and place in the picture."""
    caster, out = Caster(shape), []
    for k, direction in enumerate(directions):
        scale = 100.0 if scales is None else scales[k]
        middle = np.array([SIDE / 2, SIDE / 2]) + (0 if shifts is None else shifts[k])
        view = caster.render(far_camera("", (SIDE, SIDE), turn(*direction), scale, middle), 3)
        alpha = (view.alpha > 0.5).astype(np.float32) if hard else view.alpha
        colour = view.color * view.alpha[..., None] + 0.5 * (1 - view.alpha[..., None])
        out.append(ViewPicture(Cutout(np.rint(255 * colour).astype(np.uint8), alpha, "mask"), *direction))
    return out


def outline_iou(mesh, camera, cutout):
    seen, mask = Caster(mesh).render(camera, 3).alpha > 0.5, cutout.alpha > 0.5
    return (seen & mask).sum() / (seen | mask).sum()


def test_axes_of_cameras():
    at = {name: -turn(*direction)[2] for name, direction in DIRECTIONS.items()}
    assert np.allclose(at["front"], [0, 0, 1]) and np.allclose(at["right"], [1, 0, 0])
    assert np.allclose(at["left"], [-1, 0, 0]) and np.allclose(at["top"], [0, 1, 0])
    assert np.allclose(turn(0, 0), np.diag([1, -1, -1]))
    assert np.allclose(turn(0, 90)[1], [0, 0, 1])  # the front is below in the picture from above
    for direction in (*AXES, *OBLIQUE):
        rotation = turn(*direction)
        assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.linalg.det(rotation) == pytest.approx(1)


@pytest.mark.parametrize("soft", [True, False])
def test_distance_to_a_disc(soft):
    y, x = np.mgrid[:90, :120] + 0.5
    away = np.hypot(x - 60.3, y - 40.8) - 25
    alpha = np.clip(0.5 - away, 0, 1) if soft else (away < 0).astype(float)
    found = Silhouette.of(alpha)
    assert np.hypot(*(found.outline - [60.3, 40.8]).T) == pytest.approx(25, abs=0.1 if soft else 0.5)
    near = np.abs(away) < 2
    values = found.at(np.stack([x[near], y[near]], axis=1))
    assert values == pytest.approx(away[near], abs=0.12 if soft else 0.5)
    assert found.at(np.array([[0.0, 0.0], [119.0, 89.0], [-50.0, 40.0]])).min() > 0


def test_pixels_that_touch_at_a_corner_only():
    alpha = np.zeros((8, 8))
    alpha[2:4, 2:4] = alpha[4:6, 4:6] = 1
    found = Silhouette.of(alpha)
    inside = found.at(np.stack(np.meshgrid(np.arange(8) + 0.5, np.arange(8) + 0.5), axis=-1).reshape(-1, 2)) < 0
    assert (inside.reshape(8, 8) == (alpha > 0)).mean() > 0.96


def test_scales_and_shifts_are_found(shape):
    """Every picture has its own scale and place; only the world's scale and origin are free."""
    directions = (*AXES, *OBLIQUE)
    rng = np.random.default_rng(0)
    scales, shifts = rng.uniform(60, 100, len(directions)), rng.uniform(-12, 12, (len(directions), 2))
    made = pictures(shape, directions, scales, shifts)
    silhouettes = [Silhouette.of(p.picture.alpha) for p in made]
    found, middles, wrong = solve([turn(*d) for d in directions], silhouettes)
    assert wrong < 0.01
    assert np.allclose(found / found.mean(), scales / scales.mean(), rtol=0.008)
    point = np.zeros(3)  # the true origin in the found world, from all pictures
    rows = np.concatenate([turn(*d)[:2] for d in directions])
    right = np.concatenate([(SIDE / 2 + s - m) / f for s, m, f in zip(shifts, middles, found)])
    point = np.linalg.lstsq(rows, right, rcond=None)[0]
    assert np.abs(rows @ point - right).max() < 0.01


@pytest.mark.parametrize("hard", [False, True])
def test_six_views_give_the_shape(shape, hard):
    made = pictures(shape, AXES, [100, 80, 90, 100, 85, 95], hard=hard)
    found = mesh_from_views(made, SMALL)
    assert topology(found.mesh).watertight
    assert np.allclose(found.mesh.bounds, shape.bounds, atol=0.015)
    plain = Mesh(found.mesh.vertices, found.mesh.faces)
    assert volume_iou(plain, shape) > (0.93 if hard else 0.97)
    for camera, picture in zip(found.cameras, made):
        assert outline_iou(found.mesh, camera, picture.picture) > (0.95 if hard else 0.96)
    view = Caster(found.mesh).render(found.cameras[0], 3)
    mask = made[0].picture.alpha > 0.5
    assert psnr(view.color, made[0].picture.image / np.float32(255), mask) > 28


def test_pinhole_cameras_that_are_given(shape):
    caster, made = Caster(shape), []
    for direction in (*AXES[:4], *OBLIQUE):
        pose = np.eye(4)
        pose[:3, :3], pose[2, 3] = turn(*direction), 2.5
        camera = Camera("", SIDE, SIDE, np.array([[230.0, 0, 80], [0, 230, 80], [0, 0, 1]]), pose)
        view = caster.render(camera, 3)
        image = np.rint(255 * view.color).astype(np.uint8)
        made.append(ViewPicture(Cutout(image, view.alpha, "mask"), camera=camera))
    found = mesh_from_views(made, SMALL)
    assert topology(found.mesh).watertight
    assert all(a.world_to_camera is b.camera.world_to_camera for a, b in zip(found.cameras, made))
    assert min(outline_iou(found.mesh, p.camera, p.picture) for p in made) > 0.98
    assert volume_iou(Mesh(found.mesh.vertices, found.mesh.faces), shape) > 0.8


def test_pictures_of_one_scale_are_taken_as_they_are(shape):
    made = pictures(shape, (*AXES[:2], *OBLIQUE))
    found = mesh_from_views(made, ViewsOptions(resolution=48, faces=2000, same_scale=True))
    assert min(outline_iou(found.mesh, c, p.picture) for c, p in zip(found.cameras, made)) > 0.97
    lenses = {float(c.intrinsics[0, 0] / c.translation[2]) for c in found.cameras}
    assert np.ptp(list(lenses)) < 0.1


def test_what_cannot_make_a_shape_is_refused(shape):
    front, right = pictures(shape, AXES[:2])
    with pytest.raises(UsageError, match="at least two"):
        mesh_from_views([front])
    with pytest.raises(UsageError, match="same direction"):
        mesh_from_views([front, right, front])
    with pytest.raises(UsageError, match="depth"):
        mesh_from_views(pictures(shape, [(0, 0), (180, 0)]))
    with pytest.raises(UsageError, match="have cameras"):
        mesh_from_views([front, ViewPicture(right.picture, camera=far_camera("", (9, 9), turn(90, 0), 1, np.zeros(2)))])
    with pytest.raises(UsageError, match="no direction"):
        mesh_from_views([front, ViewPicture(right.picture, 0, 100)])
    empty = Cutout(right.picture.image, np.zeros_like(right.picture.alpha), "mask")
    with pytest.raises(CannotError, match="shows no foreground"):
        mesh_from_views([front, ViewPicture(empty, 90)])


def test_pictures_that_contradict_each_other(shape):
    made = pictures(shape, AXES)
    swapped = [made[0], ViewPicture(made[4].picture, 90), made[2], ViewPicture(made[5].picture, 270), made[4]]
    mirrored = Cutout(made[0].picture.image[::-1], made[0].picture.alpha[::-1], "mask")
    for wrong in (swapped, [*made[1:4], ViewPicture(mirrored)]):
        with pytest.raises(CannotError, match="contradict") as error:
            mesh_from_views(wrong, ViewsOptions(resolution=48))
        assert error.value.hint


@pytest.mark.slow
def test_real_pictures():
    data = os.environ.get("MVGEN_DATA")
    if not data:
        pytest.skip("needs MVGEN_DATA")
    from benchmarks.views import TASKS, measure, shapes

    mesh = dict(shapes())["duck"]
    for task, hull, ours, ratio, outline, front, faces, _ in measure(mesh):
        assert ratio > 0.98 and outline > 0.98 and front > 25 and "*" not in faces, (task, hull, ours)
    assert TASKS
