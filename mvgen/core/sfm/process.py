"""Running a part of the work in a child process that may crash without harm."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.progress import Progress

WORKER = (sys.executable, "-P", "-m", "mvgen.core.sfm.worker")
LITTLE_SPACE = 1 << 20  # bytes: a worker that crashes with less left has run out of it
_LOG_PREFIX = re.compile(r"^[EF]\d{4,8} [\d:.]+ +\d+ ")
_CHATTER = re.compile(r"^([IW]\d{4,8} |@|\*\*\*|PC: )")


def run_worker(
    request: dict[str, Any], folder: Path, progress: Progress, command: tuple[str, ...] = WORKER
) -> dict[str, NDArray[Any]]:
    """The arrays that ``command request.json result.npz`` makes of a request, all files kept in ``folder``. The command
    puts its result in place when it is whole.

    The child reports on its standard output, one line for each call of ``progress`` (``stage NAME``, ``note TEXT``);
    its standard error goes to a log file, and what its libraries leave in TMPDIR to the folder. It is ended with all
    its children when this function is left in any way, and it ends by itself when this process dies, as its standard
    input closes then. Raises CannotError, with the end of the log, when it crashes, and OSError when the disk is full.
    """
    asked, answer, log = folder / "request.json", folder / "result.npz", folder / "worker.log"
    asked.write_text(json.dumps(request))
    answer.unlink(missing_ok=True)
    with log.open("wb") as log_file:
        child = subprocess.Popen(
            [*command, str(asked), str(answer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": _python_path(), "OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(folder)},
        )
        try:
            assert child.stdout is not None
            _relay(child.stdout, progress)
            code = child.wait()
        finally:
            _end(child)
    if not answer.exists():  # with it, a crash while libraries are unloaded does no harm
        raise _crashed(code, log)
    with np.load(answer, allow_pickle=False) as data:
        return dict(data)


def _python_path() -> str:
    """Lets the child import mvgen from where this process has it."""
    root = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)


def _relay(lines: IO[bytes], progress: Progress) -> None:
    for raw in lines:
        kind, _, text = raw.decode(errors="replace").rstrip("\n").partition(" ")
        if kind == "stage":
            progress.stage(text)
        elif kind == "note":
            progress.note(text)


def _end(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _crashed(code: int, log: Path) -> CannotError | OSError:
    if shutil.disk_usage(log.parent).free < LITTLE_SPACE:
        return OSError(errno.ENOSPC, "no space for the worker's files", str(log.parent))
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    telling = [line for line in lines if line and not _CHATTER.match(line)]
    tail = _LOG_PREFIX.sub("", telling[-1]) if telling else "no message"
    if code == -signal.SIGKILL:
        return CannotError(
            "finding the cameras was killed from outside, perhaps for lack of memory", "use fewer photos"
        )
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return CannotError(f"finding the cameras broke down ({how}): {tail[:300]}", "try again with fewer or other photos")
