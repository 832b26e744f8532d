"""Splats under affine maps, exactly: means, axes and sizes, and the directions of their harmonics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.splats.harmonics import basis, count, spread, turning
from mvgen.core.splats.model import Splats, product, quaternion
from mvgen.kernels.ellipsoids import mapped as ellipsoids

ALIKE = 1e-12  # difference of singular values, as a share, below which a map keeps the shape of things
_DIRECTIONS = 32  # at which harmonics are sampled to turn each splat's own way
_BLOCK = 1 << 14  # splats turned at a time


def mapped(splats: Splats, matrix: NDArray[np.float64]) -> Splats:
    """All splats after an affine map [4, 4] that is not singular; the metadata stay as they are.

    A covariance C becomes A C A^T for the linear part A. Harmonics follow the orthogonal part Q of A = Q H (polar
    decomposition), which is A itself for turns and mirrors.
    """
    linear = matrix[:3, :3]
    left, sizes, right = np.linalg.svd(linear)
    across = left @ right
    means = (splats.means @ linear.T + matrix[:3, 3]).astype(np.float32)
    if sizes[0] - sizes[2] > ALIKE * sizes[0]:
        turned, sized = ellipsoids(splats.quaternions, splats.log_scales, linear[None])
    else:
        turned = _turned(splats.quaternions, across)
        sized = (splats.log_scales + np.float32(np.log(sizes.mean()))).astype(np.float32)
    return replace(
        splats, means=means, quaternions=turned, log_scales=sized, harmonics=_harmonics(splats.harmonics, across)
    )


def turned(harmonics: NDArray[np.float32], rotations: NDArray[np.float64]) -> NDArray[np.float32]:
    """Harmonics [N, K, 3], each turned by a rotation [N, 3, 3] of its own."""
    degree = round(harmonics.shape[1] ** 0.5) - 1
    if not degree:
        return harmonics
    seen = spread(_DIRECTIONS)
    back = np.linalg.pinv(basis(seen, degree))[1:]  # from values at directions to coefficients, exact
    out = harmonics.copy()
    for start in range(0, len(out), _BLOCK):
        block = slice(start, start + _BLOCK)
        there = seen @ rotations[block]  # f'(d) = f(R^T d)
        out[block, 1:] = back @ (basis(there, degree)[..., 1:] @ harmonics[block, 1:].astype(np.float64))
    return out


def rotations_of(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 3, 3]: the rotation nearest to each map (Higham 1986: the polar factor, mirrors turned back)."""
    left, _, right = np.linalg.svd(maps)
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    return np.asarray(left @ right)


def _turned(quaternions: NDArray[np.float32], across: NDArray[np.float64]) -> NDArray[np.float32]:
    """Axes after a turn or a mirror; a mirrored axis may point either way, so that the frame stays right-handed."""
    if np.linalg.det(across) < 0:
        turn = product(quaternion(-across), quaternions)  # -1 maps every ellipsoid to itself
    else:
        turn = product(quaternion(across), quaternions)
    return (turn / np.linalg.norm(turn, axis=-1, keepdims=True)).astype(np.float32)


def _harmonics(harmonics: NDArray[np.float32], across: NDArray[np.float64]) -> NDArray[np.float32]:
    degree = round(harmonics.shape[1] ** 0.5) - 1
    if not degree or np.array_equal(across, np.eye(3)):
        return harmonics
    # one product of rows with all 3 K numbers: several times as fast as one for each colour
    matrix = np.kron(turning(across, degree).T, np.eye(3)).astype(np.float32)
    assert len(matrix) == 3 * count(degree)
    return (harmonics.reshape(len(harmonics), -1) @ matrix).reshape(harmonics.shape)
