"""How far a picture is from another, with gradients: absolute difference and structural similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIDE, SIGMA = 11, 1.5  # of the Gaussian window, in pixels (Wang et al., "Image quality assessment", 2004)
C1, C2 = 0.01**2, 0.03**2


@dataclass(frozen=True, eq=False)
class Target:
    """A picture [H, W, 3] to be reached, its local mean and its local variance, of the same shape."""

    picture: Tensor
    mean: Tensor
    variance: Tensor


def target_of(picture: Tensor) -> Target:
    """A picture [H, W, 3] in [0, 1] with what `photometric` needs to know of it."""
    mean = blurred(picture)
    return Target(picture, mean, blurred(picture * picture) - mean * mean)


def photometric(picture: Tensor, target: Target, structure: float) -> Tensor:
    """(1 - structure) |a - b| + structure (1 - SSIM(a, b)), the mean over pixels [H, W, 3] (Kerbl et al. 2023, eq. 7).

    Beyond the border both pictures count as black.
    """
    absolute = (picture - target.picture).abs().mean()
    return (1 - structure) * absolute + structure * (1 - similarity(picture, target))


def similarity(picture: Tensor, target: Target) -> Tensor:
    """Mean SSIM of a picture [H, W, 3] and the target; its gradient reaches the picture."""
    return _Similarity.apply(picture, target)


def blurred(values: Tensor) -> Tensor:
    """Values [H, W, C] under the Gaussian window; its own adjoint, as beyond the border everything is 0."""
    if values.device.type == "cpu":
        plain = values.detach().contiguous().numpy()
        return torch.from_numpy(cv2.GaussianBlur(plain, (SIDE, SIDE), SIGMA, borderType=cv2.BORDER_CONSTANT))
    return _convolved(values)


def _convolved(values: Tensor) -> Tensor:
    """As `blurred`, on any device."""
    window = torch.from_numpy(_window()).to(values)
    rows = values.permute(2, 0, 1)[:, None]
    rows = torch.nn.functional.conv2d(rows, window.view(1, 1, 1, SIDE), padding=(0, SIDE // 2))
    rows = torch.nn.functional.conv2d(rows, window.view(1, 1, SIDE, 1), padding=(SIDE // 2, 0))
    return rows[:, 0].permute(1, 2, 0)


def _window() -> NDArray[np.float64]:
    return np.asarray(cv2.getGaussianKernel(SIDE, SIGMA, cv2.CV_64F)[:, 0], np.float64)


class _Similarity(torch.autograd.Function):
    """With m the local means, v the variances and c the covariance of a and b: (2 m m' + C1) (2 c + C2) over
    (m^2 + m'^2 + C1) (v + v' + C2); a reaches it through the local means of a, a a and a b."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor, target: Target) -> Tensor:
        a, b, other = picture.detach(), target.picture, target.mean
        mean = blurred(a)
        variance = blurred(a * a) - mean * mean
        covariance = blurred(a * b) - mean * other
        top, below = 2 * mean * other + C1, mean * mean + other * other + C1
        spread, both = variance + target.variance + C2, 2 * covariance + C2
        share = 1 / (below * spread)
        value = top * both * share
        ctx.kept = a, b, mean, other, top, both, share, below, spread, value
        return value.mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        a, b, mean, other, top, both, share, below, spread, value = ctx.kept
        of_mean = 2 * (other * (both - top) * share + mean * value * (1 / spread - 1 / below))
        of_square = -value / spread
        of_product = 2 * top * share
        total = blurred(of_mean) + 2 * a * blurred(of_square) + b * blurred(of_product)
        return total * (gradients[0] / a.numel()), None
