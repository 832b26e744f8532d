"""What the benchmarks share: running our own command, tables, and where the data lie."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mvgen import __version__
from mvgen.core.progress import Silent

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo" / "images"


class Clock(Silent):
    """Remembers wall and CPU seconds (of all threads) between the steps of a job."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self._last = (time.perf_counter(), time.process_time())

    def stage(self, name: str, total: int | None = None) -> None:
        self._last = (time.perf_counter(), time.process_time())

    def advance(self, steps: int = 1) -> None:
        now = (time.perf_counter(), time.process_time())
        self.wall.append(now[0] - self._last[0])
        self.cpu.append(now[1] - self._last[1])
        self._last = now


def data_folder() -> Path | None:
    """$MVGEN_DATA, where the sets of photos and ground truth lie, or None."""
    given = os.environ.get("MVGEN_DATA")
    return Path(given) if given else None


def photo_sets() -> dict[str, Path]:
    """Folders of photos by the name of their set: the rendered sets and the photos under $MVGEN_DATA."""
    data = data_folder()
    if data is None:
        return {}
    found = [p for kind in ("rendered", "photos") for p in sorted(data.glob(f"{kind}/*/images"))]
    return {p.parent.name: p for p in found}


def rendered_sets(wanted: Sequence[str]) -> list[Path]:
    """Folders of the rendered sets under $MVGEN_DATA: those of these names, or all. Exits where it is not set."""
    data = data_folder()
    if data is None:
        raise SystemExit("MVGEN_DATA is not set: it names a folder with rendered/")
    sets = data / "rendered"
    return [sets / n for n in wanted] or sorted(p.parent for p in sets.glob("*/cameras.json"))


def mvgen(*arguments: str | Path) -> None:
    """Run the command line. Raises CalledProcessError; its messages go to standard error."""
    subprocess.run([sys.executable, "-m", "mvgen", *map(str, arguments)], check=True, cwd=ROOT)


def report(*arguments: Any) -> dict[str, Any]:
    """What a command says of itself. Raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "mvgen", *map(str, arguments), "--json"]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(run.stdout))


def reconstruct(images: Path, output: Path, *options: str) -> dict[str, Any]:
    """The report of `mvgen reconstruct`."""
    report = output.with_suffix(".json")
    mvgen("reconstruct", images.resolve(), "-o", output, f"--json={report}", "-q", *options)
    return json.loads(report.read_text(encoding="utf-8"))


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns of text under a title: the first to the left, the others to the right."""
    cells = [list(header)] + [[_shown(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    print(f"\n{title}")
    for row in cells:
        print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def print_machine() -> None:
    """One line that says what made the figures below it."""
    names = ("numba", "opencv-python-headless", "pycolmap")
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{_processor()}, {cores} cores{busy}; mvgen {__version__}, {versions}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
