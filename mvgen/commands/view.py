"""``mvgen view``: shapes and scenes in a browser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import WHITE, Colour, parse_colour
from mvgen.commands.pages import wait
from mvgen.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from mvgen.core.guidance.orbits import Orbit
    from mvgen.core.viewer.things import Thing


def view(
    job: Job,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|DIR...",
            help="Meshes, points, splats; scene folders, COLMAP models, transforms.json; - is stdin.",
        ),
    ],
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Who can look: this machine, or with 0.0.0.0 the whole network.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="N", help="0 is any free one.", show_default="8080 or the next free"),
    ] = None,
    background: Annotated[
        Colour | None,
        typer.Option(parser=parse_colour, metavar="COLOUR", help="black, white or #rrggbb.", show_default="white"),
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="Add views with prompts in the browser, and save them: edit --views."),
    ] = None,
) -> Report:
    """Shapes and scenes in a browser, until Ctrl-C.

    Prints an address to open. All files are shown together, each with a switch; cameras appear as pyramids with their
    photos, and a click on one looks through it. Drag turns, right drag moves, the wheel zooms. Needs the extra "demo".

    Examples:
      mvgen view scene.glb
      mvgen view scene/ scene.glb --background black
      mvgen view splats.ply --host 0.0.0.0 --port 8081
      mvgen view splats.ply --record views.json
    """
    from mvgen.core.viewer.panel import add_panel, set_view
    from mvgen.core.viewer.serve import need_viser, serving, url_of
    from mvgen.core.viewer.show import show
    from mvgen.core.viewer.stage import make_stage

    if record is not None:
        _check(job, record, inputs)
    need_viser()
    things = _things(job, inputs, record is not None)
    stage = make_stage(things)
    with serving(host, port, "mvgen view") as server:
        job.progress.stage("show")
        shown = [show(server, thing, stage, i, job.progress) for i, thing in enumerate(things)]
        saved: list[int] = []
        if record is not None:
            from mvgen.core.viewer.record import add_recorder

            add_recorder(server, stage, lambda orbits: _save(job, record, orbits, saved))
        add_panel(server, shown, stage, background or WHITE)
        set_view(server, stage)
        url = url_of(server)
        wait(job, server, saved if record is not None else None)
    files = [{"path": thing.name, "kind": thing.kind, **thing.counts} for thing in things]
    if record is None:
        return Report({"url": url, "files": files})
    return Report({"url": url, "files": files, "views": saved[-1]}, (_told(record, saved[-1]),))


def _check(job: Job, record: str, inputs: list[str]) -> None:
    if Path(record).suffix.lower() != ".json":
        raise UsageError(f"--record {record}: is not the name of a list of views", "use .json")
    if len(inputs) > 1:
        raise UsageError("--record is for one thing, in whose numbers the views are", "name one file")
    job.check(record)


def _save(job: Job, record: str, orbits: Sequence[Orbit], saved: list[int]) -> str:
    from mvgen.core.guidance.orbits import views_text

    job.write(record, lambda draft: draft.write_text(views_text(orbits), encoding="utf-8"))
    job.written[:] = dict.fromkeys(job.written)  # however often it is saved
    saved.append(len(orbits))
    return _told(record, len(orbits))


def _told(record: str, count: int) -> str:
    return f"{record}: {count} view{'s' * (count != 1)}"


def _things(job: Job, inputs: list[str], record: bool) -> list[Thing]:
    """What to show, small enough for a browser; splats with the axes of the first ones.

    record: with the numbers of its file, and no scene, of which there is nothing to be seen but points.
    """
    import numpy as np

    from mvgen.core.splats.model import Frame, Splats
    from mvgen.core.viewer.thin import Limits, thinned
    from mvgen.core.viewer.things import load_thing

    job.progress.stage("read")
    out: list[Thing] = []
    frame: Frame | None = None
    for name in inputs:
        path = job.read(name, "mesh, point, splat or camera file", folder=True)
        thing = load_thing(path, name, job.progress.warn, frame, as_in_scene=not record)
        if record and thing.kind == "scene":
            raise InputError(f"{name}: is a scene, and --record is for splats and meshes", "name its splats or mesh")
        if isinstance(thing.content, Splats):
            frame = thing.content.frame
        out.append(thinned(thing, Limits(), np.random.default_rng(job.seed), job.progress.warn))
    return out
