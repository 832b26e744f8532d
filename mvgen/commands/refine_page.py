"""``mvgen refine --interactive``: regions painted and refined in a browser."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mvgen.commands.job import Job
from mvgen.commands.options import WHITE
from mvgen.commands.pages import wait
from mvgen.core.errors import CannotError, UsageError

if TYPE_CHECKING:
    from mvgen.core.geometry import Mesh
    from mvgen.core.refine.meshes import Result
    from mvgen.core.refine.session import Refinement, State
    from mvgen.core.region.model import Region
    from mvgen.core.viewer.refining import Choices


def check_page(output: str) -> None:
    """Refuse early what a page cannot do. Raises UsageError, or CannotError where viser is not installed."""
    from mvgen.core.viewer.serve import need_viser

    if output == "-":
        raise UsageError("--interactive writes a file, as often as it is saved", "name one with -o")
    need_viser()


def refine_in_browser(
    job: Job, name: str, refinement: Refinement, choices: Choices, output: str, write: Callable[[Mesh], None]
) -> tuple[str, Result]:
    """What was saved last before Ctrl-C, which is the way out, and what it was refined by; without that it is an
    interruption. ``write`` writes a mesh."""
    from mvgen.core.render.orbit import up_of
    from mvgen.core.viewer.panel import add_panel, set_view
    from mvgen.core.viewer.refining import add_refining
    from mvgen.core.viewer.serve import serving
    from mvgen.core.viewer.stage import make_stage
    from mvgen.core.viewer.thin import Limits
    from mvgen.core.viewer.things import Thing

    mesh = refinement.now.mesh
    thing = Thing(name, mesh, up_of(mesh.metadata))
    stage = make_stage([thing])
    saved: list[tuple[str, State]] = []

    def save() -> str:
        if not refinement.steps:
            raise CannotError("nothing is refined yet", 'paint a region, and press "refine"')
        state, how = refinement.now, ", ".join(refinement.steps)
        write(state.mesh)
        job.written[:] = dict.fromkeys(job.written)  # however often it is saved
        saved.append((how, state))
        return f"{output}: {len(state.mesh.faces):,} faces, {how}"

    with serving("127.0.0.1", None, "mvgen refine") as server:
        job.progress.stage("show")
        if len(mesh.faces) > Limits().faces:
            job.progress.warn(f"{name}: thinned for the browser, to {Limits().faces:,} faces at most")
        keep = partial(_save_region, job, output)
        add_refining(server, name, refinement, stage, choices, job.progress, save, keep)
        add_panel(server, [], stage, WHITE)
        set_view(server, stage)
        wait(job, server, saved)
    how, state = saved[-1]
    return how, state.result


def _save_region(job: Job, output: str, region: Region) -> str:
    """The region beside the mesh, with its name, for --region."""
    from mvgen.core.region.files import save_region

    if not region.mask.any():
        raise CannotError("nothing is selected", "paint a region")
    path = str(Path(output).with_suffix(".npz"))
    job.write(path, lambda draft: save_region(region, draft))
    job.written[:] = dict.fromkeys(job.written)
    return f"{path}: {region.mask.sum():,} of {region.count:,} vertices"
