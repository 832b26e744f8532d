"""``mvgen view``: shapes and scenes in a browser."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import WHITE, Colour, parse_colour

if TYPE_CHECKING:
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
) -> Report:
    """Shapes and scenes in a browser, until Ctrl-C.

    Prints an address to open. All files are shown together, each with a switch; cameras appear as pyramids with their
    photos, and a click on one looks through it. Drag turns, right drag moves, the wheel zooms. Needs the extra "demo".

    Examples:
      mvgen view scene.glb
      mvgen view scene/ scene.glb --background black
      mvgen view splats.ply --host 0.0.0.0 --port 8081
    """
    from mvgen.core.viewer.panel import add_panel, set_view
    from mvgen.core.viewer.serve import need_viser, serving, url_of
    from mvgen.core.viewer.show import show
    from mvgen.core.viewer.stage import make_stage

    need_viser()
    things = _things(job, inputs)
    stage = make_stage(things)
    with serving(host, port, "mvgen view") as server:
        job.progress.stage("show")
        shown = [show(server, thing, stage, i, job.progress) for i, thing in enumerate(things)]
        add_panel(server, shown, stage, background or WHITE)
        set_view(server, stage)
        job.progress.close()
        url = url_of(server)
        job.progress.say(f"{url}  (Ctrl-C ends)")
        _wait()
    files = [{"path": thing.name, "kind": thing.kind, **thing.counts} for thing in things]
    return Report({"url": url, "files": files})


def _things(job: Job, inputs: list[str]) -> list[Thing]:
    """What to show, small enough for a browser; splats with the axes of the first ones."""
    import numpy as np

    from mvgen.core.splats.model import Frame, Splats
    from mvgen.core.viewer.thin import Limits, thinned
    from mvgen.core.viewer.things import load_thing

    job.progress.stage("read")
    out: list[Thing] = []
    frame: Frame | None = None
    for name in inputs:
        path = job.read(name, "mesh, point, splat or camera file", folder=True)
        thing = load_thing(path, name, job.progress.warn, frame)
        if isinstance(thing.content, Splats):
            frame = thing.content.frame
        out.append(thinned(thing, Limits(), np.random.default_rng(job.seed), job.progress.warn))
    return out


def _wait() -> None:
    """Until the person ends it, which is the way out and no failure."""
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass
