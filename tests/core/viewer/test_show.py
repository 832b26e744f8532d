"""Things as nodes of a viser server, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mvgen.core.camera import Camera, Similarity
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.images import write_image
from mvgen.core.io.model import Lens, Model, Sightings
from mvgen.core.progress import Silent
from mvgen.core.render.orbit import look_at
from mvgen.core.splats.model import Splats
from mvgen.core.viewer.panel import add_panel, set_view
from mvgen.core.viewer.serve import need_viser, serving, url_of
from mvgen.core.viewer.show import show
from mvgen.core.viewer.stage import Stage, make_stage
from mvgen.core.viewer.things import Content, Thing

pytest.importorskip("viser")

UP = np.array([0.0, 1, 0])


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with serving("127.0.0.1", 0, "test") as one:
        yield one


def shown(server: Any, content: Content, told: Told | None = None) -> tuple[Any, Stage]:
    thing = Thing("folder/name.ply", content, UP)
    stage = make_stage([thing])
    return show(server, thing, stage, 0, told or Told()), stage


def test_splats_keep_shape_and_colour(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Rotation.from_euler("xyz", [0.3, -0.8, 1.2])
    splats = Splats(
        np.array([[0.0, 0, 0], [4, 2, 1]], np.float32),
        np.tile(turn.as_quat(scalar_first=True).astype(np.float32), (2, 1)),
        np.log(np.float32([[0.3, 0.3, 0.3], [1, 0.1, 0.01]])),
        np.array([0, 2], np.float32),
        np.zeros((2, 1, 3), np.float32),
    )
    sent: list[Any] = []
    monkeypatch.setattr(server.scene, "add_gaussian_splats", lambda *a, **k: sent.append(a))
    _, stage = shown(server, splats)
    _, means, covariances, colours, opacities = sent[0]
    np.testing.assert_allclose(means, stage.placing.apply(splats.means), rtol=1e-5)
    axes = turn.as_matrix() * stage.placing.scale * np.array([1, 0.1, 0.01])
    np.testing.assert_allclose(covariances[0], (0.3 * stage.placing.scale) ** 2 * np.eye(3), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(covariances[1], axes @ axes.T, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(colours, 0.5)
    np.testing.assert_allclose(opacities[:, 0], [0.5, 1 / (1 + np.exp(-2))], rtol=1e-5)


def test_meshes_without_colours_are_clay_in_light(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    monkeypatch.setattr(server.scene, "add_glb", lambda name, data, **_: sent.append(data))
    triangle = Mesh(np.eye(3), np.array([[0, 1, 2]], np.int32))
    shown(server, triangle)
    shown(server, Mesh(np.eye(3), triangle.faces, colours=np.eye(3, dtype=np.float32)))
    assert b"KHR_materials_unlit" not in sent[0] and b"COLOR_0" in sent[0]
    assert b"KHR_materials_unlit" in sent[1]


def test_points_are_as_large_as_their_gaps(server: Any) -> None:
    grid = np.stack(np.meshgrid(*[np.arange(10.0)] * 2, [0.0]), -1).reshape(-1, 3)
    one, stage = shown(server, PointCloud(grid))
    assert one.points.point_size == one.point_size
    assert 0.3 * stage.placing.scale < one.point_size < 2 * stage.placing.scale
    np.testing.assert_allclose(one.points.points, stage.placing.apply(grid), atol=1e-5)


def test_cameras_stand_where_they_were_with_their_photos(server: Any, tmp_path: Path) -> None:
    write_image(np.full((480, 640, 3), 90, np.uint8), tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    k = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    eyes = np.array([[0.0, 1, 5], [5, 1, 0], [-5, 1, 0]])
    cameras = tuple(Camera(f"{n}.png", 640, 480, k, look_at(eye, np.zeros(3), UP)) for n, eye in zip("abc", eyes))
    pictures = (tmp_path / "a.png", tmp_path / "b.png", None)
    told = Told()
    model = Model(cameras, (Lens(),) * 3, PointCloud(np.zeros((0, 3))), Sightings(), None, pictures, (None,) * 3)
    one, stage = shown(server, model, told)
    assert len(told.lines) == 2 and "b.png" in told.lines[0] and "1 photos were not found" in told.lines[1]
    assert [node.image is not None for node in one.cameras] == [True, False, False]
    assert one.points is None and one.photos[0].shape == (360, 480, 3)
    for node, camera in zip(one.cameras, cameras):
        np.testing.assert_allclose(node.position, stage.placing.apply(camera.centre), atol=1e-6)
        turn = Rotation.from_quat(node.wxyz, scalar_first=True).as_matrix()
        np.testing.assert_allclose(turn[:, 2], camera.forward, atol=1e-6)
        np.testing.assert_allclose(turn[:, 1], camera.rotation[1], atol=1e-6)
        assert np.tan(node.fov / 2) == pytest.approx(0.48) and node.aspect == pytest.approx(4 / 3)


def test_the_panel_and_the_view_are_set_for_those_who_come(server: Any) -> None:
    one, stage = shown(server, PointCloud(np.eye(3)))
    add_panel(server, [one], stage, (1.0, 0.5, 0.0))
    set_view(server, stage)
    eye, target = stage.first_view()
    np.testing.assert_allclose(server.initial_camera.position, eye)
    np.testing.assert_allclose(server.initial_camera.look_at, target)
    np.testing.assert_allclose(server.initial_camera.up, UP)


def test_nothing_is_published_through_other_machines(server: Any) -> None:
    assert server.request_share_url() is None
    assert url_of(server) == f"http://127.0.0.1:{server.get_port()}"


def test_what_the_viewer_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(CannotError) as caught:
        need_viser()
    assert caught.value.hint == 'pip install "mvgen[demo]"'


def test_moving_is_a_similarity_without_a_turn() -> None:
    stage = make_stage([Thing("points", PointCloud(np.eye(3) * 7), UP)])
    assert isinstance(stage.placing, Similarity) and np.array_equal(stage.placing.rotation, np.eye(3))
