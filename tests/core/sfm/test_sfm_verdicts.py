"""What people are told, from made-up evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mvgen.core.errors import CannotError
from mvgen.core.sfm.verdicts import Evidence, is_turn, judge, refuse_hopeless


def evidence(**changes: Any) -> Evidence:
    """Four photos in a row, of which the first three make a model."""
    values: dict[str, Any] = {
        "names": ["p1.jpg", "p2.jpg", "p6.jpg", "p7.jpg"],
        "group": np.array([0, 0, 0, -1], np.int32),
        "features": np.array([900, 900, 900, 900], np.int32),
        "matches": np.array([[0, 300, 120, 0], [300, 0, 200, 5], [120, 200, 0, 12], [0, 5, 12, 0]], np.int32),
        "pair": np.array([[0, 1], [1, 2]], np.int32),
        "pair_share": np.array([0.5, 0.6]),
        "pair_homography": np.tile(np.eye(3), (2, 1, 1)),
        "focal": np.full(4, 700.0),
        "size": np.tile(np.array([640, 480], np.int32), (4, 1)),
        "points": np.array([250, 280, 190, 0]),
    }
    return Evidence(**{**values, **changes})


def nothing(**changes: Any) -> Evidence:
    return evidence(group=np.full(4, -1, np.int32), **changes)


def test_each_photo_gets_its_verdict() -> None:
    verdicts = judge(evidence())
    assert [v.registered for v in verdicts] == [True, True, True, False]
    assert (verdicts[0].neighbour, verdicts[0].matches, verdicts[0].points) == ("p2.jpg", 300, 250)
    last = verdicts[3]
    assert last.reason == "only 12 matches with its best neighbour p6.jpg"
    assert last.advice == "add photos between them"


def test_reasons_differ() -> None:
    alone = evidence().matches.copy()
    alone[3] = alone[:, 3] = 0
    assert "no matches" in judge(evidence(matches=alone))[3].reason
    assert "too little texture (7 " in judge(evidence(features=np.array([900, 900, 900, 7], np.int32)))[3].reason
    well = evidence().matches.copy()
    well[3, 2] = well[2, 3] = 80
    second = judge(evidence(matches=well, group=np.array([0, 0, 1, 1], np.int32)))[3]
    assert "fits only p6.jpg" in second.reason
    assert "link the two groups" in second.advice


def test_a_good_model_is_not_refused() -> None:
    refuse_hopeless(evidence())
    refuse_hopeless(evidence(pair_share=np.array([0.9, 0.95]), focal=np.full(4, np.nan)))


def test_too_little_texture() -> None:
    with pytest.raises(CannotError, match="too little texture"):
        refuse_hopeless(nothing(features=np.array([3, 0, 9, 900], np.int32)))


def test_no_overlap_names_the_numbers() -> None:
    few = np.where(evidence().matches > 12, 12, evidence().matches).astype(np.int32)
    with pytest.raises(CannotError, match=r"at most 12 matches, between p\d.jpg and p\d.jpg"):
        refuse_hopeless(nothing(matches=few, pair=np.zeros((0, 2), np.int32), pair_share=np.zeros(0)))
    with pytest.raises(CannotError, match="at most 0 matches;"):
        refuse_hopeless(nothing(matches=0 * few, pair=np.zeros((0, 2), np.int32), pair_share=np.zeros(0)))


def test_matches_without_cameras() -> None:
    with pytest.raises(CannotError, match=r"p1.jpg and p2.jpg share 300 matches"):
        refuse_hopeless(nothing())


def homography(rotation: np.ndarray, shift: np.ndarray, focal: float) -> np.ndarray:
    """Between two pictures of the plane z = 1 of the first camera; its scale is arbitrary."""
    k = np.array([[focal, 0, 320], [0, focal, 240], [0, 0, 1]])
    return 3.7 * k @ (rotation + np.outer(shift, [0, 0, 1])) @ np.linalg.inv(k)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.floats(0.5, 2))
def test_turning_is_told_from_moving(seed: int, known: bool, ratio: float) -> None:
    rng = np.random.default_rng(seed)
    rotation = Rotation.from_rotvec(rng.uniform(-0.25, 0.25, 3)).as_matrix()
    focal = np.full(4, 640 * ratio if known else np.nan)
    turned = np.tile(homography(rotation, np.zeros(3), 640 * ratio), (2, 1, 1))
    assert is_turn(evidence(pair_homography=turned, focal=focal), 0)
    if known:
        moved = np.tile(homography(rotation, np.array([0.25, 0, 0]), 640 * ratio), (2, 1, 1))
        assert not is_turn(evidence(pair_homography=moved, focal=focal), 0)


def test_planes_and_panoramas_are_refused() -> None:
    rotation = Rotation.from_rotvec([0.05, 0.2, 0]).as_matrix()
    share = np.array([0.99, 0.99])
    turned = np.tile(homography(rotation, np.zeros(3), 700), (2, 1, 1))
    moved = np.tile(homography(rotation, np.array([0.5, 0.1, 0]), 700), (2, 1, 1))
    for found in (evidence, nothing):
        with pytest.raises(CannotError, match="only turned"):
            refuse_hopeless(found(pair_homography=turned, pair_share=share))
        with pytest.raises(CannotError, match="flat surface"):
            refuse_hopeless(found(pair_homography=moved, pair_share=share, focal=np.full(4, np.nan)))
    refuse_hopeless(evidence(pair_homography=moved, pair_share=share))
