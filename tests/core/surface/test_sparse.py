"""Sparse extraction equals marching cubes on the whole grid, for less."""

from __future__ import annotations

import mcubes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.surface.march import march
from mvgen.core.surface.sparse import Lattice, extract
from tests.core.surface.shapes import BOX, bunny, euler, sphere, torus, volume


class Counted:
    """A field that counts the points it is asked for, and the largest batch."""

    def __init__(self, field):
        self.field, self.points, self.batch = field, 0, 0

    def __call__(self, points):
        self.points += len(points)
        self.batch = max(self.batch, len(points))
        return self.field(points)


def dense(field, shape, level=0.0):
    """The whole grid through PyMCubes; counter-clockwise from above the level."""
    lattice = Lattice.of(BOX, shape)
    nodes = np.stack(np.meshgrid(*[np.arange(n) for n in lattice.shape], indexing="ij"), axis=-1)
    values = field(lattice.points(nodes).reshape(-1, 3)).reshape(lattice.shape)
    vertices, faces = mcubes.marching_cubes(values, level)
    return Mesh(lattice.points(vertices), faces[:, ::-1].astype(np.int32))


def corners_in_order(mesh):
    """Triangles [F, 9], each turned to begin with its lowest corner, in order: the same for equal meshes."""
    places, index = np.unique(np.round(mesh.vertices, 6) + 0.0, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    turns = np.stack([np.roll(faces, k, axis=1) for k in range(3)], axis=1)
    first = (turns @ [len(places) ** 2, len(places), 1]).argmin(1)
    faces = turns[np.arange(len(turns)), first]
    return places[faces[np.lexsort(faces.T)]].reshape(-1, 9)


def assert_equal(one, other):
    assert len(one.vertices) == len(other.vertices) and len(one.faces) == len(other.faces)
    assert np.allclose(corners_in_order(one), corners_in_order(other), atol=2e-6)


@pytest.mark.parametrize("lipschitz", [1.0, None])
@pytest.mark.parametrize("field", [sphere, torus, bunny])
@pytest.mark.parametrize("shape", [21, 64, (40, 23, 58)])
def test_equals_the_whole_grid(field, lipschitz, shape):
    assert_equal(extract(field, BOX, shape, lipschitz=lipschitz), dense(field, shape))


@pytest.mark.parametrize("field", [sphere, torus, bunny])
@pytest.mark.parametrize("lipschitz", [1.0, None])
def test_few_points_are_asked_for_at_256(field, lipschitz):
    counted = Counted(field)
    mesh = extract(counted, BOX, 256, lipschitz=lipschitz, batch=100_000)
    assert counted.points <= 0.15 * 256**3 and counted.batch <= 100_000
    assert euler(mesh) == (0 if field is torus else 2)
    assert volume(mesh) > 0


@pytest.mark.parametrize("block", [4, 8, 12, 16, 32])
def test_blocks_of_any_size_give_the_same(block):
    for lipschitz in (1.0, None):
        assert_equal(extract(torus, BOX, 41, block=block, lipschitz=lipschitz), dense(torus, 41))


def test_an_occupancy_is_no_distance():
    def occupancy(points):
        return 0.5 - 1 / (1 + np.exp(60 * torus(points)))

    assert_equal(extract(occupancy, BOX, 70), dense(occupancy, 70))
    assert_equal(extract(occupancy, BOX, 70, level=0.2), dense(occupancy, 70, 0.2))


def test_thin_parts_are_followed_from_where_they_are_seen():
    """A rod thinner than the distance of the coarse samples, on a ball."""

    def rod(points):
        along = np.hypot(points[:, 1] - 0.013, points[:, 2] - 0.021) - 0.02
        return np.minimum(sphere(points * 2), np.maximum(along, np.abs(points[:, 0]) - 0.9))

    found = extract(rod, BOX, 129)
    assert found.vertices[:, 0].max() > 0.89 and found.vertices[:, 0].min() < -0.89
    assert_equal(found, dense(rod, 129))


def test_values_at_the_level_itself():
    """Node values that equal the level make vertices in the same place, which stay apart."""

    def box(points):
        return np.abs(points).max(1) - 0.5

    for lipschitz in (1.0, None):
        assert_equal(extract(box, BOX, 21, lipschitz=lipschitz), dense(box, 21))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), level=st.floats(-0.5, 0.5))
def test_blocks_of_noise_join_into_the_whole(seed, level):
    """Every case of marching cubes, on both sides of every seam."""
    values = np.random.default_rng(seed).normal(size=(13, 9, 11))
    blocks = [
        (np.array([x, y, z]), values[x : x + 5, y : y + 5, z : z + 5])
        for x in range(0, 12, 4)
        for y in range(0, 8, 4)
        for z in range(0, 10, 4)
    ]
    found = march(blocks, level)
    vertices, faces = mcubes.marching_cubes(values, level)
    assert_equal(Mesh(found.places(), found.faces), Mesh(vertices, faces[:, ::-1].astype(np.int32)))


def test_no_face_touches_what_is_not_known():
    values = sphere(np.stack(np.meshgrid(*[np.linspace(-1, 1, 20)] * 3, indexing="ij"), -1).reshape(-1, 3))
    values = values.reshape(20, 20, 20)
    values[:, :, 10:] = np.nan
    found = march([(np.zeros(3, np.int64), values)])
    assert len(found.faces) and found.places()[:, 2].max() <= 9
    assert np.isfinite(found.share).all()


def test_infinite_values_have_a_side():
    values = np.full((3, 3, 3), np.inf)
    values[1, 1, 1] = -1.0
    found = march([(np.zeros(3, np.int64), values)])
    assert len(found.faces) == 8 and np.isfinite(found.places()).all()


def test_a_surface_that_leaves_the_bounds_is_open_there():
    def plane(points):
        return points[:, 2] - 0.05

    mesh = extract(plane, BOX, 30, lipschitz=1.0)
    assert_equal(mesh, dense(plane, 30))
    assert euler(mesh) == 1


def test_a_surface_that_ends_at_a_side_without_whole_leaves():
    normal, place = np.array([0.189, -0.198, 0.962]), np.array([-0.967, 0.627, 0.826])

    def plane(points):
        return (points - place) @ normal

    for nodes in range(9, 14):
        assert_equal(extract(plane, BOX, nodes), dense(plane, nodes))


def test_nothing_is_found_where_nothing_is():
    for lipschitz in (1.0, None):
        assert len(extract(lambda p: np.ones(len(p)), BOX, 30, lipschitz=lipschitz).faces) == 0


@pytest.mark.parametrize(
    ("bounds", "nodes"),
    [(BOX[::-1], 30), (BOX * [[1, 1, np.nan], [1, 1, 1]], 30), (BOX, 5000), (BOX, (30, 1, 30))],
)
def test_senseless_grids_are_refused(bounds, nodes):
    with pytest.raises(CannotError):
        extract(sphere, bounds, nodes)


@pytest.mark.slow
def test_512_is_feasible():
    counted = Counted(bunny)
    mesh = extract(counted, BOX, 512, lipschitz=1.0)
    assert counted.points < 0.06 * 512**3
    assert euler(mesh) == 2
