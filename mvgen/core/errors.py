"""The errors that core raises and the shell reports as ``error:`` and ``hint:`` lines."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a shell sees when mvgen ends."""

    DONE = 0
    CANNOT = 1  # the input was valid, but the job cannot be done
    USAGE = 2
    BAD_INPUT = 3  # unreadable or unsuitable input file
    NO_WEIGHTS = 4
    INTERRUPTED = 130


class MvgenError(Exception):
    """Something a person can act on: what is wrong, the way out, and the exit code.

    ``message`` names the file where there is one (``FILE: what is wrong``).
    """

    exit_code = ExitCode.CANNOT

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint


class CannotError(MvgenError):
    """The input is valid, but the job cannot be done with it."""


class UsageError(MvgenError):
    """The command line asks for something that does not exist or contradicts itself."""

    exit_code = ExitCode.USAGE


class InputError(MvgenError):
    """A file is missing, unreadable, or of the wrong kind."""

    exit_code = ExitCode.BAD_INPUT


class WeightsError(MvgenError):
    """Network weights are missing or do not fit."""

    exit_code = ExitCode.NO_WEIGHTS
