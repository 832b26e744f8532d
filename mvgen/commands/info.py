"""``mvgen info``: what a file or folder holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mvgen.commands.job import Job, Report, Table
from mvgen.core.errors import MvgenError

if TYPE_CHECKING:
    from mvgen.core.info.describe import Facts

MOST_SHOWN = 200  # characters of a value in a table; --json has all of it


def info(
    job: Job,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|DIR...",
            help="Meshes, points, scenes, camera files, photos or folders of them, depth maps, arrays; - is stdin.",
        ),
    ],
) -> Report:
    """What a file or folder holds: kind, counts, size, whether a mesh is closed, what is missing.

    One input gives a table of all that is known of it, several a line each. With --json everything is told of each. An
    input that cannot be read is told, the others are shown, and the exit code is 3.

    Examples:
      mvgen info scene.glb
      mvgen info photos/ scene/ *.ply --json
    """
    found: list[tuple[str, Facts]] = []
    errors: list[MvgenError] = []
    for name in inputs:
        try:
            found.append((name, _facts(job, name)))
        except MvgenError as error:
            if len(inputs) == 1:
                raise
            errors.append(error)
    data = {
        "files": [{"path": name, **_plain(facts)} for name, facts in found],
        "errors": [{"error": e.message, "hint": e.hint, "exit_code": int(e.exit_code)} for e in errors],
    }
    if len(inputs) == 1:
        return Report(data, tables=(_details(*found[0]),))
    tables = (_overview(found),) if found else ()
    return Report(data, tables=tables, errors=tuple(errors))


def _facts(job: Job, name: str) -> Facts:
    from mvgen.core.info.describe import describe

    return describe(job.read(name, "file", folder=True))


def _plain(facts: Facts) -> dict[str, Any]:
    return {"kind": facts.kind, "format": facts.format, "summary": facts.summary, **facts.values, "notes": facts.notes}


def _overview(found: list[tuple[str, Facts]]) -> Table:
    rows = tuple((name, f.kind, f.format, f.summary, "; ".join(f.notes)) for name, f in found)
    return Table("", ("file", "kind", "format", "holds", "notes"), rows)


def _details(name: str, facts: Facts) -> Table:
    rows = [("file", name), ("kind", facts.kind), ("format", facts.format)]
    for key, value in facts.values.items():
        rows.append((key.replace("_", " "), _shown(value)))
    rows += [("note", text) for text in facts.notes]
    return Table("", ("what", "value"), tuple(rows))


def _shown(value: Any) -> str:
    """A value as a person reads it, of at most MOST_SHOWN characters."""
    text = _text(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        joint = "  " if any(isinstance(item, (list, tuple)) or hasattr(item, "tolist") for item in value) else ", "
        return joint.join(_text(item) for item in value) or "none"
    return str(value)
