"""The steps of a recipe, one after the other, on splats or a mesh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvgen.core.edit import meshes, operations
from mvgen.core.edit.drag import dragged
from mvgen.core.edit.recipe import (
    Add,
    Affine,
    Drag,
    Duplicate,
    FileReference,
    Guidance,
    Imagine,
    Keep,
    Recipe,
    Recolor,
    Refit,
    Remove,
    Select,
    Step,
    Where,
    reference,
)  # fmt: skip
from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.geometry import Mesh
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.progress import Progress
from mvgen.core.region.carry import load_on
from mvgen.core.region.files import load_region
from mvgen.core.region.things import Things
from mvgen.core.splats.files import load_splats
from mvgen.core.splats.seen import in_scene

if TYPE_CHECKING:
    from mvgen.core.edit.fits import Fitting
    from mvgen.core.edit.guided import Wish
    from mvgen.core.splats.fit.views import Photo
    from mvgen.core.splats.model import Splats


@dataclass(frozen=True)
class Place:
    """Where steps are replayed. photos: those of a scene, with the longer side at most so many pixels; seed, device:
    of fits."""

    photos: Callable[[str, int], Sequence[Photo]]
    seed: int
    device: str
    progress: Progress


def edited(editing: operations.Editing, recipe: Recipe, place: Place) -> operations.Editing:
    """Splats after all steps. Raises CannotError, InputError, UsageError, WeightsError."""
    for step in recipe.steps:
        if isinstance(step, Drag | Imagine) and step.guidance is not None:
            _wish(step.guidance)  # what is missing is told before anything is done
    for step in recipe.steps:
        place.progress.stage(type(step).__name__.lower())
        other = _other(step, editing, place) if isinstance(step, Add) else None
        size = len(editing.splats) + (0 if other is None else len(other))
        mask = None
        if step.region is not None:
            mask = _mask(step.region, Things("", "splats", editing.splats, size), place.progress.warn)
        if mask is not None and other is None:
            editing = replace(editing, selected=mask)
        editing = _done(editing, step, place, other, mask)
    return editing


def edited_mesh(editing: meshes.Editing, recipe: Recipe, place: Place) -> meshes.Editing:
    """A mesh after all steps. Raises CannotError, InputError, and UsageError for steps that are for splats."""
    for step in recipe.steps:
        place.progress.stage(type(step).__name__.lower())
        if step.region is not None:
            editing = meshes.selected(editing, mesh_mask(step.region, editing.mesh, place.progress.warn))
        if isinstance(step, Affine):
            editing = meshes.moved(editing, step.matrix(editing.middle))
        elif isinstance(step, Drag) and step.scene is None and step.guidance is None:
            editing = meshes.dragged(editing, step.handles, step.mode == "rigid")
        elif not isinstance(step, Select):
            name = "a fit" if isinstance(step, Drag) else type(step).__name__.lower()
            raise UsageError(f"{name} is for splats, not for a mesh", "a mesh can be moved, mirrored and dragged")
    return editing


def _done(
    editing: operations.Editing, step: Step, place: Place, other: Splats | None, mask: NDArray[np.bool_] | None
) -> operations.Editing:
    if isinstance(step, Affine):
        return operations.moved(editing, step.matrix(editing.middle))
    if isinstance(step, Add) and other is not None:
        return operations.added(editing, other, mask)
    if isinstance(step, Recolor):
        return operations.recoloured(editing, step.colour)
    if isinstance(step, Drag):
        if step.scene is None and step.guidance is None:
            return dragged(editing, step.handles, step.mode == "rigid")
        from mvgen.core.edit import fits

        fitting = _fitting(step, place)
        return fits.dragged(editing, step.handles, step.mode == "rigid", fitting)
    if isinstance(step, Refit):
        from mvgen.core.edit import fits

        rows = editing.selected if step.region is not None else editing.unsettled
        return fits.refitted(editing, rows, _fitting(step, place))
    if isinstance(step, Imagine):
        from mvgen.core.edit import fits

        chosen = step.region is not None or not editing.unsettled.any()
        rows = editing.selected if chosen else editing.unsettled
        return fits.refitted(editing, rows, _fitting(step, place))
    plain: dict[type[Step], Callable[[operations.Editing], operations.Editing]] = {
        Remove: operations.removed,
        Keep: operations.kept,
        Duplicate: operations.duplicated,
    }
    return plain[type(step)](editing) if type(step) in plain else editing


def _fitting(step: Refit | Drag | Imagine, place: Place) -> Fitting:
    from mvgen.core.edit.fits import Fitting
    from mvgen.core.render.splats import usable_device

    if step.iterations is None:
        raise UsageError("a fit needs iterations", "write them into the recipe")
    device = usable_device(place.device, place.progress)
    if not isinstance(step, Refit) and step.guidance is not None:
        return Fitting((), step.iterations, place.seed, device, place.progress, _wish(step.guidance))
    if isinstance(step, Imagine) or step.scene is None or step.size is None:
        raise UsageError("a fit needs a scene and a size", "write them into the recipe")
    return Fitting(place.photos(step.scene, step.size), step.iterations, place.seed, device, place.progress)


def _wish(guidance: Guidance) -> Wish:
    """Raises InputError for views, and WeightsError where there is no model."""
    from mvgen.core.edit.guided import Wish
    from mvgen.core.guidance.distil import Distillation
    from mvgen.core.guidance.folder import weights_for
    from mvgen.core.guidance.orbits import load_views

    orbits = () if guidance.views is None else load_views(_file(guidance.views))
    options = Distillation(guidance.scale, most=guidance.strength, last=guidance.strength / 2)
    return Wish(weights_for(guidance.weights), guidance.prompt, guidance.negative, orbits, options)


def _other(step: Add, editing: operations.Editing, place: Place) -> Splats:
    """The splats to add, moved, in the axes of the others; to a fit, as its scene has them."""
    path = _file(step.file)
    if editing.moments is None:
        other = load_splats(path, place.progress.warn, editing.splats.frame)
    else:
        other = replace(in_scene(load_splats(path, place.progress.warn)), frame=editing.splats.frame)
        other = other.with_degree(editing.splats.degree)
    matrix = np.array(step.matrix).reshape(4, 4)
    if np.array_equal(matrix, np.eye(4)):
        return other
    from mvgen.core.edit.affine import mapped

    return mapped(other, matrix)


def _mask(where: Where, things: Things, warn: Warn) -> NDArray[np.bool_]:
    """[count]: what a region selects of things, which have a count of their own where some are still to be added."""
    points, count = things.places, things.count
    if where.region is not None:
        path, part = _file(where.region), where.region.part
        if count == len(points):
            mask = load_on(things, path, part, warn)
        else:
            mask = load_region(path, things.kind, count, part).mask
    elif count != len(points):
        raise UsageError("added splats go back to places that a region file tells", "give one, or leave --region out")
    elif where.sphere is not None:
        middle, radius = np.array(where.sphere[:3]), where.sphere[3]
        mask = np.linalg.norm(points - middle, axis=1) <= radius
    else:
        corners = np.array(where.box).reshape(2, 3)
        mask = ((points >= corners[0]) & (points <= corners[1])).all(1)
    return _some(mask, things.kind)


def _some(mask: NDArray[np.bool_], kind: str) -> NDArray[np.bool_]:
    if not mask.any():
        raise CannotError(f"the region selects none of {len(mask):,} {kind}", "choose another --region")
    return mask


def splats_mask(where: Where, splats: Splats, warn: Warn = ignore) -> NDArray[np.bool_]:
    """[N]: splats that a region selects, or one that can be carried to them; ``warn`` is told if it is. Raises
    CannotError where it selects none, InputError."""
    return _mask(where, Things("", "splats", splats, len(splats)), warn)


def mesh_mask(where: Where, mesh: Mesh, warn: Warn = ignore) -> NDArray[np.bool_]:
    """[V]: vertices that a region of vertices or of faces selects, or one that can be carried to them; ``warn`` is told
    if it is. Raises CannotError where it selects none, InputError."""
    try:
        return _mask(where, Things("", "vertices", mesh, len(mesh.vertices)), warn)
    except InputError as error:
        told = error
    mask = np.zeros(len(mesh.vertices), bool)
    try:
        if where.region is not None:
            faces = load_region(_file(where.region), "faces", len(mesh.faces), where.region.part).mask
            mask[mesh.faces[_some(faces, "faces")]] = True
    except InputError:
        raise told from None
    return mask


def _file(told: FileReference) -> Path:
    """The path of a file that a step names. Raises InputError where it is missing, or not as it was."""
    path = Path(told.file)
    try:
        now = reference(path).sha256
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", "check the name and the current folder") from None
    if told.sha256 is not None and told.sha256 != now:
        raise InputError(
            f"{path}: is not the file of the recipe: it has changed",
            "name the right one, or for a region, another with --region",
        )
    return path
