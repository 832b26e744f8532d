"""Tell what was done: lines and tables for a person on standard error, one JSON object for a program."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from mvgen.cli.call import Call
from mvgen.commands.job import Report, Table
from mvgen.core.io.atomic import atomic_file

MOST_ALIGNED = 40  # characters of a column in a piped table


def print_report(report: Report) -> None:
    for line in report.lines:
        print(line, file=sys.stderr)
    for table in report.tables:
        _print_table(table)


def write_json(document: dict[str, Any], call: Call) -> None:
    """One line on standard output (standard error where data owns standard output), or the file of ``--json=FILE``."""
    text = json.dumps(plain(document), ensure_ascii=False, allow_nan=False)
    if call.json not in (None, "-"):
        with atomic_file(Path(call.json)) as draft:
            draft.write_text(text + "\n", encoding="utf-8")
    elif call.json == "-":
        print(text, file=sys.stderr if call.piped else sys.stdout, flush=True)


def plain(value: Any) -> Any:
    """``value`` in JSON's types: arrays become lists, paths text, numbers that are not finite null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def _print_table(table: Table) -> None:
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        _draw_table(table)
        return
    for line in _plain_lines(table):
        print(line, file=sys.stderr)


def _plain_lines(table: Table) -> list[str]:
    """A table for pipes: no line is longer than its own cells ask for, and no cell is broken into several lines.

    Columns up to MOST_ALIGNED wide are aligned. Two columns of names and values need no header.
    """
    rows = [[" ".join(_cell(value).split()) for value in row] for row in table.rows]
    if len(table.header) == 2:
        lines = [f"{name}: {value}".rstrip() for name, value in rows]
    else:
        rows = [list(table.header), *rows]
        widths = [min(MOST_ALIGNED, max(len(row[k]) for row in rows)) for k in range(len(table.header))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return [table.title, *lines] if table.title else lines


def _draw_table(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(file=sys.stderr, highlight=False, emoji=False, markup=False)
    drawn = RichTable(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for index, name in enumerate(table.header):
        numbers = bool(table.rows) and all(isinstance(row[index], (int, float)) for row in table.rows)
        drawn.add_column(name, justify="right" if numbers else "left")
    for row in table.rows:
        drawn.add_row(*(_cell(value) for value in row))
    console.print(drawn)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
