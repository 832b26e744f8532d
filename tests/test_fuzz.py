"""The fuzzer: files damaged at random do no harm, and it notices where they would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import fuzz

ANSWERS = """
import json, os, signal, sys, time
print("ready", flush=True)
for number, line in enumerate(sys.stdin):
    if number == 1: os.kill(os.getpid(), signal.SIGSEGV)
    if number == 0 and sys.argv[1] == "spin":
        while True: pass
    if sys.argv[1] == "eat": data = bytearray(200_000_000)
    print(json.dumps("read"), flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.slow
def test_500_damaged_files_do_no_harm(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.fuzz", "--cases", "500", "--jobs", "2", "--keep", str(tmp_path)]
    done = subprocess.run(words, cwd=fuzz.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout
    assert int(done.stdout.rpartition(": ")[2].split()[0]) > 20, "nearly everything was refused: damage is too coarse"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize(("how", "told"), [("crash", "died with -11"), ("spin", "takes too long"), ("eat", "needs ")])
def test_harm_is_noticed(how: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 0.5)
    monkeypatch.setattr(fuzz, "MEGABYTES", 150)
    command = [sys.executable, "-c", ANSWERS, how]
    counts, failures = fuzz.fuzz([0, 1, 2], 0, ["ply-text"], 1, tmp_path, command)
    assert counts["failed"] == len(failures) >= 1
    assert any(told in failure.what for failure in failures)
    assert all((failure.kept / "a.ply").exists() for failure in failures)


def test_a_case_can_be_repeated(tmp_path: Path) -> None:
    one, other = (fuzz.make_case(7, 1, ["off"], tmp_path / name)[2] for name in "ab")
    assert one == other != fuzz.make_case(8, 1, ["off"], tmp_path / "c")[2]
