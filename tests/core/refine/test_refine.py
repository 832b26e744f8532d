"""Meshes refined by what views show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Silent
from mvgen.core.refine.meshes import refine_by_views, sharpen
from mvgen.core.refine.refine import RefineOptions, refined
from mvgen.core.refine.region import strengths
from mvgen.core.refine.sharpen import smooth_normals
from mvgen.core.refine.views import agreement, cameras_around, views_of, wanted_normals
from mvgen.core.surface.topology import topology
from tests.core.refine.made import ball, cameras, off, true_normals

OPTIONS = RefineOptions(iterations=8, pixels=4, reach=1.0)


@pytest.fixture(scope="module")
def views():
    return views_of(ball(6, True), cameras(8, 256))


def test_bumps_come_back(views):
    start = ball(3, False)
    done = refined(start, views, np.ones(len(start.vertices)), OPTIONS, Silent())
    (distance, degrees), (now, turned) = off(start), off(done.mesh)
    assert now < 0.35 * distance and turned < 0.35 * degrees
    assert done.after < 0.4 * done.before
    found = topology(done.mesh, welded=True)
    assert found.watertight and found.genus == 0 and len(done.mesh.faces) > 4 * len(start.faces)
    corners = done.mesh.vertices[done.mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normals * true_normals(corners.mean(1))).sum(1) > 0).all()  # no face is inverted


@pytest.mark.slow
def test_the_same_twice(views):
    start = ball(3, False)
    one, two = (refined(start, views, np.ones(len(start.vertices)), OPTIONS, Silent()).mesh for _ in range(2))
    assert np.array_equal(one.vertices, two.vertices) and np.array_equal(one.faces, two.faces)


def test_a_region_alone_changes_and_joins_the_rest_smoothly(views):
    start = ball(4, False)
    mask = start.vertices[:, 2] > -0.2
    strength = strengths(start.vertices, mask, 0.6, 1.0)
    done = refined(start, views, strength, OPTIONS, Silent()).mesh
    outside = {tuple(v) for v in start.vertices[~mask]}
    assert outside <= {tuple(v) for v in done.vertices}
    kept = ~mask[start.faces].any(1)
    assert len(_corners(start, kept) - _corners(done, np.ones(len(done.faces), bool))) == 0
    whole = refined(start, views, np.ones(len(mask)), OPTIONS, Silent()).mesh
    assert _inner(done) < 1.3 * _inner(whole) + 0.2 < 0.5 * _inner(start)  # degrees
    assert _jump(done, outside) < _jump(start, outside) + 2  # degrees


def _corners(mesh, mask):
    return {tuple(sorted(map(tuple, mesh.vertices[face]))) for face in mesh.faces[mask]}


def _inner(mesh):
    return off(Mesh(mesh.vertices, mesh.faces[mesh.vertices[mesh.faces, 2].min(1) > 0.6]))[1]


def _jump(mesh, outside):
    """The largest angle between neighbouring faces of which one has a corner outside."""
    import trimesh

    held = np.array([tuple(v) in outside for v in mesh.vertices])[mesh.faces].any(1)
    plain = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    return np.degrees(plain.face_adjacency_angles[held[plain.face_adjacency].any(1)].max())


def test_strength_is_how_far_it_goes(views):
    start = ball(4, False)
    options = RefineOptions(iterations=6, remesh=False, reach=1.0)
    full, half = (refined(start, views, np.full(len(start.vertices), s), options, Silent()).mesh for s in (1.0, 0.5))
    moved, less = full.vertices - start.vertices, half.vertices - start.vertices
    assert np.allclose(less, moved / 2)


@pytest.mark.slow
def test_an_open_sheet_and_tangled_faces(views):
    start = ball(3, False)
    middle = start.vertices[start.faces].mean(1)
    open_mesh = Mesh(start.vertices, start.faces[middle[:, 1] < 0.4])
    done = refined(open_mesh, views, np.ones(len(start.vertices)), OPTIONS, Silent()).mesh
    found = topology(done, welded=True)
    assert found.holes == 1 and found.crowded_edges == 0 and off(done)[1] < off(open_mesh)[1]
    fin = np.array([[start.faces[0, 0], start.faces[0, 1], len(start.vertices)], [0, 0, 1]], np.int32)
    tangled = Mesh(np.concatenate([start.vertices, [[3.0, 0, 0]]]), np.concatenate([start.faces, fin]))
    done = refined(tangled, views, np.ones(len(tangled.vertices)), OPTIONS, Silent()).mesh
    assert np.isfinite(done.vertices).all()
    assert {tuple(tangled.vertices[i]) for i in fin[0, :2]} <= {tuple(v) for v in done.vertices}


def test_views_of_another_place_are_refused(views):
    away = ball(2, False)
    with pytest.raises(CannotError, match="no view"):
        refined(
            Mesh(away.vertices + np.array([0, 100, 0]), away.faces),
            views,
            np.ones(len(away.vertices)),
            OPTIONS,
            Silent(),
        )


def test_cameras_around_see_all_of_it():
    mesh = ball(4, True)
    found = wanted_normals(mesh.vertices, mesh.faces, views_of(mesh, cameras_around(mesh, 256)))
    assert found.seen.all()
    assert (found.normals * true_normals(mesh.vertices[mesh.faces].mean(1))).sum(1).min() > 0.97


def test_faces_between_pixels_are_seen():
    mesh = ball(6, True)  # 0.9 pixels for each face that turns to a camera
    shown = views_of(mesh, cameras_around(mesh, 170))
    found = wanted_normals(mesh.vertices, mesh.faces, shown)
    assert found.seen.mean() > 0.999
    assert (found.normals * true_normals(mesh.vertices[mesh.faces].mean(1))).sum(1).mean() > 0.998


def test_pixels_of_another_part_of_the_surface_do_not_count():
    mesh = ball(4, True)
    shown = [replace(view, normals=_tilted(view.normals, 50)) for view in views_of(mesh, cameras(8, 256))]
    assert wanted_normals(mesh.vertices, mesh.faces, shown, 0.1).seen.mean() > 0.9
    assert wanted_normals(mesh.vertices, mesh.faces, shown, 0.8).seen.mean() < 0.1


def _tilted(normals, degrees):
    turn, there = np.radians(degrees), normals.any(2)
    across = np.cross(normals, [0.6, 0.0, 0.8])
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-9)
    return np.where(there[..., None], np.cos(turn) * normals + np.sin(turn) * across, 0).astype(np.float32)


@pytest.mark.slow
def test_edges_stay_long_where_faces_are_many(views):
    start = ball(3, False)
    few, many = (
        len(refined(start, views, np.ones(len(start.vertices)), replace(OPTIONS, **more), Silent()).mesh.faces)
        for more in ({"pixels": 2.0, "faces": 1500}, {"pixels": 2.0})
    )
    assert few < 0.6 * many


@pytest.mark.slow
def test_colours_and_texture_are_kept(views):
    start = ball(3, False)
    colours = (start.vertices / 2.2 + 0.5).astype(np.float32)
    painted = replace(start, colours=colours)
    done = refine_by_views(painted, views, np.ones(len(colours)), OPTIONS, Silent()).mesh
    assert done.colours is not None and np.abs(done.colours - (done.vertices / 2.2 + 0.5)).max() < 0.06
    mask = start.vertices[:, 0] > 0
    part = refine_by_views(painted, views, strengths(start.vertices, mask, 0.1, 1.0), OPTIONS, Silent()).mesh
    place = {tuple(v): k for k, v in enumerate(part.vertices)}
    kept = [place[tuple(v)] for v in start.vertices[~mask]]
    assert np.array_equal(part.colours[kept], colours[~mask])


class TestSharpen:
    def test_noise_goes_and_comes(self):
        plain = ball(4, False)
        rng = np.random.default_rng(0)
        rough = Mesh(plain.vertices * (1 + rng.normal(0, 0.004, (len(plain.vertices), 1))), plain.faces)
        everywhere = np.ones(len(plain.vertices))

        def unrest(mesh):
            return np.linalg.norm(mesh.vertices, axis=1).std()

        assert unrest(sharpen(rough, -1.0, everywhere, Silent()).mesh) < 0.6 * unrest(rough)
        assert unrest(sharpen(rough, 0.5, everywhere, Silent()).mesh) > 1.15 * unrest(rough)

    def test_creases_are_no_detail(self):
        import trimesh

        box = trimesh.creation.box().subdivide().subdivide()
        smooth = smooth_normals(np.array(box.vertices, float), np.array(box.faces, np.int32))
        assert (smooth * box.face_normals).sum(1).min() > 0.99

    def test_faces_and_uv_stay(self):
        from mvgen.core.texture.atlas import unwrap

        flat = unwrap(ball(3, True), 64)
        picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
        skin = Mesh(flat.vertices, flat.faces, uv=flat.uv, texture=picture)
        done = sharpen(skin, 1.0, np.ones(len(flat.vertices)), Silent()).mesh
        assert np.array_equal(done.uv, skin.uv) and np.array_equal(done.faces, skin.faces)
        assert np.array_equal(done.texture, picture) and (done.vertices != skin.vertices).any()
        _, one = np.unique(skin.vertices, axis=0, return_inverse=True)
        _, two = np.unique(done.vertices, axis=0, return_inverse=True)
        assert len(np.unique(one)) == len(np.unique(two))  # seams stay closed


def test_normals_of_another_shape_disagree():
    shape = ball(4, True)
    views = views_of(shape, cameras(6, 128))
    turned = [replace(one, normals=other.normals) for one, other in zip(views, views[3:] + views[:3])]
    assert agreement(shape, views) > 0.98 and agreement(shape, turned) < 0.1
    with pytest.raises(CannotError, match="no view"):
        refined(
            shape, [replace(v, normals=0 * v.normals) for v in views], np.ones(len(shape.vertices)), OPTIONS, Silent()
        )
