"""The shell's parts that are easier to hold alone: failures, devices, progress, reports, the call."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from mvgen.cli import device
from mvgen.cli.call import read_call
from mvgen.cli.failure import explain
from mvgen.cli.output import plain
from mvgen.cli.progress import Terminal
from mvgen.core.errors import CannotError, InputError, UsageError, WeightsError


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (CannotError("a", "b"), 1, "error: a\nhint: b"),
        (UsageError("a"), 2, "error: a"),
        (InputError("x.ply: is empty", "copy it again"), 3, "error: x.ply: is empty\nhint: copy it again"),
        (WeightsError("a", "b"), 4, "error: a\nhint: b"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (MemoryError(), 1, "error: not enough memory\nhint: use fewer"),
        (OSError(28, "No space left on device"), 1, "error: the disk is full\nhint: free"),
        (OSError("307200 requested and 3040 written"), 1, "error: the disk is full\nhint: free"),
        (OSError("something else"), 1, "error: internal: OSError"),
        (BrokenPipeError(32, "Broken pipe"), 1, "error: internal: BrokenPipeError"),
        (KeyError("two\nlines"), 1, r"error: internal: KeyError: 'two\nlines'"),
    ],
)
def test_every_error_has_its_code_and_words(error: BaseException, code: int, words: str) -> None:
    failure = explain(error)
    assert failure.exit_code == code
    assert failure.text.startswith(words)


@pytest.mark.parametrize(
    ("asked", "supported", "count", "chosen"),
    [
        ("auto", ("cpu",), 2, "cpu"),
        ("auto", ("cpu", "cuda"), 0, "cpu"),
        ("auto", ("cpu", "cuda"), 1, "cuda:0"),
        ("cpu", ("cpu", "cuda"), 1, "cpu"),
        ("cuda", ("cpu", "cuda"), 1, "cuda:0"),
        ("cuda:1", ("cpu", "cuda"), 2, "cuda:1"),
    ],
)
def test_device_is_chosen(
    asked: str, supported: tuple[str, ...], count: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "cuda_devices", lambda: count)
    assert device.choose_device(asked, supported) == chosen


@pytest.mark.parametrize(
    ("asked", "supported", "error"),
    [
        ("gpu", ("cpu", "cuda"), UsageError),
        ("cuda:", ("cpu", "cuda"), UsageError),
        ("cuda", ("cpu",), UsageError),
        ("cuda:1", ("cpu", "cuda"), CannotError),
    ],
)
def test_device_is_refused(
    asked: str, supported: tuple[str, ...], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "cuda_devices", lambda: 1)
    with pytest.raises(error):
        device.choose_device(asked, supported)


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_draws_bars_and_cleans_them(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    progress = Terminal()
    progress.stage("match", total=4)
    progress.advance(4)
    progress.warn("photo7.jpg stays out")
    progress.stage("fuse")
    progress.close()
    assert "match: 100%" in screen.getvalue()
    assert "warning: photo7.jpg stays out\n" in screen.getvalue()
    assert list(progress.seconds) == ["match", "fuse"]
    assert progress.warnings == ["photo7.jpg stays out"]


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_progress_draws_nothing_where_it_should_not(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Screen() if term == "dumb" else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", term)
    progress = Terminal()
    progress.stage("match", total=2)
    progress.advance(2)
    progress.note("only with -v")
    progress.close()
    assert screen.getvalue() == ""


def test_a_stage_that_comes_twice_adds_up() -> None:
    progress = Terminal(quiet=True)
    for name in ("match", "fuse", "match"):
        progress.stage(name)
    progress.close()
    assert list(progress.seconds) == ["match", "fuse"]


def test_report_values_become_json_values() -> None:
    value = {
        "path": Path("a/b"),
        "count": np.int64(3),
        "score": np.float32(0.5),
        "infinite": np.float64("inf"),
        "array": np.array([[1.0, np.nan]]),
        "flag": np.bool_(True),
        "tuple": (1, None, "x"),
        4: float("nan"),
    }
    assert plain(value) == {
        "path": "a/b",
        "count": 3,
        "score": 0.5,
        "infinite": None,
        "array": [[1.0, None]],
        "flag": True,
        "tuple": [1, None, "x"],
        "4": None,
    }


@pytest.mark.parametrize(
    ("arguments", "json", "piped"),
    [
        (["eval", "a", "b"], None, False),
        (["eval", "a", "b", "--json"], "-", False),
        (["eval", "a", "--json=r.json", "b"], "r.json", False),
        (["render", "a", "-o", "-", "--json"], "-", True),
        (["render", "a", "--output=-"], None, True),
        (["render", "-", "-o", "x.png"], None, False),
        (["eval", "--", "--json", "-o", "-"], None, False),
    ],
)
def test_call_is_understood_before_it_is_parsed(arguments: list[str], json: str | None, piped: bool) -> None:
    call = read_call(arguments)
    assert (call.json, call.piped) == (json, piped)
    assert "--json" not in call.arguments or "--" in call.arguments
