"""Choosing pairs and a first focal length."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mvgen.core.sfm.pairs import choose_pairs
from mvgen.core.sfm.selfcalibration import guess_focal


def test_pairs_follow_order_and_likeness() -> None:
    """Photos 0 and 12 show the same things, as do 3 and 9 in part; everything else is unrelated."""
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (100, 128)).astype(np.float32) for _ in range(14)]
    photos[12] = rng.permutation(np.clip(photos[0] + rng.integers(-9, 9, (100, 128)), 0, 255)).astype(np.float32)
    photos[9][:30] = photos[3][:30]
    pairs = choose_pairs(photos, neighbours=2, window=3)
    assert all(a < b for a, b in pairs)
    assert len(set(pairs)) == len(pairs) < 14 * 5
    assert {(0, 12), (3, 9), (0, 1), (0, 3), (10, 13)} <= set(pairs)
    assert choose_pairs([np.zeros((0, 128), np.float32)] * 3, window=1) == [(0, 1), (1, 2)]


@pytest.mark.parametrize("ratio", [0.65, 1.9])
def test_focal_length_from_matches(ratio: float) -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(4):
        points = rng.uniform([-1, -1, 2], [1, 1, 6], (400, 3))
        rotation = Rotation.from_rotvec(rng.uniform(-0.4, 0.4, 3)).as_matrix()
        pixels = []
        for local in (points, (points - [0, 0, 4]) @ rotation.T + [0.8, 0.1, 4.5]):
            pixels.append(1000 * ratio * local[:, :2] / local[:, 2:] + [500, 400] + rng.normal(0, 0.2, (400, 2)))
        pairs.append((pixels[0], pixels[1], (1000, 800), (1000, 800)))
    found, clear = guess_focal(pairs, 1.1, 0)
    assert clear
    assert found == pytest.approx(ratio, rel=0.2)


def test_without_matches_the_default_stays() -> None:
    assert guess_focal([], 1.1, 0) == (1.1, False)
