"""Sparse grids: interpolation, coding and the choice of integers, each against something plainer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.kernels import latents
from mvgen.kernels.rangecoder import bytes_to_read, finish, fresh_models, ran_dry, reader, writer

NONE = np.full((1, 1, 1), -1, np.int32), np.zeros(0, np.int64)


def sparse_grid(cells: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """node_at and nodes of a grid with about so many of its nodes."""
    used = rng.random((cells + 1,) * 3) < share
    node_at = np.full(used.shape, -1, np.int32)
    node_at[used] = np.arange(used.sum())
    return node_at, np.argwhere(used)


def test_values_are_linear_between_nodes():
    from scipy.interpolate import RegularGridInterpolator

    rng = np.random.default_rng(1)
    node_at, nodes = sparse_grid(6, 0.4, rng)
    values = rng.normal(size=len(nodes)).astype(np.float32)
    dense = np.zeros(node_at.shape)
    dense[tuple(nodes.T)] = values
    points = rng.uniform(-0.999, 0.999, (500, 3)).astype(np.float32)
    out = np.full(len(points), 2.0, np.float32)
    latents.add_values(points, node_at, values, out)
    expected = 2 + RegularGridInterpolator([np.linspace(-1, 1, 7)] * 3, dense)(points)
    assert np.abs(out - expected).max() < 1e-5
    beyond = np.array([[1.5, 0, 0], [0, -1.01, 0], [0, 0, 9]], np.float32)
    out = np.zeros(3, np.float32)
    latents.add_values(beyond, node_at, values, out)
    assert not out.any()


def coded(data, node_at, nodes, near, above, values):
    """What a coder makes of values; the bytes where it writes."""
    room = np.zeros(64 + 16 * len(values), np.uint8) if data is None else bytes_to_read(data)
    coder = writer() if data is None else reader(room)
    weights = np.full((latents.CLASSES, 3), 26214, np.int64)
    latents.code_values(coder, room, fresh_models(latents.MODELS), weights, node_at, nodes, near, *above, values)
    if data is None:
        return room[: finish(coder, room)].tobytes()
    assert not ran_dry(coder, room)
    return None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0.3, 1e6), st.booleans())
def test_integers_come_back(seed, share, size, nested):
    rng = np.random.default_rng(seed)
    node_at, nodes = sparse_grid(4, share, rng)
    above = NONE
    if nested:
        coarse_at, coarse_nodes = sparse_grid(2, 0.7, rng)
        above = coarse_at, np.rint(rng.normal(0, 2, len(coarse_nodes))).astype(np.int64)
    near = rng.integers(0, latents.NEAR, len(nodes))
    values = np.rint(rng.laplace(0, size, len(nodes))).astype(np.int64)
    data = coded(None, node_at, nodes, near, above, values.copy())
    found = np.zeros_like(values)
    coded(data, node_at, nodes, near, above, found)
    assert np.array_equal(found, values)


def test_zeros_cost_next_to_nothing_and_neighbours_tell():
    rng = np.random.default_rng(4)
    node_at, nodes = sparse_grid(16, 1, rng)
    near = np.zeros(len(nodes), np.int64)
    assert len(coded(None, node_at, nodes, near, NONE, np.zeros(len(nodes), np.int64))) < 20
    patch = (nodes < 8).all(1) * np.rint(rng.laplace(0, 2, len(nodes))).astype(np.int64)
    spread = rng.permutation(patch)
    together, apart = (len(coded(None, node_at, nodes, near, NONE, v.copy())) for v in (patch, spread))
    assert together < 0.8 * apart


@pytest.mark.parametrize("price", [0.0, 0.02])
def test_no_single_change_helps(price):
    from scipy import sparse

    rng = np.random.default_rng(2)
    shares = sparse.random(200, 12, 0.2, random_state=3, format="csc")
    target, weights = shares @ rng.integers(-4, 5, 12) + rng.normal(0, 0.1, 200), rng.uniform(0.5, 1, 200) / 200
    costs = price * np.stack([np.arange(latents.SIZES, dtype=float)] * 2)
    kinds = np.arange(12) % 2
    values, rest = np.zeros(12, np.int64), target.copy()

    def total(v):
        return weights @ np.abs(target - shares @ v) + costs[kinds, np.abs(v)].sum()

    before = total(values)
    for _ in range(50):
        data = (shares.indptr, shares.indices, shares.data, weights, 1.0, costs, kinds)
        if not latents.descend(*data, rest, values):
            break
    assert np.allclose(rest, target - shares @ values) and total(values) < before
    for k in range(12):
        for change in (-1, 1, -values[k]):
            other = values.copy()
            other[k] += change
            assert total(other) >= total(values) - 1e-9
