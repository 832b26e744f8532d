"""Views by depth and normal maps that know detail but not form."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.geometry import Mesh
from mvgen.core.progress import Silent
from mvgen.core.refine.meshes import refine_by_views
from mvgen.core.refine.refine import RefineOptions
from mvgen.core.refine.relative import aligned, detailed, normals_of_depth, views_by_depths
from mvgen.core.refine.views import agreement, views_of
from mvgen.core.render.raycast import Caster
from tests.core.refine.made import ball, cameras


@pytest.fixture(scope="module")
def sphere():
    """A camera, and the depth [H, W] and the normals [H, W, 3] in its axes of a ball of radius 1; 0 beside it."""
    camera = cameras(1, 256)[0]
    rays = camera.rays() @ camera.rotation.T
    unit = rays / np.linalg.norm(rays, axis=2, keepdims=True)
    middle = camera.rotation @ -camera.centre
    along = unit @ middle
    inside = along**2 - middle @ middle + 1
    hit = inside > 0
    place = unit * (along - np.sqrt(np.maximum(inside, 0)))[..., None]
    return camera, np.where(hit, place[..., 2], 0), np.where(hit[..., None], place - middle, 0)


@pytest.mark.parametrize("inverse", [False, True])
def test_scale_and_shift_are_undone(sphere, inverse):
    _, depth, _ = sphere
    known = depth > 0
    values = np.where(known, ((1 / np.maximum(depth, 1) if inverse else depth) - 0.3) / 40, -7).astype(np.float32)
    found = aligned(values, depth, known)
    assert np.abs(found - depth)[known].max() < 1e-4 and not found[~known].any()
    rng = np.random.default_rng(0)
    spoiled = np.where(rng.random(depth.shape) < 0.1, values + rng.random(depth.shape), values)
    found = aligned(spoiled.astype(np.float32), depth, known)
    assert np.median(np.abs(found - depth)[known]) < 1e-4


def test_a_map_of_something_else_does_not_agree(sphere):
    _, depth, _ = sphere
    noise = np.random.default_rng(0).random(depth.shape)
    assert aligned(noise, depth, depth > 0) is None
    assert aligned(np.ones_like(depth), depth, depth > 0) is None
    assert aligned(depth, depth, np.zeros(depth.shape, bool)) is None


def test_normals_of_an_aligned_depth_are_right_within_a_degree(sphere):
    camera, depth, normals = sphere
    known = depth > 0
    values = (0.7 / np.where(known, depth, 1) + 3).astype(np.float32)
    found = normals_of_depth(aligned(values, depth, known), camera, known)
    seen = found.any(2)
    assert seen.sum() > 0.9 * known.sum() and not seen[~known].any()
    degrees = np.degrees(np.arccos(np.clip((found * normals).sum(2)[seen], -1, 1)))
    assert degrees.mean() < 0.5 and np.percentile(degrees, 95) < 1


def test_long_waves_are_the_mesh_s_own_and_short_ones_the_map_s():
    x = np.arange(256) / 256

    def tilted(slope):
        out = np.stack([np.broadcast_to(slope, (256, 256)), np.zeros((256, 256)), -np.ones((256, 256))], axis=2)
        return out / np.linalg.norm(out, axis=2, keepdims=True)

    long, short = 0.2 * np.sin(2 * np.pi * x), 0.2 * np.sin(2 * np.pi * 16 * x)
    found = detailed(tilted(long), tilted(short - long))
    assert np.abs(found - tilted(long + short))[:, 20:-20].max() < 0.06
    own = tilted(long)
    own[:40] = 0
    assert not detailed(own, tilted(short))[:40].any() and detailed(own, tilted(short))[40:].any(2).all()


@pytest.mark.slow
def test_bumps_come_from_depth_maps_but_not_their_form():
    """The maps are squeezed, shifted, and bent besides."""
    eyes, start = cameras(8, 256), ball(4, False)
    plain = ball(6, False)
    bumps = 1 + 0.01 * np.sin(16 * plain.vertices[:, :1]) * np.sin(16 * plain.vertices[:, 1:2])
    rough = Mesh(plain.vertices * bumps, plain.faces)
    caster, maps = Caster(rough), []
    for camera in eyes:
        depth = caster.render(camera, 1).depth
        bend = np.linspace(0, 0.02, 256)[None]
        maps.append((5 / np.where(depth > 0, depth, np.inf) + 2 + bend).astype(np.float32))
    views = views_by_depths(start, eyes, maps)
    assert len(views) == 8
    options = RefineOptions(iterations=8, pixels=4)
    done = refine_by_views(start, views, np.ones(len(start.vertices)), options, Silent()).mesh
    wanted = views_of(rough, eyes)
    before, after = (np.degrees(np.arccos(agreement(mesh, wanted))) for mesh in (start, done))
    assert after < 0.6 * before
    assert np.abs(np.linalg.norm(done.vertices, axis=1) - 1).mean() < 0.01
