"""A command that does what a test asks of it: the contract between shell and commands, without algorithms."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from mvgen.commands.job import Job, Report, Table
from mvgen.commands.options import BLACK, Colour, Format, Output, Settings, Size, parse_colour, parse_count, parse_size
from mvgen.commands.settings import apply_settings
from mvgen.core.errors import CannotError


@dataclass(frozen=True)
class Stereo:
    rounds: int = 3


@dataclass(frozen=True)
class Defaults:
    stereo: Stereo = field(default_factory=Stereo)


def probe(
    job: Job,
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A file, or - for standard input.")],
    output: Output,
    format: Format = None,
    settings: Settings = None,
    act: Annotated[str, typer.Option(help="What to do.")] = "copy",
    faces: Annotated[int, typer.Option(parser=parse_count, metavar="COUNT", help="How many faces.")] = 6000,
    size: Annotated[Size | None, typer.Option(parser=parse_size, metavar="WxH", help="Size.")] = None,
    colour: Annotated[Colour, typer.Option(parser=parse_colour, metavar="COLOUR", help="Background.")] = BLACK,
) -> Report:
    """Copy a file, or fail in a given way.

    A second paragraph that explains.

    Examples:
        mvgen probe in.ply -o out.ply
        cat in.ply | mvgen probe - -o - --format ply > out.ply
    """
    chosen = apply_settings(Defaults(), settings or [])
    job.check(output, format)
    path = job.read(source, "mesh")
    job.progress.stage("load", total=2)
    job.progress.advance()
    job.progress.note("a note")
    (job.scratch / "big.bin").write_bytes(b"scratch")
    print("library chatter")
    if act == "warn":
        job.progress.warn("something is odd")
    job.progress.stage("save")
    job.write(output, lambda draft: _save(path, draft, act), format)
    data = {"spooled_as": path.suffix, "rounds": chosen.stereo.rounds, "faces": faces, "size": size, "colour": colour}
    tables = (Table("Scores", ("name", "value"), (("f_score", 0.98765), ("psnr", 25.0))),) if act == "table" else ()
    return Report(data | {"nan": float("nan")}, ("copied",), tables, failed=act == "miss")


def _save(source: Path, draft: Path, act: str) -> None:
    draft.write_bytes(source.read_bytes()[:2])
    if act == "cannot":
        raise CannotError("photos do not overlap", "take more")
    if act == "crash":
        raise ZeroDivisionError("oops")
    if act == "hang":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        _hang()
    if act == "hang-in-import":
        try:
            _hang()
        except KeyboardInterrupt as error:  # what pybind11 makes of a signal while a module of its kind loads
            raise ImportError("initialization failed") from error
    draft.write_bytes(source.read_bytes())


def _hang() -> None:
    print("hanging", file=sys.stderr, flush=True)
    time.sleep(60)
