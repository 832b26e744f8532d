"""Edits that end with steps of a fit, drags in such steps, and edits of checkpoints."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mvgen.core.edit import fits
from mvgen.core.edit.operations import begun, duplicated, moved, removed
from mvgen.core.edit.recipe import Handle, Recipe, Recolor, Refit, Translate, Where
from mvgen.core.edit.replay import Place, edited
from mvgen.core.errors import CannotError
from mvgen.core.progress import Silent
from mvgen.core.render.splats import Painter
from mvgen.core.splats.fit.fit import fit_splats
from mvgen.core.splats.fit.options import FitOptions
from mvgen.core.splats.fit.state import SPLATS, begin, load_state, save_state
from mvgen.core.splats.fit.train import Job
from mvgen.core.splats.seen import SCENE_FRAME
from tests.core.edit.shapes import same_rows
from tests.core.splats.fit.ball import ball, photos, points

PHOTOS = photos(8)


def fitting(iterations: int = 30) -> fits.Fitting:
    return fits.Fitting(PHOTOS, iterations, 0, "cpu", Silent())


def top(splats, height=0.5):
    return splats.means[:, 1] > height


def error(splats) -> float:
    out = []
    for photo in PHOTOS:
        view = Painter(splats).render(photo.camera)
        out.append(np.abs(view.color * view.alpha[..., None] - photo.picture / 255).mean())
    return float(np.mean(out))


def test_a_fit_changes_what_is_selected_alone_and_for_the_better():
    before = ball()
    mask = top(before)
    editing = replace(begun(before), selected=mask)
    recipe = Recipe((Recolor(colour=(1.0, 0.0, 0.0), region=Where(box=(-9.0, 0.5, -9.0, 9.0, 9.0, 9.0))),))
    editing = edited(editing, recipe, Place(lambda s, n: PHOTOS, 0, "cpu", Silent()))
    assert np.array_equal(editing.touched, mask)
    out = fits.refitted(editing, editing.touched, fitting(60))
    assert same_rows(before, out.splats, ~mask) and not same_rows(editing.splats, out.splats, mask)
    assert len(out.splats) == len(before)
    assert error(out.splats) < 0.9 * error(editing.splats)


def test_a_recipe_fits_what_its_steps_have_changed():
    place = Place(lambda scene, size: PHOTOS, 0, "cpu", Silent())
    steps = (
        Translate(shift=(0.02, 0.0, 0.0), region=Where(sphere=(0.0, 1.0, 0.0, 0.5))),
        Refit(scene="scene", iterations=5, size=64),
    )
    before = ball()
    out = edited(begun(before), Recipe(steps), place)
    near = np.linalg.norm(before.means - np.float32([0, 1, 0]), axis=1) <= 0.5
    assert np.array_equal(out.touched, near) and same_rows(before, out.splats, ~near)
    with pytest.raises(CannotError, match="nothing to fit"):
        edited(begun(before), Recipe(steps[1:]), place)


def test_a_rigid_drag_under_photos_keeps_its_part_and_lands():
    before = ball()
    handle = Handle((0.0, 1.0, 0.0), (0.0, 1.4, 0.1), 0.4)
    mask = np.linalg.norm(before.means - np.float32(handle.source), axis=1) <= 0.4
    out = fits.dragged(begun(before), [handle], True, fitting(40))
    reach = ~out.touched
    assert reach.any() and (out.origin[reach] >= 0).all()
    assert same_rows(before, out.splats, out.origin[reach], np.flatnonzero(reach))
    part = np.flatnonzero(out.touched)[: mask.sum()]
    middle = before.means[mask].mean(0)
    assert np.allclose(out.splats.means[part].mean(0) - middle, [0, 0.4, 0.1], atol=1e-4)

    def apart(points):
        return np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=-1)

    was = apart(before.means[mask])
    assert np.abs(apart(out.splats.means[part]) - was).max() < 0.01 * was[was > 0].min()


def test_a_deforming_drag_under_photos_grows():
    before = ball()
    handle = Handle((0.0, 1.0, 0.0), (0.0, 1.5, 0.0), 0.5)
    out = fits.dragged(begun(before), [handle], False, fitting(60))
    assert out.splats.means[:, 1].max() > 1.3
    still = ~out.touched
    assert same_rows(before, out.splats, out.origin[still], np.flatnonzero(still))
    assert np.isfinite(out.splats.means).all()


def test_a_checkpoint_is_edited_with_its_moments(tmp_path):
    state = begin(ball(100), 3, 1, "cpu")
    for part in (state.first, state.second):
        for name in SPLATS:
            part[name].copy_(torch.rand_like(part[name]))
    state = replace(state, step=17)
    state.values["quaternions"].mul_(1.7)  # a fit does not keep them at length 1
    save_state(state, tmp_path / "a.safetensors")
    state = load_state(tmp_path / "a.safetensors", "cpu")
    editing = fits.of_state(state)
    mask = top(editing.splats)
    editing = duplicated(replace(editing, selected=mask))
    editing = moved(editing, Translate(shift=(0.0, 1.0, 0.0)).matrix(editing.middle))
    out = fits.to_state(editing, state)
    save_state(out, tmp_path / "b.safetensors")
    back = load_state(tmp_path / "b.safetensors", "cpu")
    assert len(back) == 100 + mask.sum() and back.step == 17 and len(back.push) == len(back)
    for name in SPLATS:
        assert torch.equal(back.values[name][:100], state.values[name])
        assert torch.equal(back.first[name][:100], state.first[name]) and not back.first[name][100:].any()
        assert torch.equal(back.second[name][:100], state.second[name]) and not back.second[name][100:].any()
    assert torch.equal(back.values["exposure"], state.values["exposure"])
    fewer = fits.to_state(removed(replace(fits.of_state(state), selected=mask)), state)
    assert torch.equal(fewer.first["means"], state.first["means"][torch.from_numpy(~mask)])


def test_a_checkpoint_can_be_fitted_in_part():
    state = begin(ball(300), 8, 0, "cpu")
    editing = fits.of_state(state)
    mask = top(editing.splats)
    out = fits.to_state(fits.refitted(editing, mask, fitting(5)), state)
    rows = torch.from_numpy(mask)
    for name in SPLATS:
        assert torch.equal(out.values[name][~rows], state.values[name][~rows])
        assert not out.first[name][~rows].any()
    assert out.first["means"][rows].any()
    assert not torch.equal(out.values["means"][rows], state.values["means"][rows])


def test_numbers_are_those_of_the_file_whatever_the_scene_has():
    """Splats of a file with y down, whose scene has y up."""
    before = replace(ball(), metadata={SCENE_FRAME: "rub"}).in_frame("rdf")
    out = fits.dragged(begun(before), [Handle((0.0, -1.0, 0.0), (0.0, -1.5, 0.0), 0.5)], True, fitting(10))
    assert out.splats.frame == "rdf" and out.splats.means[:, 1].min() < -1.4
    mask = before.means[:, 1] < -0.5
    fitted = fits.refitted(replace(begun(before), selected=mask), mask, fitting(20))
    assert same_rows(before, fitted.splats, ~mask)
    assert np.abs(fitted.splats.means[mask] - before.means[mask]).max() < 0.1


def test_a_fit_goes_on_from_an_edited_checkpoint(tmp_path):
    options = FitOptions(iterations=40, splats=500, degree=0)
    job = Job(PHOTOS, options, (0.0, 0.0, 0.0), 0, "cpu")
    whole = fit_splats(job, points(), Silent(), tmp_path)
    (file,) = tmp_path.iterdir()
    state = replace(load_state(file, "cpu"), step=30)
    editing = fits.of_state(state)
    away = removed(replace(editing, selected=editing.splats.means[:, 1] > 0.7))
    save_state(fits.to_state(away, state), file)
    fitted = fit_splats(job, points(), Silent(), tmp_path)
    assert len(away.splats) <= len(fitted) < len(whole)
    assert load_state(file, "cpu").step == 40
