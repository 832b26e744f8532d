"""Small dense networks from points to one number: evaluated and trained, without a framework's cost per step.

A network is one vector of float32: for each layer its weights [out, in] row by row, then its biases [out]. ``sizes``
[L + 1] int64 are the widths from the inputs to the one output; ``kinds`` [L] int64 say what follows each layer:
LINEAR, LEAKY (slope 0.1) or SINE.

`evaluate` adds in the order written and uses its own sine, so every machine finds the same digits. `train` may add in
another order where that is faster; it repeats on the same machine, whatever the number of threads.

`Training` keeps what `train` changes from call to call; `mlp_torch.Training` does the same on a GPU.

Cost of `train`: 6 operations for each weight and row. Measured on one core (AVX2, 2.4 GHz): 25 to 30 G operations a
second, 0.7 ms for a batch of 640 rows and 6,400 weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.jit import inlined_kernel, kernel, prange, serial_kernel, strict_kernel

LINEAR, LEAKY, SINE = range(3)
SLOPE = np.float32(0.1)
BLOCK = 128  # rows at a time
CHUNKS = 4  # parts of a batch whose gradients are summed in a fixed order

_PI = np.float32(np.pi)
_INVERSE_PI = np.float32(1 / np.pi)
_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1), np.float32(2)
# odd and even polynomials for sine and cosine in [-pi/2, pi/2]
_S3, _S5, _S7, _S9 = (np.float32(v) for v in (-0.166666567, 0.00833301033, -0.00019806202, 2.59927819e-06))
_C2, _C4, _C6, _C8, _C10 = (
    np.float32(v) for v in (-0.499999995, 0.0416666403, -0.00138883984, 2.47616557e-05, -2.60734801e-07)
)


def offsets_of(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """[L + 1]: where each layer's weights begin, and the length of the whole vector."""
    return np.concatenate([[0], np.cumsum(sizes[1:] * (sizes[:-1] + 1))]).astype(np.int64)


# ---- exact evaluation


@strict_kernel
def _sine(x):
    turns = np.floor(x * _INVERSE_PI + _HALF)
    odd = turns - _TWO * np.floor(turns * _HALF)
    y = x - turns * _PI
    z = y * y
    return (_ONE - _TWO * odd) * (y + y * z * (_S3 + z * (_S5 + z * (_S7 + z * _S9))))


@strict_kernel
def _dense_strict(theta, start, n_in, n_out, x, z):
    bias = start + n_in * n_out
    for o in range(n_out):
        for c in range(BLOCK):
            z[o, c] = theta[bias + o]
        row = start + o * n_in
        for i in range(n_in):
            w = theta[row + i]
            for c in range(BLOCK):
                z[o, c] += w * x[i, c]


@strict_kernel
def _evaluate(theta, sizes, kinds, offsets, rows, out):
    widest = sizes.max()
    x, z = np.zeros((widest, BLOCK), np.float32), np.zeros((widest, BLOCK), np.float32)
    for first in range(0, len(rows), BLOCK):
        count = min(BLOCK, len(rows) - first)
        for c in range(count):
            for i in range(sizes[0]):
                x[i, c] = rows[first + c, i]
        for layer in range(len(kinds)):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            _dense_strict(theta, offsets[layer], n_in, n_out, x, z)
            if kinds[layer] == LEAKY:
                for o in range(n_out):
                    for c in range(BLOCK):
                        z[o, c] = z[o, c] if z[o, c] > 0 else SLOPE * z[o, c]
            elif kinds[layer] == SINE:
                for o in range(n_out):
                    for c in range(BLOCK):
                        z[o, c] = _sine(z[o, c])
            x, z = z, x
        for c in range(count):
            out[first + c] = x[0, c]


def evaluate(
    theta: NDArray[np.float32], sizes: NDArray[np.int64], kinds: NDArray[np.int64], rows: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The output [N] for rows [N, inputs]."""
    out = np.empty(len(rows), np.float32)
    _evaluate(theta, sizes, kinds, offsets_of(sizes), np.ascontiguousarray(rows, np.float32), out)
    return out


# ---- training


@inlined_kernel
def _dense(theta, start, n_in, n_out, x, z):
    bias = start + n_in * n_out
    for o in range(n_out):
        b = theta[bias + o]
        for c in range(BLOCK):
            z[o, c] = b
        row = start + o * n_in
        i = 0
        while i + 8 <= n_in:
            w0, w1, w2, w3 = theta[row + i], theta[row + i + 1], theta[row + i + 2], theta[row + i + 3]
            w4, w5, w6, w7 = theta[row + i + 4], theta[row + i + 5], theta[row + i + 6], theta[row + i + 7]
            for c in range(BLOCK):
                z[o, c] += (
                    (w0 * x[i, c] + w1 * x[i + 1, c])
                    + (w2 * x[i + 2, c] + w3 * x[i + 3, c])
                    + (w4 * x[i + 4, c] + w5 * x[i + 5, c])
                    + (w6 * x[i + 6, c] + w7 * x[i + 7, c])
                )
            i += 8
        while i < n_in:
            w = theta[row + i]
            for c in range(BLOCK):
                z[o, c] += w * x[i, c]
            i += 1


@inlined_kernel
def _dense_back(theta, start, n_in, n_out, dz, dx):
    """dx = W^T dz."""
    for i in range(n_in):
        for c in range(BLOCK):
            dx[i, c] = 0
        o = 0
        while o + 8 <= n_out:
            p = start + o * n_in + i
            w0, w1, w2, w3 = theta[p], theta[p + n_in], theta[p + 2 * n_in], theta[p + 3 * n_in]
            p += 4 * n_in
            w4, w5, w6, w7 = theta[p], theta[p + n_in], theta[p + 2 * n_in], theta[p + 3 * n_in]
            for c in range(BLOCK):
                dx[i, c] += (
                    (w0 * dz[o, c] + w1 * dz[o + 1, c])
                    + (w2 * dz[o + 2, c] + w3 * dz[o + 3, c])
                    + (w4 * dz[o + 4, c] + w5 * dz[o + 5, c])
                    + (w6 * dz[o + 6, c] + w7 * dz[o + 7, c])
                )
            o += 8
        while o < n_out:
            w = theta[start + o * n_in + i]
            for c in range(BLOCK):
                dx[i, c] += w * dz[o, c]
            o += 1


@inlined_kernel
def _dense_gradient(gradient, start, n_in, n_out, x, dz):
    """gradient += dz x^T for the weights, and the sums of dz for the biases."""
    bias = start + n_in * n_out
    for o in range(n_out):
        total = np.float32(0)
        for c in range(BLOCK):
            total += dz[o, c]
        gradient[bias + o] += total
        row = start + o * n_in
        i = 0
        while i + 4 <= n_in:
            g0 = g1 = g2 = g3 = np.float32(0)
            for c in range(BLOCK):
                d = dz[o, c]
                g0 += d * x[i, c]
                g1 += d * x[i + 1, c]
                g2 += d * x[i + 2, c]
                g3 += d * x[i + 3, c]
            gradient[row + i] += g0
            gradient[row + i + 1] += g1
            gradient[row + i + 2] += g2
            gradient[row + i + 3] += g3
            i += 4
        while i < n_in:
            g = np.float32(0)
            for c in range(BLOCK):
                g += dz[o, c] * x[i, c]
            gradient[row + i] += g
            i += 1


@inlined_kernel
def _activate(kind, z, slope, n):
    """z becomes its activation; slope its derivative."""
    if kind == LEAKY:
        for o in range(n):
            for c in range(BLOCK):
                s = _ONE if z[o, c] > 0 else SLOPE
                slope[o, c] = s
                z[o, c] *= s
    elif kind == SINE:
        for o in range(n):
            for c in range(BLOCK):
                turns = np.floor(z[o, c] * _INVERSE_PI + _HALF)
                odd = turns - _TWO * np.floor(turns * _HALF)
                y = z[o, c] - turns * _PI
                q = y * y
                sign = _ONE - _TWO * odd
                z[o, c] = sign * (y + y * q * (_S3 + q * (_S5 + q * (_S7 + q * _S9))))
                slope[o, c] = sign * (_ONE + q * (_C2 + q * (_C4 + q * (_C6 + q * (_C8 + q * _C10)))))


@inlined_kernel
def _block_gradient(theta, sizes, kinds, offsets, tanh, target, weight, count, acts, slopes, dz, dx, gradient):
    """Adds the gradient of a block whose inputs are in acts[0]; the weighted sum of |error|."""
    layers = len(kinds)
    for layer in range(layers):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        _dense(theta, offsets[layer], n_in, n_out, acts[layer], acts[layer + 1])
        _activate(kinds[layer], acts[layer + 1], slopes[layer], n_out)
    loss = 0.0
    for c in range(BLOCK):
        dz[0, c] = 0
    for c in range(count):
        value = acts[layers, 0, c]
        steep = np.float32(1)
        if tanh:
            value = np.tanh(value)
            steep = 1 - value * value
        error = value - target[c]
        loss += weight[c] * abs(error)
        sign = np.float32(1) if error > 0 else (np.float32(-1) if error < 0 else np.float32(0))
        dz[0, c] = sign * weight[c] * steep
    for layer in range(layers - 1, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        if kinds[layer] != LINEAR:
            for o in range(n_out):
                for c in range(BLOCK):
                    dz[o, c] *= slopes[layer, o, c]
        _dense_gradient(gradient, offsets[layer], n_in, n_out, acts[layer], dz)
        if layer > 0:
            _dense_back(theta, offsets[layer], n_in, n_out, dz, dx)
            dz, dx = dx, dz
    return loss


@inlined_kernel
def _chunk_gradient(theta, sizes, kinds, offsets, tanh, rows, targets, weights, first, count, prefix, chunk, gradient):
    """Fills gradient [P] with that of every CHUNKS-th block from ``chunk`` on; the weighted sum of |error|."""
    widest = sizes.max()
    layers = len(kinds)
    total = prefix + count
    acts = np.zeros((layers + 1, widest, BLOCK), np.float32)
    slopes = np.zeros((layers, widest, BLOCK), np.float32)
    dz, dx = np.zeros((widest, BLOCK), np.float32), np.zeros((widest, BLOCK), np.float32)
    target, weight = np.zeros(BLOCK, np.float32), np.zeros(BLOCK, np.float32)
    gradient[:] = 0
    loss = 0.0
    for start in range(chunk * BLOCK, total, CHUNKS * BLOCK):
        have = min(BLOCK, total - start)
        for c in range(have):
            k = start + c
            r = k if k < prefix else first + k - prefix
            for i in range(sizes[0]):
                acts[0, i, c] = rows[r, i]
            target[c] = targets[r]
            weight[c] = weights[r]
        loss += _block_gradient(
            theta, sizes, kinds, offsets, tanh, target, weight, have, acts, slopes, dz, dx, gradient
        )
    return loss


@kernel
def batch_gradient(theta, sizes, kinds, offsets, tanh, rows, targets, weights, first, count, prefix, parts, losses):
    """Gradient of sum weight |f(row) - target| over rows[:prefix] and rows[first : first + count], into parts
    [CHUNKS, P] and losses [CHUNKS], both to be summed."""
    for chunk in prange(CHUNKS):
        losses[chunk] = _chunk_gradient(
            theta, sizes, kinds, offsets, tanh, rows, targets, weights, first, count, prefix, chunk, parts[chunk]
        )


@inlined_kernel
def adam(theta, moments, free, parts, scale, rate, step):
    """A step of Adam (0.9, 0.999, 1e-8) along the sum of parts times scale, for the weights that are free (0 or 1)."""
    first, second = moments[0], moments[1]
    grow1, grow2 = 1 - 0.9**step, 1 - 0.999**step
    size = np.float32(rate / grow1)
    root = np.float32(1 / grow2)
    tiny = np.float32(1e-8)
    s = np.float32(scale)
    a, b = np.float32(0.9), np.float32(0.999)
    for k in range(len(theta)):
        g = parts[0, k]
        for chunk in range(1, CHUNKS):
            g += parts[chunk, k]
        g *= s * free[k]
        first[k] = a * first[k] + (_ONE - a) * g
        second[k] = b * second[k] + (_ONE - b) * g * g
        theta[k] -= size * first[k] / (np.sqrt(second[k] * root) + tiny)


@inlined_kernel
def rounded(theta, steps, out):
    """Each weight at the nearest multiple of its step; as it is where the step is 0."""
    for k in range(len(theta)):
        s = steps[k]
        out[k] = np.rint(theta[k] / s) * s if s > 0 else theta[k]


@serial_kernel
def train(
    theta, moments, step, sizes, kinds, offsets, tanh, free, steps, rows, targets, weights, prefix, batches, rates
):
    """Steps of Adam on the weighted mean of |f(row) - target|, in place; the mean loss of each batch.

    rows [N, inputs], targets [N], weights [N] (1 counts once); every batch begins with the first ``prefix`` rows and
    goes on with ``batches`` [B, 2] (first row, count). rates [B]. moments [2, P] and step go on from earlier calls.
    steps [P]: where positive, gradients are taken at the rounded weights (straight-through).
    """
    parts = np.zeros((CHUNKS, len(theta)), np.float32)
    losses = np.zeros(CHUNKS, np.float64)
    found = np.zeros(len(batches), np.float64)
    used = theta.copy()
    coarse = steps.max() > 0
    for b in range(len(batches)):
        if coarse:
            rounded(theta, steps, used)
            at = used
        else:
            at = theta
        first, count = batches[b, 0], batches[b, 1]
        batch_gradient(at, sizes, kinds, offsets, tanh, rows, targets, weights, first, count, prefix, parts, losses)
        scale = 1.0 / (prefix + count)
        adam(theta, moments, free, parts, scale, rates[b], step + b + 1)
        found[b] = losses.sum() * scale
    return found


@dataclass(frozen=True, eq=False)
class Form:
    """A network and what may change of it: see `train`."""

    sizes: NDArray[np.int64]
    kinds: NDArray[np.int64]
    tanh: bool
    free: NDArray[np.float32]
    steps: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Data:
    """rows [N, inputs], targets [N], weights [N]: see `train`. Every batch begins with the first ``prefix`` rows and
    goes on with at most ``count`` others."""

    rows: NDArray[np.float32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    prefix: int
    count: int


class Training:
    """A network that learns, from theta [P] and moments [2, P] on."""

    def __init__(self, theta: NDArray[np.float32], moments: NDArray[np.float32], form: Form, data: Data) -> None:
        self.theta, self.moments, self.form, self.data = theta.copy(), moments.copy(), form, data

    def run(self, step: int, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean loss of each batch [B, 2], at rates [B], after ``step`` steps."""
        f, d = self.form, self.data
        form = (f.sizes, f.kinds, offsets_of(f.sizes), f.tanh, f.free, f.steps)
        data = (d.rows, d.targets, d.weights, d.prefix)
        return train(self.theta, self.moments, step, *form, *data, batches, rates)

    def state(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """theta [P] and moments [2, P]."""
        return self.theta.copy(), self.moments.copy()
