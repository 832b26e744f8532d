"""The photos that the examples make, and the truth that comes with them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.io.images import read_image, read_photos
from mvgen.core.io.truth import load_truth
from mvgen.core.render.raycast import Caster

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

pytestmark = pytest.mark.slow  # compiles its noise


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same call twice, with one thing on a plain floor."""
    import make_photos
    import still_life

    def floor():
        u, v = still_life.grid(49, 49)
        points = np.stack([4 * u - 2, 0 * u, 4 * v - 2], axis=-1)
        return still_life.Surface(points, np.full_like(points, 0.9), 48, is_ground=True)

    patch = pytest.MonkeyPatch()
    patch.setattr(make_photos, "THINGS", (still_life.ammonite, floor))
    out = [tmp_path_factory.mktemp("photos") for _ in range(2)]
    for folder in out:
        patch.setattr(sys, "argv", ["make_photos.py", str(folder), "--views", "3", "--size", "160x120"])
        make_photos.main()
    patch.undo()
    return out


def test_the_same_call_writes_the_same_files(folders):
    one, other = (sorted(p for p in f.rglob("*") if p.is_file()) for f in folders)
    assert [p.name for p in one] == [p.name for p in other]
    assert len(one) == 3 + 4
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, other))


def test_photos_carry_the_focal_length_of_their_cameras(folders):
    truth = load_truth(folders[0])
    photos = read_photos(sorted(truth.photos.iterdir()))
    for photo, camera in zip(photos, truth.cameras, strict=True):
        assert photo.name == camera.name
        assert (photo.width, photo.height) == (camera.width, camera.height) == (160, 120)
        assert photo.focal_px == pytest.approx(camera.intrinsics[0, 0], rel=1e-3)


def test_the_true_shape_is_where_the_photos_show_it(folders):
    truth = load_truth(folders[0])
    caster = Caster(truth.shape)
    for camera in truth.cameras:
        photo = read_image(truth.photos / camera.name).astype(float)
        thing = caster.render(camera).alpha == 1
        red_over_blue = photo[..., 0] / np.maximum(photo[..., 2], 1)
        assert thing.mean() > 0.01
        # the shell is brown, the floor is not
        assert np.median(red_over_blue[thing]) > 1.3 * np.median(red_over_blue[~thing])


def test_faces_look_outward(folders):
    shape = load_truth(folders[0]).shape
    corners = shape.vertices[shape.faces]
    volume = np.einsum("ni,ni->n", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume > 0
