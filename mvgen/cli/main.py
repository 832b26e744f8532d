"""The entry point: parse, run, tell, and end with the right exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import NoReturn

from mvgen.cli.call import Call, check_call, read_call
from mvgen.cli.failure import explain
from mvgen.cli.interrupt import install, was_interrupted
from mvgen.core.errors import ExitCode


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run mvgen with ``arguments`` (by default the command line) and leave the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    install()
    call = read_call(arguments)
    try:
        check_call(call, arguments)
        code = _run(call)
    except BaseException as error:
        code = _fail(error, call)
    _leave(_flushed(code))


def _run(call: Call) -> int:
    from mvgen.cli.app import parse

    task = parse(call.arguments)
    if isinstance(task, int):
        return task
    from mvgen.cli.output import print_report, write_json
    from mvgen.cli.run import run
    from mvgen.core.io.atomic import check_target

    if call.json not in (None, "-"):
        check_target(Path(str(call.json)))
    outcome = run(task)
    if not outcome.quiet:
        print_report(outcome.report)
    if outcome.report.answer is not None and call.json != "-":
        print(outcome.report.answer)
    for error in outcome.report.errors:
        print(explain(error).text, file=sys.stderr, flush=True)
    try:
        write_json(outcome.document, call)
    except BrokenPipeError:
        return _reader_gone()
    if outcome.report.errors:
        return int(outcome.report.errors[0].exit_code)
    return int(ExitCode.CANNOT if outcome.report.failed else ExitCode.DONE)


def _fail(error: BaseException, call: Call) -> int:
    """Tell about the error on standard error, and as JSON where that was asked for."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if call.debug:
        import traceback

        traceback.print_exception(error)
    cause = KeyboardInterrupt() if was_interrupted() else error
    failure = explain(cause, " ".join(["mvgen", *call.arguments[:1]]))
    with contextlib.suppress(OSError):
        print(failure.text, file=sys.stderr, flush=True)
    if call.json:
        from mvgen.cli.output import write_json

        with contextlib.suppress(Exception):
            write_json(dict(failure.document), call)
    return failure.exit_code


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_gone()
    return code


def _leave(code: int) -> NoReturn:
    """End the process; at once where a page was served, as what it still computes would be waited for."""
    if sys.modules.get("viser"):
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _reader_gone() -> int:
    """The program that read standard output has ended: end quietly too, as if SIGPIPE had struck."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return 128 + 13
