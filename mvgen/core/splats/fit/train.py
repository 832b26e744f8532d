"""The fit: pictures are drawn, compared with the photos, and splats follow the gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mvgen.core.camera import Camera
from mvgen.core.progress import Progress
from mvgen.core.splats.fit.density import faded, grown, moved, shaken
from mvgen.core.splats.fit.losses import photometric, target_of
from mvgen.core.splats.fit.options import FitOptions, Rates
from mvgen.core.splats.fit.start import extent_of
from mvgen.core.splats.fit.state import SPLATS, State, adam
from mvgen.core.splats.fit.views import Photo
from mvgen.core.splats.harmonics import count
from mvgen.kernels.splatting import Flat, blend, harmonics_colours, project


@dataclass(frozen=True, eq=False)
class Job:
    """What stays the same in all steps. background: the colour behind all splats."""

    photos: Sequence[Photo]
    options: FitOptions
    background: Sequence[float]
    seed: int
    device: str

    @cached_property
    def extent(self) -> float:
        """How far the cameras reach."""
        return extent_of([p.camera for p in self.photos])


def train(
    state: State, job: Job, dome: Mapping[str, Tensor], progress: Progress, keep: Callable[[State], None] | None = None
) -> State:
    """All steps that are left. dome: splats, as in `State.values`, that are seen behind the others and stay as they
    are. ``keep`` is called with the state from time to time."""
    options, total = job.options, job.options.iterations
    every = max(len(job.photos), round(options.density.every * total))
    apart = max(1, total // 20)
    for step in range(state.step, total):
        state = one_step(state, job, dome)
        if (step + 1) % every == 0 and options.density.start * total <= step + 1 <= options.density.stop * total:
            state = changed(state, job, options.splats - len(dome["means"]), step, every)
        progress.advance()
        if keep is not None and ((step + 1) % apart == 0 or step + 1 == total):
            keep(state)
    return state


def one_step(state: State, job: Job, dome: Mapping[str, Tensor]) -> State:
    """The gradient of one photo's loss, and one step of Adam."""
    options, step = job.options, state.step
    index = photo_order(len(job.photos), step, job.seed)
    photo = job.photos[index]
    values = {name: t.detach().requires_grad_() for name, t in state.values.items()}
    degree = min(options.degree, step * 2 * (options.degree + 1) // options.iterations)
    loss, flat = loss_of(values, dome, photo, index, degree, job)
    loss.backward()
    gradients = {name: t.grad for name, t in values.items() if t.grad is not None}
    with torch.no_grad():
        pushed(state, flat, photo.camera)
        speed = options.rates.means * job.extent * options.rates.last ** (step / options.iterations)
        state = adam(state, gradients, rates_of(options.rates, speed, state.values["harmonics"]))
        if options.strategy == "mcmc":
            shaken(state, options.density, speed, noise(job.seed, step))
        if options.exposure:
            balance = state.values["exposure"]
            balance.sub_(balance.mean(0) - torch.eye(3, 4, device=balance.device))
    return state


def loss_of(
    values: Mapping[str, Tensor], dome: Mapping[str, Tensor], photo: Photo, index: int, degree: int, job: Job
) -> tuple[Tensor, Flat]:
    """How far the view is from the photo, with what the options add to it; and the splats in the picture."""
    options = job.options
    both = together(values, dome)
    with_depth = options.depth > 0 and photo.depth is not None
    flat, picture, light, depth = view(both, photo.camera, degree, options.antialiased, with_depth)
    background = torch.tensor(job.background, device=job.device)
    picture = picture + light[..., None] * background
    if options.exposure:
        balance = values["exposure"][index]
        picture = picture @ balance[:, :3].T + balance[:, 3]
    goal = torch.from_numpy(photo.picture).to(job.device).float() / 255
    if photo.mask is not None:
        mask = torch.from_numpy(photo.mask).to(job.device)
        goal = goal * mask[..., None] + (1 - mask[..., None]) * background
    loss = photometric(picture, target_of(goal), options.structure)
    if photo.mask is not None:
        loss = loss + options.outside * ((1 - light) - mask).abs().mean()
    if depth is not None and photo.depth is not None:
        loss = loss + options.depth * depth_loss(depth, 1 - light, torch.from_numpy(photo.depth).to(job.device))
    scales = torch.exp(values["log_scales"]) / job.extent
    loss = loss + options.flat * scales.min(1).values.mean()
    if options.strategy == "mcmc":
        loss = loss + options.opaque * torch.sigmoid(values["logits"]).mean() + options.small * scales.mean()
    return loss, flat


def together(values: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Splats with others behind them."""
    return {name: torch.cat([values[name], more[name]]) for name in SPLATS} if len(more["means"]) else values


def view(
    values: Mapping[str, Tensor], camera: Camera, degree: int, antialiased: bool, with_depth: bool = False
) -> tuple[Flat, Tensor, Tensor, Tensor | None]:
    """Splats in the picture, colours [H, W, 3], the light behind [H, W] and, where asked for, summed depths [H, W]. The
    gradient by the splats' places in the picture is kept."""
    pose, lens, eye = (
        torch.tensor(a, device=values["means"].device, dtype=torch.float32)
        for a in (camera.world_to_camera, camera.intrinsics, camera.centre)
    )
    flat = project(
        values["means"], values["quaternions"], values["log_scales"], values["logits"], pose, lens,
        camera.height, camera.width, antialiased,
    )  # fmt: skip
    flat.means.retain_grad()
    colours = harmonics_colours(values["harmonics"][:, : count(degree)], values["means"], eye)
    if with_depth:
        colours = torch.cat([colours, flat.depths[:, None]], 1)
    mixed, light = blend(flat, colours, camera.height, camera.width)
    return flat, mixed[..., :3], light, mixed[..., 3] if with_depth else None


def depth_loss(summed: Tensor, alpha: Tensor, known: Tensor) -> Tensor:
    """Mean relative difference of depths where one is known and something is drawn."""
    there = (known > 0) & (alpha > 0.05)
    difference = (summed / alpha.clamp(min=0.05) - known).abs() / known.clamp(min=1e-12)
    return torch.where(there, difference, 0.0).mean()


def pushed(state: State, flat: Flat, camera: Camera) -> None:
    """Lengths of the gradients by the place in the picture, whose half side is 1, are added up."""
    gradient = flat.means.grad
    if gradient is None:
        return
    gradient, reach = gradient[: len(state)], flat.reach[: len(state)]  # the dome's come last
    half = torch.tensor([camera.width / 2, camera.height / 2], device=gradient.device)
    seen = (reach > 0).all(1) & (gradient != 0).any(1)
    state.push.add_(torch.where(seen, torch.linalg.vector_norm(gradient * half, dim=1), 0.0))
    state.seen.add_(seen)


def changed(state: State, job: Job, most: int, step: int, every: int) -> State:
    """Splats come and go by the strategy, as they do ``every`` so many steps; at most ``most`` are left."""
    options, total = job.options, job.options.iterations
    with torch.no_grad():
        if options.strategy == "mcmc":
            return moved(state, options.density, most, noise(job.seed, step, 1))
        state = grown(state, options.density, job.extent, most, noise(job.seed, step, 1))
        apart = round(options.density.reset * total)
        if apart and (step + 1) // apart > (step + 1 - every) // apart:
            state = faded(state, options.density)
    return state


def rates_of(rates: Rates, means: float, harmonics: Tensor) -> dict[str, float | Tensor]:
    """Adam's step for each tensor; means: that of the means."""
    bands = torch.full((1, harmonics.shape[1], 1), rates.harmonics, device=harmonics.device)
    bands[:, 0] = rates.colours
    return {
        "means": means,
        "quaternions": rates.quaternions,
        "log_scales": rates.log_scales,
        "logits": rates.logits,
        "harmonics": bands,
        "exposure": rates.exposure,
    }


def photo_order(number: int, step: int, seed: int) -> int:
    """Which photo a step looks at: all of them in turn, in another order each time."""
    turn, place = divmod(step, number)
    return int(np.random.default_rng([seed, turn]).permutation(number)[place])


def noise(seed: int, step: int, use: int = 0) -> torch.Generator:
    """Random numbers of one step, whatever was drawn before."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, step, use]).generate_state(1)[0]))
