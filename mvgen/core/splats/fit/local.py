"""Fits of some splats among others that stay as they are: after an edit, or while parts are dragged.

What they should look like is told by a function: the loss of photos, or of whatever else judges a picture. Drags are
those of Dong et al., "Interactive3D" (2024), section 3.1.3: before each step what is held is shifted a little, and
losses of motion and rigidity join that of the picture; splats come and go meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError
from mvgen.core.progress import Progress
from mvgen.core.splats.fit.density import grown
from mvgen.core.splats.fit.options import FitOptions
from mvgen.core.splats.fit.state import PARTS, SPLATS, State, adam, joined, picked
from mvgen.core.splats.fit.train import Job, loss_of, noise, photo_order, pushed, rates_of
from mvgen.kernels.splatting import Flat

MOVING = 0.5  # share of the iterations in which a drag arrives; the others close seams
MOTION, RIGID = 1.0, 10.0  # weights of the losses
DENSITY_STEPS = 20  # times that splats come and go in a drag


Loss = Callable[[Mapping[str, Tensor], int], tuple[Tensor, Flat, Camera]]


@dataclass(frozen=True, eq=False)
class Task:
    """loss: of splats (as `State.values`) in a step from 0, how they lie in its picture, and the camera of it; extent:
    how far the cameras reach."""

    loss: Loss
    options: FitOptions
    extent: float
    seed: int


def of_photos(job: Job, around: Mapping[str, Tensor]) -> Task:
    """To look like photos, beside the splats ``around`` (as `State.values`)."""

    def loss(values: Mapping[str, Tensor], i: int) -> tuple[Tensor, Flat, Camera]:
        index = photo_order(len(job.photos), i, job.seed)
        found, flat = loss_of(values, around, job.photos[index], index, job.options.degree, job)
        return found, flat, job.photos[index].camera

    return Task(loss, job.options, job.extent, job.seed)


@dataclass(frozen=True, eq=False)
class Pull:
    """source [3] goes to target [3], with what is within the radius: as one body, if rigid."""

    source: Tensor
    target: Tensor
    radius: float
    rigid: bool


def refitted(state: State, task: Task, progress: Progress) -> State:
    """The splats after all iterations, as many and in the same order. Raises CannotError where the fit diverges."""
    for i in range(task.options.iterations):
        state = _step(state, task, i, ())
        progress.advance()
    return _finite(state)


def dragged(state: State, task: Task, progress: Progress, pulls: Sequence[Pull], most: int) -> State:
    """The splats after all iterations of drags, at most ``most``, in another order; a rigid part keeps its shape and
    goes all the way. Raises CannotError where the fit diverges."""
    state, drags = _held(state, pulls)
    fixed = sum(len(d.before) for d in drags if d.pull.rigid)
    moving = max(1, round(MOVING * task.options.iterations))
    every = max(1, task.options.iterations // DENSITY_STEPS)
    for i in range(task.options.iterations):
        if i < moving:
            for drag in drags:
                drag.shift(state.values["means"], 1 / (moving - i))
        state = _step(state, task, i, drags)
        if (i + 1) % every == 0:
            state = _come_and_go(state, fixed, task, most, i)
        progress.advance()
    for drag in drags:
        drag.settle(state.values["means"])
    return _finite(state)


class _Drag:
    """One pull under way. Rows of a rigid part are fixed; else they are those near the place it has come to."""

    def __init__(self, pull: Pull, rows: slice | None, means: Tensor):
        self.pull, self.rows = pull, rows
        self.at = pull.source.clone()
        self.before = means[rows].clone() if rows is not None else means[:0]

    def shift(self, means: Tensor, share: float) -> None:
        """A share of the way that is left, in place."""
        if self.rows is not None:
            self.at = self.pull.source + (means[self.rows] - self.before).mean(0)
            means[self.rows] += share * (self.pull.target - self.at)
        else:
            step = share * (self.pull.target - self.at)
            means += self._weight(means)[:, None] * step
            self.at = self.at + step

    def loss(self, means: Tensor) -> Tensor:
        """Of motion, to where each held one should go; and of rigidity, by the distances from the source."""
        way = self.pull.target - self.pull.source
        if self.rows is None:
            weight = self._weight(means.detach())
            goal = means.detach() + self.pull.target - self.at
            return MOTION * (weight[:, None] * (means - goal).abs()).sum() / weight.sum().clamp(min=1)
        now = means[self.rows]
        source = self.pull.source + (now.detach() - self.before).mean(0)
        distance = torch.linalg.vector_norm(now - source, dim=1)
        before = torch.linalg.vector_norm(self.before - self.pull.source, dim=1)
        return MOTION * (now - self.before - way).abs().mean() + RIGID * (distance - before).abs().mean()

    def settle(self, means: Tensor) -> None:
        """A rigid part gets its shape back, as it is turned now (Kabsch 1976), at its target."""
        if self.rows is None:
            return
        middle = self.before.mean(0)
        flat, now = self.before - middle, means[self.rows]
        left, _, right = torch.linalg.svd((now - now.mean(0)).double().T @ flat.double())
        left[:, 2] *= torch.sign(torch.linalg.det(left @ right))
        turn = (left @ right).to(flat)
        means[self.rows] = flat @ turn.T + middle + self.pull.target - self.pull.source

    def _weight(self, means: Tensor) -> Tensor:
        distance = torch.linalg.vector_norm(means - self.at, dim=1) / self.pull.radius
        return (1 - distance.square()).clamp(min=0).square()


def _held(state: State, pulls: Sequence[Pull]) -> tuple[State, list[_Drag]]:
    """The state with the rows of rigid parts first, one part after the other."""
    means, taken, order, sizes = state.values["means"], torch.zeros(len(state), dtype=torch.bool), [], []
    taken = taken.to(means.device)
    for pull in pulls:
        inside = torch.linalg.vector_norm(means - pull.source, dim=1) <= pull.radius
        rows = torch.nonzero(inside & ~taken & pull.rigid)[:, 0]
        taken[rows] = True
        order.append(rows)
        sizes.append(len(rows))
    state = picked(state, torch.cat([*order, torch.nonzero(~taken)[:, 0]]))
    out, start = [], 0
    for pull, size in zip(pulls, sizes):
        if not pull.rigid or size:
            out.append(_Drag(pull, slice(start, start + size) if pull.rigid else None, state.values["means"]))
        start += size
    return state, out


def _step(state: State, task: Task, i: int, drags: Sequence[_Drag]) -> State:
    options = task.options
    values = {name: t.detach().requires_grad_() for name, t in state.values.items()}
    loss, flat, camera = task.loss(values, i)
    for drag in drags:
        loss = loss + drag.loss(values["means"])
    loss.backward()
    gradients = {name: t.grad for name, t in values.items() if t.grad is not None}
    with torch.no_grad():
        pushed(state, flat, camera)
        speed = options.rates.means * task.extent * options.rates.last ** (0.5 + 0.5 * i / options.iterations)
        return adam(state, gradients, rates_of(options.rates, speed, state.values["harmonics"]))


def _come_and_go(state: State, fixed: int, task: Task, most: int, i: int) -> State:
    """All but the first ``fixed`` rows are parted, doubled or dropped."""
    rows = torch.arange(len(state), device=state.push.device)
    head, tail = picked(state, rows[:fixed]), picked(state, rows[fixed:])
    if not len(tail):
        return state
    tail = replace(tail, push=state.push[fixed:], seen=state.seen[fixed:])
    with torch.no_grad():
        room = max(most - fixed, len(tail))
        tail = grown(tail, task.options.density, task.extent, room, noise(task.seed, i, 1))
    out = joined(head, tail.values)
    for part in PARTS[1:]:
        for name in SPLATS:
            getattr(out, part)[name][fixed:] = getattr(tail, part)[name]
    return out


def _finite(state: State) -> State:
    if not all(bool(state.values[name].isfinite().all()) for name in SPLATS):
        raise CannotError("the fit diverged: some numbers are not finite", "choose a larger --region")
    return state
