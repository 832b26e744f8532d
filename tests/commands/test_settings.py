"""``--set stage.name=value``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.commands.settings import apply_settings, setting_names
from mvgen.core.errors import UsageError
from mvgen.core.limits import between, limits_of
from mvgen.core.reconstruct import ReconstructOptions


@dataclass(frozen=True)
class Stereo:
    rounds: int = 3
    window: float = 5.0
    prior: Literal["none", "planar"] = "planar"
    levels: tuple[int, ...] = (4, 2, 1)
    span: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Settings:
    stereo: Stereo = field(default_factory=Stereo)
    refine: bool = True
    limit: int | None = None
    name: str = "x"


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("refine=no", Settings(refine=False)),
        ("refine=TRUE", Settings()),
        ("limit=6k", Settings(limit=6000)),
        ("limit=none", Settings()),
        ("name=a=b", Settings(name="a=b")),
        ("stereo.rounds=5", Settings(stereo=Stereo(rounds=5))),
        ("stereo.window=1e-2", Settings(stereo=Stereo(window=0.01))),
        ("stereo.window=-1", Settings(stereo=Stereo(window=-1.0))),
        ("stereo.prior=none", Settings(stereo=Stereo(prior="none"))),
        ("stereo.levels=8,4", Settings(stereo=Stereo(levels=(8, 4)))),
        (" stereo.span = 0.5, 2 ", Settings(stereo=Stereo(span=(0.5, 2.0)))),
    ],
)
def test_value_is_set_and_nothing_else(pair: str, expected: Settings) -> None:
    assert apply_settings(Settings(), [pair]) == expected


@pytest.mark.parametrize(
    ("pair", "error", "hint"),
    [
        ("stereo.round=5", "stereo.round: no such setting", "did you mean stereo.rounds?"),
        ("sterio.rounds=5", "sterio.rounds: no such setting", "did you mean stereo.rounds?"),
        ("qqq=5", "qqq: no such setting", "known settings: stereo.rounds"),
        ("stereo=5", "stereo: no such setting", "stereo."),
        ("refine.x=5", "refine.x: no such setting", "refine"),
        ("stereo.__class__=5", "no such setting", "stereo"),
        ("stereo.rounds", "has no value", "stage.name=value"),
        ("stereo.rounds=1.5", "a whole number", "--help"),
        ("stereo.window=nan", "a number", "--help"),
        ("stereo.window=inf", "a number", "--help"),
        ("stereo.prior=flat", "one of none, planar", "--help"),
        ("stereo.span=1", "a number, a number", "--help"),
        ("stereo.levels=a,b", "a whole number", "--help"),
        ("refine=maybe", "true or false", "--help"),
        ("limit=many", "a whole number or none", "--help"),
    ],
)
def test_wrong_setting_is_explained(pair: str, error: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply_settings(Settings(), [pair])
    assert error in caught.value.message
    assert hint in str(caught.value.hint)


def test_later_settings_win_and_defaults_stay() -> None:
    defaults = Settings()
    assert apply_settings(defaults, ["stereo.rounds=5", "stereo.rounds=6"]).stereo.rounds == 6
    assert defaults == Settings()


@dataclass(frozen=True)
class Bounded:
    sources: int = between(4, 1, 64)
    weight: float = between(0.5, 0)


@pytest.mark.parametrize(
    ("pair", "told"),
    [("sources=0", "from 1 to 64"), ("sources=65", "from 1 to 64"), ("weight=-0.1", "at least 0")],
)
def test_values_beyond_their_limits_are_refused(pair: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        apply_settings(Bounded(), [pair])


def test_values_at_their_limits_are_taken() -> None:
    assert apply_settings(Bounded(), ["sources=64", "weight=0"]) == Bounded(64, 0)


def test_defaults_lie_within_their_limits() -> None:
    def check(options: Any) -> None:
        for each in fields(options):
            value = getattr(options, each.name)
            if is_dataclass(value):
                check(value)
            elif isinstance(value, (int, float)):
                low, high = limits_of(each)
                assert low <= value <= high, each.name

    check(ReconstructOptions())


def test_names_are_dotted() -> None:
    assert setting_names(Settings()) == [
        "stereo.rounds",
        "stereo.window",
        "stereo.prior",
        "stereo.levels",
        "stereo.span",
        "refine",
        "limit",
        "name",
    ]


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 10**12))
def test_numbers_come_back_as_written(window: float, rounds: int) -> None:
    changed = apply_settings(Settings(), [f"stereo.window={window!r}", f"stereo.rounds={rounds}"])
    assert changed == replace(Settings(), stereo=Stereo(rounds=rounds, window=window))


@given(st.text(max_size=30))
def test_any_text_is_a_setting_or_a_usage_error(text: str) -> None:
    try:
        apply_settings(Settings(), [text])
    except UsageError as error:
        assert error.hint
