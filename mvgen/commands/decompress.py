"""``mvgen decompress``: compressed meshes back into mesh files, listed, or tested."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mvgen.commands.job import Job, Report, Table
from mvgen.commands.options import Format
from mvgen.core.errors import MvgenError, UsageError

if TYPE_CHECKING:
    from mvgen.core.compress.container import Head
    from mvgen.core.geometry import Mesh

FORMATS = (".glb", ".ply", ".obj", ".stl", ".off")


def decompress(
    job: Job,
    inputs: Annotated[list[str], typer.Argument(metavar="FILE.mks...", help="Compressed meshes; - is standard input.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE|DIR", help="A mesh: .glb, .ply, .obj, .stl, .off; a folder for several."
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Only tell what the files hold.")] = False,
    tested: Annotated[bool, typer.Option("--test", help="Only check: checksums, then decode everything.")] = False,
    format: Format = None,
) -> Report:
    """Compressed meshes back into mesh files, in their own place and units.

    Several inputs go to a folder, as .glb or the --format. --list and --test write nothing; a file that is damaged is
    told, the others are handled, and the exit code is 3.

    Examples:
      mvgen decompress bunny.mks -o bunny.glb
      mvgen decompress packed/*.mks -o meshes/ --format ply
      mvgen decompress packed/*.mks --list
      mvgen decompress packed/*.mks --test
    """
    if listed or tested:
        if output is not None:
            raise UsageError("--list and --test write no mesh", "leave -o out, or --list and --test")
        return _look(job, inputs, listed, tested)
    if output is None:
        raise UsageError("missing option '--output'", "mvgen decompress --help")
    if len(inputs) == 1 and not (output.endswith("/") or (output != "-" and Path(output).is_dir())):
        return _single(job, inputs[0], output, format)
    return _many(job, inputs, output, format)


# ---- back to meshes


def _single(job: Job, name: str, output: str, format: str | None) -> Report:
    from mvgen.core.io.meshes import not_kept, save_mesh

    suffix = f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()
    job.check(output, format)
    _check_format(suffix, output)
    job.progress.stage("decode")
    mesh, head, size = _decoded(job, name)
    for text in not_kept(mesh, suffix):
        job.progress.warn(f"{output}: {text}")
    job.progress.stage("write")
    job.write(output, lambda draft: save_mesh(mesh, draft), format)
    line = f"{output}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces"
    return Report({"input": _shown(name), **_facts(head, size), **_measured(mesh)}, (line,))


def _many(job: Job, inputs: list[str], output: str, format: str | None) -> Report:
    from mvgen.core.io.meshes import save_mesh

    suffix = f".{(format or 'glb').lstrip('.').lower()}"
    job.check(output, folder=True)
    _check_format(suffix, suffix)
    targets = _targets(inputs, suffix)
    rows: list[dict[str, Any]] = []
    errors: list[MvgenError] = []

    def save(folder: Path) -> None:
        job.progress.stage("decode", len(inputs))
        for name, target in zip(inputs, targets):
            try:
                mesh, head, size = _decoded(job, name)
                save_mesh(mesh, folder / target)
                rows.append({"input": _shown(name), "output": target, **_facts(head, size), **_measured(mesh)})
            except MvgenError as error:
                errors.append(error)
            job.progress.advance()
        if not rows:
            raise errors[0]

    job.write_folder(output, save)
    lines = tuple(f"{row['output']}: {row['vertices']} vertices, {row['faces']} faces" for row in rows)
    return Report({"files": rows, "errors": _plain(errors)}, lines, errors=tuple(errors))


def _check_format(suffix: str, shown: str) -> None:
    if suffix not in FORMATS:
        raise UsageError(f"{shown}: a mesh cannot be written as {suffix or 'this'}", "use " + ", ".join(FORMATS))


def _targets(inputs: list[str], suffix: str) -> list[str]:
    names = ["input" + suffix if name == "-" else Path(name).with_suffix(suffix).name for name in inputs]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise UsageError(f"two inputs would be written as {twice}", "decompress them to different folders")
    return names


# ---- looking


def _look(job: Job, inputs: list[str], listed: bool, tested: bool) -> Report:
    rows: list[dict[str, Any]] = []
    errors: list[MvgenError] = []
    lines: list[str] = []
    job.progress.stage("test" if tested else "list", len(inputs))
    for name in inputs:
        try:
            if tested:
                mesh, head, size = _decoded(job, name)
                rows.append({"input": _shown(name), **_facts(head, size), **_measured(mesh), "sound": True})
                lines.append(f"{_shown(name)}: sound, {len(mesh.vertices)} vertices, {len(mesh.faces)} faces")
            else:
                head, size = _head(job, name)
                rows.append({"input": _shown(name), **_facts(head, size)})
        except MvgenError as error:
            errors.append(error)
        job.progress.advance()
    if len(inputs) == 1 and errors:
        raise errors[0]
    tables = (_table(rows),) if listed and rows else ()
    data = {"files": rows, "errors": _plain(errors)}
    return Report(data, () if listed else tuple(lines), tables, errors=tuple(errors))


def _table(rows: list[dict[str, Any]]) -> Table:
    header = ("file", "codec", "bytes", "ratio", "mean", "max", "vertices", "faces", "box", "colour", "version")
    cells = []
    for row in rows:
        most = _percent(row["max_error"]) + ("" if row["max_error_is"] == "proved" else " est.")
        ratio = "-" if row["ratio"] is None else _percent(row["ratio"])
        box = " x ".join(f"{side:.3g}" for side in row["box"])
        colour = "yes" if row["colours"] else "no"
        mean, counts = _percent(row["mean_error"]), (row["vertices"], row["faces"])
        cells.append(
            (row["input"], row["codec"], row["bytes"], ratio, mean, most, *counts, box, colour, row["version"])
        )
    return Table("", header, tuple(cells))


# ---- files


def _read(job: Job, name: str) -> bytes:
    return job.read(name, "compressed mesh (.mks)").read_bytes()


def _head(job: Job, name: str) -> tuple[Head, int]:
    from mvgen.core.compress.container import unpack

    data = _read(job, name)
    return unpack(data, _shown(name)).head, len(data)


def _decoded(job: Job, name: str) -> tuple[Mesh, Head, int]:
    from mvgen.core.compress.container import unpack
    from mvgen.core.compress.file import decoded

    data = _read(job, name)
    packed = unpack(data, _shown(name))
    return decoded(packed, _shown(name)), packed.head, len(data)


def _facts(head: Head, size: int) -> dict[str, Any]:
    from mvgen.core.compress.container import VERSION
    from mvgen.core.compress.file import codec_name

    return {
        "codec": codec_name(head),
        "bytes": size,
        "source_bytes": head.source_bytes or None,
        "ratio": size / head.source_bytes if head.source_bytes else None,
        "mean_error": head.mean,
        "max_error": head.maximum,
        "max_error_is": "proved" if head.proved else "estimated",
        "vertices": head.vertices,
        "faces": head.faces,
        "box": [side * head.frame.scale for side in head.sides],
        "colours": head.colours,
        "keeps_faces": head.kept,
        "resolution": head.resolution,
        "version": VERSION,
    }


def _measured(mesh: Mesh) -> dict[str, Any]:
    return {"bounds": mesh.bounds}


def _plain(errors: list[MvgenError]) -> list[dict[str, Any]]:
    return [{"error": e.message, "hint": e.hint, "exit_code": int(e.exit_code)} for e in errors]


def _shown(name: str) -> str:
    return "standard input" if name == "-" else name


def _percent(value: float) -> str:
    return f"{100 * value:.2g}%" if value < 1 else f"{100 * value:.0f}%"
