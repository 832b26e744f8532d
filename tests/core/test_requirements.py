"""Conditions for CI."""

from __future__ import annotations

import pytest

from mvgen.core.errors import UsageError
from mvgen.core.requirements import misses, parse_requirements, parse_share, regressions

KNOWN = ["f_score@1%", "f_score@0.5%", "psnr", "accuracy", "rotation_error"]


def test_conditions_are_read_and_checked() -> None:
    found = parse_requirements("f_score@1%>=0.9, psnr > 24,accuracy<=0.5%", KNOWN)
    assert [(r.metric, r.sign, r.limit) for r in found] == [
        ("f_score@1%", ">=", 0.9),
        ("psnr", ">", 24),
        ("accuracy", "<=", 0.005),
    ]
    assert misses(found, {"f_score@1%": 0.9, "psnr": 24.1, "accuracy": 0.005}) == []
    lines = misses(found, {"f_score@1%": 0.89, "psnr": 24, "accuracy": None})
    assert len(lines) == 3 and lines[0].startswith("f_score@1% is 0.89") and "could not be measured" in lines[2]


@pytest.mark.parametrize("text", ["psnr", "psnr>=", "psnr=>24", "psnr>=1e", ">=3", "psnr>=--3"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_requirements(text, KNOWN)


def test_unknown_metrics_bring_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        parse_requirements("fscore@1%>=0.9", KNOWN)
    assert caught.value.hint == "did you mean f_score@1%?"


def test_regressions_know_which_way_is_worse() -> None:
    old = {"psnr": 25.0, "accuracy": 0.01, "f_score@1%": 0.9, "rotation_error": None}
    assert regressions(old, {"psnr": 24.6, "accuracy": 0.0102, "f_score@1%": 0.95}, 0.02) == []
    lines = regressions(old, {"psnr": 24.4, "accuracy": 0.011, "f_score@1%": None}, 0.02)
    assert [line.split()[0] for line in lines] == ["psnr", "accuracy", "f_score@1%"]
    assert regressions({"rotation_error": 0.0}, {"rotation_error": 0.1}, 0.02)


def test_shares() -> None:
    assert parse_share("2%") == parse_share(" 0.02 ") == 0.02
    with pytest.raises(ValueError):
        parse_share("two")
