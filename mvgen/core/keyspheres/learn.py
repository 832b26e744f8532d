"""Our own training: Adam along a cosine, in a number of steps fixed beforehand; then on with rounded weights."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvgen.core.device import usable
from mvgen.core.errors import CannotError
from mvgen.core.keyspheres.payload import Packed, with_weights
from mvgen.core.keyspheres.rounding import Rounding, choose_rounding, coarser
from mvgen.core.progress import Progress
from mvgen.kernels.mlp import LEAKY, LINEAR, SINE, Data, Form, Training, offsets_of

if TYPE_CHECKING:
    from mvgen.kernels.mlp_torch import Training as TorchTraining

_CHUNK = 200  # steps between signs of life
_WARM = 0.02  # share of the steps in which the rate grows
_SPARE = 0.985  # of the size that steps are chosen for: integers grow a little while they are learnt
_DULL = 1e-12  # sensitivity of a weight that nothing depends on


@dataclass(frozen=True, eq=False)
class Lesson:
    """rows [N, inputs] in random order, targets [N] and how much each counts [N]; batch: rows of one step."""

    rows: NDArray[np.float32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    batch: int

    def order(self, steps: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """[steps, 2]: first row and count of each step's batch."""
        first = np.arange(0, max(len(self.rows) - self.batch, 0) + 1, self.batch)
        passes = -(-steps // len(first))
        chosen = np.concatenate([rng.permutation(first) for _ in range(passes)])[:steps]
        return np.stack([chosen, np.full(steps, min(self.batch, len(self.rows)))], axis=1)


@dataclass(frozen=True, eq=False)
class Learnt:
    """theta [P]; moments [2, P]: Adam's, of which the second tells how much the output depends on each weight."""

    theta: NDArray[np.float32]
    moments: NDArray[np.float32]

    @property
    def sensitivity(self) -> NDArray[np.float64]:
        return np.sqrt(self.moments[1].astype(np.float64)) + _DULL


def fresh_sines(sizes: NDArray[np.int64], reach: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random weights [P] of a network of sines (Sitzmann et al., "Implicit neural representations with periodic
    activation functions", 2020), the first layer's even within ``reach``."""
    parts = []
    for layer, (n_in, n_out) in enumerate(zip(sizes.tolist(), sizes[1:].tolist())):
        width = reach if layer == 0 else np.sqrt(6 / n_in)
        parts += [rng.uniform(-width, width, n_in * n_out), rng.uniform(-1, 1, n_out) * (np.pi if layer == 0 else 0.1)]
    theta = np.concatenate(parts)
    theta[int(offsets_of(sizes)[-2]) :] *= 0.1
    return theta.astype(np.float32)


def sine_form(inputs: int, width: int, hidden: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(sizes, kinds) of a network of sines with a linear output."""
    return np.array([inputs, *[width] * hidden, 1], np.int64), np.array([*[SINE] * hidden, LINEAR], np.int64)


def first_sine_form(inputs: int, width: int, hidden: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(sizes, kinds) of a network whose first layer alone is of sines, the next leaky, with a linear output."""
    kinds = np.array([SINE, *[LEAKY] * (hidden - 1), LINEAR], np.int64)
    return np.array([inputs, *[width] * hidden, 1], np.int64), kinds


def fresh_first_sine(sizes: NDArray[np.int64], reach: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random weights [P] of such a network: even within ``reach`` and half a turn, then within 1 / sqrt(inputs)."""
    parts = []
    for layer, (n_in, n_out) in enumerate(pairwise(sizes.tolist())):
        width, shift = (reach, np.pi) if layer == 0 else (1 / np.sqrt(n_in), 1 / np.sqrt(n_in))
        parts += [rng.uniform(-width, width, n_in * n_out), rng.uniform(-shift, shift, n_out)]
    return np.concatenate(parts).astype(np.float32)


def learning_device(device: str, progress: Progress) -> str:
    """The device, or ``cpu`` with a warning where networks cannot learn on it."""
    return usable(device, "mlp_torch", "networks learn", progress)


def training_on(
    device: str, theta: NDArray[np.float32], moments: NDArray[np.float32], form: Form, data: Data
) -> Training | TorchTraining:
    """A network that learns on a device, from theta [P] and Adam's moments [2, P] on."""
    if device == "cpu":
        return Training(theta, moments, form, data)
    from mvgen.kernels.mlp_torch import Training as TorchTraining

    return TorchTraining(theta, moments, form, data, device)


def learn(
    packed: Packed,
    lesson: Lesson,
    steps: int,
    rate: float,
    rng: np.random.Generator,
    progress: Progress,
    device: str = "cpu",
    rounding: Rounding | None = None,
) -> Learnt:
    """The network's weights after so many steps from where they are, the rate falling to nothing along a cosine.

    With a rounding, gradients are taken at rounded weights. Raises CannotError where the loss is no number any more.
    """
    network = packed.network
    count = len(network.theta)
    coarse = np.zeros(count, np.float32) if rounding is None else rounding.steps
    form = Form(network.sizes, network.kinds, network.tanh, np.ones(count, np.float32), coarse)
    data = Data(lesson.rows, lesson.targets, lesson.weights, 0, min(lesson.batch, len(lesson.rows)))
    training = training_on(device, network.theta, np.zeros((2, count), np.float32), form, data)
    order = lesson.order(steps, rng)
    share = (np.arange(steps) + 0.5) / steps
    rates = rate * np.minimum(share / _WARM, 1) * (0.5 + 0.5 * np.cos(np.pi * share))
    for first in range(0, steps, _CHUNK):
        part = slice(first, first + _CHUNK)
        losses = training.run(first, order[part], rates[part])
        if not np.isfinite(losses).all():
            raise CannotError("the training diverged: its loss is no number", "another --seed may do")
        progress.advance(len(losses))
    return Learnt(*training.state())


def learn_rounded(
    packed: Packed,
    learnt: Learnt,
    lesson: Lesson,
    size: int,
    steps: int,
    rate: float,
    rng: np.random.Generator,
    progress: Progress,
    device: str = "cpu",
) -> bytes:
    """A payload of at most ``size`` bytes of a learnt network, which learns on with rounded weights."""
    start = with_weights(packed, learnt.theta)
    rounding = choose_rounding(start, learnt.theta, learnt.sensitivity, int(_SPARE * size))
    theta = learn(start, lesson, steps, rate, rng, progress, device, rounding).theta if steps else learnt.theta
    while len(payload := rounding.payload(packed, theta)) > size:
        rounding = coarser(packed, rounding)
    return payload
