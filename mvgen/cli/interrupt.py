"""Ctrl-C, kill and a closed terminal end a job the same way: as an exception, so that everything is cleaned up."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

_PATIENCE = 2.0  # seconds in which further signals leave the clean-up alone

_struck: list[int] = []  # the signals that have raised KeyboardInterrupt


def install() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread."""
    last = -_PATIENCE

    def interrupt(number: int, frame: Any) -> None:
        nonlocal last
        if time.monotonic() - last > _PATIENCE:
            last = time.monotonic()
            _struck.append(number)
            raise KeyboardInterrupt

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, interrupt)


def was_interrupted() -> bool:
    """Whether a signal has struck: libraries make other errors of it, as native modules do while they load."""
    return bool(_struck)


def end_children() -> None:
    """Kill worker processes, and see them gone, before their scratch files are removed.

    They are found where the system lists them, as Linux does; elsewhere a worker ends when its pipes close.
    """
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in listing.read_text().split():
                os.kill(int(child), signal.SIGKILL)
                os.waitpid(int(child), 0)
