"""Regions on other things than those on which they were selected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.box import Box
from mvgen.core.errors import InputError, UsageError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.nearest import sample_surface
from mvgen.core.progress import Silent
from mvgen.core.region.carry import load_all_on, load_on, turns
from mvgen.core.region.files import MOST_PLACES, load_region, open_region, save_region
from mvgen.core.region.model import Axes, Places, Region
from mvgen.core.region.query import Query, Saved, Steps, selected, stepped
from mvgen.core.region.things import FINE, MOST, Things, axes_of, diagonal_of, finer
from mvgen.core.splats.seen import SCENE_FRAME
from mvgen.core.surface.change import remesh
from tests.core.region.made import eyes, joined, on_sphere, shifted, sphere, splats_at, things
from tests.core.surface.test_subdivide import cube

CORNER = Box((0.1, -0.2, -9), (9, 9, 0.3))  # its sides run through the middles of faces


def saved(of: Things, mask, path, name="region"):
    save_region(of.region(mask, name), path, of.told)
    return path


def in_box(of: Things, box: Box = CORNER):
    return box.holds(of.places)


def on_cube(count: int, seed: int = 0):
    return sample_surface(cube(), count, np.random.default_rng(seed))[0].points


def lopsided() -> Mesh:
    """Two balls that look alike from no two sides."""
    return joined(sphere(4), shifted(sphere(3, 0.5), (1.2, 0.9, 0.3)))


def same(one, two) -> float:
    return float(np.mean(one == two))


# ---- to the same things


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 300), number=st.integers(1, 18), far=st.sampled_from([0, 1e6]))
def test_regions_carried_to_things_at_the_same_places_are_the_same(tmp_path_factory, seed, count, number, far):
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("same") / "a.npz"
    points = rng.normal(size=(count, 3)) + far
    of, order = things(PointCloud(points)), rng.permutation(count)
    masks = [rng.random(count) < rng.random() for _ in range(number)]
    save_region([of.region(mask, str(i)) for i, mask in enumerate(masks)], path, of.told)
    other = things(Mesh(points[order], np.zeros((1, 3), np.int32)))
    for i, mask in enumerate(masks):
        assert np.array_equal(load_on(of, path, str(i)), mask)
        assert np.array_equal(load_on(other, path, str(i)), mask[order])


def test_faces_of_the_same_mesh_are_labelled_as_they_were(tmp_path):
    fine = finer(things(cube()))
    mask = in_box(fine)
    assert np.array_equal(load_on(fine, saved(fine, mask, tmp_path / "a.npz")), mask)
    save_region(Region("vertices", mask[:8]), tmp_path / "old.npz")
    assert np.array_equal(load_on(fine, tmp_path / "old.npz")[:8], mask[:8])  # its faces follow their corners


def test_a_selection_goes_on_from_places_on_faces(tmp_path):
    fine = finer(things(cube()))
    left, upper = Box((-9, -9, -9), (0.1, 9, 9)), Box((-9, 0.2, -9), (9, 9, 9))
    one = Saved(saved(fine, in_box(fine, left), tmp_path / "left.npz"))
    start = selected(fine, Query(boxes=[(upper.low, upper.high)], saved=[one]), eyes(fine), Silent())
    assert np.array_equal(start, in_box(fine, left) & in_box(fine, upper))
    two = Saved(saved(fine, in_box(fine, upper), tmp_path / "upper.npz"))
    minus = stepped(fine, in_box(fine, left), Steps(minus=[two]))
    assert np.array_equal(minus, in_box(fine, left) & ~in_box(fine, upper))


def test_regions_that_are_kept_keep_their_places(tmp_path):
    fine = finer(things(cube()))
    saved(fine, in_box(fine), tmp_path / "a.npz", "corner")
    (again,) = load_all_on(fine, tmp_path / "a.npz")
    assert again.name == "corner" and np.array_equal(again.marks, in_box(fine)[fine.sample])
    with pytest.raises(InputError, match="is a region of vertices, not of points"):
        load_all_on(things(PointCloud(on_cube(50))), tmp_path / "a.npz")


# ---- to others


@pytest.mark.parametrize("kind", ["points", "splats", "remeshed"])
def test_a_box_through_the_faces_of_a_cube(tmp_path, kind):
    fine, heard = finer(things(cube())), []
    path = saved(fine, in_box(fine), tmp_path / "cube.npz")
    points = on_cube(20_000)
    shapes = {"points": PointCloud(points), "splats": splats_at(points), "remeshed": remesh(cube(), FINE)}
    other = things(shapes[kind])
    assert same(load_on(other, path, warn=heard.append), in_box(other)) > 0.98
    assert len(heard) == 1 and "cube.npz: is a region of 8 vertices: carried to" in heard[0]
    back = saved(other, in_box(other), tmp_path / "back.npz")
    assert same(load_on(fine, back), in_box(fine)) > 0.98


def test_without_its_faces_a_cube_could_not_tell(tmp_path):
    coarse, points = things(cube()), things(PointCloud(on_cube(20_000)))
    assert same(load_on(points, saved(coarse, in_box(coarse), tmp_path / "a.npz")), in_box(points)) < 0.95


def test_fine_meshes_and_many_points_are_as_they_were():
    ball = things(sphere(6))
    assert finer(ball) is ball and np.array_equal(ball.sample, np.arange(ball.count))
    many = things(PointCloud(on_sphere(MOST + 50_000)))
    sample = many.sample
    assert len(np.unique(sample)) == len(sample) == MOST and (np.diff(sample) > 0).all()
    assert np.array_equal(sample, things(many.shape).sample) and finer(many) is many


def test_places_on_faces_are_bounded_and_few_of_many_vertices_are_told():
    floor = Mesh(np.array([[-9.0, 0, -9], [9, 0, -9], [0, 0, 9]]), np.array([[0, 2, 1]], np.int32))
    fine = finer(things(joined(shifted(sphere(7), (0, 1.5, 0)), floor)))
    assert fine.count == 163_845 and len(fine.places) <= fine.count + MOST // 2
    assert len(fine.sample) <= MOST and len(fine.places) - 1 in fine.sample
    assert (fine.region(np.ones(len(fine.places), bool)).mask).sum() == fine.count


def test_what_is_far_from_all_places_is_left_out_and_told(tmp_path):
    ball, heard = things(sphere(5)), []
    path = saved(ball, np.ones(ball.count, bool), tmp_path / "all.npz")
    stray = things(PointCloud(np.concatenate([on_sphere(500), [[5.0, 0, 0], [0, 1.3, 0]]])))
    mask = load_on(stray, path, warn=heard.append)
    assert mask[:500].all() and not mask[500:].any() and "2 are not near any" in heard[0]


def test_another_thing_is_refused(tmp_path):
    ball = things(sphere(4))
    path = saved(ball, ball.places[:, 1] > 0, tmp_path / "ball.npz")
    for other in (things(cube()), things(PointCloud(on_sphere(900) * 1.2)), things(shifted(sphere(3), (0.3, 0, 0)))):
        with pytest.raises(InputError, match=r"ball\.npz: is a region of 2562 vertices, which lie elsewhere"):
            load_on(other, path)


def test_a_file_without_places_fits_its_own_things_alone(tmp_path):
    save_region(Region("vertices", np.ones(8, bool)), tmp_path / "old.npz")
    with pytest.raises(InputError, match="is a region of vertices, not of points"):
        load_on(things(PointCloud(on_cube(8))), tmp_path / "old.npz")


def test_names_are_looked_for_before_anything_is_carried(tmp_path):
    ball = things(sphere(4))
    path = saved(ball, np.ones(ball.count, bool), tmp_path / "a.npz", "all")
    with pytest.raises(UsageError, match="has no region head"):
        load_on(things(PointCloud(on_sphere(500))), path, "head")


# ---- in other axes


def as_rdf(points):
    return points * [1, -1, -1]


@pytest.mark.parametrize("mesh", [cube(), lopsided()], ids=["symmetric", "lopsided"])
@pytest.mark.parametrize("up", ["+Y", "+Z"])
def test_axes_that_files_tell_are_turned(tmp_path, mesh, up):
    turn = np.eye(3) if up == "+Y" else np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    told = replace(mesh, vertices=mesh.vertices @ turn.T, metadata={"up": up})
    fine, heard = finer(things(told)), []
    upper = fine.places @ turn[:, 1] > 0.15  # up in either
    points = sample_surface(mesh, 4000, np.random.default_rng(0))[0].points
    splats = replace(splats_at(points), frame="rub", metadata={SCENE_FRAME: "rub"}).in_frame("rdf")
    mask = load_on(things(splats), saved(fine, upper, tmp_path / "a.npz"), warn=heard.append)
    assert same(mask, points[:, 1] > 0.15) > 0.98 and "in axes turned from" in heard[0]
    back = saved(things(splats), points[:, 1] > 0.15, tmp_path / "b.npz")
    assert same(load_on(fine, back), upper) > 0.96


def test_axes_that_one_file_tells_are_found_by_the_shape(tmp_path):
    mesh = lopsided()
    fine = finer(things(mesh))  # in the numbers of the scene, and does not say so
    path = saved(fine, fine.places[:, 0] > 0.9, tmp_path / "a.npz")
    points = sample_surface(mesh, 4000, np.random.default_rng(0))[0].points
    splats = replace(splats_at(points), frame="rub", metadata={SCENE_FRAME: "rub"}).in_frame("rdf")
    assert same(load_on(things(splats), path), points[:, 0] > 0.9) > 0.98
    as_they_are = replace(splats_at(points), metadata={SCENE_FRAME: "rub"})  # or of these splats' file
    assert same(load_on(things(as_they_are), path), points[:, 0] > 0.9) > 0.98


def test_symmetric_things_in_axes_that_are_not_known_are_refused(tmp_path):
    fine = finer(things(cube()))
    splats = things(replace(splats_at(on_cube(4000)), metadata={SCENE_FRAME: "rub"}))
    path = saved(fine, fine.places[:, 1] > 0.15, tmp_path / "upper.npz")
    with pytest.raises(InputError, match=r"upper\.npz.* it is not known how its axes lie"):
        load_on(splats, path)
    across = saved(fine, fine.places[:, 0] > 0.15, tmp_path / "right.npz")  # both ways select this
    assert same(load_on(splats, across), splats.places[:, 0] > 0.15) > 0.98


def test_other_axes_that_no_file_tells_are_refused(tmp_path):
    mesh = lopsided()
    path = saved(things(mesh), mesh.vertices[:, 0] > 0.9, tmp_path / "a.npz")
    with pytest.raises(InputError, match="which lie elsewhere"):
        load_on(things(PointCloud(as_rdf(mesh.vertices)[::2])), path)


def test_splats_of_two_formats_have_their_axes(tmp_path):
    points = on_cube(4000)
    splats = splats_at(points)
    path = saved(things(splats), points[:, 1] > 0.15, tmp_path / "a.npz")
    turned = splats.in_frame("rub")[np.arange(0, 4000, 2)]
    assert np.array_equal(load_on(things(turned), path), points[::2, 1] > 0.15)


def test_what_metadata_tell_of_axes():
    flat = PointCloud(np.zeros((1, 3)))

    def told(**metadata):
        return axes_of(replace(flat, metadata=metadata))

    assert told() == Axes() and told(up="+X") == Axes() and told(up=["+Y"], scene_frame=3) == Axes()
    assert told(up="+Y") == Axes("rub", "rub") and told(up="-Y", scene_frame="rub") == Axes("rdf", "rub")
    assert told(up="+Z", units="mm") == Axes("rfu", "")  # of a 3MF, turned or not
    assert axes_of(splats_at(np.zeros((1, 3)))) == Axes("rdf", "")
    assert len(turns(Axes("rub", "rub"), Axes("rdf", ""), ("vertices", "splats"))) == 2
    assert len(turns(Axes("rub", ""), Axes("rdf", ""), ("splats", "splats"))) == 1
    assert len(turns(Axes(), Axes("rdf", ""), ("vertices", "splats"))) == 1


# ---- files


def test_the_file_tells_places_marks_and_axes(tmp_path):
    of = things(replace(cube(), metadata={"up": "+Z"}))
    save_region([of.region(in_box(of), "a"), of.region(~in_box(of), "b")], tmp_path / "a.npz", of.told)
    file = open_region(tmp_path / "a.npz")
    assert np.allclose(file.places.points, cube().vertices) and file.places.axes == Axes("rfu", "rfu")
    a, b = file.on_places()
    assert np.array_equal(a.mask, in_box(of)) and np.array_equal(b.mask, ~a.mask) and (a.name, b.name) == ("a", "b")
    assert load_region(tmp_path / "a.npz", "vertices", 8, "b").indices.tolist() == np.flatnonzero(b.mask).tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"places": np.zeros((0, 3), np.float32)},
        {"places": np.zeros((4, 2), np.float32)},
        {"places": np.zeros(12, np.float32)},
        {"places": np.zeros((4, 3), np.int32)},
        {"places": np.full((4, 3), np.nan, np.float32)},
        {"places": np.full((4, 3), 1e35, np.float32)},
        {"places": np.broadcast_to(np.float16(0), (MOST_PLACES + 1, 3))},
        {"origin": np.zeros(2)},
        {"origin": np.full(3, np.inf)},
        {"origin": np.array(["a", "b", "c"])},
        {"marks": np.zeros((3, 1), np.uint8)},
        {"marks": np.zeros((4, 2), np.uint8)},
        {"marks": np.zeros(4, np.uint8)},
        {"marks": np.zeros((4, 1), np.float32)},
        {"names": np.array(["a", "a"])},
        {"count": np.array([4, 4])},
        {"kind": np.array("cows")},
    ],
)
def test_hostile_arrays_are_refused(tmp_path, wrong):
    arrays = {"kind": "points", "count": 4, "names": ["a"], "indices": np.array([1]), "sizes": np.array([1])}
    arrays |= {"places": np.zeros((4, 3), np.float32), "origin": np.zeros(3), "marks": np.ones((4, 1), np.uint8)}
    for other, count in (("points", 4), ("splats", 5)):
        np.savez(tmp_path / "bad.npz", **(arrays | wrong))
        shape = PointCloud(np.zeros((count, 3))) if other == "points" else splats_at(np.zeros((count, 3)))
        with pytest.raises(InputError, match=r"bad\.npz"):
            load_on(things(shape), tmp_path / "bad.npz", "a")
    np.savez(tmp_path / "odd.npz", **(arrays | {"axes": np.array([1, 2, 3])}))
    assert open_region(tmp_path / "odd.npz").places.axes == Axes()


def test_one_place_is_enough(tmp_path):
    places = Places(np.array([[1.0, 2, 3]]))
    save_region(Region("points", np.ones(1, bool), marks=np.ones(1, bool)), tmp_path / "a.npz", places)
    assert load_on(things(splats_at(np.array([[1.0, 2, 3], [1, 2, 3]]))), tmp_path / "a.npz").all()
    with pytest.raises(InputError):
        load_on(things(splats_at(np.array([[1.0, 2, 4], [1, 2, 4]]))), tmp_path / "a.npz")


def test_the_diagonal_leaves_far_strays_out():
    assert diagonal_of(np.concatenate([on_sphere(1000), [[1e6, 0, 0]]])) < 4
