"""Points outside the silhouettes of masked views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.errors import InputError
from mvgen.core.io.images import write_mask
from mvgen.core.scene import View
from mvgen.core.surface.carve import outside_masks
from tests.core.views import SIZE, around


def views(folder: Path) -> list[View]:
    """Six views around the origin whose masks show a ball of radius 0.5."""
    out = []
    for camera in around([0, 60, 120, 180, 240, 300]):
        near = np.linalg.norm(np.cross(camera.rays(), -camera.centre), axis=-1) / np.linalg.norm(camera.rays(), axis=-1)
        path = folder / camera.name
        write_mask(near < 0.5, path)
        out.append(View(camera, path, path))
    return out


def test_a_ball_is_carved_out_of_its_surroundings(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (3000, 3))
    outside = outside_masks(points, views(tmp_path), 0.0)
    radius = np.linalg.norm(points, axis=1)
    level = np.hypot(points[:, 0], points[:, 2])
    assert not outside[radius < 0.45].any()
    assert outside[(level > 0.65) | (np.abs(points[:, 1]) > 0.75)].all()


def test_only_views_that_look_decide(tmp_path: Path) -> None:
    far = np.array([[50.0, 0.5, 0.0], [0.0, 90.0, 0.0]])
    assert not outside_masks(far[1:], views(tmp_path), 0.0).any()
    whole = [replace(view, mask_path=None) for view in views(tmp_path)]
    assert not outside_masks(np.ones((5, 3)), whole, 0.0).any()
    assert outside_masks(np.zeros((0, 3)), whole, 0.0).shape == (0,)


def test_a_share_of_the_views_may_err(tmp_path: Path) -> None:
    spoilt = views(tmp_path)
    write_mask(np.zeros(SIZE[::-1], bool), spoilt[0].mask_path)
    origin = np.zeros((1, 3))
    assert outside_masks(origin, spoilt, 0.0).all()
    assert outside_masks(origin, spoilt, 0.1).all()
    assert not outside_masks(origin, spoilt, 0.2).any()


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    first = views(tmp_path)[0]
    write_mask(np.ones((5, 5), bool), first.mask_path)
    with pytest.raises(InputError, match=r"p0\.png.*5x5"):
        outside_masks(np.zeros((1, 3)), [first], 0.0)
