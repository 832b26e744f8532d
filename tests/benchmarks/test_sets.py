"""Photo sets with exact truth: a striped ball, photographed."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import trimesh
from PIL import Image

from benchmarks import sets, studio
from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh
from mvgen.core.io.images import find_photos, load_photo, read_image, read_photos
from mvgen.core.io.meshes import save_mesh
from mvgen.core.io.truth import load_truth
from mvgen.core.render.raycast import Caster

TEXTURES = (studio.flagstones, studio.planks, studio.books)


def ball():
    """A ball in two reds."""
    shape = trimesh.creation.icosphere(3)
    x, y, z = shape.vertices.T
    uv = np.column_stack([np.arctan2(z, x) / (2 * np.pi) + 0.5, 0.5 * y + 0.5])
    texture = np.zeros((32, 64, 3), np.uint8)
    texture[:, ::2], texture[:, 1::2] = (220, 40, 30), (150, 20, 60)
    return Mesh(
        shape.vertices + np.array([5.0, 2, 0]), shape.faces.astype(np.int32), uv=np.clip(uv, 0, 1), texture=texture
    )


@pytest.fixture(scope="module")
def mesh_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "ball.glb"
    save_mesh(ball(), path)
    return path


@pytest.fixture(scope="module")
def quick():
    """Small grey textures, as no one looks."""

    def grey(rng, *size):
        return np.repeat(rng.integers(0, 255, (64, 64, 1)).astype(np.uint8), 3, axis=2)

    patch = pytest.MonkeyPatch()
    for name in ("flagstones", "planks", "pebbles", "books"):
        patch.setattr(studio, name, grey)
    yield
    patch.undo()


def make(mesh_file, folder, kind, *more):
    patch = pytest.MonkeyPatch()
    arguments = ["sets", kind, str(mesh_file), "-o", str(folder), "--size", "160x120", *more]
    patch.setattr(sys, "argv", arguments)
    assert sets.main() == 0
    patch.undo()
    return folder


@pytest.fixture(scope="module")
def orbit(mesh_file, quick, tmp_path_factory):
    return make(mesh_file, tmp_path_factory.mktemp("sets") / "orbit", "orbit", "--photos", "9", "--corrupt", "5")


@pytest.fixture(scope="module")
def turntable(mesh_file, quick, tmp_path_factory):
    return make(mesh_file, tmp_path_factory.mktemp("sets") / "turntable", "turntable", "--photos", "4")


def test_spoilt_photos_are_refused_and_the_others_are_read(orbit):
    about = json.loads((orbit / "meta.json").read_text())
    truth = load_truth(orbit)
    assert len(about["corrupt"]) == 5 and len(set(about["corrupt"].values())) == 5
    assert len(truth.cameras) == 4
    good = {c.name for c in truth.cameras}
    assert len(find_photos([orbit / "images"])) == 9
    for path in find_photos([orbit / "images"]):
        if path.name in good:
            assert load_photo(read_photos([path])[0]).shape == (120, 160, 3)
        else:
            with pytest.raises(InputError):
                load_photo(read_photos([path])[0])


def test_the_object_is_where_the_truth_has_it(orbit, turntable):
    for folder in (orbit, turntable):
        truth = load_truth(folder)
        for camera in truth.cameras:
            alpha = Caster(truth.shape).render(camera).alpha
            photo = read_image(truth.photos / camera.name).astype(float)
            reddish = photo[..., 0] - photo[..., 1] > 25
            assert 0.1 < (alpha == 1).mean() < 0.7
            assert reddish[alpha == 1].mean() > 0.9
            assert reddish[alpha == 0].mean() < 0.08


def test_photos_name_the_focal_length_of_their_cameras(orbit):
    truth = load_truth(orbit)
    for camera in truth.cameras:
        photo = read_photos([truth.photos / camera.name])[0]
        assert photo.focal_px == pytest.approx(camera.intrinsics[0, 0], rel=1e-3)


def test_masks_are_the_outline_of_the_object(turntable):
    truth = load_truth(turntable)
    for camera in truth.cameras:
        with Image.open(turntable / "masks" / f"{camera.name}.png") as image:
            mask = np.asarray(image)
        assert set(np.unique(mask)) == {0, 255}
        assert ((mask == 255) == (Caster(truth.shape).render(camera).alpha >= 0.5)).all()


def test_on_a_turntable_all_but_the_object_and_its_shadow_stands_still(turntable):
    truth = load_truth(turntable)
    photos = [read_image(truth.photos / c.name).astype(float) for c in truth.cameras]
    free = np.logical_and.reduce([Caster(truth.shape).render(c).alpha == 0 for c in truth.cameras])
    free[60:] = False  # the ball's shadow lies below
    assert free.mean() > 0.2
    assert np.abs(photos[0] - photos[1])[free].mean() < 12  # noise, JPEG, exposure
    centres = np.array([c.centre for c in truth.cameras])
    middle = truth.shape.bounds.mean(0)
    assert np.ptp(np.linalg.norm(centres - middle, axis=1)) < 1e-9
    assert np.ptp(centres[:, 1]) < 1e-9
    assert np.linalg.norm(centres[0] - centres[2]) > 2  # half a turn apart


def test_the_light_of_a_turntable_stands_still(turntable):
    """A ball looks the same however it is turned, but for its pattern: its left side stays the bright one."""
    truth = load_truth(turntable)
    for camera in truth.cameras:
        photo = read_image(truth.photos / camera.name).astype(float).sum(-1)
        seen = Caster(truth.shape).render(camera).alpha == 1
        x = np.broadcast_to(np.arange(160), seen.shape)
        left, right = photo[seen & (x < 70)].mean(), photo[seen & (x > 90)].mean()
        assert left > 1.15 * right


def test_the_same_call_writes_the_same_files(mesh_file, quick, tmp_path):
    one, other = (make(mesh_file, tmp_path / name, "turntable", "--photos", "2", "--plain") for name in "ab")
    files = [sorted(p for p in f.rglob("*") if p.is_file()) for f in (one, other)]
    assert [p.name for p in files[0]] == [p.name for p in files[1]]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*files))


def test_textures_have_detail_everywhere():
    rng = np.random.default_rng(0)
    for make_texture in TEXTURES:
        texture = make_texture(rng, 512)
        tiles = texture[:256, :512].astype(float).reshape(-1, 64, 8, 64, 3).std(axis=(1, 3)).mean(-1)
        assert tiles.min() > 6
