"""Views of a browser as orbits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mvgen.core.camera import Similarity
from mvgen.core.errors import CannotError
from mvgen.core.guidance.orbits import MOST_LETTERS, load_views, middle, views_text
from mvgen.core.viewer.record import Recorder, orbit_of
from mvgen.core.viewer.stage import Stage

UPS = ([0.0, 1, 0], [0.0, -1, 0], [0.0, 0, 1], [0.3, 0.8, 0.1])


def view_from(eye: list[float], target: list[float]) -> Any:
    return SimpleNamespace(position=np.array(eye), look_at=np.array(target), fov=np.radians(50.0))


def stage_with(up: list[float]) -> Stage:
    placing = Similarity(3.0, np.eye(3), np.array([1.0, -2, 0.5]))
    return Stage(placing, np.array(up) / np.linalg.norm(up), np.zeros((1, 3)))


@pytest.mark.parametrize("up", UPS)
def test_the_middle_of_an_orbit_is_the_camera_it_was_made_of(up, tmp_path):
    stage = stage_with(up)
    view = view_from([4.0, 3, -6], [0.5, 0.2, 0.1])
    (tmp_path / "views.json").write_text(views_text([orbit_of(view, stage, "a wing", "fog")]))
    (orbit,) = load_views(tmp_path / "views.json")
    assert (orbit.prompt, orbit.negative, orbit.fov) == ("a wing", "fog", 50)
    camera = middle(orbit, stage.up, 200).moved(stage.placing)
    assert np.allclose(camera.centre, view.position, atol=1e-3)
    ahead = (view.look_at - view.position) / np.linalg.norm(view.look_at - view.position)
    assert np.allclose(camera.forward, ahead, atol=1e-4)
    assert camera.intrinsics[0, 0] == pytest.approx(100 / np.tan(np.radians(25)))


def test_ranges_lie_around_the_camera_and_end_at_the_poles():
    stage = stage_with(UPS[0])
    orbit = orbit_of(view_from([0.0, 0, 9], [0, 0, 0]), stage, "", "", 20, 30, 50)
    assert orbit.elevation == (-20, 20) and orbit.azimuth == (-30, 30) and orbit.distance == (1.5, 4.5)
    assert orbit_of(view_from([0.0, 9, 1], [0, 0, 0]), stage, "", "").elevation[1] == 90


def test_views_are_added_removed_and_saved():
    saved = []
    recorder = Recorder(SimpleNamespace(), stage_with(UPS[0]), lambda orbits: saved.extend(orbits) or "it")
    for name, value in (("prompt", " a wing "), ("negative", ""), ("tilt", 5), ("turn", 5), ("zoom", 5)):
        setattr(recorder, name, SimpleNamespace(value=value))
    recorder.list, said = SimpleNamespace(content=""), []
    client = SimpleNamespace(camera=view_from([0, 0, 9], [0, 0, 0]))
    client.add_notification = lambda title, body, **_: said.append(title)
    event = SimpleNamespace(client=client)
    recorder.run(event, recorder.write)
    assert said == ["there is no view yet"] and not saved
    for _ in range(3):
        recorder.run(event, lambda: recorder.add(event))
    recorder.run(event, recorder.remove)
    assert recorder.list.content == "2 views\n\n1. a wing\n2. a wing"
    recorder.run(event, recorder.write)
    assert [orbit.prompt for orbit in saved] == ["a wing", "a wing"] and said[-1] == "saved"
    for _ in range(5):
        recorder.remove()
    assert not recorder.orbits
    recorder.prompt.value = "x" * (MOST_LETTERS + 1)
    with pytest.raises(CannotError):
        recorder.add(event)
