"""All stages, end to end, with small networks."""

import numpy as np
import pytest

from mvgen.core.crm.pipeline import colours_at, make_coordinates, make_triplane, make_views, triplane_to_mesh
from mvgen.core.errors import CannotError, UsageError
from mvgen.core.progress import Silent
from tests.core.crm.tiny import write_files


class Listener(Silent):
    def __init__(self):
        self.stages, self.done, self.notes = {}, 0, []

    def stage(self, name, total=None):
        self.stages[name] = total

    def advance(self, steps=1):
        self.done += steps

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("crm"))


@pytest.fixture(scope="module")
def image():
    y, x = np.mgrid[:48, :48]
    inside = (x - 24) ** 2 + (y - 20) ** 2 < 150
    return np.where(inside[..., None], np.stack([5 * x, 5 * y, 255 - 5 * x], -1), 127).astype(np.uint8)


def run(image, folder, seed, **options):
    views = make_views(image, folder, steps=4, seed=seed, **options)
    coordinates = make_coordinates(image, views, folder, steps=4, seed=seed, **options)
    triplane = make_triplane(views, coordinates, folder, seed=seed)
    vertices, faces = triplane_to_mesh(triplane)
    return views, coordinates, triplane.features.numpy(), vertices, faces, colours_at(triplane, vertices)


@pytest.fixture(scope="module")
def result(image, folder):
    return run(image, folder, 0)


def test_stages_give_what_they_say(result):
    views, coordinates, features, vertices, faces, colours = result
    assert views.shape == coordinates.shape == (6, 32, 32, 3) and views.dtype == coordinates.dtype == np.uint8
    assert len({view.tobytes() for view in views}) == 6 and len({m.tobytes() for m in coordinates}) == 6
    assert features.shape == (1, 8, 32, 96)
    assert vertices.shape[1] == faces.shape[1] == 3 and faces.max() == len(vertices) - 1
    assert np.abs(vertices).max() <= 1.1 and len(faces) > 100
    assert colours.shape == vertices.shape and 0 <= colours.min() < colours.max() <= 1


def test_the_seed_decides(image, folder, result):
    for one, again in zip(result, run(image, folder, 0)):
        assert np.array_equal(one, again)
    for one, other in zip(result[:3], run(image, folder, 1)):
        assert not np.array_equal(one, other)


def test_image_guidance_and_views_matter(image, folder, result):
    views = result[0]
    assert not np.array_equal(views, make_views(image[:, ::-1], folder, steps=4))
    assert not np.array_equal(views, make_views(image, folder, steps=4, guidance=1.0))
    assert not np.array_equal(result[1], make_coordinates(image, views[::-1], folder, steps=4))
    triplane = make_triplane(views[::-1], result[1], folder)
    assert not np.array_equal(result[2], triplane.features.numpy())


@pytest.mark.slow
def test_half_precision_says_about_the_same(image, folder):
    whole, half = (make_views(image, folder, steps=1, precision=p).astype(int) for p in ("float32", "bfloat16"))
    assert 0 < np.abs(whole - half).mean() < 0.5 * np.abs(whole - half[::-1]).mean()
    with pytest.raises(CannotError, match="float16"):
        make_views(image, folder, precision="float16")


def test_steps_are_counted_and_told(image, folder):
    listener = Listener()
    make_views(image, folder, steps=7, progress=listener)
    assert listener.stages == {"views": 8} and listener.done == 8  # 1000 // 7 = 142 and 1 + 7 * 142 = 995
    assert listener.notes == ["8 steps for 7, evenly spaced over the schedule"]
    with pytest.raises(UsageError):
        make_views(image, folder, steps=0)


def test_arrays_of_other_shapes_are_refused(image, folder, result):
    with pytest.raises(ValueError, match="expected"):
        make_views(image[:40], folder)
    with pytest.raises(ValueError, match="expected"):
        make_coordinates(image, result[0][..., :1], folder)
    with pytest.raises(ValueError, match="expected 6"):
        make_coordinates(image, result[0][:5], folder)
    with pytest.raises(ValueError, match="expected 6"):
        make_triplane(result[0], result[1][:5], folder)
