"""Neighbouring cubes beside the plain way to find them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mvgen.kernels.cubes import join_touching, mark_touching, touching


@pytest.mark.parametrize("seed", range(6))
def test_they_are_the_reference(seed):
    rng = np.random.default_rng(seed)
    size = np.array([(12, 10, 9), (1, 1, 40), (7, 1, 7)][seed % 3])
    places = np.unique(rng.integers(0, size, (int(size.prod() * 0.12) + 1, 3)), axis=0) + 1
    x_step, y_step = int((size[1] + 2) * (size[2] + 2)), int(size[2] + 2)
    names = np.sort(places @ [x_step, y_step, 1])
    pairs = touching(names, x_step, y_step)
    count = len(names)
    between = np.abs(places[:, None] - places[None]).max(2)
    assert len(pairs) == (between == 1).sum() / 2

    root = np.empty(count, np.int32)
    join_touching(names, x_step, y_step, root)
    label = connected_components(coo_matrix((np.ones(len(pairs)), pairs.T), (count, count)), directed=False)[1]
    lowest = np.array([np.flatnonzero(label == one)[0] for one in label])
    assert np.array_equal(root, lowest)

    full, out = rng.random(count) < 0.1, np.zeros(count, np.bool_)
    mark_touching(names, x_step, y_step, full, out)
    wanted = full.copy()
    wanted[pairs[full[pairs[:, 0]], 1]] = wanted[pairs[full[pairs[:, 1]], 0]] = True
    assert np.array_equal(out, wanted)
