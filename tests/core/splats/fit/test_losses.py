"""Structural similarity with gradients, against the measure and finite differences."""

import numpy as np
import pytest
import torch

from mvgen.core.metrics import ssim_map
from mvgen.core.splats.fit.losses import _convolved, blurred, photometric, similarity, target_of


def picture(seed, height=23, width=31, dtype=torch.float64):
    return torch.rand(height, width, 3, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def test_gradient_is_that_of_finite_differences():
    target = target_of(picture(1))
    one = picture(0).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: similarity(a, target), one, fast_mode=True)


def test_away_from_the_border_it_is_the_measure():
    one, other = picture(0), picture(1)
    both = ssim_map(one.numpy(), other.numpy(), np.ones(one.shape[:2], bool))
    inner = np.s_[5:-5, 5:-5]
    mean, target = blurred(one), target_of(other)
    assert np.allclose(blurred(one).numpy()[inner].mean(), mean.numpy()[inner].mean())
    variance, covariance = blurred(one * one) - mean**2, blurred(one * other) - mean * target.mean
    found = (2 * mean * target.mean + 1e-4) * (2 * covariance + 9e-4)
    found /= (mean**2 + target.mean**2 + 1e-4) * (variance + target.variance + 9e-4)
    assert np.allclose(found.numpy()[inner], both[inner], atol=1e-9)
    assert float(similarity(one, target)) == pytest.approx(float(found.mean()), abs=1e-12)


def test_the_same_pictures_are_no_loss():
    one = picture(3, dtype=torch.float32)
    assert abs(float(photometric(one, target_of(one), 0.2))) < 1e-6
    assert float(photometric(one, target_of(1 - one), 0.2)) > 0.1


def test_both_ways_to_blur_agree():
    one = picture(4)
    assert torch.allclose(blurred(one), _convolved(one), atol=1e-12)
