"""Surfaces of splats."""

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.camera import Similarity
from mvgen.core.errors import CannotError
from mvgen.core.meshing import MeshOptions, SplatsOptions, read_source, surface_of
from mvgen.core.progress import Silent
from mvgen.core.splats.files import save_splats
from mvgen.core.splats.model import merged
from mvgen.core.splats.seen import SCENE_FRAME, noted
from mvgen.core.splats.surface import splats_surface, views_of
from mvgen.core.surface import TsdfOptions
from mvgen.core.surface.topology import topology
from tests.core.splats.fit.ball import ball, cameras


def test_a_ball_of_splats_is_a_ball():
    splats = ball(3000)
    mesh = splats_surface(splats, views_of(splats, 160), TsdfOptions(), Silent())
    radius = np.linalg.norm(mesh.vertices, axis=1)
    assert np.abs(radius - 1).max() < 0.1 and np.abs(radius - 1).mean() < 0.03
    found = topology(mesh)
    assert found.orientable and found.open_edges < 0.01 * found.faces
    nearest = ((mesh.vertices[:, None, :] - splats.means[None, ::50]) ** 2).sum(-1).argmin(0)
    assert np.abs(mesh.colours[nearest] - splats.colours[::50]).mean() < 0.1


def test_views_are_those_from_which_splats_were_seen():
    splats = replace(ball(200), metadata=noted(cameras()))
    assert len(views_of(splats, 160)) == 8 and views_of(splats, 160)[0].width == 160
    assert len(views_of(ball(200), 160)) == 32


def test_what_is_far_behind_is_left_out():
    far = ball(2000).moved(Similarity(9.0, np.eye(3), np.zeros(3)))
    mesh = splats_surface(merged([ball(2000), far]), cameras(8, (160, 120)), TsdfOptions(), Silent())
    assert np.linalg.norm(mesh.vertices, axis=1).max() < 2.5


def test_haze_has_no_surface():
    haze = replace(ball(300), logits=np.full(300, -4.0, np.float32))
    with pytest.raises(CannotError):
        splats_surface(haze, views_of(haze, 96), TsdfOptions(), Silent())


@pytest.mark.parametrize(
    ("scene", "posed", "up"), [(None, False, "+Y"), ("rfu", False, "+Z"), ("rfu", True, "+Z"), (None, True, None)]
)
def test_a_surface_tells_what_is_up_where_its_splats_do(scene, posed, up, tmp_path):
    splats = replace(ball(2000), metadata={SCENE_FRAME: scene} if scene else {})
    save_splats(splats, tmp_path / "a.ply")
    source = read_source([tmp_path / "a.ply"], cameras(8, (96, 72)) if posed else (), Silent())
    options = MeshOptions(splats=SplatsOptions(96))
    assert surface_of(source, "tsdf", options, Silent()).metadata.get("up") == up
