"""The codec sdf: sizes, errors, signs far from the surface, damage."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from mvgen.core.compress.codec import FieldSettings, Goal
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres import sdf
from mvgen.core.keyspheres.corrections import Task, choose
from mvgen.core.keyspheres.latents import MOST_CELLS, Corrected, decode_values, encode_values, grids_of, regions_of
from mvgen.core.progress import Silent
from mvgen.core.surface.simplify import face_parts

TINY = FieldSettings(width=14, layers=3, samples=10_000)


def frame_mesh(made: trimesh.Trimesh) -> Mesh:
    """A mesh in the container's frame."""
    size = np.linalg.norm(made.extents)
    return Mesh((np.asarray(made.vertices) - made.bounds.mean(0)) / size, np.asarray(made.faces, np.int32))


def dumbbell() -> Mesh:
    """Two balls, apart."""
    balls = [trimesh.creation.icosphere(3, r).apply_translation([x, 0, 0]) for r, x in ((0.5, 0), (0.3, 1.2))]
    return frame_mesh(trimesh.util.concatenate(balls))


@pytest.fixture(scope="module")
def made() -> bytes:
    """The dumbbell in 1,500 bytes."""
    return sdf.encode(dumbbell(), Goal(bytes=1500, field=TINY), 1, 0, Silent())


def test_the_size_is_met_and_used_and_the_bytes_repeat(made):
    assert 1350 < len(made) <= 1500
    goal = Goal(bytes=600, field=FieldSettings(width=8, layers=2, samples=3000))
    one, other = (sdf.encode(dumbbell(), goal, 1, 0, Silent()) for _ in range(2))
    assert one == other and len(one) <= 600
    for size, width in ((150, 8), (10**7, 256)):
        wide = FieldSettings(width=width, layers=14, samples=3000)
        with pytest.raises(CannotError, match="too few"):
            sdf.encode(dumbbell(), Goal(bytes=size, field=wide), 1, 0, Silent())


def test_corrections_mend_what_the_network_leaves(made):
    whole, truth = sdf.decode(made, 64), sdf.Distance(dumbbell())
    packed = sdf._unpacked(made).packed
    bare = sdf.surface_of(packed.network, packed.bounds, 64, 2, 2)
    bare = Mesh(packed.normal.back(bare.vertices), bare.faces)
    after, before = (truth.unsigned(mesh.vertices).mean() for mesh in (whole, bare))
    assert after < 1.2e-3 and after < 0.6 * before
    assert len(np.unique(face_parts(whole))) == 2 and sdf.resolution_of(made) == sdf.RESOLUTION


def test_regions_without_the_shape_are_marked_and_left_out(made):
    field = sdf._unpacked(made)
    assert field.regions.count == 2 and field.kept.all(), "each ball has a region"
    normal = field.packed.normal
    large, small = dumbbell().vertices[:642], dumbbell().vertices[642:]
    marked = sdf._grids(field.packed, normal.to(small), 900)[0]
    assert marked.any() and not marked.all()
    kept = np.arange(2) == field.regions.at(normal.to(small[:1]))
    left = normal.back(replace(field, kept=kept).surface(48, None).vertices)
    assert left[:, 0].min() > large[:, 0].max() and np.abs(left.max(0) - small.max(0)).max() < 0.01
    assert normal.back(field.surface(48, 1).vertices)[:, 0].max() < small[:, 0].min()


def test_signs_are_right_near_and_far(made):
    field = sdf._unpacked(made)
    mesh = dumbbell()
    distance = sdf.Distance(Mesh(field.packed.normal.to(mesh.vertices), mesh.faces))
    points = np.random.default_rng(0).uniform(*field.packed.bounds, (20_000, 3))
    true = distance(points)
    wrong = (field.values(points) < 0) != (true < 0)
    assert not wrong[np.abs(true) > 0.01].any()


def test_integers_follow_from_the_network_and_the_code(made):
    packed = sdf._unpacked(made).packed
    regions = regions_of(packed.network, packed.box, 8)
    grids = grids_of(packed.network, packed.box, regions, np.ones(regions.count, bool), 2)
    for grid in grids:
        assert (grid.node_at[tuple(grid.nodes.T)] == np.arange(len(grid.nodes))).all()
        points = np.random.default_rng(1).uniform(-1, 1, (4000, 3)).astype(np.float32)
        inside = ((points > packed.bounds[0]) & (points < packed.bounds[1])).all(1)
        surface = points[(np.abs(packed.network(points)) < 0.1 / grid.cells) & inside]
        corner = np.floor((surface + 1) * (grid.cells / 2)).astype(int)
        assert len(surface) and (grid.node_at[tuple(corner.T)] >= 0).all()
    integers = [np.random.default_rng(2).integers(-3, 4, len(grid.nodes)) for grid in grids]
    found = decode_values(encode_values(grids, integers), grids)
    assert all(np.array_equal(a, b) for a, b in zip(found, integers))


def test_more_bytes_leave_less_error(made):
    packed = sdf._unpacked(made).packed
    regions = regions_of(packed.network, packed.box, 8)
    grids = grids_of(packed.network, packed.box, regions, np.ones(regions.count, bool), 2)
    mesh = dumbbell()
    points = np.random.default_rng(3).uniform(-0.9, 0.9, (40_000, 3))
    true = sdf.Distance(Mesh(packed.normal.to(mesh.vertices), mesh.faces))(points)
    near = np.abs(true) < 0.05
    rest = true[near] - packed.network(points[near])
    task = Task.of(grids, points[near], rest, np.ones(near.sum()))
    found = [choose(task, 2e-3, size) for size in (60, 150, 400)]
    assert [len(c.data) <= size for c, size in zip(found, (60, 150, 400))] == [True] * 3
    errors = [np.abs(rest).mean(), *(c.error for c in found)]
    assert errors == sorted(errors, reverse=True) and errors[3] < 0.5 * errors[0]
    values = [v * np.float32(2e-3) for v in found[2].integers]
    left = np.abs(true[near] - Corrected(packed.network, grids, [v.astype(np.float32) for v in values])(points[near]))
    assert abs(left.mean() - errors[3]) < 1e-5


def test_what_has_no_inside_or_spheres_is_refused():
    ball = dumbbell()
    with pytest.raises(CannotError, match="no inside"):
        sdf.encode(Mesh(ball.vertices, ball.faces[300:]), Goal(bytes=900, field=TINY), 1, 0, Silent())
    with pytest.raises(CannotError, match="no spheres"):
        sdf.encode(ball, Goal(bytes=900, field=FieldSettings(spheres=4)), 1, 0, Silent())


def test_smaller_errors_ask_for_more_bytes():
    sizes = [sdf.size_for(Goal(mean=error)) for error in (1e-9, 1e-4, 3e-4, 1e-3, 0.5)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == sdf.LARGEST_BYTES and sizes[-1] >= 600
    assert sdf.size_for(Goal(mean=1e-3, maximum=1e-4)) == sdf.size_for(Goal(maximum=1e-4)) > sizes[2]
    assert sdf.size_for(Goal(bytes=77, mean=1e-4)) == 77 and sdf.size_for(Goal()) == sdf.DEFAULT_BYTES
    assert [sdf.width_for(size, 4) for size in (0, 1500, 10**6)] == [8, 20, 40]


def test_damage_is_told(made):
    (length,) = struct.unpack_from("<H", made)
    grids = 2 + length
    for at, value in ((grids, 0), (grids, 255), (grids, MOST_CELLS), (grids + 1, 0), (grids + 1, 9), (2, 0), (2, 7)):
        with pytest.raises(InputError):
            sdf.decode(made[:at] + bytes([value]) + made[at + 1 :], 16)
    for cut in (0, 1, 2, 30, length, 2 + length, 4 + length):
        with pytest.raises(InputError):
            sdf.decode(made[:cut], 16)
    with pytest.raises(InputError, match="finer"):
        sdf.decode(made[:3] + struct.pack("<H", 400) + made[5:], 16)
