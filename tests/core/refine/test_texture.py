"""Textures baked again on new faces look as before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh
from mvgen.core.metrics import psnr
from mvgen.core.progress import Silent
from mvgen.core.refine.meshes import refine_by_views
from mvgen.core.refine.refine import RefineOptions
from mvgen.core.refine.views import cameras_around, views_of
from mvgen.core.render.orbit import orbit_cameras
from mvgen.core.render.raycast import Caster
from mvgen.core.texture.transfer import bake_colours
from tests.core.refine.made import ball, cameras

DATA = os.environ.get("MVGEN_DATA")
LEAST = 30  # dB
OPTIONS = RefineOptions(iterations=6, pixels=4)


def alike(one: Mesh, two: Mesh) -> float:
    """PSNR in dB between their pictures, unlit, where both fill the pixel."""
    seen, first, second = [], Caster(one), Caster(two)
    for camera in orbit_cameras(one.vertices, 6, (320, 320), np.array([0.0, 1, 0])):
        a, b = first.render(camera), second.render(camera)
        both = (a.alpha > 0.99) & (b.alpha > 0.99)
        seen.append((a.color[both], b.color[both]))
    a, b = (np.concatenate(colours)[None] for colours in zip(*seen))
    return psnr(a, b, np.ones(a.shape[:2], bool))


def painted() -> Mesh:
    """A ball with rings, waves and sharp spots, on an atlas of 512 texels."""

    def colours(points: np.ndarray) -> np.ndarray:
        x, y, z = points.T
        spots = (np.sin(12 * x) * np.sin(12 * y) * np.sin(12 * z) > 0.3) * 0.3
        return np.stack([0.5 + 0.3 * np.sin(9 * y), 0.4 + spots, 0.5 + 0.3 * np.cos(15 * x + 4 * z)], axis=1)

    return bake_colours(ball(3, False), colours, 512)


@pytest.mark.slow
def test_a_made_texture() -> None:
    start = painted()
    views = views_of(ball(6, False), cameras(6, 256))
    done = refine_by_views(start, views, np.ones(len(start.vertices)), replace(OPTIONS, tolerance=1.0), Silent()).mesh
    assert len(done.faces) != len(start.faces) and done.texture is not None
    found = alike(start, done)
    print(f"{found:.1f} dB, {len(start.faces)} to {len(done.faces)} faces")
    assert found > LEAST
    assert alike(start, replace(done, texture=np.roll(done.texture, 9, axis=0))) < LEAST - 10


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")
@pytest.mark.parametrize(
    "name", ["spot/spot_triangulated.obj", "duck/Duck.glb", "egyptian_cat/cat.glb", "fuze/fuze.obj"]
)
def test_textures_of_artists(name: str) -> None:
    """By the normals of their own faces, not those of their vertices, which would round them."""
    start = replace(load_mesh(Path(DATA or "") / "textured_meshes" / name), normals=None)
    views = views_of(start, cameras_around(start, 256))
    done = refine_by_views(start, views, np.ones(len(start.vertices)), OPTIONS, Silent()).mesh
    assert len(done.faces) != len(start.faces) and done.texture is not None
    found = alike(start, done)
    print(f"{found:.1f} dB, {len(start.faces)} to {len(done.faces)} faces")
    assert found > LEAST
