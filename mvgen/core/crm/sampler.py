"""From noise to latents of views: the schedule, deterministic steps, guidance, and the cameras of the views.

The six views of an object, in the order of all arrays that other modules see: 0 front, 1 left, 2 below, 3 back,
4 right, 5 above. Cameras are orthographic and look at the origin of a frame with z up; the front one stands at -y. The
diffusion networks were trained with another order, `FRAMES`, which stays within this folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import UsageError
from mvgen.core.progress import Progress

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from mvgen.core.crm.network import UNet

Floats = NDArray[np.float64]

VIEW_NAMES = ("front", "left", "below", "back", "right", "above")
FRAMES = (1, 2, 3, 4, 5, 0)  # the view of each frame of a sample
STEPS = 1000  # of the schedule
MOST_STEPS = 333  # of a sampler: more would visit the schedule's last step, where no signal is left to be found

_ROTATIONS = (  # right, up and back of each view's camera, as columns
    ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    ((0, 0, -1), (-1, 0, 0), (0, 1, 0)),
    ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
    ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
)


def camera_vectors(reference: bool) -> NDArray[np.float32]:
    """What the network is told of the cameras of `FRAMES`: camera-to-world matrices, row by row [6, 16], the camera one
    unit from the origin. With ``reference`` a seventh row of zeros for the frame that holds the input image."""
    matrices = np.zeros((len(FRAMES), 4, 4), np.float32)
    for frame, view in enumerate(FRAMES):
        matrices[frame, :3, :3] = _ROTATIONS[view]
        matrices[frame, :3, 3] = matrices[frame, :3, 2]
        matrices[frame, 3, 3] = 1
    vectors = matrices.reshape(-1, 16)
    return np.concatenate([vectors, np.zeros((1, 16), np.float32)]) if reference else vectors


def plain_alphas() -> Floats:
    """Products [1000] of (1 - beta) for betas that are linear in their square root, as of Stable Diffusion."""
    return np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, STEPS) ** 2)


def zero_terminal(alphas: Floats) -> Floats:
    """The schedule scaled so that nothing is left of the signal at its end, and its first step stays as it was
    (Lin et al., "Common Diffusion Noise Schedules and Sample Steps Are Flawed", 2024)."""
    root = np.sqrt(alphas)
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return root**2


def timesteps(steps: int) -> NDArray[np.int64]:
    """Ascending steps of the schedule that a sampler of about so many visits: 1, 1 + c, 1 + 2 c, ... for
    c = 1000 // steps, those within the schedule. They may be more than ``steps`` where that does not divide 1000 (30
    make 31): the networks' authors place them so, and even spacing matters more than the number.

    Raises UsageError for a number that is not from 1 to `MOST_STEPS`.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise UsageError(f"{steps} diffusion steps", f"from 1 to {MOST_STEPS} are possible; 50 are usual")
    return np.arange(1, STEPS, STEPS // steps)


@dataclass(frozen=True)
class Step:
    """One step of a sampler: the timestep, and the share of the signal (squared) before and after."""

    timestep: int
    alpha: float
    alpha_after: float


def sampler_steps(alphas: Floats, steps: int) -> list[Step]:
    """The steps of `timesteps` in the order in which they run, from the noisiest. Raises what `timesteps` does."""
    visited = timesteps(steps)
    after = np.concatenate([alphas[:1], alphas[visited[:-1]]])
    found = [Step(int(t), float(alphas[t]), float(a)) for t, a in zip(visited, after)]
    return found[::-1]


def ddim_step(step: Step, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The latents after a deterministic step and the clean ones that the noise stands for, each as x
    (Song et al., "Denoising Diffusion Implicit Models", 2021)."""
    clean = (x - (1 - step.alpha) ** 0.5 * noise) / step.alpha**0.5
    return step.alpha_after**0.5 * clean + (1 - step.alpha_after) ** 0.5 * noise, clean


def guided(without: Tensor, given: Tensor, guidance: float) -> Tensor:
    """Noise pushed away from what is predicted without the condition (Ho and Salimans, 2022)."""
    return without + guidance * (given - without)


def add_noise(alpha: float, clean: Tensor, noise: Tensor) -> Tensor:
    """Clean values of which the share alpha (squared) stays."""
    return alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise


def start_noise(alphas: Floats, reference: Tensor, frames: int, generator: Generator) -> Tensor:
    """Where a sampler starts [F, 4, h, w]: the noisiest form of the mean colour of latents [4, h, w]. Nothing is left
    of that colour where the schedule ends at zero. The noise is drawn on the CPU so that a seed says the same
    everywhere."""
    import torch

    noise = torch.randn((frames, *reference.shape), generator=generator)
    mean = reference.float().mean(dim=(-2, -1), keepdim=True)
    return add_noise(float(alphas[-1]), mean.expand_as(noise), noise.to(reference.device))


Predict = Callable[["Tensor", int], tuple["Tensor", "Tensor"]]


def predictor(
    unet: UNet, cameras: Tensor, text: Tensor, image: Tensor, reference: Tensor | None, seen: Tensor | None
) -> Predict:
    """The noise that a network sees in latents [F, 4, h, w] at a timestep, without and with the condition.

    cameras [F, 16]; text [2, N, C] and image [2, M, C]: tokens without and with the condition. reference [1, 4, h, w]
    replaces the last frame's latents before the network; seen [F, 4, h, w] goes beside all frames' channels. Without
    the condition both are zeros.
    """
    import torch

    from mvgen.core.crm.network import predict_noise

    def predict(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        twice = torch.stack([x, x])
        if reference is not None:
            twice[:, -1] = torch.cat([torch.zeros_like(reference), reference])
        if seen is not None:
            twice = torch.cat([twice, torch.stack([torch.zeros_like(seen), seen])], dim=2)
        when = torch.full((2,), timestep, device=x.device)
        without, given = predict_noise(unet, twice, when, cameras, text, image)
        return without, given

    return predict


def sample(predict: Predict, x: Tensor, steps: list[Step], guidance: float, progress: Progress) -> Tensor:
    """Latents [F, 4, h, w] in float32 from noise x of that shape."""
    for step in steps:
        without, given = predict(x, step.timestep)
        x, _ = ddim_step(step, x, guided(without.float(), given.float(), guidance))
        progress.advance()
    return x
