"""What a person sees of a long job: bars on a terminal, lines on request; and the seconds of each stage."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from mvgen.cli.memory import peak_memory_mb


class Terminal:
    """Shows stages on standard error and remembers their seconds and the warnings."""

    def __init__(self, quiet: bool = False, verbose: bool = False):
        self.seconds: dict[str, float] = {}
        self.memory_mb: dict[str, float | None] = {}  # the peak of the whole run, as each stage ended
        self.warnings: list[str] = []
        self._quiet, self._verbose = quiet, verbose
        self._bars = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._bar: Any = None
        self._stage: tuple[str, float] | None = None

    def stage(self, name: str, total: int | None = None) -> None:
        self.close()
        self._stage = (name, time.perf_counter())
        if self._bars:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=name, leave=False, file=sys.stderr, dynamic_ncols=True)

    def advance(self, steps: int = 1) -> None:
        if self._bar is not None:
            self._bar.update(steps)

    def note(self, text: str) -> None:
        if self._verbose:
            self.say(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.say(f"warning: {text}")

    def say(self, text: str) -> None:
        """A line for everybody, above the bar if there is one."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """The current stage is over."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._stage is not None:
            name, start = self._stage
            seconds = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            self.memory_mb[name] = peak_memory_mb()
            self._stage = None
            self.note(f"{name}: {seconds:.2f} s")
