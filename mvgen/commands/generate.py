"""``mvgen generate``: a picture to a textured mesh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import Format, Output, Settings
from mvgen.commands.settings import apply_settings
from mvgen.core.errors import MvgenError, UsageError

if TYPE_CHECKING:
    from mvgen.core.generate import Made, Request

FORMATS = (".glb", ".obj", ".ply", ".stl", ".off")


def generate(
    job: Job,
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Pictures of one object each; - is standard input."),
    ],
    output: Output,
    model: Annotated[
        Literal["auto", "inflate"],
        typer.Option(help="inflate: the outline made round, no weights needed."),
    ] = "auto",
    mask: Annotated[
        str | None, typer.Option(metavar="FILE", help="The object in white; else it is found in the picture.")
    ] = None,
    foreground: Annotated[
        Literal["auto", "alpha", "rembg", "plain", "grabcut"],
        typer.Option(help="How the object is told from its background; auto takes the first that applies."),
    ] = "auto",
    texture_size: Annotated[
        int | None,
        typer.Option(min=16, max=8192, metavar="PIXELS", help="Most along a side.", show_default="the picture's"),
    ] = None,
    colours: Annotated[
        Literal["texture", "vertices"], typer.Option(help="Where colours go; formats without textures get vertices.")
    ] = "texture",
    stop_after: Annotated[
        Literal["prepare", "mesh", "texture"],
        typer.Option(metavar="STAGE", help="prepare, mesh or texture; before the last, the output is a folder."),
    ] = "texture",
    settings: Settings = None,
    format: Format = None,
) -> Report:
    """A textured mesh from a picture.

    The result stands in glTF's axes: y up, the picture's viewer at +z, its longer side one unit. Several pictures go to
    a folder. The object is told from its background by --mask, else its transparency, rembg where it is installed, a
    plain background, or colours.

    Examples:
      mvgen generate chair.png -o chair.glb
      mvgen generate photo.jpg -o mug.glb --mask mug.png
      mvgen generate toys/*.png -o meshes/
    """
    from mvgen.core.generate import GenerateOptions, Request

    options = apply_settings(GenerateOptions(), settings or [])
    request = Request(
        "inflate",
        None if mask is None else job.read(mask, "mask"),
        foreground,
        texture_size,
        colours == "vertices",
        stop_after,
        options,
    )
    if model == "auto":
        job.progress.say("model: inflate; it needs no weights, and invents the back")
    if len(inputs) == 1 and not _is_folder(output):
        return _single(job, inputs[0], output, format, request)
    return _many(job, inputs, output, format, request)


def _is_folder(output: str) -> bool:
    return output.endswith("/") or (output != "-" and Path(output).is_dir())


def _single(job: Job, name: str, output: str, format: str | None, request: Request) -> Report:
    from mvgen.core.generate import generate_mesh, save_stages
    from mvgen.core.io.meshes import save_mesh

    whole = request.last == "texture"
    if whole:
        _check_output(job, output, format)
    else:
        job.check(output, folder=True)
    made = generate_mesh(job.read(name, "picture"), request, job.progress)
    if whole:
        job.write(output, lambda draft: save_mesh(_mesh(made), draft), format)
    else:
        job.write_folder(output, lambda draft: save_stages(made, draft))
    facts = _facts(name, made, request)
    return Report(facts, (_line(output, facts),))


def _many(job: Job, inputs: list[str], output: str, format: str | None, request: Request) -> Report:
    """Every picture's mesh into a folder."""
    from mvgen.core.generate import generate_mesh
    from mvgen.core.io.meshes import save_mesh

    if request.mask is not None or request.last != "texture":
        raise UsageError("--mask and --stop-after are for one picture", "give one picture at a time")
    suffix = f".{(format or 'glb').lstrip('.').lower()}"
    _check_suffix(output, suffix)
    job.check(output, folder=True)
    names = [f"{Path(name).stem}{suffix}" for name in inputs]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise UsageError(f"two pictures would become {twice}", "generate them into different folders")
    found: list[dict[str, Any]] = []
    errors: list[MvgenError] = []
    lines: list[str] = []

    def fill(draft: Path) -> None:
        for source, target in zip(inputs, names):
            try:
                made = generate_mesh(job.read(source, "picture"), request, job.progress)
                save_mesh(_mesh(made), draft / target)
            except MvgenError as error:
                errors.append(error)
                found.append({"input": source, "error": error.message})
                continue
            found.append(_facts(source, made, request) | {"output": target})
            lines.append(_line(f"{output.rstrip('/')}/{target}", found[-1]))
        if not lines:
            raise errors[0]

    job.write_folder(output, fill)
    return Report({"files": found}, tuple(lines), errors=tuple(errors))


def _mesh(made: Made) -> Any:
    assert made.mesh is not None
    return made.mesh


def _check_output(job: Job, output: str, format: str | None) -> None:
    job.check(output, format)
    _check_suffix(output, f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower())


def _check_suffix(output: str, suffix: str) -> None:
    if suffix not in FORMATS:
        raise UsageError(
            f"{output}: a mesh cannot be written as {suffix or 'this'}", f"use one of {', '.join(FORMATS)}"
        )


def _facts(name: str, made: Made, request: Request) -> dict[str, Any]:
    from dataclasses import asdict

    from mvgen.core.generate import share

    facts: dict[str, Any] = {
        "input": "standard input" if name == "-" else name,
        "model": request.model,
        "foreground": made.cutout.how,
        "foreground_share": share(made.cutout),
        "last_stage": request.last,
        "options": asdict(request.options),
    }
    if made.mesh is not None:
        facts |= {"vertices": len(made.mesh.vertices), "faces": len(made.mesh.faces)}
        if made.mesh.texture is not None:
            facts["texture"] = list(made.mesh.texture.shape[1::-1])
    return facts


def _line(output: str, facts: dict[str, Any]) -> str:
    told = [f"{facts['faces']:,} faces"] if "faces" in facts else []
    if "texture" in facts:
        told.append("texture {} x {}".format(*facts["texture"]))
    told.append(f"{facts['model']}; object found by {facts['foreground']}")
    return f"{output}: {', '.join(told)}"
