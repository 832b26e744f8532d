"""A selection as plain data, and what it selects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.box import Box
from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.io.images import read_mask
from mvgen.core.io.meshes import load_any
from mvgen.core.progress import Progress
from mvgen.core.region import reach, select, sight, solid, words
from mvgen.core.region.carry import load_on
from mvgen.core.region.language import Ball, Cone, Lasso, Length, Pixel, Place, Point, Range, Shade
from mvgen.core.region.sight import Sight, camera_named
from mvgen.core.region.things import Mask, Things
from mvgen.core.render.frames import Look, frames


@dataclass(frozen=True)
class Saved:
    """A region in a file, by its name where there are several."""

    path: Path
    name: str | None = None


@dataclass(frozen=True)
class Query:
    """Conditions that must all hold. Of boxes, balls, clicks, walks (geodesic), shades, cones, meshes and texts, one is
    enough; lassos, masks, planes, sams and saved regions must all hold. Lengths are in scene units or shares of the
    diagonal. through: lassos and masks do not care what is hidden; gap: see `reach.parts`, None: `reach.usual_gap`."""

    boxes: Sequence[tuple[Point, Point]] = ()
    balls: Sequence[Ball] = ()
    clicks: Sequence[Ball] = ()
    walks: Sequence[Ball] = ()
    planes: Sequence[tuple[Point, float]] = ()
    lassos: Sequence[Lasso] = ()
    masks: Sequence[tuple[Path, str]] = ()
    part: int | Place | None = None
    shades: Sequence[Shade] = ()
    opacity: Range | None = None
    scale: Range | None = None
    cones: Sequence[Cone] = ()
    meshes: Sequence[Path] = ()
    texts: Sequence[str] = ()
    sams: Sequence[Pixel] = ()
    saved: Sequence[Saved] = ()
    through: bool = False
    gap: Length | None = None
    weights: Sequence[str] = ()


@dataclass(frozen=True)
class Steps:
    """What follows a selection, in this order."""

    grow: Length | None = None
    shrink: Length | None = None
    invert: bool = False
    both: Sequence[Saved] = ()
    either: Sequence[Saved] = ()
    minus: Sequence[Saved] = ()


@dataclass(frozen=True, eq=False)
class Eyes:
    """Cameras, and the things as they see them; views: those in which words are looked for."""

    sight: Sight
    cameras: Sequence[Camera]
    views: Sequence[Camera]
    device: str = "cpu"


def selected(things: Things, query: Query, eyes: Eyes, progress: Progress) -> Mask:
    """[N]: the places that a query selects.

    Raises UsageError for cameras and names of regions that are not there, CannotError for pixels without a surface and
    for conditions that these things cannot meet, InputError for files, WeightsError.
    """
    groups: list[tuple[Sequence[Any], bool, Callable[[Any], Mask]]] = [
        (query.saved, False, lambda one: _saved(things, one, progress.warn)),
        (query.boxes, True, lambda one: Box(*one).holds(things.places)),
        (query.balls, True, lambda one: _in_ball(things, one, eyes)),
        (query.planes, False, lambda one: select.in_half_space(things.places, *one)),
        (_one(query.opacity), False, lambda one: select.of_opacity(things, *one)),
        (_one(query.scale), False, lambda one: select.of_scale(things, *one)),
        (query.cones, True, lambda one: select.of_normal(things, *one)),
        (query.shades, True, lambda one: select.of_colour(things, *one)),
        (query.meshes, True, lambda one: solid.inside(things.places, _solid(one, progress.warn))),
        (query.lassos, False, lambda one: _in_lasso(one, eyes, query.through)),
        (query.masks, False, lambda one: _in_mask(one, eyes, query.through)),
        (query.clicks, True, lambda one: _in_ball(things, one, eyes)),
        (_one(query.part), False, lambda one: _in_part(things, one, query.gap, eyes)),
        (query.walks, True, lambda one: _on_walk(things, one, eyes)),
        (query.sams, False, lambda one: _by_sam(one, eyes, query, progress)),
        (query.texts, True, lambda one: _by_text(one, eyes, query, progress)),
    ]
    out = np.ones(len(things.places), np.bool_)
    for wanted, any_is_enough, holds in groups:
        if wanted:
            out &= reduce(np.logical_or if any_is_enough else np.logical_and, map(holds, wanted))
    return out


def stepped(things: Things, mask: Mask, steps: Steps, warn: Warn = ignore) -> Mask:
    """[N]: a selection after steps. ``warn`` is told of regions of other things."""
    diagonal = things.diagonal if steps.grow or steps.shrink else 0.0
    if steps.grow:
        mask = reach.grown(things.places, mask, steps.grow.on(diagonal))
    if steps.shrink:
        mask = reach.shrunk(things.places, mask, steps.shrink.on(diagonal))
    if steps.invert:
        mask = ~mask
    how: select.How
    for how, others in (("and", steps.both), ("or", steps.either), ("minus", steps.minus)):
        for other in others:
            mask = select.combined(mask, how, _saved(things, other, warn))
    return mask


def _one(value: Any) -> Sequence[Any]:
    return () if value is None else (value,)


def _saved(things: Things, saved: Saved, warn: Warn) -> Mask:
    return load_on(things, saved.path, saved.name, warn)


def _in_ball(things: Things, ball: Ball, eyes: Eyes) -> Mask:
    points, centre = _located(things, ball.place, eyes)
    return select.in_sphere(points.places, centre, ball.radius.on(things.diagonal))


def _on_walk(things: Things, ball: Ball, eyes: Eyes) -> Mask:
    points, centre = _located(things, ball.place, eyes)
    return reach.along_surface(points, centre, ball.radius.on(things.diagonal))


def _in_part(things: Things, part: int | Place, gap: Length | None, eyes: Eyes) -> Mask:
    label = reach.parts(things, reach.usual_gap(things) if gap is None else gap.on(things.diagonal))
    if isinstance(part, int):
        count = int(label.max()) + 1
        if part > count:
            raise CannotError(
                f"{things.name}: has {count} part{'s' * (count != 1)}, not {part}", "--gap tells what hangs together"
            )
        return label == part - 1
    points, centre = _located(things, part, eyes)
    return label == label[reach.nearest(points.places, centre)]


def _located(things: Things, place: Place, eyes: Eyes) -> tuple[Things, NDArray[np.float64]]:
    """A place, and the things in the frame in which it is told."""
    if not isinstance(place, Pixel):
        return things, np.array(place)
    return eyes.sight.things, eyes.sight.place(camera_named(eyes.cameras, place.camera), place.x, place.y)


def _solid(path: Path, warn: Warn) -> Mesh:
    shape = load_any(path, warn)
    if not isinstance(shape, Mesh):
        raise InputError(f"{path}: has no faces, so nothing is inside of it", "give a mesh")
    return shape


def _in_lasso(lasso: Lasso, eyes: Eyes, through: bool) -> Mask:
    return sight.in_lasso(eyes.sight, camera_named(eyes.cameras, lasso.camera), lasso.corners, through)


def _in_mask(drawn: tuple[Path, str], eyes: Eyes, through: bool) -> Mask:
    path, camera = drawn
    found, mask = camera_named(eyes.cameras, camera), read_mask(path)
    sight.check_mask(mask, found, str(path))
    return sight.in_mask(eyes.sight, found, mask, through)


def _by_sam(pixel: Pixel, eyes: Eyes, query: Query, progress: Progress) -> Mask:
    camera = camera_named(eyes.cameras, pixel.camera)
    folder = words.weights_for("sam", query.weights)
    progress.stage("SAM")
    (picture,) = frames(eyes.sight.things.shape, [camera], _PLAIN, progress)
    mask = words.clicked(picture, pixel.x, pixel.y, folder, eyes.device)
    return sight.in_mask(eyes.sight, camera, mask, query.through)


def _by_text(text: str, eyes: Eyes, query: Query, progress: Progress) -> Mask:
    folder = words.weights_for("clipseg", query.weights)
    pictures = list(frames(eyes.sight.things.shape, eyes.views, _PLAIN, progress))
    progress.stage("CLIPSeg")
    heats = words.likely(pictures, text, folder, eyes.device)
    return words.by_votes(eyes.sight, eyes.views, heats, words.LIKELY)


_PLAIN = Look("color", (1.0, 1.0, 1.0))
