"""Splats that come and go."""

import numpy as np
import pytest
import torch

from mvgen.core.render.splats import Painter
from mvgen.core.splats.fit.density import _shares, faded, grown, moved, shaken
from mvgen.core.splats.fit.options import Density
from mvgen.core.splats.fit.state import State, begin, splats_of
from tests.core.splats.fit.ball import ball, cameras


def start(count: int = 300) -> State:
    return begin(ball(count), 2, 0, "cpu")


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def view(state: State) -> np.ndarray:
    seen = Painter(splats_of(state, ball(1))).render(cameras()[0])
    return seen.color * seen.alpha[..., None]


def test_pushed_splats_are_doubled_or_split_and_faint_ones_dropped():
    state = start(100)
    state.push[:10] = 1.0  # 0 to 4 stay small, 5 to 9 are large
    state.seen.fill_(1)
    state.values["log_scales"][5:10] += 2
    state.values["logits"][50:53] = -9
    extent = float(torch.exp(state.values["log_scales"][0].max())) / 0.02
    out = grown(state, Density(large=0.03), extent, 1000, random())
    assert len(out) == 100 - 3 + 5 + 5
    assert (out.values["means"][-15:-10] == state.values["means"][:5]).all(1).sum() == 5  # copies lie where they were
    halves = out.values["log_scales"][-10:]
    assert torch.allclose(halves, state.values["log_scales"][5:10].repeat(2, 1) - np.log(1.6))
    assert not (out.values["means"][-10:, None] == state.values["means"][None, 5:10]).all(-1).any()
    assert not out.push.any() and not out.seen.any()


def test_no_more_splats_than_there_may_be():
    state = start(100)
    state.push.copy_(torch.arange(100.0))
    state.seen.fill_(1)
    out = grown(state, Density(gradient=0.5), 1e9, 110, random())
    assert len(out) == 110
    assert torch.equal(out.values["means"][100:].sort(0).values, state.values["means"][90:].sort(0).values)


def test_faded_ones_are_nearly_gone():
    out = faded(start(20), Density(faint=0.01))
    assert torch.sigmoid(out.values["logits"]).max() <= 0.02 + 1e-6


@pytest.mark.parametrize("opacity", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_shares_let_through_as_much_light_in_their_middle(opacity, count):
    new, log_scales = _shares(torch.tensor([opacity]), torch.zeros(1, 3), torch.tensor([count]))
    assert float(1 - (1 - new) ** count) == pytest.approx(opacity, abs=1e-4)
    assert (log_scales > -2).all() and (log_scales < 1).all()


def test_moving_faint_splats_hardly_changes_the_picture():
    state = start()
    state.values["logits"].clamp_(max=0.5)
    state.values["logits"][:30] = -9
    before, faint = view(state), state.values["means"][:30].clone()
    out = moved(state, Density(), 330, random())
    assert len(out) == 315 and (torch.sigmoid(out.values["logits"]) > 0.005).all()
    assert (out.values["means"][:30] != faint).any(1).all()
    assert np.abs(view(out) - before).mean() < 0.01
    gone = start()
    gone.values["logits"].clamp_(max=0.5)[30:60] = -9
    assert np.abs(view(gone) - before).mean() > 0.01  # the picture does depend on so many


def test_only_faint_splats_are_shaken():
    state = start(50)
    state.values["logits"][:5] = -9
    before = state.values["means"].clone()
    shaken(state, Density(), 1e-4, random())
    away = torch.linalg.vector_norm(state.values["means"] - before, dim=1)
    assert (away[:5] > 1e-4).all() and (away[5:] < 1e-6).all()
