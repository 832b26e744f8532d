"""Which photos are shown to the network together.

Photos are numbered in the order they are given. A graph is a set of unordered pairs; each is predicted in both
directions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mvgen.core.errors import UsageError

Pair = tuple[int, int]
DEFAULT_WINDOW = 3
_GRAPH = re.compile(r"(complete|swin|logwin|oneref)(?:-(\d{1,6}))?(-noncyclic)?")
_WAYS = "use complete, swin-3, swin-3-noncyclic, logwin-3 or oneref-0"


def pair_graph(count: int, graph: str) -> list[Pair]:
    """Pairs (i, j), i < j, of so many photos, rising.

    ``complete``: every pair; ``swin-W``: each photo and the W after it, around the end unless ``-noncyclic`` follows;
    ``logwin-W``: those 1, 2, 4 ... 2^(W-1) after it, likewise; ``oneref-K``: photo K with every other. Raises
    UsageError for other words, and for a reference that is not there.
    """
    match = _GRAPH.fullmatch(graph)
    if match is None:
        raise UsageError(f"{graph}: no such graph of pairs", _WAYS)
    kind, number, open_end = match[1], match[2], match[3] is not None
    if (kind == "complete" and number) or (kind in ("complete", "oneref") and open_end):
        raise UsageError(f"{graph}: no such graph of pairs", _WAYS)
    if kind == "complete":
        return [(i, j) for i in range(count) for j in range(i + 1, count)]
    if kind == "oneref":
        reference = int(number or 0)
        if reference >= count:
            raise UsageError(f"{graph}: there are {count} photos, numbered from 0", _WAYS)
        return [_ordered(reference, k) for k in range(count) if k != reference]
    window = DEFAULT_WINDOW if number is None else int(number)
    if not 1 <= window <= (count if kind == "swin" else 20) + 20:
        raise UsageError(f"{graph}: a window holds from 1 photo to all of them", _WAYS)
    steps = range(1, window + 1) if kind == "swin" else [2**k for k in range(window)]
    pairs = set()
    for i in range(count):
        for step in steps:
            j = i + step
            if j < count or not open_end:
                pairs.add(_ordered(i, j % count))
    return sorted(p for p in pairs if p[0] != p[1])


def both_ways(pairs: list[Pair]) -> list[Pair]:
    """Every pair, then every pair turned around."""
    return [*pairs, *((j, i) for i, j in pairs)]


def best_pairs(pairs: Sequence[Pair], scores: Sequence[float], left_out: float) -> list[int]:
    """Which of the ordered pairs stay when ``left_out`` percent of the unordered ones go, those of the lowest scores.

    A pair's score is the mean over its two directions. Pairs without which photos would not be joined any more stay.
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    both: dict[Pair, list[float]] = {}
    for pair, score in zip(pairs, scores):
        both.setdefault(_ordered(*pair), []).append(score)
    names = sorted(both, key=lambda pair: (float(np.mean(both[pair])), pair))
    rank = np.arange(len(names), 0, -1)  # the best are the cheapest; 0 would be no pair at all
    count = 1 + max(max(pair) for pair in names)
    i, j = np.array(names).T
    tree = minimum_spanning_tree(coo_array((rank, (i, j)), (count, count))).tocoo()
    needed = {_ordered(int(a), int(b)) for a, b in zip(tree.row, tree.col)}
    spare = [pair for pair in names if pair not in needed]
    gone = set(spare[: int(len(names) * left_out / 100)])
    return [e for e, pair in enumerate(pairs) if _ordered(*pair) not in gone]


def _ordered(i: int, j: int) -> Pair:
    return (i, j) if i < j else (j, i)
