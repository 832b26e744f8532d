"""Key spheres by the published rules, and their files."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres.spheres import Spheres, key_spheres, read_spheres, write_spheres


def dumbbell() -> Mesh:
    """A large ball and a small one that do not touch."""
    balls = [trimesh.creation.icosphere(3, 0.5), trimesh.creation.icosphere(3, 0.2)]
    for ball, x in zip(balls, (-0.3, 0.6)):
        ball.apply_translation([x, 0, 0])
    both = trimesh.util.concatenate(balls)
    return Mesh(np.asarray(both.vertices), np.asarray(both.faces, np.int32))


@pytest.fixture(scope="module")
def found() -> Spheres:
    return key_spheres(dumbbell(), 40)


def test_balls_lie_inside_and_do_not_touch(found):
    assert len(found) == 40 and not found.outer.any()
    inside = found.radii > 0.5
    centres = found.centres[inside]
    gap = np.linalg.norm(centres[:, None] - centres[None], axis=2) * 64
    reach = found.radii[inside][:, None] + found.radii[inside][None]
    assert (gap[~np.eye(len(gap), dtype=bool)] > reach[~np.eye(len(gap), dtype=bool)]).all()
    depth = np.maximum(
        0.5 - np.linalg.norm(centres - [-0.3, 0, 0], axis=1), 0.2 - np.linalg.norm(centres - [0.6, 0, 0], axis=1)
    )
    assert (np.abs(depth * 64 - found.radii[inside]) < 1.3).all()


def test_the_first_ball_is_the_large_one_and_the_other_end_follows_soon(found):
    assert np.allclose(found.centres[0], [-0.3, 0, 0], atol=0.04) and abs(found.radii[0] - 32) < 1.5
    assert (np.linalg.norm(found.centres[:3] - [0.6, 0, 0], axis=1) < 0.05).any()


def test_each_next_ball_is_farthest_by_gap_and_size(found):
    centres, radii = found.voxels.astype(float), found.radii
    for k in range(1, 20):
        rest = np.arange(k, len(found))
        gap = (
            np.linalg.norm(centres[rest][:, None] - centres[None, :k], axis=2)
            - radii[None, :k]
            + 2 * radii[rest][:, None]
        )
        assert gap.min(1).argmax() == 0


def test_outer_spheres_come_after_the_inner_ones_and_lie_outside():
    both = key_spheres(dumbbell(), 10, outer=12)
    assert both.outer.tolist() == [False] * 10 + [True] * 12
    outer = both.centres[both.outer & (both.radii > 0.5)]
    assert (np.linalg.norm(outer - [-0.3, 0, 0], axis=1) > 0.5).all()
    assert (np.linalg.norm(outer - [0.6, 0, 0], axis=1) > 0.2).all()


def test_the_same_seed_gives_the_same_spheres(found):
    again = key_spheres(dumbbell(), 40)
    assert np.array_equal(found.voxels, again.voxels) and np.array_equal(found.radii, again.radii)


def test_a_shape_that_encloses_no_voxel_is_refused():
    flat = trimesh.creation.box([1, 1, 1e-4])
    with pytest.raises(CannotError, match="thin"):
        key_spheres(Mesh(np.asarray(flat.vertices) + 0.004, np.asarray(flat.faces, np.int32)))


voxel = st.integers(0, 127)
ball = st.tuples(voxel, voxel, voxel, st.floats(1e-3, 100), st.booleans())


@settings(max_examples=30)
@given(st.lists(ball, min_size=1, max_size=20))
def test_files_keep_spheres(tmp_path_factory, balls):
    rows = np.array(sorted(balls, key=lambda b: b[4]), float)
    spheres = Spheres(rows[:, :3].astype(np.int64), rows[:, 3], rows[:, 4] > 0)
    path = tmp_path_factory.mktemp("spheres") / "s.txt"
    path.write_text(write_spheres(spheres))
    back = read_spheres(path)
    assert np.array_equal(back.voxels, spheres.voxels) and np.array_equal(back.outer, spheres.outer)
    assert np.allclose(back.radii, spheres.radii, rtol=1e-8)


def test_published_files_are_read(tmp_path):
    path = tmp_path / "100026.txt"
    path.write_text("2\n50 80 31 3.4007 0\n77 66 120 0.5 0\n0\n")
    assert read_spheres(path).voxels.tolist() == [[50, 80, 31], [77, 66, 120]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2\n1 2 3 1 0\n",
        "1\n1 2 300 1 0\n",
        "1\n1 2 3 nan 0\n",
        "1\n1 2 3 -1 0\n",
        "-3\n",
        "0\n",
        "1\n1.5 2 3 1 0\n",
        "99999999\n",
    ],
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "s.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=r"s\.txt"):
        read_spheres(path)
