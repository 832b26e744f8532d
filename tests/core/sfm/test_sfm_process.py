"""The child process may crash, hang or be interrupted without harm."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mvgen.core.errors import CannotError
from mvgen.core.progress import Silent
from mvgen.core.sfm import process
from mvgen.core.sfm.process import run_worker


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


class Listener(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def stage(self, name: str, total: int | None = None) -> None:
        self.heard.append(f"stage {name}")

    def note(self, text: str) -> None:
        self.heard.append(f"note {text}")


class Interrupter(Silent):
    pid = 0

    def note(self, text: str) -> None:
        self.pid = int(text)
        raise KeyboardInterrupt


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_answer_and_the_progress_come_back(tmp_path: Path) -> None:
    code = (
        "import json, sys, numpy as np; r = json.load(open(sys.argv[1]));"
        "print('stage one'); print('note two words'); print('noise'); np.savez(sys.argv[2], x=np.arange(r['n']))"
    )
    listener = Listener()
    answer = run_worker({"n": 3}, tmp_path, listener, python(code))
    assert answer["x"].tolist() == [0, 1, 2]
    assert listener.heard == ["stage one", "note two words"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "SIGABRT"),
        ("raise SystemExit(3)", "exit code 3"),
        ("raise ValueError('odd thing')", "ValueError: odd thing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory"),
        ("pass", "exit code 0"),
        (
            "import sys; print('E20261121 09:47:22.279362 139794213014400 sfm.cc:310] Check failed', file=sys.stderr);"
            "print('I20261121 09:47:22.279362 139794213014400 timer.cc:90] chatter', file=sys.stderr); sys.exit(1)",
            "sfm.cc:310] Check failed",
        ),
    ],
)
def test_a_crash_is_explained(tmp_path: Path, code: str, told: str) -> None:
    with pytest.raises(CannotError) as caught:
        run_worker({}, tmp_path, Silent(), python(code))
    assert told in caught.value.message
    assert "chatter" not in caught.value.message
    assert caught.value.hint


def test_a_crash_on_a_full_disk_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LITTLE_SPACE", 1 << 62)
    with pytest.raises(OSError) as caught:
        run_worker({}, tmp_path, Silent(), python("import os; os.abort()"))
    assert caught.value.errno == errno.ENOSPC


def test_an_old_answer_is_not_mistaken_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "result.npz").write_bytes(b"old")
    with pytest.raises(CannotError):
        run_worker({}, tmp_path, Silent(), python("pass"))


def test_an_interrupt_ends_the_child(tmp_path: Path) -> None:
    interrupter = Interrupter()
    with pytest.raises(KeyboardInterrupt):
        run_worker(
            {}, tmp_path, interrupter, python("import os, time; print('note', os.getpid(), flush=True); time.sleep(60)")
        )
    assert interrupter.pid
    assert not is_running(interrupter.pid)


def test_the_worker_ends_when_its_parent_is_gone() -> None:
    code = (
        "import threading, time; from mvgen.core.sfm.worker import end_with_parent;"
        "threading.Thread(target=end_with_parent, daemon=True).start(); print('up', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    assert child.poll() is None
    child.stdin.close()
    try:
        assert child.wait(timeout=20) == -signal.SIGTERM
    finally:
        child.kill()
        child.stdout.close()


@pytest.mark.slow
def test_killing_the_real_worker_is_survived(tmp_path: Path) -> None:
    """The worker is killed from outside while it looks for features."""
    from mvgen.core.io.images import read_photos
    from mvgen.core.sfm import recover_cameras
    from tests.core.sfm import worlds

    class Killer(Silent):
        def stage(self, name: str, total: int | None = None) -> None:
            if name == "features":
                children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
                time.sleep(0.2)
                for pid in children:
                    os.kill(int(pid), signal.SIGKILL)

    photos = read_photos(worlds.photograph(tmp_path, worlds.sideways(2), (worlds.WALL,)))
    with pytest.raises(CannotError, match="killed"):
        recover_cameras(photos, tmp_path / "out", progress=Killer())
