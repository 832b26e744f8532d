"""Running a command with a watch on its whole process tree: seconds, peak memory, and a kill at a given moment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
TICK = 0.05  # seconds between looks at the tree


@dataclass(frozen=True)
class Run:
    """How a command ended: code (negative: by that signal), wall seconds, the largest sum of the resident memory of its
    processes in MB (pages that they share count for each), and its standard error."""

    code: int
    seconds: float
    peak_mb: float
    errors: str

    def told(self) -> str:
        """The error and the hint that the command gave, else how it ended."""
        lines = [line.strip() for line in self.errors.splitlines()]
        said = [line for line in lines if line.startswith(("error:", "hint:"))]
        return "; ".join(said) or f"exit code {self.code}"

    def lacks(self) -> str | None:
        """The option that the command does not know, if that is why it ended."""
        found = re.search(r"no such option:? (--?[\w-]+)", self.errors, re.IGNORECASE) if self.code == 2 else None
        return found[1] if found else None


def watch(command: Sequence[str | Path], log: Path, kill_after: float | None = None) -> Run:
    """Run a command to its end, or kill it and all its descendants after some seconds. Its standard output is dropped,
    its standard error goes to a file."""
    start, peak = time.perf_counter(), 0
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "400"},
        )
        try:
            while child.poll() is None:
                peak = max(peak, sum(_resident(p) for p in tree(child.pid)))
                left = TICK if kill_after is None else min(TICK, start + kill_after - time.perf_counter())
                if left <= 0:
                    kill(child.pid)
                    break
                try:
                    child.wait(left)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if child.poll() is None:
                kill(child.pid)
            child.wait()
    seconds = time.perf_counter() - start
    return Run(child.returncode, seconds, peak / 1e6, log.read_text(errors="replace"))


def mvgen(*arguments: str | Path, log: Path, kill_after: float | None = None) -> Run:
    """Run our command line under watch."""
    return watch([sys.executable, "-m", "mvgen", *arguments], log, kill_after)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants that are alive."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(pid: int) -> None:
    """SIGKILL the process group that a process leads, and its descendants, which may have groups of their own; wait
    until none is left."""
    victims = tree(pid)
    os.killpg(pid, signal.SIGKILL)
    for one in victims[1:]:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(victims[1:], timeout=30)


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
