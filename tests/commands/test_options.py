"""The little languages of option values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from mvgen.commands.options import parse_colour, parse_count, parse_size


@pytest.mark.parametrize(
    ("text", "count"), [("0", 0), ("6000", 6000), ("6k", 6000), ("1.5M", 1_500_000), (" 2k ", 2000), (7, 7)]
)
def test_counts(text: str | int, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(("text", "size"), [("960x720", (960, 720)), ("512", (512, 512)), ("4X3", (4, 3))])
def test_sizes(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("black", (0, 0, 0)),
        ("White", (1, 1, 1)),
        ("#ff0080", (1, 0, 128 / 255)),
        ("#f00", (1, 0, 0)),
        ("00ff00", (0, 1, 0)),
    ],
)
def test_colours(text: str, colour: tuple[float, float, float]) -> None:
    assert parse_colour(text) == colour


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((parse_count, text) for text in ("", "k", "-1", "1.5", "1.0005k", "nan", "6kk", "0x10", "1e3")),
        *((parse_size, text) for text in ("", "x", "0x5", "5x0", "960x", "-3", "1e9", "99999", "9x9x9")),
        *((parse_colour, text) for text in ("", "#", "mauve", "#12345", "#1234567", "#gggggg")),
    ],
)
def test_nonsense_is_a_bad_parameter(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write it as"):
        parse(text)


@given(st.integers(0, 10**15))
def test_every_count_is_its_own_text(count: int) -> None:
    assert parse_count(str(count)) == count


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_comes_back(colour: tuple[int, int, int]) -> None:
    text = "#" + "".join(f"{part:02x}" for part in colour)
    assert tuple(round(part * 255) for part in parse_colour(text)) == colour
