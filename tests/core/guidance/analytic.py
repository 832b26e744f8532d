"""Guidance with a known optimum: a model that is sure of one picture, whatever it is told."""

from __future__ import annotations

import torch
from torch import Tensor

from mvgen.core.guidance.network import Guide, Text


def towards(goal: Tensor, side: int | None = None) -> Guide:
    """A model that knows the picture [3, H, W] alone: it takes everything else in noisy pictures for noise."""
    alphas = torch.cumprod(1 - torch.linspace(0.001, 0.02, 1000), 0)

    def noise(noisy: Tensor, steps: Tensor, text: Text) -> Tensor:
        signal = alphas.to(noisy)[steps].view(-1, 1, 1, 1)
        return (noisy - signal.sqrt() * goal.to(noisy)) / (1 - signal).sqrt()

    return Guide(lambda pictures: pictures, noise, alphas, side or goal.shape[-1])


def nothing() -> Text:
    return Text(torch.zeros(1, 1, 1))
