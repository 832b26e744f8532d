"""Fits from beginning to end, on photos of a painted ball."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mvgen.core.errors import CannotError
from mvgen.core.progress import Silent
from mvgen.core.render.splats import Painter
from mvgen.core.splats.fit.fit import fit_splats, quality
from mvgen.core.splats.fit.options import Density, FitOptions, Rates
from mvgen.core.splats.fit.state import SPLATS, begin
from mvgen.core.splats.fit.train import Job, changed, loss_of, photo_order, train
from mvgen.core.splats.fit.views import split
from tests.core.splats.fit.ball import ball, photos, points

SHORT = FitOptions(iterations=60, splats=500, degree=1, rates=Rates(means=2e-3, colours=2e-2))
BLACK = (0.0, 0.0, 0.0)
NO_DOME = begin(ball(3)[:0], 0, 1, "cpu").values


def job(options: FitOptions = SHORT, **changes) -> Job:
    return Job(
        **{"photos": photos(8, masked=True), "options": options, "background": BLACK, "seed": 0, "device": "cpu"}
        | changes
    )


def same(one, other) -> bool:
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in SPLATS)


@pytest.mark.parametrize("strategy", ["default", "mcmc"])
def test_splats_come_to_show_the_photos_and_views_between_them(strategy):
    seen, held = split(photos(16, masked=True), 4)
    options = replace(SHORT, iterations=150, strategy=strategy)
    work = job(options, photos=seen)
    before = quality(ball(3), held, BLACK)
    splats = fit_splats(work, points(300), Silent())
    assert len(splats) <= 500 and splats.frame == "rub" and splats.metadata["scene_frame"] == "rub"
    assert quality(splats, seen, BLACK).psnr > 24 > before.psnr + 5
    assert quality(splats, held, BLACK).psnr > 22


def test_the_same_seed_gives_the_same_splats_and_another_others():
    one, other, third = (fit_splats(job(seed=s), points(200), Silent()) for s in (0, 0, 1))
    assert same(one, other) and not same(one, third)


@pytest.mark.slow
def test_an_interrupted_fit_goes_on_to_the_same_result(tmp_path):
    whole = fit_splats(job(), points(200), Silent())

    class Interrupted(Exception):
        pass

    class Killed(Silent):
        steps = 0

        def advance(self, steps: int = 1) -> None:
            self.steps += steps
            if self.steps == 41:
                raise Interrupted

    with pytest.raises(Interrupted):
        fit_splats(job(), points(200), Killed(), tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 1
    again = Killed()
    again.steps = -1000
    assert same(fit_splats(job(), points(200), again, tmp_path / "kept"), whole)
    assert again.steps == -1000 + 60
    assert same(
        fit_splats(job(seed=1), points(200), Silent(), tmp_path / "kept"),
        fit_splats(job(seed=1), points(200), Silent()),
    )


@pytest.mark.slow
def test_known_depths_keep_splats_on_the_surface():
    from tests.core.splats.fit.test_start import deep

    seen = deep()
    plain = [replace(p, picture=np.full_like(p.picture, 128)) for p in seen]  # where nothing can be matched
    off = replace(points(300), points=points(300).points * 1.15)
    away = []
    for weight in (0.0, 3.0):
        painter = Painter(fit_splats(job(replace(SHORT, iterations=120, depth=weight), photos=plain), off, Silent()))
        views = [(painter.render(p.camera).depth, p.depth) for p in seen]
        away.append(np.mean([np.abs(found - known)[known > 0].mean() for found, known in views]))
    assert away[1] < 0.5 * away[0]


def test_each_photo_may_have_its_own_exposure():
    dim = [
        replace(p, picture=(p.picture * (0.6 if i % 2 else 1.0)).astype(np.uint8))
        for i, p in enumerate(photos(8, True))
    ]
    options = replace(SHORT, iterations=160, exposure=True, rates=replace(SHORT.rates, exposure=1e-2))
    work = job(options, photos=dim)
    state = train(begin(ball(300), 8, 1, "cpu"), work, NO_DOME, Silent())
    gains = state.values["exposure"][:, [0, 1, 2], [0, 1, 2]].mean(1)
    assert torch.allclose(state.values["exposure"].mean(0), torch.eye(3, 4), atol=1e-5)
    assert float(gains[1::2].mean() / gains[::2].mean()) == pytest.approx(0.6, abs=0.12)


def test_what_is_masked_out_pulls_at_nothing():
    work = job()
    photo = replace(work.photos[0], mask=np.zeros((48, 64), np.float32))
    start = begin(ball(200), 8, 1, "cpu")
    values = {n: t.clone().requires_grad_() for n, t in start.values.items()}
    other = replace(photo, picture=255 - photo.picture)
    losses = [float(loss_of(values, NO_DOME, p, 0, 1, work)[0].detach()) for p in (photo, other)]
    assert losses[0] == losses[1] > 0.05  # what is drawn where the mask is empty still counts


def test_all_photos_take_turns():
    order = [photo_order(5, step, 3) for step in range(20)]
    assert all(sorted(order[i : i + 5]) == list(range(5)) for i in range(0, 20, 5))
    assert len({tuple(order[i : i + 5]) for i in range(0, 20, 5)}) > 1


def test_one_photo_is_too_few():
    with pytest.raises(CannotError, match="at least 2"):
        fit_splats(job(photos=photos(2)[:1]), points(), Silent())


def test_a_fit_that_diverges_says_so():
    with pytest.raises(CannotError, match="diverged"):
        fit_splats(job(replace(SHORT, rates=Rates(means=float("inf")))), points(200), Silent())


def test_opacities_fall_from_time_to_time_where_that_is_asked_for():
    work = job(replace(SHORT, density=Density(reset=0.5)))
    opacities = []
    for step in (28, 29, 30, 59):  # 30 and 60 steps are done after the second and the last
        state = changed(begin(ball(100), 8, 1, "cpu"), work, 500, step, 1)
        opacities.append(float(torch.sigmoid(state.values["logits"]).max()))
    assert [o < 0.02 for o in opacities] == [False, True, False, True]
