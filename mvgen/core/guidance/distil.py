"""Score distillation (Poole et al., "DreamFusion", 2023): which way a diffusion model would change a picture.

Latents z of a picture, noise e and a timestep t with signal share a = alphas[t] (the product of all 1 - beta) give
noisy latents sqrt(a) z + sqrt(1 - a) e. Of the noise that the model sees in them for a prompt, e_c, and for a negative
prompt, e_u, the loss has the gradient w(t) (e_u + s (e_c - e_u) - e) by the latents of each picture, over the number
of pictures: so it is the mean over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mvgen.core.errors import CannotError

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from mvgen.core.guidance.network import Guide, Text

Weighting = Literal["sds", "uniform", "fantasia3d"]
SCALE = 100.0


@dataclass(frozen=True)
class Distillation:
    """scale: s, of classifier-free guidance; least, most: shares of all timesteps between which t is drawn; last: what
    ``most`` has come to in the end, linearly; weighting: w(t) is 1 - a ("sds"), 1 ("uniform"), or sqrt(a) (1 - a)
    ("fantasia3d", Chen et al. 2023)."""

    scale: float = SCALE
    least: float = 0.02
    most: float = 0.98
    last: float = 0.5
    weighting: Weighting = "sds"


def distilled(
    guide: Guide,
    pictures: Tensor,
    prompt: Text,
    negative: Text,
    options: Distillation,
    share: float,
    generator: Generator,
) -> Tensor:
    """The loss of pictures [B, 3, H, W] in [0, 1]; share: of the way through the optimisation. Its value means nothing.

    prompt, negative: of one prompt each, or of B. generator: of the CPU, so that every device draws the same.
    Raises CannotError where the model gives no finite number.
    """
    import torch

    latents = guide.encode(pictures)
    steps = timesteps(options, share, len(guide.alphas), len(pictures), generator).to(latents.device)
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    with torch.no_grad():
        way = direction(guide, latents.detach(), steps, noise, prompt, negative, options)
    return (way * latents).sum() / len(pictures)


def timesteps(options: Distillation, share: float, number: int, count: int, generator: Generator) -> Tensor:
    """[count] of ``number`` timesteps, drawn evenly from the range in force."""
    import torch

    most = options.most + (options.last - options.most) * share
    low = round(min(options.least, most) * (number - 1))
    high = max(low, round(most * (number - 1)))
    return torch.randint(low, high + 1, (count,), generator=generator)


def direction(
    guide: Guide, latents: Tensor, steps: Tensor, noise: Tensor, prompt: Text, negative: Text, options: Distillation
) -> Tensor:
    """w(t) (e_u + s (e_c - e_u) - e) of latents [B, C, h, w] under noise of that shape at timesteps [B]; 0 where it is
    not finite. Raises CannotError where it is finite nowhere."""
    import torch

    count, signal = len(latents), guide.alphas.to(latents)[steps].view(-1, 1, 1, 1)
    noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
    text = negative.times(count).beside(prompt.times(count))
    without, given = guide.noise(torch.cat([noisy, noisy]), torch.cat([steps, steps]), text).chunk(2)
    way = weight(options.weighting, signal) * (without + options.scale * (given - without) - noise)
    if not bool(way.isfinite().any()):
        raise CannotError("the diffusion model gives no finite number", "check its weights: mvgen models verify")
    return way.nan_to_num(0.0, 0.0, 0.0)


def weight(weighting: Weighting, signal: Tensor) -> Tensor:
    """w(t) for signal shares a."""
    import torch

    if weighting == "uniform":
        return torch.ones_like(signal)
    return (1 - signal) if weighting == "sds" else signal.sqrt() * (1 - signal)
