"""Where a command works: a region in a file, a sphere or a box."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mvgen.commands.options import BadValue, parse_numbers

if TYPE_CHECKING:
    from mvgen.commands.job import Job
    from mvgen.core.edit.recipe import FileReference, Where


class Spot(NamedTuple):
    """A sphere (4 numbers) or a box (6)."""

    kind: str
    numbers: tuple[float, ...]


def parse_spot(text: Any) -> Spot | str:
    """``sphere:X,Y,Z,R``, ``box:X,Y,Z,X,Y,Z``, or a file's name as it is. Raises typer.BadParameter."""
    kind, colon, rest = str(text).partition(":")
    count = {"sphere": 4, "box": 6}.get(kind)
    if isinstance(text, Spot) or not colon or count is None:
        return text if isinstance(text, Spot) else str(text)
    numbers = parse_numbers(rest)
    right = len(numbers) == count
    if not right or (kind == "sphere" and numbers[3] <= 0) or (kind == "box" and not numbers[:3] <= numbers[3:]):
        raise BadValue(f"{text} is no {kind}; write it as sphere:0,1,0,0.5 or box:-1,0,-1,1,2,1")
    return Spot(kind, numbers)


def where_of(job: Job, spot: Spot | str) -> Where:
    """What an option names, its file read. Raises InputError."""
    from mvgen.core.edit.recipe import Where

    if isinstance(spot, Spot):
        where: dict[str, Any] = {spot.kind: spot.numbers}
        return Where(**where)
    name, colon, part = spot.rpartition(":")
    if not colon or Path(spot).exists():
        name, part = spot, ""
    return Where(reference_of(job, name, "region", part or None))


def reference_of(job: Job, name: str, what: str, part: str | None = None) -> FileReference:
    """Of a file as it was named, or of the copy of a stream."""
    from mvgen.core.edit.recipe import reference

    path = job.read(name, what, folder=True)
    return reference(path, name if path == Path(name) else None, part)
