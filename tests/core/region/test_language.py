"""The languages of selections."""

from __future__ import annotations

import pytest

from mvgen.core.errors import UsageError
from mvgen.core.region import language as l


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (l.length, "0.05", l.Length(0.05, False)),
        (l.length, "2%", l.Length(0.02, True)),
        (l.box, "-1,0,-1,1,2,inf", ((-1, 0, -1), (1, 2, float("inf")))),
        (l.ball, "0,1,0,2%", l.Ball((0, 1, 0), l.Length(0.02, True))),
        (l.ball, "a:b.png:3,4,0.5", l.Ball(l.Pixel("a:b.png", 3, 4), l.Length(0.5, False))),
        (l.click, "a.png:3,4", l.Ball(l.Pixel("a.png", 3, 4), l.Length(0.02, True))),
        (l.click, "a.png:3,4,1", l.Ball(l.Pixel("a.png", 3, 4), l.Length(1, False))),
        (l.lasso, "a.png:0,0,9,0,9,9", l.Lasso("a.png", ((0, 0), (9, 0), (9, 9)))),
        (l.plane, "0,1,0,0.5", ((0, 1, 0), 0.5)),
        (l.shade, "#ff0000", l.Shade((1, 0, 0), 20)),
        (l.shade, "ff0000,5", l.Shade((1, 0, 0), 5)),
        (l.cone, "0,1,0", l.Cone((0, 1, 0), 30)),
        (l.cone, "0,2,0,45", l.Cone((0, 2, 0), 45)),
        (l.interval, "0.5..", l.Range(0.5, float("inf"))),
        (l.interval, "..0.5", l.Range(float("-inf"), 0.5)),
        (l.interval, "-1..1", l.Range(-1, 1)),
        (l.part, "largest", 1),
        (l.part, "3", 3),
        (l.part, "0,1,2", (0, 1, 2)),
        (l.part, "a.png:1,2", l.Pixel("a.png", 1, 2)),
        (l.named, "m.png:IMG:1", ("m.png:IMG", "1")),
    ],
)
def test_it_reads(read, text, expected):
    assert (read(text, "--x", "FILE:NAME") if read is l.named else read(text, "--x")) == expected


@pytest.mark.parametrize(
    ("read", "texts"),
    [
        (l.length, ["", "0", "-1", "nan", "inf", "1e999", "2%%", "a", "."]),
        (l.box, ["", "1,2,3", "1,0,0,0,1,1", "nan,0,0,1,1,1", "0,0,0,1,1,1,1", "a,b,c,d,e,f"]),
        (l.ball, ["", "1,2,3", "1,2,3,-1", "nan,0,0,1", "inf,0,0,1", "0,0,0,nan", "a.png:1,2", "a.png:1,0.5,nan"]),
        (l.click, ["3,4", "a.png", "a.png:3", "a.png:3,4,0", "a.png:nan,4", ":3,4"]),
        (l.lasso, ["a.png:0,0,9,0", "a.png:0,0,9,0,9", "0,0,9,0,9,9", "a.png:0,0,9,0,9,nan"]),
        (l.plane, ["0,0,0,1", "0,1,0", "nan,1,0,1"]),
        (l.shade, ["", "reddish", "#ff00", "#ff0000,nan", "#ff0000,-1", "#ff0000,1,2"]),
        (l.cone, ["0,0,0", "0,1", "0,1,0,200", "0,1,0,nan"]),
        (l.interval, ["", "..", "1", "2..1", "nan..1", "a..b"]),
        (l.part, ["0", "-1", "small", "1,2", "a.png:1"]),
        (l.words, ["", "  "]),
    ],
)
def test_it_refuses(read, texts):
    for text in texts:
        with pytest.raises(UsageError, match=r"^--x") as caught:
            read(text, "--x")
        assert caught.value.hint
