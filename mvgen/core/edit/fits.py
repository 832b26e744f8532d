"""Edits and fits: steps of a fit for what was edited, drags in such steps, and checkpoints of fits as splats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.edit.drag import grips
from mvgen.core.edit.guided import REACH, Wish, guided, views_of
from mvgen.core.edit.operations import MOMENTS, ROWS, Editing, begun, changed, joined, picked
from mvgen.core.edit.recipe import Handle
from mvgen.core.errors import CannotError
from mvgen.core.progress import Progress
from mvgen.core.splats.model import Splats, axes
from mvgen.core.splats.seen import in_scene

if TYPE_CHECKING:
    from mvgen.core.splats.fit.local import Task
    from mvgen.core.splats.fit.state import State
    from mvgen.core.splats.fit.views import Photo

GROWTH = 2  # times as many splats as are dragged may come in a drag


@dataclass(frozen=True, eq=False)
class Fitting:
    """photos: what splats should look like; iterations: steps of the fit, each for one photo; wish: what a diffusion
    model should see instead of photos."""

    photos: Sequence[Photo]
    iterations: int
    seed: int
    device: str
    progress: Progress
    wish: Wish | None = None


def of_state(state: State) -> Editing:
    """A fit's splats with Adam's moments, in the axes of its scene."""
    arrays: dict[str, Any] = {name: state.values[name].detach().cpu().numpy() for name in ROWS}
    moments = {part: {name: getattr(state, part)[name].detach().cpu().numpy() for name in ROWS} for part in MOMENTS}
    return begun(Splats(**arrays), moments)


def to_state(editing: Editing, old: State) -> State:
    """The fit that goes on with edited splats: exposures and the step are the old one's, pushes are forgotten."""
    import torch

    def tensors(arrays: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
        return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}

    moments = editing.moments or {}
    values = tensors({name: getattr(editing.splats, name) for name in ROWS})
    nothing = torch.zeros(len(editing.splats))
    return replace(
        old,
        values=old.values | values,
        first=old.first | tensors(moments["first"]),
        second=old.second | tensors(moments["second"]),
        push=nothing,
        seen=nothing.clone(),
    )


def refitted(editing: Editing, rows: NDArray[np.bool_], fitting: Fitting) -> Editing:
    """The splats of a mask [N] after steps of a fit; the others stay bit for bit. Raises CannotError."""
    from mvgen.core.splats.fit.local import refitted as fitted

    if not rows.any():
        raise CannotError("there is nothing to fit: no splat was changed or selected", "choose some with --region")
    state, task, here = _prepared(editing, rows, fitting)
    fitting.progress.stage("fit", fitting.iterations)
    state = fitted(state, task, fitting.progress)
    out = changed(editing, _back(state, here, editing), rows)
    return replace(out, moments=_with_moments(out, state, np.flatnonzero(rows)))


def dragged(editing: Editing, handles: Sequence[Handle], rigid: bool, fitting: Fitting) -> Editing:
    """The selected, or all that drags may reach, dragged in steps of a fit; they stand behind the others then."""
    import torch

    from mvgen.core.splats.fit.local import Pull
    from mvgen.core.splats.fit.local import dragged as pulled

    editing.needed()
    whole = bool(editing.selected.all())
    held, _ = grips(handles, editing.splats.means[editing.selected], whole, editing.splats.diagonal)
    rows = editing.selected.copy()
    if whole:
        rows = np.logical_or.reduce([g.along(editing.splats.means) <= 1 for g in held])
    ways = [g.target - g.source for g in held]
    state, task, here = _prepared(editing, rows, fitting, ways)
    turn = axes(here.frame).T @ axes(editing.splats.frame)

    def tensor(place: NDArray[np.float64]) -> Any:
        return torch.tensor(turn @ place, dtype=torch.float32, device=fitting.device)

    pulls = [Pull(tensor(g.source), tensor(g.target), g.radius, rigid) for g in held]
    fitting.progress.stage("drag", fitting.iterations)
    state = pulled(state, task, fitting.progress, pulls, GROWTH * len(state))
    out = joined(picked(editing, ~rows), _back(state, here, editing))
    return replace(out, moments=_with_moments(out, state, np.flatnonzero(out.selected)))


def _prepared(
    editing: Editing, rows: NDArray[np.bool_], fitting: Fitting, ways: Sequence[NDArray[np.float64]] = ()
) -> tuple[State, Task, Splats]:
    """The state of the splats of a mask, what is to be done, and all splats in the frame in which it is done. ways: how
    far parts will be dragged."""
    from mvgen.core.splats.fit.state import begin

    here = in_scene(editing.splats) if fitting.wish is None else editing.splats
    state = begin(here[rows], 0, here.degree, fitting.device)
    if editing.moments is not None:
        for part in MOMENTS:
            for name in ROWS:
                getattr(state, part)[name].copy_(_tensor(editing.moments[part][name][rows]))
    around = begin(here[~rows], 0, here.degree, fitting.device).values
    if fitting.wish is None:
        return state, _of_photos(here, around, fitting), here
    held = here[rows]
    points = np.concatenate([held.means, *(held.means + way for way in ways)])
    sizes = np.tile(REACH * held.scales.max(1), 1 + len(ways))
    # a checkpoint does not tell which way is up: scenes of mvgen have y up
    views = views_of(fitting.wish, here if editing.moments is None else replace(here, frame="rub"), points, sizes)
    settings = fitting.iterations, fitting.seed, fitting.device, fitting.progress
    return state, guided(fitting.wish, views, around, here, *settings), here


def _of_photos(here: Splats, around: dict[str, Any], fitting: Fitting) -> Task:
    from mvgen.core.splats.fit.local import of_photos
    from mvgen.core.splats.fit.options import FitOptions
    from mvgen.core.splats.fit.train import Job

    if not fitting.photos:
        raise CannotError("there are no photos to fit to", "give a scene with photos")
    options = FitOptions(
        iterations=fitting.iterations,
        splats=len(here),
        degree=here.degree,
        antialiased=bool(here.metadata.get("antialiased")),
        depth=0.0,  # what was edited need not lie where the scene's surface was
        flat=0.0,
    )
    return of_photos(Job(fitting.photos, options, (0.0, 0.0, 0.0), fitting.seed, fitting.device), around)


def _back(state: State, here: Splats, editing: Editing) -> Splats:
    """A state's splats in the frame of those that are edited; of a fit, quaternions keep their lengths."""
    from mvgen.core.splats.fit.state import splats_of

    out = splats_of(state, here).in_frame(editing.splats.frame)
    if editing.moments is not None:
        out = replace(out, quaternions=state.values["quaternions"].detach().cpu().numpy())
    return out


def _with_moments(editing: Editing, state: State, rows: NDArray[np.int64]) -> Any:
    """The moments with those of a state in some rows; None where there are none."""
    if editing.moments is None:
        return None
    out: dict[str, dict[str, NDArray[np.float32]]] = {}
    for part in MOMENTS:
        out[part] = {}
        for name in ROWS:
            out[part][name] = editing.moments[part][name].copy()
            out[part][name][rows] = getattr(state, part)[name].detach().cpu().numpy()
    return out


def _tensor(array: NDArray[np.float32]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))
