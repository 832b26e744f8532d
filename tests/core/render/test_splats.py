"""Splats seen by cameras."""

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.camera import Camera, Similarity
from mvgen.core.errors import CannotError
from mvgen.core.progress import Silent
from mvgen.core.render.orbit import look_at
from mvgen.core.render.splats import Painter, painter
from mvgen.core.splats.model import Splats, merged
from tests.core.splats import made

LENS = np.array([[120.0, 0, 40], [0, 120, 30], [0, 0, 1]])


def camera(eye=(0, 0, -4)):
    return Camera("a", 80, 60, LENS, look_at(np.array(eye, float), np.zeros(3), np.array([0.0, -1, 0])))


def sheet(opacity=8.0):
    """A flat red disc at the origin, facing along z, with harmonics of degree 1 that add green from one side."""
    harmonics = np.zeros((1, 4, 3), np.float32)
    harmonics[0, 0] = np.array([0.5, -0.5, -0.5]) / 0.28209479177387814
    harmonics[0, 2, 1] = 0.6
    scales = np.log(np.array([[0.5, 0.5, 0.01]], np.float32))
    return Splats(
        np.zeros((1, 3), np.float32),
        np.array([[1, 0, 0, 0]], np.float32),
        scales,
        np.full(1, opacity, np.float32),
        harmonics,
    )


def test_colour_depth_and_normal_of_what_is_in_the_middle():
    view = Painter(sheet()).render(camera())
    assert view.alpha[30, 40] == pytest.approx(0.99, abs=0.01) and view.alpha[0, 0] < 0.01
    assert view.color[30, 40, 0] == pytest.approx(1, abs=1e-3) and view.color[30, 40, 2] < 1e-3
    assert view.depth[30, 40] == pytest.approx(4, abs=1e-3) and view.depth[0, 0] == 0
    assert np.allclose(view.normal[30, 40], [0, 0, -1], atol=1e-4)
    assert (view.id == -1).all()


def test_colour_follows_the_direction():
    front, back = (Painter(sheet()).render(camera((0, 0, z))).color[30, 40, 1] for z in (-4, 4))
    assert front > 0.25 and back == pytest.approx(0, abs=1e-3)


def test_splats_and_camera_moved_together_look_the_same():
    random = np.random.default_rng(1)
    splats = Splats(
        random.normal(0, 0.7, (200, 3)).astype(np.float32),
        random.normal(0, 1, (200, 4)).astype(np.float32),
        random.normal(-2, 0.4, (200, 3)).astype(np.float32),
        random.normal(0, 2, 200).astype(np.float32),
        random.normal(0, 0.3, (200, 16, 3)).astype(np.float32),
    )
    turn = np.array([[0, -1, 0], [0.6, 0, -0.8], [0.8, 0, 0.6]])
    move = Similarity(1.0, turn, np.array([1.0, -2, 3]))
    one = Painter(splats).render(camera())
    other = Painter(splats.moved(move)).render(camera().moved(move))
    off = np.abs(one.color * one.alpha[..., None] - other.color * other.alpha[..., None]).max(-1)
    for difference in (off, np.abs(one.alpha - other.alpha)):
        assert (difference < 1e-5).mean() >= 0.999 and difference.max() <= 1 / 255


def test_splats_of_several_files_look_as_if_they_were_of_one():
    """Also where one of them has other axes and a lower degree."""
    whole = made.splats(60, 3, size=0.6)
    whole.harmonics[30:, 4:] = 0
    first, second = whole[:30], whole[30:].with_degree(1).in_frame("rub")
    one, other = Painter(whole).render(camera()), Painter(merged([first, second])).render(camera())
    assert one.alpha.max() > 0.3
    assert np.abs(one.color - other.color).max() < 1e-4 and np.abs(one.alpha - other.alpha).max() < 1e-5


def test_splats_for_an_antialiased_renderer_fade_where_they_are_thin():
    thin = replace(sheet(), log_scales=np.full((1, 3), np.log(0.005), np.float32))
    plain = Painter(thin).render(camera())
    fading = Painter(replace(thin, metadata={"antialiased": True})).render(camera())
    assert fading.alpha.max() < 0.2 * plain.alpha.max() and plain.alpha.max() > 0.4


def test_gsplat_is_refused_without_a_gpu():
    with pytest.raises(CannotError, match="CUDA device"):
        painter(sheet(), "cpu", "gsplat", Silent())
