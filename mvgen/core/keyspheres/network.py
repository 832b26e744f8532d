"""Networks that turn a point and a few spheres into a signed distance.

Both published forms first make one feature of all spheres for a point p: the mean of the spheres' own features with
weights d_j / sum d, where d_j is the distance from p to the middle of sphere j. The direct form has features
A (x, y, z, s) + b, with one A and b for all; the latent form has a free vector for each. A mean of such features is A
of a mean, so in the direct form a point needs only phi(p), the weighted mean of (x, y, z, s) over the spheres: four
numbers that do not change while the network is trained. In both forms xyz and the feature enter a plain network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels.mlp import LEAKY, LINEAR, evaluate, offsets_of

FEATURE = 29  # numbers per sphere; with xyz they are 32
BATCH = 1 << 16


@dataclass(frozen=True, eq=False)
class Network:
    """theta [P] float32, sizes [L + 1], kinds [L] as in `mvgen.kernels.mlp`; spheres [M, 4] float32: x, y, z in [-1, 1]
    and the signed distance there. latent: inputs are xyz and M weights, else xyz and phi. tanh: bends the output."""

    theta: NDArray[np.float32]
    sizes: NDArray[np.int64]
    kinds: NDArray[np.int64]
    spheres: NDArray[np.float32]
    latent: bool = False
    tanh: bool = True

    @property
    def layers(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """(weights [out, in], biases [out]) of each layer."""
        out = []
        for start, n_in, n_out in zip(offsets_of(self.sizes), self.sizes, self.sizes[1:]):
            middle = start + n_in * n_out
            out.append((self.theta[start:middle].reshape(n_out, n_in), self.theta[middle : middle + n_out]))
        return out

    def inputs(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """What the network sees of points [N, 3]."""
        return inputs_of(points, self.spheres, self.latent)

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Values [N] at points [N, 3], negative inside."""
        out = np.empty(len(points), np.float32)
        for first in range(0, len(points), BATCH):
            some = slice(first, first + BATCH)
            out[some] = evaluate(self.theta, self.sizes, self.kinds, self.inputs(points[some]))
        return np.tanh(out) if self.tanh else out

    def folded(self) -> Network:
        """The same function without the leading linear layer: it becomes a part of the next one."""
        if len(self.kinds) < 2 or self.kinds[0] != LINEAR:
            return self
        (inner, shift), (outer, bias), *rest = [(w.astype(np.float64), b.astype(np.float64)) for w, b in self.layers]
        first = (outer @ inner, outer @ shift + bias)
        theta = np.concatenate([part.ravel() for pair in [first, *rest] for part in pair]).astype(np.float32)
        return replace(self, theta=theta, sizes=np.delete(self.sizes, 1), kinds=self.kinds[1:])


def inputs_of(points: NDArray[np.floating], spheres: NDArray[np.float32], latent: bool) -> NDArray[np.float32]:
    """[N, 7]: x, y, z and phi of points [N, 3]; [N, 3 + M]: x, y, z and the spheres' weights for the latent form;
    [N, 3] without spheres."""
    from mvgen.kernels.keyspheres import mean_sphere, sphere_weights

    points = np.ascontiguousarray(points, np.float32)
    if not len(spheres):
        return points
    out = np.empty((len(points), 3 + (len(spheres) if latent else 4)), np.float32)
    (sphere_weights if latent else mean_sphere)(points, spheres, out)
    return out


def own_inputs(spheres: NDArray[np.float32], latent: bool) -> NDArray[np.float32]:
    """[M, inputs]: what the network sees of a sphere's middle while it is trained: the sphere's own feature alone."""
    own = np.eye(len(spheres), dtype=np.float32) if latent else spheres
    return np.concatenate([spheres[:, :3], own], axis=1)


def published_sizes(spheres: int, width: int, hidden: int, latent: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(sizes, kinds) of the published networks, the mean feature as a leading linear layer."""
    sizes = np.array([3 + (spheres if latent else 4), 3 + FEATURE, *[width] * hidden, 1], np.int64)
    return sizes, np.array([LINEAR, *[LEAKY] * hidden, LINEAR], np.int64)


def free_weights(sizes: NDArray[np.int64], latent: bool) -> NDArray[np.float32]:
    """[P] of 0 and 1: which weights of a published network are trained. In its leading layer xyz only pass through, and
    latent features have no bias."""
    free = np.ones(int(offsets_of(sizes)[-1]), np.float32)
    n_in, n_out = int(sizes[0]), int(sizes[1])
    lead = free[: n_in * n_out].reshape(n_out, n_in)
    lead[:3], lead[:, :3] = 0, 0
    bias = free[n_in * n_out : (n_in + 1) * n_out]
    bias[:3] = 0
    if latent:
        bias[:] = 0
    return free


def fresh_weights(sizes: NDArray[np.int64], latent: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random weights [P] of a published network: even within 1 / sqrt(inputs), latent features normal with 0.01."""
    parts = []
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        fan_in = 4 if layer == 0 else n_in
        weights, bias = rng.uniform(-1, 1, (n_out, n_in)) / np.sqrt(fan_in), rng.uniform(-1, 1, n_out) / np.sqrt(fan_in)
        if layer == 0:
            if latent:
                weights, bias = rng.normal(0, 0.01, (n_out, n_in)), np.zeros(n_out)
            weights[:3], weights[:, :3], bias[:3] = 0, 0, 0
            weights[:3, :3] = np.eye(3)
        parts += [weights.ravel(), bias]
    return np.concatenate(parts).astype(np.float32)
