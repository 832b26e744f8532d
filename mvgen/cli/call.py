"""What must be known of the command line before it is parsed, so that every error can be told in the right place."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mvgen.core.errors import UsageError


@dataclass(frozen=True)
class Call:
    """arguments for the parser; json: None, ``-`` (standard output or error) or a file; piped: data owns stdout."""

    arguments: tuple[str, ...]
    json: str | None
    piped: bool
    debug: bool


def read_call(arguments: list[str]) -> Call:
    """Make a bare ``--json`` into ``--json=-``, which a parser of options with values understands."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = ["--json=-" if a == "--json" else a for a in arguments[:end]]
    json = next((a.removeprefix("--json=") for a in reversed(options) if a.startswith("--json=")), None)
    piped = any(a in ("-o-", "--output=-") for a in options) or any(
        name in ("-o", "--output") and value == "-" for name, value in pairwise(options)
    )
    return Call((*options, *arguments[end:]), json, piped, "--debug" in options)


def check_call(call: Call, arguments: list[str]) -> None:
    """Refuse ``--json report.json``, which would read the report's name as an input. Raises UsageError."""
    for option, value in pairwise(arguments):
        if option == "--json" and value.endswith(".json") and not Path(value).exists():
            raise UsageError(f"--json {value}: the file belongs to the option", f"write it as --json={value}")
    if call.json == "":
        raise UsageError("--json= names no file", "write --json for standard output, or --json=FILE")
