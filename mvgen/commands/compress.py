"""``mvgen compress``: meshes into files of a few kilobytes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import BadValue, Output, parse_count
from mvgen.core.errors import InputError, MvgenError, UsageError

if TYPE_CHECKING:
    from mvgen.core.compress.batch import Bound, Order, Outcome
    from mvgen.core.compress.codec import FieldSettings
    from mvgen.core.keyspheres.spheres import Spheres

DEFAULT_MEAN = 0.0005  # of the diagonal, where no goal is given
FIELDS = ("keyspheres", "sdf")
SPHERES = ("--spheres", "--spheres-file", "--paper", "--latent", "--checkpoint")  # for keyspheres alone
CSV = "results.csv"
COLUMNS = (
    "input",
    "output",
    "codec",
    "source_bytes",
    "packed_bytes",
    "bytes",
    "ratio",
    "mean_error",
    "max_error",
    "max_error_is",
    "vertices",
    "faces",
    "encode_seconds",
    "error",
)


def devices(arguments: dict[str, Any]) -> tuple[str, ...]:
    """Networks alone learn on a GPU."""
    return ("cpu", "cuda") if arguments["codec"] in FIELDS else ("cpu",)


class Error(NamedTuple):
    """A distance: in diagonals of the bounding box, or in the units of the mesh."""

    value: float
    own_units: bool
    text: str

    def __str__(self) -> str:
        return self.text


def parse_error(text: Any) -> Error:
    """``0.05%`` or ``0.0005`` of the diagonal, ``0.02u`` in the mesh's units. Raises typer.BadParameter."""
    if isinstance(text, Error):
        return text
    match = re.fullmatch(r"(\d*\.?\d+(?:e[-+]?\d+)?)(%|u?)", str(text).strip().lower())
    value = float(match[1]) / (100 if match[2] == "%" else 1) if match else 0.0
    if match is None or not 0 < value < 1e30 or (match[2] != "u" and value > 1):
        raise BadValue(f"{text} is no error; write it as 0.05% of the diagonal, or 0.02u in units of the mesh")
    return Error(value, match[2] == "u", str(text))


def compress(
    job: Job,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="MESH|DIR...", help="Meshes (GLB, glTF, PLY, OBJ, STL, OFF, 3MF) or folders of them; - is stdin."
        ),
    ],
    output: Output,
    codec: Annotated[
        Literal["auto", "surface", "mesh", "keyspheres", "sdf"],
        typer.Option(
            help="surface makes new faces, mesh keeps those there are; auto tries both and keeps the best. keyspheres "
            "and sdf train a network and remesh; sdf is much the closer."
        ),
    ] = "auto",
    target_size: Annotated[
        Any, typer.Option(parser=parse_count, metavar="N", help="Most bytes of a file, as 6000 or 6k: least error.")
    ] = None,
    mean_error: Annotated[
        Any,
        typer.Option(
            parser=parse_error,
            metavar="X%|Xu",
            help="Largest mean distance between the surfaces, of the diagonal or in units: least size.",
            show_default="0.05% unless another goal is given",
        ),
    ] = None,
    max_error: Annotated[
        Any, typer.Option(parser=parse_error, metavar="X%|Xu", help="Largest distance of any point, both ways.")
    ] = None,
    effort: Annotated[int, typer.Option(min=1, max=9, metavar="1..9", help="Time to spend: 1 is quick.")] = 5,
    best_effort: Annotated[
        bool, typer.Option("--best-effort", help="Write the nearest where the goal cannot be reached.")
    ] = False,
    texture: Annotated[
        Literal["colours", "refuse", "drop"],
        typer.Option(help="A texture is not held: make it colours of vertices, refuse the mesh, or leave it out."),
    ] = "colours",
    jobs: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Files at a time.")] = 1,
    spheres: Annotated[
        int | None,
        typer.Option(min=1, max=2048, metavar="N", help="Key spheres inside the shape.", show_default="128"),
    ] = None,
    spheres_file: Annotated[
        str | None, typer.Option(metavar="F", help="Key spheres as published: a number, then lines x y z r 0.")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=2, max=256, metavar="N", help="Units of a layer.", show_default="32; with sdf by the size of the file"
        ),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, max=14, metavar="N", help="Hidden layers.", show_default="6; 4 with sdf")
    ] = None,
    samples: Annotated[
        Any,
        typer.Option(
            parser=parse_count,
            metavar="N",
            help="Points to learn from.",
            show_default="60k times effort; 1M with --paper",
        ),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="keyspheres as published: their recipe, float32, a grid of 128 nodes.")
    ] = False,
    latent: Annotated[
        bool, typer.Option("--latent", help="With --paper: a free feature for each sphere, their second network.")
    ] = False,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="DIR", help="With --paper: where a training that was killed goes on from.")
    ] = None,
) -> Report:
    """Meshes into files of a few kilobytes, with the error measured.

    Errors are distances between the surfaces, over the diagonal of the bounding box: the mean of both ways, and the
    largest. They are measured after decoding. A goal that is not reached is told, nothing is written, and the exit
    code is 1. Several inputs, or a folder, go to a folder with a table, results.csv.

    The surface codec makes new vertices and faces. Vertex colours are kept; normals are not. The codecs keyspheres
    and sdf keep a field, not the mesh: decompressing draws its surface anew, its colours a little blurred. They need an
    inside, but for holes, which stay open.

    Examples:
      mvgen compress bunny.obj -o bunny.mks
      mvgen compress bunny.obj -o bunny.mks --target-size 6k
      mvgen compress part.stl -o part.mks --codec mesh --max-error 0.02u
      mvgen compress scans/ -o packed/ --mean-error 0.02% --jobs 2
    """
    field = _field(job, codec, spheres, spheres_file, width, layers, samples, paper, latent, checkpoint)
    order = _order(job, codec, target_size, mean_error, max_error, effort, best_effort, texture, field)
    if len(inputs) == 1 and (inputs[0] == "-" or not Path(inputs[0]).is_dir()):
        return _single(job, inputs[0], output, order)
    return _many(job, inputs, output, order, jobs)


def _order(
    job: Job,
    codec: str,
    size: int | None,
    mean: Error | None,
    maximum: Error | None,
    effort: int,
    best_effort: bool,
    texture: Literal["colours", "refuse", "drop"],
    field: FieldSettings,
) -> Order:
    from mvgen.core.compress.batch import Bound, Order

    if size is not None and size < 64:
        raise UsageError(f"--target-size {size}: a file has at least 64 bytes", "allow more, as in: --target-size 6k")
    aimless = size is None and mean is None and maximum is None and codec not in FIELDS
    mean = Error(DEFAULT_MEAN, False, "") if aimless else mean

    def bound(error: Error | None) -> Bound | None:
        return None if error is None else Bound(error.value, error.own_units)

    return Order(codec, size, bound(mean), bound(maximum), effort, job.seed, best_effort, texture, field)


def _field(
    job: Job,
    codec: str,
    spheres: int | None,
    spheres_file: str | None,
    width: int | None,
    layers: int | None,
    samples: int | None,
    paper: bool,
    latent: bool,
    checkpoint: str | None,
) -> FieldSettings:
    """How a network is made. Raises UsageError for what the codec has no use for."""
    from mvgen.core.compress.codec import FieldSettings

    given = {
        "--spheres": spheres,
        "--spheres-file": spheres_file,
        "--width": width,
        "--layers": layers,
        "--samples": samples,
        "--paper": paper,
        "--latent": latent,
        "--checkpoint": checkpoint,
    }
    for name, value in given.items():
        fitting = ("keyspheres",) if name in SPHERES else FIELDS
        if value and codec not in fitting:
            raise UsageError(f"{name} is of no use to --codec {codec}", f"it is for --codec {' or '.join(fitting)}")
    if (latent or checkpoint) and not paper:
        raise UsageError("--latent and --checkpoint are for --paper", "add --paper")
    if spheres is not None and spheres_file is not None:
        raise UsageError("--spheres and --spheres-file contradict each other", "give one of them")
    if codec not in FIELDS:
        return FieldSettings()
    folder = None if checkpoint is None else Path(checkpoint)
    chosen = spheres if spheres_file is None else _spheres(job, spheres_file)
    return FieldSettings(chosen, width, layers, paper, latent, samples, folder, job.device)


def _spheres(job: Job, name: str) -> Spheres:
    from mvgen.core.keyspheres.spheres import read_spheres

    return read_spheres(job.read(name, "file of spheres"), "standard input" if name == "-" else name)


def _single(job: Job, name: str, output: str, order: Order) -> Report:
    from mvgen.core.compress.batch import compress_file

    if output.endswith("/") or (output != "-" and Path(output).is_dir()):
        return _many(job, [name], output, order, 1)
    job.check(output, "mks")
    path = job.read(name, "mesh")
    shown = "standard input" if name == "-" else name
    done = compress_file(path, shown, order, job.progress)
    for text in done.warnings:
        job.progress.warn(text)
    job.write(output, lambda draft: draft.write_bytes(done.data), "mks" if output == "-" else None)
    return Report({"input": shown, **done.facts}, tuple(_lines(shown, done)))


def _many(job: Job, inputs: list[str], output: str, order: Order, jobs: int) -> Report:
    """Every input into a folder."""
    from mvgen.core.compress.batch import compress_files

    job.check(output, folder=True)
    sources, errors = _sources(job, inputs)
    targets = _targets([relative for _, _, relative in sources])
    outcomes: dict[int, Outcome] = {}
    failures: dict[int, MvgenError] = {}
    lines: list[str] = []
    for index, found in compress_files([s[:2] for s in sources], order, jobs, job.threads, job.progress):
        if isinstance(found, MvgenError):
            failures[index] = found
            continue
        outcomes[index] = found
        for text in found.warnings:
            job.progress.warn(text)
    rows = []
    for index, (_, name, _) in enumerate(sources):
        if index in outcomes:
            lines += _lines(name, outcomes[index])[:1]
            lines += [f"{name}: {text}" for text in outcomes[index].notes]
            rows.append({"input": name, "output": targets[index], **outcomes[index].facts})
        else:
            rows.append({"input": name, "error": failures[index].message})
    if outcomes:
        lines += _remark(list(outcomes.values()))
        job.write_folder(output, lambda draft: _fill(draft, {targets[i]: o.data for i, o in outcomes.items()}, rows))
    errors += [failures[index] for index in sorted(failures)]
    data = {
        "files": [{**row, "error": row.get("error")} for row in rows],
        "errors": [{"error": e.message, "hint": e.hint, "exit_code": int(e.exit_code)} for e in errors],
    }
    return Report(data, tuple(lines), errors=tuple(errors))


def _sources(job: Job, inputs: list[str]) -> tuple[list[tuple[Path, str, str]], list[MvgenError]]:
    """Path, name for people, and name below the output of every mesh; and the inputs that cannot be used."""
    from mvgen.core.compress.batch import mesh_files

    out: list[tuple[Path, str, str]] = []
    errors: list[MvgenError] = []
    for name in inputs:
        try:
            path = job.read(name, "mesh", folder=True)
            if not path.is_dir():
                out.append((path, *(("standard input", "input") if name == "-" else (name, path.name))))
                continue
            found = mesh_files(path)
            if not found:
                raise InputError(f"{name}: holds no meshes", "name a folder with GLB, PLY, OBJ, STL or OFF files")
            out += [(p, str(p), p.relative_to(path).as_posix()) for p in found]
        except MvgenError as error:
            if len(inputs) == 1:
                raise
            errors.append(error)
    return out, errors


def _targets(relative: list[str]) -> list[str]:
    """Names below the output: the extension becomes .mks; where two would be the same, it is added."""
    short = [Path(name).with_suffix(".mks").as_posix() for name in relative]
    names = [s if short.count(s) == 1 else f"{r}.mks" for s, r in zip(short, relative)]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise UsageError(f"two inputs would be written as {twice}", "compress them to different folders")
    return names


def _fill(folder: Path, files: dict[str, bytes], rows: list[dict[str, Any]]) -> None:
    import csv

    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    with (folder / CSV).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _lines(name: str, done: Outcome) -> list[str]:
    """What a person reads of one file."""
    f = done.facts
    most = f"max {_percent(f['max_error'])}" + ("" if f["max_error_is"] == "proved" else " (estimated)")
    change = f"{f['source_bytes']} => {f['bytes']} bytes, mean error {_percent(f['mean_error'])}, {most}"
    first = f"{name}: {_percent(f['ratio'])} ({change}); {_percent(f['ratio_packed'])} of {f['packed_bytes']} packed"
    return [first, *(f"{name}: {text}" for text in done.notes), *_remark([done])]


def _remark(outcomes: list[Outcome]) -> list[str]:
    """That codecs have made new faces, where they have."""
    names = sorted({o.facts["codec"] for o in outcomes if not o.facts["keeps_faces"]})
    if not names:
        return []
    verb = "makes" if len(names) == 1 else "make"
    return [f"{' and '.join(names)} {verb} new vertices and faces; --codec mesh keeps those of the input"]


def _percent(value: float) -> str:
    return f"{100 * value:.2g}%" if value < 1 else f"{100 * value:.0f}%"
