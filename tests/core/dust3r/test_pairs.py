"""Graphs of pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.dust3r.pairs import best_pairs, both_ways, pair_graph
from mvgen.core.errors import UsageError


def test_known_graphs():
    assert pair_graph(3, "complete") == [(0, 1), (0, 2), (1, 2)]
    assert pair_graph(5, "swin-1") == [(0, 1), (0, 4), (1, 2), (2, 3), (3, 4)]
    assert pair_graph(5, "swin-2-noncyclic") == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4)]
    assert pair_graph(6, "logwin-3-noncyclic") == [
        (0, 1), (0, 2), (0, 4), (1, 2), (1, 3), (1, 5), (2, 3), (2, 4), (3, 4), (3, 5), (4, 5),
    ]  # fmt: skip
    assert pair_graph(4, "oneref-2") == [(0, 2), (1, 2), (2, 3)]
    assert pair_graph(4, "oneref") == [(0, 1), (0, 2), (0, 3)]


@given(st.integers(2, 30), st.sampled_from(["complete", "swin", "swin-1-noncyclic", "logwin", "logwin-2", "oneref-1"]))
def test_every_photo_takes_part_and_no_pair_twice(count, graph):
    pairs = pair_graph(count, graph)
    assert pairs == sorted(set(pairs)) and all(0 <= i < j < count for i, j in pairs)
    assert {k for pair in pairs for k in pair} == set(range(count))
    turned = both_ways(pairs)
    assert turned[: len(pairs)] == pairs and len(set(turned)) == 2 * len(pairs)


@pytest.mark.parametrize(
    "graph", ["", "all", "swin-", "swin-0", "oneref-4", "complete-2", "oneref-1-noncyclic", "swin--1"]
)
def test_other_graphs_are_refused(graph):
    with pytest.raises(UsageError):
        pair_graph(4, graph)


def test_the_least_sure_pairs_go_both_ways_while_photos_stay_joined():
    pairs = both_ways([(0, 1), (0, 2), (1, 2), (2, 3)])
    score = {(0, 1): 3.0, (1, 0): 1.0, (0, 2): 1.9, (2, 0): 1.9, (1, 2): 5.0, (2, 1): 5.0, (2, 3): 0.1, (3, 2): 0.1}
    kept = [pairs[e] for e in best_pairs(pairs, [score[p] for p in pairs], 25)]
    assert set(pairs) - set(kept) == {(0, 2), (2, 0)}  # photo 3 hangs on the pair that is less sure
    assert best_pairs(pairs, [score[p] for p in pairs], 0) == list(range(8))
    assert len(best_pairs(pairs, [score[p] for p in pairs], 99)) == 6
