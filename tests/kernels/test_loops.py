"""Shortest loops beside a search over all words."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.kernels.loops import gathered, shortest_loop_reference, shortest_loops


def graph(seed):
    """Links of a random graph, both ways, a few of them labelled."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 60, (2, 150))
    a, b = a[a != b], b[a != b]
    length, label = rng.uniform(0.5, 1.5, len(a)), rng.choice([0, 0, 0, 1, 2], len(a)).astype(np.uint64)
    start = np.r_[a, b]
    order = np.argsort(start, kind="stable")
    starts = np.searchsorted(start[order], np.arange(61))
    return starts, np.r_[b, a][order], np.r_[length, length][order], np.r_[label, label][order]


def search(roots, links, limit):
    best, word = np.empty(len(roots)), np.empty(len(roots), np.uint64)
    turn, before = np.empty((len(roots), 2), np.int64), np.full(60, -1)
    shortest_loops(np.array(roots), *links, limit, best, word, turn, before)
    return best, word, turn, before


@pytest.mark.parametrize("seed", range(5))
def test_loops_are_as_short_as_the_reference(seed):
    links = graph(seed)
    best, word, _, _ = search(range(60), links, 1e9)
    wanted = [shortest_loop_reference(r, *links) for r in range(60)]
    assert np.allclose(best, wanted)
    assert (word[np.isfinite(best)] != 0).all() and np.isfinite(best).any()


def test_nothing_is_found_beyond_the_limit():
    links = graph(0)
    free = search(range(60), links, 1e9)[0]
    limit = np.median(free)
    best = search(range(60), links, limit)[0]
    assert np.array_equal(best, np.where(free < limit, free, np.inf))


def test_words_of_branches_are_joined():
    words = np.array([0, 1, 2, 4], np.uint64)
    gathered(np.array([0, 1, 2, 3]), np.array([-1, 0, 1, 1]), words)
    assert words.tolist() == [7, 7, 2, 4]
