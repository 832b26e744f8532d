"""Training by PyTorch against the compiled loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mvgen.kernels import mlp, mlp_torch

SIZES = np.array([5, 11, 9, 1])
KINDS = np.array([mlp.SINE, mlp.LEAKY, mlp.LINEAR])


def world(tanh, step):
    rng = np.random.default_rng(3)
    count = int(mlp.offsets_of(SIZES)[-1])
    theta = (0.5 * rng.normal(size=count)).astype(np.float32)
    rows = rng.uniform(-1, 1, (600, 5)).astype(np.float32)
    targets = (np.linalg.norm(rows[:, :3], axis=1) - 0.8).astype(np.float32)
    steps = np.where(np.arange(count) % 2 > 0, step, 0).astype(np.float32)
    form = mlp.Form(SIZES, KINDS, tanh, (np.arange(count) % 3 > 0).astype(np.float32), steps)
    data = mlp.Data(rows, targets, rng.uniform(0.5, 2, 600).astype(np.float32), 10, 250)
    return theta, np.zeros((2, count), np.float32), form, data


def trained(training):
    """After 30 steps of two calls, some of whose batches are shorter than others."""
    batches = np.tile([[10, 250], [260, 250], [510, 90]], (5, 1))
    losses = [training.run(step, batches, np.linspace(0.01, 0.005, 15)) for step in (0, 15)]
    return (*training.state(), np.concatenate(losses))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize(("tanh", "step"), [(False, 0.0), (True, 0.0), (False, 0.02)])
def test_steps_are_those_of_the_compiled_loops(tanh, step, device):
    theta, moments, form, data = world(tanh, step)
    expected, slopes, losses = trained(mlp.Training(theta, moments, form, data))
    found, own_slopes, own_losses = trained(mlp_torch.Training(theta, moments, form, data, device))
    assert losses[-3:].mean() < 0.8 * losses[:3].mean()
    assert np.allclose(own_losses, losses, rtol=2e-3)
    assert np.abs(found - expected).max() < 2e-3 and np.abs(own_slopes - slopes).max() < 2e-3
    assert np.array_equal(found[form.free == 0], theta[form.free == 0])


def test_what_goes_in_stays_as_it_is():
    theta, moments, form, data = world(False, 0.0)
    before = theta.copy()
    for training in (mlp.Training(theta, moments, form, data), mlp_torch.Training(theta, moments, form, data, "cpu")):
        trained(training)
        assert np.array_equal(theta, before) and not moments.any()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_device_is_told():
    assert mlp_torch.why_not("cuda:0")
    assert mlp_torch.why_not("cpu") is None
