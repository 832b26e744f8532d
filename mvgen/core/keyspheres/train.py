"""Training a network of key spheres by the published recipe.

Adam at 5e-3, lowered by 0.7 when the loss has not fallen by 1e-4 for ten epochs; the plain mean of |error| over batches
that never change, only their order does. Every batch begins with the spheres' own middles. Five short runs from other
random weights come first, and the best goes on with its optimiser.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.io.atomic import atomic_file
from mvgen.core.keyspheres.learn import training_on
from mvgen.core.keyspheres.network import (
    Network,
    free_weights,
    fresh_weights,
    inputs_of,
    own_inputs,
    published_sizes,
)
from mvgen.core.progress import Progress
from mvgen.kernels.mlp import Data, Form, Training

if TYPE_CHECKING:
    from mvgen.kernels.mlp_torch import Training as TorchTraining


@dataclass(frozen=True)
class Recipe:
    """tries: short runs before the long one; patience and cooldown in epochs."""

    batch: int = 512
    epochs: int = 150
    warm_epochs: int = 10
    tries: int = 5
    rate: float = 5e-3
    factor: float = 0.7
    patience: int = 10
    cooldown: int = 5
    threshold: float = 1e-4
    least: float = 1e-6


DIRECT = Recipe()
LATENT = Recipe(batch=1024, epochs=250, warm_epochs=20)


@dataclass(frozen=True)
class Plateau:
    """The learning rate, lowered where the loss does not fall any more."""

    rate: float
    best: float = np.inf
    bad: int = 0
    resting: int = 0

    def after(self, loss: float, recipe: Recipe) -> Plateau:
        """The state after an epoch with this loss."""
        better = loss < self.best - recipe.threshold
        best, bad, resting = (loss, 0, self.resting) if better else (self.best, self.bad + 1, self.resting)
        if resting > 0:
            resting, bad = resting - 1, 0
        if bad > recipe.patience:
            return Plateau(max(self.rate * recipe.factor, recipe.least), best, 0, recipe.cooldown)
        return Plateau(self.rate, best, bad, resting)


@dataclass(frozen=True, eq=False)
class State:
    """Where a training is. theta [P], moments [2, P] of Adam, step: updates so far; loss: of the last epoch."""

    theta: NDArray[np.float32]
    moments: NDArray[np.float32]
    step: int
    plateau: Plateau
    loss: float = np.inf


@dataclass(frozen=True, eq=False)
class Task:
    """What is learnt: rows [N, inputs], of which the first ``own`` begin every batch, and targets [N]; the network's
    form, and which of its weights are free [P]."""

    rows: NDArray[np.float32]
    targets: NDArray[np.float32]
    own: int
    sizes: NDArray[np.int64]
    kinds: NDArray[np.int64]
    free: NDArray[np.float32]
    batch: int

    def batches(self) -> NDArray[np.int64]:
        """[B, 2]: first row and number of rows of each batch."""
        first = np.arange(self.own, len(self.rows), self.batch)
        return np.stack([first, np.minimum(self.batch, len(self.rows) - first)], axis=1)


def train_published(
    spheres: NDArray[np.float32],
    points: NDArray[np.float32],
    values: NDArray[np.float32],
    width: int,
    hidden: int,
    latent: bool,
    recipe: Recipe,
    seed: int,
    progress: Progress,
    device: str = "cpu",
    checkpoint: Path | None = None,
) -> Network:
    """A network that gives the signed distances ``values`` [N] at ``points`` [N, 3], in random order.

    spheres [M, 4]: see `Network`. With ``checkpoint``, a folder, a training that was killed goes on after the last
    epoch that it finished, to the same result. Raises CannotError where the loss is no number any more.
    """
    task = _task(spheres, points, values, width, hidden, latent, recipe.batch)
    kept = None if checkpoint is None else _Kept(checkpoint, _key(task, recipe, seed, device))
    progress.stage("train", recipe.tries * recipe.warm_epochs + recipe.epochs - recipe.warm_epochs)
    best: State | None = None
    for attempt in range(recipe.tries):
        theta = fresh_weights(task.sizes, latent, np.random.default_rng([seed, attempt]))
        start = State(theta, np.zeros((2, len(theta)), np.float32), 0, Plateau(recipe.rate))
        state = _epochs(task, start, range(recipe.warm_epochs), recipe, (seed, attempt), progress, device, kept)
        if best is None or state.loss < best.loss:
            best = state
    assert best is not None
    best = replace(
        best, plateau=replace(best.plateau, best=np.inf)
    )  # their first runs compare sums, the last one means
    epochs = range(recipe.warm_epochs, recipe.epochs)
    best = _epochs(task, best, epochs, recipe, (seed, recipe.tries), progress, device, kept)
    return Network(best.theta, task.sizes, task.kinds, spheres, latent)


def _task(
    spheres: NDArray[np.float32],
    points: NDArray[np.float32],
    values: NDArray[np.float32],
    width: int,
    hidden: int,
    latent: bool,
    batch: int,
) -> Task:
    own = -np.abs(spheres[:, 3]) if latent else spheres[:, 3]
    sizes, kinds = published_sizes(len(spheres), width, hidden, latent)
    rows = np.concatenate([own_inputs(spheres, latent), inputs_of(points, spheres, latent)])
    targets = np.concatenate([own, values]).astype(np.float32)
    return Task(rows, targets, len(spheres), sizes, kinds, free_weights(sizes, latent), batch)


def _epochs(
    task: Task,
    state: State,
    epochs: range,
    recipe: Recipe,
    run: tuple[int, int],
    progress: Progress,
    device: str,
    kept: _Kept | None,
) -> State:
    """The state after these epochs. The order of batches follows the run (seed, attempt) and the epoch alone."""
    batches, training = task.batches(), None
    for epoch in epochs:
        found = None if kept is None else kept.read(run[1], epoch)
        if found is not None:
            state = found
        else:
            training = training or training_of(task, state, device)
            order = np.random.default_rng([*run, epoch]).permutation(len(batches))
            state = one_epoch(training, state, batches[order])
            if not np.isfinite(state.loss):
                raise CannotError("the training diverged: its loss is no number", "another --seed may do")
            state = replace(state, plateau=state.plateau.after(state.loss, recipe))
            if kept is not None:
                kept.write(run[1], epoch, state)
        progress.advance()
    return state


def training_of(task: Task, state: State, device: str) -> Training | TorchTraining:
    """What goes on from a state of a task, on a device."""
    exact = np.zeros(len(state.theta), np.float32)
    form = Form(task.sizes, task.kinds, True, task.free, exact)
    data = Data(task.rows, task.targets, np.ones(len(task.rows), np.float32), task.own, task.batch)
    return training_on(device, state.theta, state.moments, form, data)


def one_epoch(training: Training | TorchTraining, state: State, batches: NDArray[np.int64]) -> State:
    """The state after one pass over ``batches`` [B, 2] at the plateau's rate."""
    losses = training.run(state.step, batches, np.full(len(batches), state.plateau.rate))
    return State(*training.state(), state.step + len(batches), state.plateau, float(losses.mean()))


# ---- going on after a kill


def _key(task: Task, recipe: Recipe, seed: int, device: str) -> str:
    """Names a training: what is learnt, how, and where."""
    digest = hashlib.sha256(repr((recipe, seed, device, task.sizes.tolist(), task.own)).encode())
    digest.update(task.rows.tobytes())
    digest.update(task.targets.tobytes())
    return digest.hexdigest()[:24]


class _Kept:
    """The last epoch that each attempt of a training has finished, in one file."""

    def __init__(self, folder: Path, key: str):
        self.file, self.key = folder / f"training-{key}.npz", key
        folder.mkdir(parents=True, exist_ok=True)
        self.states: dict[int, tuple[int, State]] = {}
        try:
            with np.load(self.file, allow_pickle=False) as data:
                for attempt in data["attempts"].tolist():
                    self.states[attempt] = _state_of(data, f"{attempt}_")
        except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile):
            self.states = {}

    def read(self, attempt: int, epoch: int) -> State | None:
        """The state after an epoch if that or a later one is known: what comes before the last is not needed."""
        found = self.states.get(attempt)
        return found[1] if found is not None and found[0] >= epoch else None

    def write(self, attempt: int, epoch: int, state: State) -> None:
        self.states[attempt] = epoch, state
        values: dict[str, Any] = {"attempts": np.array(sorted(self.states))}
        for number, (last, kept) in self.states.items():
            p = kept.plateau
            values[f"{number}_theta"], values[f"{number}_moments"] = kept.theta, kept.moments
            values[f"{number}_counts"] = np.array([last, kept.step, p.bad, p.resting])
            values[f"{number}_numbers"] = np.array([p.rate, p.best, kept.loss])
        with atomic_file(self.file) as draft, draft.open("wb") as file:
            np.savez(file, **values)


def _state_of(data: Any, mark: str) -> tuple[int, State]:
    last, step, bad, resting = data[f"{mark}counts"].tolist()
    rate, best, loss = data[f"{mark}numbers"].tolist()
    theta, moments = data[f"{mark}theta"], data[f"{mark}moments"]
    return last, State(theta, moments, step, Plateau(rate, best, bad, resting), loss)
