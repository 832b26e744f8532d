"""Every way to fail, as one line, a hint and an exit code."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from mvgen.core.errors import ExitCode, MvgenError


@dataclass(frozen=True)
class Failure:
    message: str
    hint: str | None
    exit_code: int

    @property
    def text(self) -> str:
        """The lines for standard error."""
        return f"error: {self.message}" + (f"\nhint: {self.hint}" if self.hint else "")

    @property
    def document(self) -> dict[str, str | int | None]:
        """What ``--json`` gives in place of a report."""
        return {"error": self.message, "hint": self.hint, "exit_code": self.exit_code}


def explain(error: BaseException, command: str = "mvgen") -> Failure:
    """What to tell about an error; ``command`` (``mvgen render``) is where its help is found."""
    if isinstance(error, MvgenError):
        return Failure(error.message, error.hint, int(error.exit_code))
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", None, int(ExitCode.INTERRUPTED))
    if hasattr(error, "format_message"):
        return _usage(error, command)
    if isinstance(error, MemoryError):
        return Failure(
            "not enough memory", "use fewer or smaller inputs, or close other programs", int(ExitCode.CANNOT)
        )
    if isinstance(error, OSError) and _is_full(error):
        hint = "free some space; TMPDIR says where temporary files go"
        return Failure("the disk is full", hint, int(ExitCode.CANNOT))
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return Failure(f"internal: {what}", "run again with --debug to see where", int(ExitCode.CANNOT))


def _is_full(error: OSError) -> bool:
    """NumPy tells a disk that fills up while it writes by words alone: ``3072 requested and 1020 written``."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or (
        error.errno is None and re.search(r"\d+ requested and \d+ written", str(error)) is not None
    )


def _usage(error: BaseException, command: str) -> Failure:
    """The parser's errors, in our words: no capital, no full stop, the way to the help."""
    message = " ".join(error.format_message().split()).rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else command
    return Failure(message[:1].lower() + message[1:], f"{command} --help", int(ExitCode.USAGE))
