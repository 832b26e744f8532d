"""Run one task: build its job, call the command, and gather what is to be told."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from mvgen import __version__
from mvgen.cli.app import Common, Task
from mvgen.cli.device import choose_device
from mvgen.cli.interrupt import end_children
from mvgen.cli.memory import peak_memory_mb
from mvgen.cli.progress import Terminal
from mvgen.commands.job import Job, Report
from mvgen.core.io.atomic import work_folder

_THREAD_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


@dataclass(frozen=True)
class Outcome:
    """A command's report and the JSON document made of it."""

    report: Report
    document: dict[str, Any]
    quiet: bool


def run(task: Task) -> Outcome:
    """Raises whatever the command raises."""
    common, start = task.common, time.perf_counter()
    threads = common.threads or _cores()
    _set_threads(threads)
    device = choose_device(common.device, task.devices)
    _hush_libraries(common)
    progress = Terminal(common.quiet, common.verbose)
    if "cuda" in task.devices and common.device == "auto":
        progress.say(f"device: {device}")
    with work_folder() as scratch, _data_stream(common.verbose or common.debug) as stdout:
        job = Job(common.seed, device, threads, common.overwrite, progress, scratch, stdout, order=task.order)
        try:
            report = task.function(job, **task.arguments)
        except BaseException:
            end_children()
            raise
        finally:
            progress.close()
    seconds = {**progress.seconds, "total": time.perf_counter() - start}
    document = {
        "command": task.name,
        "output": job.written[0] if job.written else None,
        "written": job.written,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "peak_memory_mb": peak_memory_mb(),
        "stage_memory_mb": progress.memory_mb,
        "device": device,
        "seed": common.seed,
        "threads": threads,
        "version": __version__,
        "warnings": progress.warnings,
        **report.data,
    }
    return Outcome(report, document, common.quiet)


def _cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _set_threads(threads: int) -> None:
    """Through the environment, before the libraries that read it are imported; worker processes inherit it."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)
    # Threads that spin make a shared machine several times slower. OpenBLAS is given vectors alone: one is enough.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def _hush_libraries(common: Common) -> None:
    """Libraries' own warnings are for developers."""
    if not common.debug:
        warnings.simplefilter("ignore")
        logging.getLogger().addHandler(logging.NullHandler())


@contextmanager
def _data_stream(chatter: bool) -> Iterator[BinaryIO]:
    """Standard output for data alone; what libraries print goes to standard error if ``chatter``, else nowhere."""
    sys.stdout.flush()
    stdout, elsewhere = os.dup(1), os.dup(2) if chatter else os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(elsewhere, 1)
        with os.fdopen(os.dup(stdout), "wb") as stream:
            yield stream
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(elsewhere)
