"""Splats under affine maps, exactly: means, axes and sizes, and the directions of their harmonics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.splats.harmonics import basis, spread, turning
from mvgen.core.splats.model import Splats, product, quaternion
from mvgen.kernels.ellipsoids import mapped as ellipsoids
from mvgen.kernels.harmonics import turn

ALIKE = 1e-12  # difference of singular values, as a share, below which a map keeps the shape of things
_DIRECTIONS = 24  # at which harmonics are sampled to turn each splat's own way
_BLOCK, _SMALL_BLOCK = 1 << 14, 1 << 9  # splats at a time, few enough for a cache


def mapped(splats: Splats, matrix: NDArray[np.float64], rows: NDArray[np.bool_] | None = None) -> Splats:
    """All splats, or those of a mask [N], after an affine map [4, 4] that is not singular; the metadata stay.

    A covariance C becomes A C A^T for the linear part A. Harmonics follow the orthogonal part Q of A = Q H (polar
    decomposition), which is A itself for turns and mirrors. What a map does not change stays bit for bit.
    """
    linear = matrix[:3, :3]
    left, sizes, right = np.linalg.svd(linear)
    across = left @ right
    alike, still = sizes[0] - sizes[2] <= ALIKE * sizes[0], bool(np.abs(across - np.eye(3)).max() < ALIKE)
    same = alike and abs(sizes[0] - 1) < ALIKE
    every = rows is None or bool(rows.all())
    index = None if rows is None or every else np.flatnonzero(rows)
    out: dict[str, Any] = {name: _room(getattr(splats, name), every) for name in ("means", "quaternions", "log_scales")}
    if not alike:
        some: Any = slice(None) if index is None else index
        turns, scales = ellipsoids(splats.quaternions[some], splats.log_scales[some], linear[None])
        out["quaternions"][some], out["log_scales"][some] = turns, scales
    for block in _blocks(len(splats), index):
        out["means"][block] = splats.means[block].astype(np.float64) @ linear.T + matrix[:3, 3]
        if alike:
            turns, scales = splats.quaternions[block], splats.log_scales[block]
            out["quaternions"][block] = turns if still else _turned(turns, across)
            out["log_scales"][block] = scales if same else scales + np.float32(np.log(sizes.mean()))
    if not still and splats.degree:
        out["harmonics"] = _harmonics(splats, across, index)
    return replace(splats, **out)


def turned(harmonics: NDArray[np.float32], rotations: NDArray[np.float64]) -> NDArray[np.float32]:
    """Harmonics [N, K, 3], each turned by a rotation [N, 3, 3] of its own."""
    degree = round(harmonics.shape[1] ** 0.5) - 1
    if not degree:
        return harmonics
    seen = spread(_DIRECTIONS)
    back = np.linalg.pinv(basis(seen, degree))[1:]  # from values at directions to coefficients, exact
    out = harmonics.copy()
    for start in range(0, len(out), _SMALL_BLOCK):
        block = slice(start, start + _SMALL_BLOCK)
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


def _harmonics(splats: Splats, across: NDArray[np.float64], index: NDArray[np.int64] | None) -> NDArray[np.float32]:
    """[N, K, 3], those at an index turned."""
    some = splats.harmonics if index is None else splats.harmonics[index]
    out = np.empty_like(some)
    turn(np.ascontiguousarray(some), turning(across, splats.degree).astype(np.float32), out)
    if index is None:
        return out
    whole = splats.harmonics.copy()
    whole[index] = out
    return whole


def _blocks(number: int, index: NDArray[np.int64] | None) -> Iterator[slice | NDArray[np.int64]]:
    """All of ``number`` rows, or those at an index, a few at a time."""
    for start in range(0, number if index is None else len(index), _BLOCK):
        part = slice(start, start + _BLOCK)
        yield part if index is None else index[part]


def _room(values: NDArray[np.float32], every: bool) -> NDArray[np.float32]:
    """An array to write to: a copy, unless every row will be written."""
    return np.empty_like(values) if every else values.copy()
