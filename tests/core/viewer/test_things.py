"""What a viewer reads, makes small enough, and places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.meshes import save_mesh, save_points
from mvgen.core.io.model import Lens, Model, Sightings
from mvgen.core.io.models import write_model_folder
from mvgen.core.render.orbit import look_at
from mvgen.core.splats.files import save_splats
from mvgen.core.splats.model import Splats
from mvgen.core.splats.seen import SCENE_FRAME
from mvgen.core.viewer.stage import FIELD_OF_VIEW, SIZE, make_stage
from mvgen.core.viewer.thin import Limits, thin_mesh, thin_points, thin_splats, thinned
from mvgen.core.viewer.things import Thing, load_thing

UPS = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1), (0.48, -0.6, 0.64)]


def sphere(radius: float = 1.0, subdivisions: int = 3) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions, radius)
    return Mesh(np.asarray(shape.vertices), np.asarray(shape.faces, np.int32))


def make_splats(count: int) -> Splats:
    rng = np.random.default_rng(0)
    return Splats(
        rng.normal(size=(count, 3)).astype(np.float32),
        np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        np.full((count, 3), -3, np.float32),
        np.zeros(count, np.float32),
        np.zeros((count, 1, 3), np.float32),
    )


def ring(up: np.ndarray, count: int = 12) -> tuple[Camera, ...]:
    """Cameras on a circle that look down at the origin."""
    side = np.cross(up, [0.3, 0.5, -0.7])
    side /= np.linalg.norm(side)
    k = np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]])
    turns = 2 * np.pi * np.arange(count) / count
    eyes = [3 * (np.cos(a) * side + np.sin(a) * np.cross(up, side) + 0.7 * up) for a in turns]
    return tuple(Camera(f"{i}.png", 64, 48, k, look_at(eye, np.zeros(3), up)) for i, eye in enumerate(eyes))


def test_kinds_counts_and_up_axes(tmp_path: Path) -> None:
    save_mesh(replace(sphere(), metadata={"up": "+Z"}), tmp_path / "mesh.glb")
    save_points(PointCloud(np.eye(3)), tmp_path / "points.ply")
    save_splats(make_splats(5), tmp_path / "down.ply")
    save_splats(make_splats(5), tmp_path / "up.spz")
    found = {n: load_thing(tmp_path / n, n) for n in ("mesh.glb", "points.ply", "down.ply", "up.spz")}
    assert [t.kind for t in found.values()] == ["mesh", "points", "splats", "splats"]
    assert [t.up.tolist() for t in found.values()] == [[0, 0, 1], [0, 1, 0], [0, -1, 0], [0, 1, 0]]
    assert found["mesh.glb"].counts == {"vertices": 642, "faces": 1280} and found["up.spz"].counts == {"splats": 5}


def test_splats_are_brought_to_the_axes_of_others(tmp_path: Path) -> None:
    save_splats(make_splats(5), tmp_path / "a.ply")
    save_splats(make_splats(5), tmp_path / "a.spz")
    first = load_thing(tmp_path / "a.ply", "a.ply").content
    assert isinstance(first, Splats)
    other = load_thing(tmp_path / "a.spz", "a.spz", frame=first.frame).content
    assert isinstance(other, Splats) and np.abs(other.means - first.means).max() < 1e-3


@pytest.mark.parametrize("up", UPS)
def test_posed_photos_tell_up(tmp_path: Path, up: tuple[float, ...]) -> None:
    cameras = ring(np.array(up))
    model = Model(cameras, (Lens(),) * 12, PointCloud(np.eye(3)), Sightings(), None, (None,) * 12, (None,) * 12)
    write_model_folder(model, tmp_path, "colmap")
    thing = load_thing(tmp_path, "photos")
    assert thing.kind == "scene" and thing.counts == {"cameras": 12, "points": 3}
    np.testing.assert_allclose(thing.up, up, atol=1e-6)


def test_what_is_no_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither cameras nor splats"):
        load_thing(tmp_path, "folder")


@pytest.mark.parametrize("up", UPS)
@pytest.mark.parametrize("place", [(1e-5, 0.0), (1.0, 3.0), (1e4, 1e6)])
def test_the_first_view_holds_everything_upright(up: tuple[float, ...], place: tuple[float, float]) -> None:
    size, away = place
    points = size * np.random.default_rng(0).uniform([-1, -0.5, -2], [1, 0.5, 2], (500, 3)) + away
    stage = make_stage([Thing("points", PointCloud(points), np.array(up))])
    assert np.ptp(stage.extent, axis=0).max() == pytest.approx(SIZE) and np.abs(stage.extent).max() < SIZE
    eye, target = stage.first_view()
    local = (stage.extent - eye) @ look_at(eye, target, stage.up)[:3, :3].T
    seen = np.abs(local[:, :2] / local[:, 2:]) / np.tan(FIELD_OF_VIEW / 2)
    assert (local[:, 2] > 0).all() and 0.7 < seen.max() <= 1
    assert np.degrees(np.arcsin((eye - target) @ up / np.linalg.norm(eye - target))) == pytest.approx(20, abs=1e-3)


def test_a_point_alone_has_a_view() -> None:
    stage = make_stage([Thing("point", PointCloud(np.array([[5.0, 6, 7]])), np.array([0.0, 1, 0]))])
    eye, target = stage.first_view()
    assert np.isfinite(eye).all() and np.linalg.norm(eye - target) > SIZE / 2
    np.testing.assert_allclose(stage.placing.apply(np.array([5.0, 6, 7])), 0, atol=1e-9)


def test_thin_meshes_stay_near_the_surface_with_their_colours() -> None:
    mesh = sphere(subdivisions=5)
    mesh = replace(mesh, colours=((mesh.vertices + 1) / 2).astype(np.float32))
    thin = thin_mesh(mesh, 3000)
    assert 1000 < len(thin.faces) <= 3000 and thin.colours is not None
    assert np.abs(np.linalg.norm(thin.vertices, axis=1) - 1).max() < 0.03
    assert np.abs(thin.colours - (thin.vertices + 1) / 2).max() < 1e-5
    corners = thin.vertices[thin.faces]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((outward * corners.mean(1)).sum(1) > 0).mean() > 0.98
    assert thin_mesh(mesh, len(mesh.faces)) is mesh


def test_a_texture_becomes_colours_of_a_thin_mesh() -> None:
    mesh = sphere(subdivisions=4)
    picture = np.full((4, 4, 3), [10, 200, 30], np.uint8)
    thin = thin_mesh(replace(mesh, uv=mesh.vertices[:, :2] / 2 + 0.5, texture=picture), 500)
    assert thin.texture is None and thin.colours is not None
    np.testing.assert_allclose(
        thin.colours, np.tile(np.float32([10, 200, 30]) / 255, (len(thin.vertices), 1)), atol=1e-3
    )


def test_thin_splats_are_those_that_cover_the_most() -> None:
    splats = make_splats(100)
    splats.log_scales[:10, :2] = 0  # large
    splats.logits[10:20] = -9  # transparent
    assert np.array_equal(thin_splats(splats, 10).means, splats.means[:10])
    assert not set(map(tuple, splats.means[10:20])) & set(map(tuple, thin_splats(splats, 90).means))


def test_thin_points_are_some_of_the_points() -> None:
    cloud = PointCloud(np.random.default_rng(0).uniform(size=(1000, 3)))
    thin = thin_points(cloud, 100, np.random.default_rng(0))
    assert len(thin) == 100 and cKDTree(cloud.points).query(thin.points)[0].max() == 0


def test_what_is_left_out_is_told_in_a_line() -> None:
    told: list[str] = []
    limits = Limits(points=100, faces=100, splats=100)
    contents = (sphere(), PointCloud(np.random.default_rng(0).uniform(size=(1000, 3))), make_splats(1000))
    for content in contents:
        thing = thinned(Thing("x.ply", content, np.array([0.0, 1, 0])), limits, np.random.default_rng(0), told.append)
        assert max(thing.counts.values()) <= 100
    assert len(told) == 3 and told[1] == "x.ply: thinned for the browser, from 1,000 to 100 points"
    thinned(Thing("x.ply", contents[1], np.array([0.0, 1, 0])), Limits(), np.random.default_rng(0), told.append)
    assert len(told) == 3


def test_splats_lie_as_in_their_scene_or_keep_the_numbers_of_their_file(tmp_path: Path) -> None:
    splats = replace(make_splats(20), metadata={SCENE_FRAME: "rub"})
    save_splats(splats, tmp_path / "a.ply")
    as_filed, in_scene = (load_thing(tmp_path / "a.ply", "a", as_in_scene=told).content for told in (False, True))
    assert isinstance(as_filed, Splats) and isinstance(in_scene, Splats)
    assert np.allclose(as_filed.means, splats.means) and np.allclose(in_scene.means, splats.means * [1, -1, -1])
