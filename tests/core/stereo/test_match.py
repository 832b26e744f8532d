"""Where depth is computed, and the geometry of hypotheses."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from mvgen.core.progress import Silent
from mvgen.core.stereo.match import Planes, enlarge, kernels_for, motion, pixel_step, usable_device
from mvgen.kernels import patchmatch, patchmatch_cuda
from tests.core.stereo.test_depth import planes_of
from tests.core.views import around, camera


class Listener(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_a_gpu_whose_kernels_do_not_run_is_left_aside_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patchmatch_cuda, "why_not", lambda device: "no compiler")
    listener = Listener()
    assert usable_device("cuda:0", listener) == "cpu"
    assert listener.warnings == ["computing on the CPU, as cuda:0 cannot be used: no compiler"]


def test_numba_without_cuda_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mvgen.kernels.patchmatch_cuda", None)
    listener = Listener()
    assert usable_device("cuda:0", listener) == "cpu" and len(listener.warnings) == 1


def test_a_gpu_that_works_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patchmatch_cuda, "why_not", lambda device: None)
    monkeypatch.setattr(patchmatch_cuda, "select", lambda device: None)
    assert usable_device("cuda:1", Silent()) == "cuda:1"
    assert kernels_for("cuda:1", 4) is patchmatch_cuda
    assert kernels_for("cuda:1", 99) is patchmatch  # more than its scratch arrays hold
    assert kernels_for("cpu", 4) is patchmatch


def test_motion_brings_a_pixel_to_where_the_other_camera_sees_it() -> None:
    here, there = around([0, 15])
    depth = 3.7
    x, y = 20, 33
    point = here.centre + here.rays()[y, x] * depth
    m = motion(here, there).astype(float)
    p = m[:9].reshape(3, 3) @ [x, y, 1] + m[9:] / depth
    assert p[:2] / p[2] + 0.5 == pytest.approx(there.project(point)[0], abs=1e-3)


def test_pixel_step_moves_the_picture_by_a_pixel() -> None:
    here, there = camera(np.array([0.0, 0, 4])), camera(np.array([0.5, 0, 4]), np.array([0.5, 0, 0]))
    step = pixel_step(here, [there], 0.25)
    middle = np.array([0.0, 0, 4]) + here.forward * 4
    nearer = np.array([0.0, 0, 4]) + here.forward / (0.25 + step)
    assert np.linalg.norm(there.project(middle)[0] - there.project(nearer)[0]) == pytest.approx(1, rel=0.02)


def test_a_plane_is_the_same_plane_on_a_finer_grid() -> None:
    view = camera(np.array([0.0, 0, 4]))
    normal = np.array([0.3, -0.2, 1.0])
    coarse = planes_of(view.resized(40, 30), normal, 3.0)
    fine = enlarge(Planes(coarse, np.zeros((30, 40), np.float32)), 60, 80, (2.0, 2.0))
    assert np.allclose(fine.planes, planes_of(view, normal, 3.0), atol=1e-6)
    assert (fine.cost < 0).all()
