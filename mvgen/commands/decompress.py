"""``mvgen decompress``: compressed meshes back into mesh files, listed, or tested."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mvgen.commands.job import Job, Report, Table
from mvgen.commands.options import Format
from mvgen.core.errors import MvgenError, UsageError

if TYPE_CHECKING:
    from mvgen.core.compress.container import Head
    from mvgen.core.geometry import Mesh

PUBLISHED_RESOLUTION = 128  # of networks that were published
FORMATS = (".glb", ".ply", ".obj", ".stl", ".off")


class Wanted(NamedTuple):
    """How a field is decoded."""

    resolution: int | None
    spheres_file: str | None


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
    resolution: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=2049,
            metavar="N",
            help="Nodes of a field's grid, for the codecs that keep one.",
            show_default="the file's",
        ),
    ] = None,
    spheres_file: Annotated[
        str | None, typer.Option(metavar="F", help="The spheres of a published network that lie beside it.")
    ] = None,
) -> Report:
    """Compressed meshes back into mesh files, in their own place and units.

    Several inputs go to a folder, as .glb or the --format. --list and --test write nothing; a file that is damaged is
    told, the others are handled, and the exit code is 3. A published network of key spheres (.pth) is read as well; its
    mesh lies in the network's own frame.

    Examples:
      mvgen decompress bunny.mks -o bunny.glb
      mvgen decompress packed/*.mks -o meshes/ --format ply
      mvgen decompress packed/*.mks --list
      mvgen decompress packed/*.mks --test
      mvgen decompress 128in_1064655.pth -o x.obj --resolution 128
    """
    wanted = Wanted(resolution, spheres_file)
    if listed or tested:
        if output is not None:
            raise UsageError("--list and --test write no mesh", "leave -o out, or --list and --test")
        return _look(job, inputs, listed, tested, wanted)
    if output is None:
        raise UsageError("missing option '--output'", "mvgen decompress --help")
    if len(inputs) == 1 and not (output.endswith("/") or (output != "-" and Path(output).is_dir())):
        return _single(job, inputs[0], output, format, wanted)
    return _many(job, inputs, output, format, wanted)


# ---- back to meshes


def _single(job: Job, name: str, output: str, format: str | None, wanted: Wanted) -> Report:
    from mvgen.core.io.meshes import not_kept, save_mesh

    suffix = f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()
    job.check(output, format)
    _check_format(suffix, output)
    job.progress.stage("decode")
    mesh, facts = _decoded(job, name, wanted)
    for text in not_kept(mesh, suffix):
        job.progress.warn(f"{output}: {text}")
    job.progress.stage("write")
    job.write(output, lambda draft: save_mesh(mesh, draft), format)
    line = f"{output}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces"
    return Report({"input": _shown(name), **facts, **_measured(mesh)}, (line,))


def _many(job: Job, inputs: list[str], output: str, format: str | None, wanted: Wanted) -> Report:
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
                mesh, facts = _decoded(job, name, wanted)
                save_mesh(mesh, folder / target)
                rows.append({"input": _shown(name), "output": target, **facts, **_measured(mesh)})
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


def _look(job: Job, inputs: list[str], listed: bool, tested: bool, wanted: Wanted) -> Report:
    rows: list[dict[str, Any]] = []
    errors: list[MvgenError] = []
    lines: list[str] = []
    job.progress.stage("test" if tested else "list", len(inputs))
    for name in inputs:
        try:
            if tested:
                mesh, facts = _decoded(job, name, wanted)
                rows.append({"input": _shown(name), **facts, **_measured(mesh), "sound": True})
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


def _decoded(job: Job, name: str, wanted: Wanted) -> tuple[Mesh, dict[str, Any]]:
    """The mesh of a file, and what is told about it."""
    from mvgen.core.compress.container import unpack
    from mvgen.core.compress.file import decoded

    data = _read(job, name)
    if data.startswith(b"PK"):  # the archive of a published network
        return _published(job, name, len(data), wanted)
    packed = unpack(data, _shown(name))
    mesh = decoded(packed, _shown(name), wanted.resolution)
    return mesh, _facts(packed.head, len(data)) | {"vertices": len(mesh.vertices), "faces": len(mesh.faces)}


def _published(job: Job, name: str, size: int, wanted: Wanted) -> tuple[Mesh, dict[str, Any]]:
    from mvgen.core.keyspheres.published import published_surface, read_published
    from mvgen.core.keyspheres.spheres import read_spheres

    file = wanted.spheres_file
    spheres = None if file is None else read_spheres(job.read(file, "file of spheres"), _shown(file))
    network = read_published(job.read(name, "compressed mesh (.mks)"), _shown(name), spheres)
    resolution = wanted.resolution or PUBLISHED_RESOLUTION
    mesh = published_surface(network, resolution, _shown(name), job.progress)
    kind = "latent" if network.latent else "direct"
    facts = {"codec": f"published key spheres, {kind}", "bytes": size, "spheres": len(network.spheres)}
    return mesh, facts | {"resolution": resolution, "vertices": len(mesh.vertices), "faces": len(mesh.faces)}


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
