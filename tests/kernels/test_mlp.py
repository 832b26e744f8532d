"""Dense networks against the same arithmetic in float64."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.kernels import mlp
from mvgen.kernels.jit import set_num_threads

SIZES = np.array([5, 11, 9, 1])


def plain(theta, kinds, rows):
    """Outputs [N] in float64."""
    x = rows.astype(np.float64)
    for start, n_in, n_out, kind in zip(mlp.offsets_of(SIZES), SIZES, SIZES[1:], kinds):
        weights = theta[start : start + n_in * n_out].reshape(n_out, n_in)
        x = x @ weights.T + theta[start + n_in * n_out : start + n_in * n_out + n_out]
        x = {mlp.LINEAR: x, mlp.LEAKY: np.where(x > 0, x, 0.1 * x), mlp.SINE: np.sin(x)}[kind]
    return x[:, 0]


def world(count=300, size=1.0):
    rng = np.random.default_rng(3)
    theta = (size * rng.normal(size=mlp.offsets_of(SIZES)[-1])).astype(np.float32)
    rows = rng.uniform(-1, 1, (count, 5)).astype(np.float32)
    return theta, rows, rng.normal(size=count).astype(np.float32), rng.uniform(0.5, 2, count).astype(np.float32)


@pytest.mark.parametrize("kind", [mlp.LINEAR, mlp.LEAKY, mlp.SINE])
def test_evaluation_agrees_with_float64(kind):
    kinds = np.array([kind, kind, mlp.LINEAR])
    theta, rows, _, _ = world()
    expected = plain(theta.astype(np.float64), kinds, rows)
    assert np.abs(mlp.evaluate(theta, SIZES, kinds, rows) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("tanh", [True, False])
@pytest.mark.parametrize("kind", [mlp.LEAKY, mlp.SINE])
def test_gradient_agrees_with_differences(kind, tanh):
    kinds = np.array([kind, kind, mlp.LINEAR])
    theta, rows, targets, weights = world(size=0.6)
    prefix, first, count = 7, 40, 250
    used = np.r_[:prefix, first : first + count]

    def loss(at):
        value = plain(at, kinds, rows[used])
        return (weights[used] * np.abs((np.tanh(value) if tanh else value) - targets[used])).sum()

    parts, losses = np.zeros((mlp.CHUNKS, len(theta)), np.float32), np.zeros(mlp.CHUNKS)
    offsets = mlp.offsets_of(SIZES)
    mlp.batch_gradient(theta, SIZES, kinds, offsets, tanh, rows, targets, weights, first, count, prefix, parts, losses)
    at = theta.astype(np.float64)
    assert losses.sum() == pytest.approx(loss(at), rel=1e-4)
    for k in range(0, len(theta), 5):
        step = np.zeros(len(theta))
        step[k] = 1e-6
        assert parts[:, k].sum() == pytest.approx((loss(at + step) - loss(at - step)) / 2e-6, rel=2e-3, abs=0.05)


def run(steps, free=None, threads=2):
    kinds = np.array([mlp.SINE, mlp.LEAKY, mlp.LINEAR])
    theta, rows, _, weights = world(600, 0.5)
    targets = (np.linalg.norm(rows[:, :3], axis=1) - 0.8).astype(np.float32)
    free = np.ones(len(theta), np.float32) if free is None else free
    batches = np.tile([[10, 590]], (60, 1))
    start = theta.copy()
    set_num_threads(threads)
    form = (SIZES, kinds, mlp.offsets_of(SIZES), False, free, steps)
    losses = mlp.train(
        theta, np.zeros((2, len(theta)), np.float32), 0, *form, rows, targets, weights, 10, batches, np.full(60, 0.02)
    )
    return start, theta, losses


def test_training_lowers_the_loss_and_repeats_with_any_number_of_threads():
    exact = np.zeros(mlp.offsets_of(SIZES)[-1], np.float32)
    _, theta, losses = run(exact)
    assert losses[-1] < 0.3 * losses[0]
    _, again, same = run(exact, threads=1)
    assert np.array_equal(theta, again) and np.array_equal(losses, same)


def test_weights_that_are_not_free_stay_and_rounded_ones_are_learnt_with():
    count = mlp.offsets_of(SIZES)[-1]
    free = (np.arange(count) % 3 > 0).astype(np.float32)
    start, theta, losses = run(np.full(count, 0.05, np.float32), free)
    assert np.array_equal(theta[free == 0], start[free == 0]) and (theta[free == 1] != start[free == 1]).all()
    assert losses[-1] < 0.5 * losses[0]
    coarse = np.empty_like(theta)
    mlp.rounded(theta, np.full(count, 0.05, np.float32), coarse)
    assert np.abs(coarse / 0.05 - np.rint(coarse / 0.05)).max() < 1e-4 and np.abs(coarse - theta).max() < 0.0251
