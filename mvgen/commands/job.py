"""What every command is handed (``Job``) and hands back (``Report``).

A command is a function ``NAME(job, ...)`` in ``mvgen/commands/NAME.py`` (dashes become underscores) whose further
parameters are Typer options and arguments. The shell adds the options that all commands share. A module-level
``DEVICES = ("cpu", "cuda")`` says that the command can use a GPU; without it ``job.device`` is always ``cpu``. Where it
depends on the arguments, a function ``devices`` of them says so instead.
"""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from mvgen.core.errors import CannotError, InputError, MvgenError, UsageError
from mvgen.core.io.atomic import atomic_file, atomic_folder, check_folder_target, check_target
from mvgen.core.io.sniff import HEAD, sniff
from mvgen.core.progress import Progress


@dataclass(frozen=True)
class Table:
    """Rows for a person to read; the shell turns every cell into text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Report:
    """What a command has done.

    data: plain values for ``--json`` (numbers, text, lists, dicts, arrays, paths); lines: what a person reads;
    failed: the job was done, but a requirement was missed (exit code 1); errors: of inputs that could not be used while
    others were (told one by one; the exit code is that of the first); answer: a line that is all the command is asked
    for, on standard output unless ``--json`` goes there.
    """

    data: dict[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    failed: bool = False
    errors: tuple[MvgenError, ...] = ()
    answer: str | None = None


@dataclass(frozen=True)
class Job:
    """The options that all commands share, and the way in and out for files.

    device is ``cpu`` or ``cuda:N``, already chosen. scratch is a folder that vanishes when the command ends. stdout is
    where data goes; ``print`` never reaches it. written collects the outputs as they were named. order: the names of
    the options as often, and in the order, as they were given.
    """

    seed: int
    device: str
    threads: int
    overwrite: bool
    progress: Progress
    scratch: Path
    stdout: BinaryIO
    written: list[str] = field(default_factory=list)
    order: tuple[str, ...] = ()

    def read(self, source: str | Path, what: str = "file", folder: bool = False) -> Path:
        """The path of an input: ``-`` and pipes are copied to a scratch file whose extension tells their format.

        ``what`` names the thing expected, for messages. A folder is refused unless ``folder`` is true. Raises
        InputError when the input is missing, empty, not readable or of no known format, UsageError for a terminal.
        """
        if str(source) == "-":
            return self._spool_stdin(what)
        path = Path(source)
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise _unreadable(path, what, error) from error
        if stat.S_ISDIR(mode):
            if not folder:
                raise InputError(f"{path}: is a folder, not a {what}", f"name a {what}")
            return path
        try:
            with path.open("rb") as stream:
                if not stat.S_ISREG(mode):
                    return self._spool(stream, str(path), what)
        except OSError as error:
            raise _unreadable(path, what, error) from error
        if path.stat().st_size == 0:
            raise InputError(f"{path}: is empty", "was it copied or downloaded completely?")
        return path

    def check(self, output: str | Path, format: str | None = None, folder: bool = False) -> None:
        """Refuse an output that could not be written in the end; for commands to call before long work.

        Raises UsageError or InputError, as ``write`` and ``write_folder`` would.
        """
        if str(output) == "-":
            if folder:
                raise UsageError("a folder cannot go to standard output", "name a folder with -o")
            if format is None:
                raise UsageError(
                    "standard output has no extension to tell the format", "add --format, as in: --format glb"
                )
            if self.stdout.isatty():
                raise UsageError(
                    "binary data is not written to a terminal", "name a file with -o, or pipe it: ... -o - | ..."
                )
        elif folder:
            check_folder_target(Path(output))
            if not self.overwrite and Path(output).exists():
                raise InputError(f"{output}: exists already", "choose another name, or allow --overwrite")
        elif not _is_stream(Path(output)):
            check_target(Path(output), self.overwrite)

    def write(self, output: str | Path, save: Callable[[Path], object], format: str | None = None) -> None:
        """Call ``save`` with a path to write to, and put the result in place: whole, or not at all.

        output is a file, or ``-`` for standard output; format is the extension (``glb``) where the name of the
        output does not tell it. Raises UsageError, InputError or CannotError.
        """
        self.check(output, format)
        suffix = f".{format.lstrip('.')}" if format else None
        if str(output) == "-" or _is_stream(Path(output)):
            draft = self.scratch / f"output{suffix or Path(output).suffix}"
            save(draft)
            self._send(draft, output)
        else:
            with atomic_file(Path(output), suffix, self.overwrite) as draft:
                save(draft)
        self.written.append(str(output))

    def write_folder(self, output: str | Path, save: Callable[[Path], object]) -> None:
        """Call ``save`` with an empty folder to fill, and put it in place: whole, or not at all.

        A folder that an earlier run wrote is replaced; one with other files in it is refused with InputError.
        """
        self.check(output, folder=True)
        with atomic_folder(Path(output)) as draft:
            save(draft)
        self.written.append(str(output))

    def _spool_stdin(self, what: str) -> Path:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                f"- reads a {what} from standard input, which is a terminal", f"pipe a {what} in, or name a file"
            )
        if (self.scratch / "input").exists():
            raise UsageError("standard input can be read only once", "name a file for the other input")
        (self.scratch / "input").mkdir()
        return self._spool(sys.stdin.buffer, "standard input", what)

    def _spool(self, stream: BinaryIO, name: str, what: str) -> Path:
        raw = self.scratch / f"spooled{len(list(self.scratch.iterdir()))}"
        with raw.open("wb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
        size = raw.stat().st_size
        if size == 0:
            raise InputError(f"{name}: is empty", "did the command before it fail?")
        with raw.open("rb") as file:
            extension = sniff(file.read(HEAD), size)
        if extension is None:
            raise InputError(f"{name}: is of no format known here", f"a {what} was expected")
        return raw.rename(raw.with_suffix(extension))

    def _send(self, draft: Path, output: str | Path) -> None:
        name = "standard output" if str(output) == "-" else str(output)
        try:
            with (
                draft.open("rb") as file,
                nullcontext(self.stdout) if name != str(output) else Path(output).open("wb") as out,
            ):
                shutil.copyfileobj(file, out, 1 << 20)
                out.flush()
        except BrokenPipeError as error:
            raise CannotError(f"{name}: was closed before everything was written") from error


def _is_stream(path: Path) -> bool:
    """Whether the path is a device, pipe or socket, which a rename must not replace."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _unreadable(path: Path, what: str, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file", "check the name and the current folder")
    if isinstance(error, PermissionError):
        return InputError(f"{path}: no permission to read it", f"chmod +r {path}")
    return InputError(f"{path}: cannot be read: {error.strerror}", f"name a {what}")
