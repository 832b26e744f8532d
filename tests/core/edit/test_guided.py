"""Splats changed towards what a model with a known optimum sees: everything in one colour."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mvgen.core.edit import fits, guided
from mvgen.core.edit.guided import LOCAL, Wish, views_of
from mvgen.core.edit.operations import begun
from mvgen.core.edit.recipe import Drag, Guidance, Handle, Imagine, Recipe, Recolor, Remove, Where
from mvgen.core.edit.replay import Place, edited
from mvgen.core.errors import CannotError, UsageError, WeightsError
from mvgen.core.guidance import network
from mvgen.core.guidance.distil import Distillation
from mvgen.core.guidance.orbits import Orbit, camera_at
from mvgen.core.progress import Silent
from mvgen.core.render.splats import Painter
from mvgen.core.splats.fit.state import SPLATS, begin
from tests.core.edit.shapes import same_rows
from tests.core.guidance import networks
from tests.core.guidance.analytic import nothing, towards
from tests.core.splats.fit.ball import ball

RED = (0.9, 0.1, 0.1)
ORBIT = Orbit("", (0.0, 1.0, 0.0), (0.0, 40.0), (-180.0, 180.0), (2.0, 2.5))


@pytest.fixture
def words(monkeypatch):
    """What the model was told; it sees red whatever that is."""
    told = []

    def read(folder, prompts, device, progress):
        told.extend(prompts)
        return dict.fromkeys(prompts, nothing())

    goal = torch.tensor(RED).view(3, 1, 1).expand(3, 32, 32)
    monkeypatch.setattr(guided, "kind_of", lambda folder: "one of tests")
    monkeypatch.setattr(network, "read_prompts", read)
    monkeypatch.setattr(network, "load_guide", lambda folder, device: towards(goal, 32))
    return told


def wish(prompt="a red hat", orbits=(), **options) -> Wish:
    return Wish(Path("none"), prompt, "", orbits, Distillation(**{"scale": 1.0} | options))


def fitting(iterations=60, seed=0, **changes) -> fits.Fitting:
    return fits.Fitting((), iterations, seed, "cpu", Silent(), wish(**changes))


def top(splats):
    return splats.means[:, 1] > 0.6


def redness(splats, rows) -> float:
    return float(np.abs(splats.colours[rows] - np.float32(RED)).mean())


def test_what_is_selected_alone_becomes_what_the_model_sees(words):
    """In views that show nothing else, so that the optimum is known: all in sight is red."""
    before = ball()
    mask = before.means[:, 1] > 0.8
    close = replace(ORBIT, prompt="red", elevation=(50.0, 90.0), distance=(0.8, 1.0), fov=25.0)
    camera = camera_at(close, 80, 30, 0.9, np.array([0.0, 1.0, 0.0]), 32)
    out = fits.refitted(begun(before), mask, fitting(200, prompt=None, orbits=[close]))
    assert same_rows(before, out.splats, ~mask) and np.array_equal(out.touched, mask)
    first, last = (np.abs(Painter(s).render(camera).color - np.float32(RED)).mean() for s in (before, out.splats))
    assert first > 0.3 and last < 0.02


def test_prompts_tell_the_side(words):
    before = ball(50)
    fits.refitted(begun(before), top(before), fitting(1))
    assert words[:4] == [f"a red hat, {side} view" for side in ("front", "side", "back", "overhead")]
    assert words[-1] == ""


def test_a_seed_tells_everything(words):
    before = ball(200)
    first, again, other = (fits.refitted(begun(before), top(before), fitting(6, seed)).splats for seed in (1, 1, 2))
    assert same_rows(first, again, np.arange(200)) and not same_rows(first, other, np.arange(200))


@pytest.mark.parametrize("rigid", [True, False])
def test_drags_under_guidance_arrive(words, rigid):
    before = ball()
    handle = Handle((0.0, 1.0, 0.0), (0.0, 1.5, 0.0), 0.5)
    out = fits.dragged(begun(before), [handle], rigid, fitting(40))
    still = ~out.touched
    assert same_rows(before, out.splats, out.origin[still], np.flatnonzero(still))
    assert out.splats.means[:, 1].max() > 1.35
    if rigid:
        mask = np.linalg.norm(before.means - np.float32(handle.source), axis=1) <= 0.5
        part = np.flatnonzero(out.touched)[: mask.sum()]
        assert np.allclose(out.splats.means[part].mean(0) - before.means[mask].mean(0), [0, 0.5, 0], atol=1e-4)
    assert redness(out.splats, out.touched) < redness(before, top(before))


def test_numbers_are_those_of_the_file(words):
    before = ball().in_frame("rdf")  # y down
    out = fits.dragged(begun(before), [Handle((0.0, -1.0, 0.0), (0.0, -1.5, 0.0), 0.5)], True, fitting(10))
    assert out.splats.frame == "rdf" and out.splats.means[:, 1].min() < -1.4


def test_moments_of_a_checkpoint_go_on(words):
    editing = fits.of_state(begin(ball(300), 4, 0, "cpu"))
    mask = top(editing.splats)
    out = fits.refitted(editing, mask, fitting(3))
    for name in SPLATS:
        first = out.moments["first"][name]
        assert not first[~mask].any()
    assert out.moments["first"]["harmonics"][mask].any()


def test_most_views_are_near_what_is_edited():
    splats = ball()
    points = splats.means[splats.means[:, 1] > 0.9]
    views = views_of(wish(), splats, points, np.zeros(len(points)))
    drawn = [views.drawn(32, np.random.default_rng(i)) for i in range(400)]
    near = [orbit is views.local[0] for _, orbit in drawn]
    assert abs(np.mean(near) - LOCAL) < 0.07
    for (camera, _), local in zip(drawn, near):
        distance = np.linalg.norm(camera.centre - (views.local[0].target if local else views.whole.target))
        assert np.isclose(distance, views.local[0].distance[0] if local else views.whole.distance[0])
    assert views.local[0].distance[0] < 0.6 * views.whole.distance[0]


def test_views_of_a_file_bring_prompts_of_their_own(words):
    before = ball(100)
    own = replace(ORBIT, prompt="a bird", negative="a cat")
    out = fits.refitted(begun(before), top(before), fitting(3, prompt=None, orbits=[own]))
    assert words == [f"a bird, {side} view" for side in ("front", "side", "back", "overhead")] + ["a cat"]
    assert not same_rows(before, out.splats, top(before))
    words.clear()
    fits.refitted(begun(before), top(before), fitting(1, orbits=[own, ORBIT]))
    assert {"a bird, side view", "a red hat, back view", "a cat", ""} <= set(words)
    with pytest.raises(UsageError, match="an orbit has no prompt"):
        fits.refitted(begun(before), top(before), fitting(1, prompt=None, orbits=[own, ORBIT]))


def test_splats_are_seen_as_a_whole_from_where_they_were_seen():
    about = {"eyes": [[0, 0, 3], [0, 3, 0]], "targets": [[0, 0, 0], [0, 0, 0]], "up": [0, 1, 0], "across": 50}
    splats = replace(ball(), metadata={"seen_from": about})
    views = views_of(wish(), splats, splats.means[:5], np.zeros(5))
    eyes = [
        c.centre for c, orbit in (views.drawn(32, np.random.default_rng(i)) for i in range(60)) if orbit is views.whole
    ]
    assert len(eyes) > 5 and all(np.allclose(np.linalg.norm(eye), 3) for eye in eyes)


def test_recipes_with_prompts_are_replayed(words, monkeypatch, tmp_path):
    monkeypatch.setattr("mvgen.core.guidance.folder.weights_for", lambda given: tmp_path)
    place = Place(lambda scene, size: [], 0, "cpu", Silent())
    before, guidance = ball(200), Guidance(prompt="a red hat", scale=1.0)
    where = Where(box=(-9.0, 0.6, -9.0, 9.0, 9.0, 9.0))
    selected = edited(begun(before), Recipe((Imagine(guidance=guidance, iterations=3, region=where),)), place)
    assert np.array_equal(selected.touched, top(before)) and same_rows(before, selected.splats, ~top(before))
    steps = (Recolor(colour=(0.0, 1.0, 0.0), region=where), Imagine(guidance=guidance, iterations=3))
    touched = edited(begun(before), Recipe(steps), place)
    assert np.array_equal(touched.touched, top(before)) and same_rows(before, touched.splats, ~top(before))
    everything = edited(begun(before), Recipe(steps[1:]), place)
    assert everything.touched.all()
    hole = edited(begun(before), Recipe((Remove(region=where), steps[1])), place)
    rest = hole.splats.means[:, 1]
    assert hole.touched[rest > 0.5].all() and not hole.touched[rest < -0.5].any()
    assert same_rows(before, hole.splats, hole.origin[~hole.touched], np.flatnonzero(~hole.touched))
    drag = Drag(mode="rigid", handles=(Handle((0, 1, 0), (0, 1.5, 0), 0.5),), guidance=guidance, iterations=4)
    assert edited(begun(before), Recipe((drag,)), place).splats.means[:, 1].max() > 1.4
    with pytest.raises(UsageError, match="needs iterations"):
        edited(begun(before), Recipe((replace(drag, iterations=None),)), place)


@pytest.mark.parametrize("make", [networks.stable_diffusion, networks.stable_diffusion_xl, networks.pixart])
def test_every_kind_of_model_guides(tmp_path, make):
    before = ball(100)
    real = replace(wish(scale=7.5), folder=make(tmp_path))
    out = fits.refitted(begun(before), top(before), replace(fitting(2), wish=real))
    assert same_rows(before, out.splats, ~top(before)) and not same_rows(before, out.splats, top(before))


def test_missing_models_are_told_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    place = Place(lambda scene, size: [], 0, "cpu", Silent())
    steps = (Recolor(colour=(2.0, 0, 0), region=Where(sphere=(9.0, 9.0, 9.0, 0.1))),)
    with pytest.raises(CannotError, match="selects none"):
        edited(begun(ball(50)), Recipe(steps), place)
    with pytest.raises(WeightsError, match="no diffusion model"):
        edited(begun(ball(50)), Recipe((*steps, Imagine(guidance=Guidance(prompt="x"), iterations=1))), place)


def test_pictures_are_as_large_as_the_model_knows_them(words):
    assert guided.PICTURE == 512
    seen = []
    before = ball(50)
    original = guided.sampled

    def sampled(orbit, up, size, rng):
        seen.append(size)
        return original(orbit, up, size, rng)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guided, "sampled", sampled)
        fits.refitted(begun(before), top(before), fitting(2))
    assert seen == [32, 32]
