"""``mvgen generate``: a picture to a textured mesh."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import BadValue, Format, Output, Settings
from mvgen.commands.settings import apply_settings
from mvgen.core.errors import MvgenError, UsageError

if TYPE_CHECKING:
    from mvgen.core.generate.made import Made
    from mvgen.core.generate.request import Request
    from mvgen.core.views.views import ViewPicture

SIDES = ("front", "right", "back", "left", "top", "bottom")
FORMATS = (".glb", ".obj", ".ply", ".stl", ".off")


class Direction(NamedTuple):
    """A picture, and where it looks from, in degrees."""

    azimuth: float
    elevation: float
    name: str

    def __str__(self) -> str:
        return f"{self.azimuth:g},{self.elevation:g}:{self.name}"


def parse_view(text: Any) -> Direction:
    """``45,30:a.png``: azimuth and elevation in degrees, and a file. Raises typer.BadParameter."""
    if isinstance(text, Direction):
        return text
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?):(.+)", str(text))
    if match is None or abs(float(match[2])) > 90:
        raise BadValue(f"{text} is no view; write it as 45,30:a.png, azimuth and elevation in degrees")
    return Direction(float(match[1]), float(match[2]), match[3])


Side = Annotated[str | None, typer.Option(metavar="FILE", help="views: the object from this side.")]


def generate(
    job: Job,
    output: Output,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE...]", help="Pictures of one object each, - is standard input; a folder of --from."
        ),
    ] = None,
    model: Annotated[
        Literal["auto", "inflate", "views", "crm"],
        typer.Option(
            help="inflate: the outline made round. views: what fits the outlines from several sides. crm: a network."
        ),
    ] = "auto",
    front: Side = None,
    right: Side = None,
    back: Side = None,
    left: Side = None,
    top: Side = None,
    bottom: Side = None,
    view: Annotated[
        list[Any] | None,
        typer.Option(
            parser=parse_view, metavar="AZ,EL:FILE", help="views: from any side, in degrees, 90,0 is right; repeat."
        ),
    ] = None,
    cameras: Annotated[
        str | None, typer.Option(metavar="FILE|DIR", help="views: the cameras of the pictures, by their names.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="NAME|DIR|FILE", help="The network's.", show_default="a downloaded model's")
    ] = None,
    mask: Annotated[
        str | None, typer.Option(metavar="FILE", help="The object in white; else it is found in the picture.")
    ] = None,
    foreground: Annotated[
        Literal["auto", "alpha", "rembg", "plain", "grabcut"],
        typer.Option(help="How the object is told from its background; auto takes the first that applies."),
    ] = "auto",
    ratio: Annotated[
        float | None,
        typer.Option(
            "--foreground-ratio", min=0.1, max=1, metavar="X", help="crm: object over picture.", show_default="0.9"
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=333, metavar="N", help="crm: of diffusion.", show_default="50")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(min=0, max=100, metavar="X", help="crm: by the picture.", show_default="5")
    ] = None,
    texture_size: Annotated[
        int | None,
        typer.Option(
            min=16, max=8192, metavar="PIXELS", help="Most along a side.", show_default="the picture's; crm 1024"
        ),
    ] = None,
    colours: Annotated[
        Literal["texture", "vertices"], typer.Option(help="Where colours go; formats without textures get vertices.")
    ] = "texture",
    stop_after: Annotated[
        Literal["prepare", "views", "coordinates", "triplane", "mesh", "texture"],
        typer.Option(help="Stage after which to stop; before the last, the output is a folder of what was made."),
    ] = "texture",
    start: Annotated[
        Literal["prepare", "views", "coordinates"] | None,
        typer.Option("--from", help="Go on from the files of this stage, in a folder."),
    ] = None,
    settings: Settings = None,
    format: Format = None,
) -> Report:
    """A textured mesh from a picture, or from a few of known directions.

    The result stands in glTF's axes: y up, the picture's viewer at +z. Several pictures go to a folder. The object is
    told from its background by --mask, else its transparency, rembg where it is installed, a plain background, or
    colours. Stages: prepare, mesh, texture; with crm also views, coordinates and triplane before the mesh.

    Examples:
      mvgen generate chair.png -o chair.glb
      mvgen generate photo.jpg -o mug.glb --mask mug.png
      mvgen generate toys/*.png -o meshes/
      mvgen generate --front f.png --right r.png --top t.png -o toy.glb
      mvgen generate chair.png -o sides/ --model crm --stop-after views
    """
    from mvgen.core.generate.request import GenerateOptions, Request, check_stages, choose_model

    inputs = inputs or []
    sides = dict(zip(SIDES, (front, right, back, left, top, bottom)))
    pictures = _pictures(job, inputs, sides, view or [], cameras, mask)
    chosen = choose_model(model, weights, job.device, bool(pictures))
    check_stages(chosen.model, start, stop_after)
    options = apply_settings(GenerateOptions(), settings or [])
    if ratio is not None:
        options = replace(options, crm=replace(options.crm, ratio=ratio))
    _check_unused(chosen.model, {"--steps": steps, "--guidance": guidance, "--foreground-ratio": ratio})
    request = Request(
        model=chosen.model,
        weights=chosen.weights,
        mask=None if mask is None else job.read(mask, "mask"),
        foreground=foreground,
        steps=50 if steps is None else steps,
        guidance=5.0 if guidance is None else guidance,
        texture_size=texture_size,
        colours=colours == "vertices",
        first=start,
        last=stop_after,
        cameras_given=cameras is not None,
        seed=job.seed,
        device=job.device,
        options=options,
    )
    if chosen.why:
        job.progress.say(f"model: {chosen.why}")
    if pictures:
        return _from_views(job, pictures, output, format, request)
    if not inputs:
        raise UsageError("no picture was given", "mvgen generate --help")
    if len(inputs) == 1 and (stop_after != "texture" or not _is_folder(output)):
        return _single(job, inputs[0], output, format, request)
    return _many(job, inputs, output, format, request)


def _pictures(
    job: Job,
    inputs: list[str],
    sides: dict[str, str | None],
    views: list[Direction],
    cameras: str | None,
    mask: str | None,
) -> list[ViewPicture]:
    """The pictures with where they look from; none where pictures stand for themselves."""
    from mvgen.core.views.options import DIRECTIONS

    named = [Direction(*DIRECTIONS[side], name) for side, name in sides.items() if name is not None] + views
    if not named and cameras is None:
        return []
    if named and (inputs or cameras is not None):
        raise UsageError(
            "pictures with and without directions do not go together", "give --front and so on, or --cameras"
        )
    if mask is not None:
        raise UsageError("--mask is for one picture", "make the pictures transparent around the object")
    from mvgen.core.views.views import ViewPicture

    if cameras is None:
        return [ViewPicture(job.read(name, "picture"), azimuth, elevation) for azimuth, elevation, name in named]
    from mvgen.core.io.cameras import read_cameras

    known = {Path(c.name).name: c for c in read_cameras(job.read(cameras, "camera file", folder=True))}
    unknown = next((name for name in inputs if Path(name).name not in known), None)
    if unknown is not None:
        raise UsageError(f"{cameras}: has no camera of {unknown}", "cameras and pictures go by the same names")
    return [ViewPicture(job.read(name, "picture"), camera=known[Path(name).name]) for name in inputs]


def _from_views(job: Job, pictures: list[ViewPicture], output: str, format: str | None, request: Request) -> Report:
    from mvgen.core.generate.models import prepare_views, run_stages

    if request.first is not None:
        raise UsageError(f"--from {request.first}: is of no use to --model views", "leave it out")
    _check_target(job, output, format, request)
    made = run_stages(prepare_views(pictures, request, job.progress), request, job.progress)
    return _finish(job, ", ".join(str(p.picture) for p in pictures), made, output, format, request)


def _check_unused(model: str, given: dict[str, float | None]) -> None:
    for name, value in given.items():
        if value is not None and model != "crm":
            raise UsageError(f"{name} is of no use to --model {model}", "it is for --model crm")


def _is_folder(output: str) -> bool:
    return output.endswith("/") or (output != "-" and Path(output).is_dir())


def _single(job: Job, name: str, output: str, format: str | None, request: Request) -> Report:
    _check_target(job, output, format, request)
    return _finish(job, name, _make(job, name, request), output, format, request)


def _check_target(job: Job, output: str, format: str | None, request: Request) -> None:
    if request.last == "texture":
        job.check(output, format)
        _check_suffix(output, f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower())
    else:
        job.check(output, folder=True)


def _finish(job: Job, name: str, made: Made, output: str, format: str | None, request: Request) -> Report:
    from mvgen.core.generate.made import save_made
    from mvgen.core.io.meshes import save_mesh

    if request.last == "texture":
        job.write(output, lambda draft: save_mesh(_mesh(made), draft), format)
    else:
        job.write_folder(output, lambda draft: save_made(made, draft))
    facts = _facts(name, made, request)
    return Report(facts, (_line(output, facts),))


def _many(job: Job, inputs: list[str], output: str, format: str | None, request: Request) -> Report:
    """Every picture's mesh into a folder."""
    from mvgen.core.io.meshes import save_mesh

    if request.mask is not None or request.last != "texture" or request.first is not None:
        raise UsageError("--mask, --from and --stop-after are for one picture", "give one picture at a time")
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
                made = _make(job, source, request)
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


def _make(job: Job, name: str, request: Request) -> Made:
    from mvgen.core.generate.made import load_made
    from mvgen.core.generate.models import prepare, run_stages

    if request.first is not None:
        folder = job.read(name, f"folder that --stop-after {request.first} wrote", folder=True)
        if not folder.is_dir():
            raise UsageError(f"--from {request.first}: {name} is a file", "name the folder with the stage's files")
        made = load_made(folder, request.first)
    else:
        made = prepare(job.read(name, "picture"), request, job.progress)
    return run_stages(made, request, job.progress)


def _mesh(made: Made) -> Any:
    assert made.mesh is not None
    return made.mesh


def _check_suffix(output: str, suffix: str) -> None:
    if suffix not in FORMATS:
        raise UsageError(
            f"{output}: a mesh cannot be written as {suffix or 'this'}", f"use one of {', '.join(FORMATS)}"
        )


def _facts(name: str, made: Made, request: Request) -> dict[str, Any]:
    from dataclasses import asdict

    facts: dict[str, Any] = {
        "input": "standard input" if name == "-" else name,
        "model": request.model,
        "weights": None if request.weights is None else str(request.weights),
        "foreground": None if made.cutout is None else made.cutout.how,
        "last_stage": request.last,
        "options": asdict(request.options),
    }
    if request.model == "crm":
        facts |= {"steps": request.steps, "guidance": request.guidance}
    if made.mesh is not None:
        facts |= {"vertices": len(made.mesh.vertices), "faces": len(made.mesh.faces)}
        if made.mesh.texture is not None:
            facts["texture"] = list(made.mesh.texture.shape[1::-1])
    return facts


def _line(output: str, facts: dict[str, Any]) -> str:
    told = [f"{facts['faces']:,} faces"] if "faces" in facts else []
    if "texture" in facts:
        told.append("texture {} x {}".format(*facts["texture"]))
    told.append(str(facts["model"]))
    if facts["foreground"] is not None:
        told.append(f"object found by {facts['foreground']}")
    return f"{output}: {', '.join(told)}"
