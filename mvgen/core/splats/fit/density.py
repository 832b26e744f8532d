"""Splats come and go: where the picture pulls at them, or from where they are faint to where others are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mvgen.core.splats.fit.options import Density
from mvgen.core.splats.fit.state import SPLATS, State, joined, picked
from mvgen.kernels.splatting import rotations

SHRINK = 1.6  # by which the two halves of a splat are smaller than it was
CROWD = 51  # splats at most that one is shared out to
GROWTH = 1.05  # by which mcmc multiplies the number of splats


def grown(state: State, options: Density, extent: float, most: int, noise: torch.Generator) -> State:
    """Splats with a strong mean push are doubled where small and split in two where large; faint ones are dropped.

    (Kerbl et al. 2023, section 5.2.) extent: of the cameras; most: splats there may be, the pushed hardest first.
    """
    mean = state.push / state.seen.clamp(min=1)
    solid = torch.sigmoid(state.values["logits"]) >= options.faint
    room = most - int(solid.sum())
    wanted = torch.nonzero(solid & (mean > options.gradient))[:, 0]
    wanted = wanted[torch.argsort(mean[wanted], descending=True, stable=True)[: max(room, 0)]]
    large = state.values["log_scales"].max(1).values > math.log(options.large * extent)
    doubled, split = wanted[~large[wanted]], wanted[large[wanted]]
    halves = split.repeat(2)
    new = {name: torch.cat([t[doubled], t[halves]]) for name, t in state.values.items() if name in SPLATS}
    new["means"][len(doubled) :] += _scattered(state, halves, noise)
    new["log_scales"][len(doubled) :] -= math.log(SHRINK)
    solid[split] = False
    return joined(picked(state, solid), new)


def faded(state: State, options: Density) -> State:
    """All opacities fall to little more than what is dropped, and Adam forgets them."""
    limit = 2 * options.faint
    state.values["logits"].clamp_(max=math.log(limit / (1 - limit)))
    state.first["logits"].zero_()
    state.second["logits"].zero_()
    return state


def moved(state: State, options: Density, most: int, noise: torch.Generator) -> State:
    """Faint splats go to where solid ones are, which share their opacity with them, and a few more come, up to most.

    (Kheradmand et al. 2024, section 4: the picture stays nearly as it was.)
    """
    opacity = torch.sigmoid(state.values["logits"])
    faint = torch.nonzero(opacity <= options.faint)[:, 0]
    alive = torch.nonzero(opacity > options.faint)[:, 0]
    if not len(alive):
        return state
    state = _shared(state, _drawn(opacity, alive, len(faint), noise), faint)
    more = min(most, int(GROWTH * len(state))) - len(state)
    if more <= 0:
        return picked(state, torch.ones(len(state), dtype=torch.bool, device=opacity.device))
    opacity = torch.sigmoid(state.values["logits"])
    source = _drawn(opacity, torch.arange(len(state), device=opacity.device), more, noise)
    places = torch.arange(len(state), len(state) + more, device=opacity.device)
    return _shared(joined(state, {name: state.values[name][source] for name in SPLATS}), source, places)


def shaken(state: State, options: Density, rate: float, noise: torch.Generator) -> None:
    """Means of splats that are not solid are shaken along their axes (Kheradmand et al. 2024, equation 8)."""
    values = state.values
    opacity = torch.sigmoid(values["logits"])
    loose = torch.sigmoid(-100 * (opacity - options.faint))
    axes = rotations(values["quaternions"]) * torch.exp(values["log_scales"])[:, None]
    steps = _normal(len(state), noise, opacity.device) * (loose * options.noise * rate)[:, None]
    values["means"].add_((axes @ (axes.transpose(1, 2) @ steps[..., None]))[..., 0])


def _shared(state: State, source: Tensor, places: Tensor) -> State:
    """The splats at ``source`` are copied to ``places``, and opacity and size shared out among all copies."""
    if not len(source):
        return state
    count = torch.bincount(source, minlength=len(state))[source] + 1
    opacity, log_scales = _shares(
        torch.sigmoid(state.values["logits"][source]), state.values["log_scales"][source], count
    )
    state.values["logits"][source] = torch.logit(opacity)
    state.values["log_scales"][source] = log_scales
    for name in SPLATS:
        state.values[name][places] = state.values[name][source]
        for moments in (state.first, state.second):
            moments[name][source] = 0
            moments[name][places] = 0
    return state


def _shares(opacity: Tensor, log_scales: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity [N] and log scales [N, 3] of each of count [N] splats that together look like one (equation 9)."""
    count = count.clamp(max=CROWD)
    new = (1 - (1 - opacity) ** (1 / count)).clamp(0.005, 1 - 1e-6)
    total = torch.zeros_like(new)
    for i in range(1, int(count.max()) + 1):
        row = sum(math.comb(i - 1, k) * (-1) ** k / math.sqrt(k + 1) * new.double() ** (k + 1) for k in range(i))
        total += torch.where(count >= i, row, 0.0).to(new)
    return new, log_scales + torch.log(opacity / total.clamp(min=1e-12))[:, None]


def _drawn(opacity: Tensor, among: Tensor, number: int, noise: torch.Generator) -> Tensor:
    """[number] of among, those of more opacity more often."""
    chance = torch.cumsum(opacity[among].double(), 0)
    places = torch.rand(number, generator=noise, dtype=torch.float64).to(chance) * chance[-1]
    return among[torch.searchsorted(chance, places).clamp(max=len(among) - 1)]


def _scattered(state: State, rows: Tensor, noise: torch.Generator) -> Tensor:
    """[R, 3]: steps drawn from the splats themselves."""
    axes = rotations(state.values["quaternions"][rows]) * torch.exp(state.values["log_scales"][rows])[:, None]
    return (axes @ _normal(len(rows), noise, axes.device)[..., None])[..., 0]


def _normal(number: int, noise: torch.Generator, device: torch.device) -> Tensor:
    return torch.randn(number, 3, generator=noise).to(device)
