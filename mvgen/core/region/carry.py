"""Regions carried to other things of the same thing: each takes the label of the nearest place of the file.

Axes are turned where files tell them. Where only one of the two does, or nothing but the custom of a format, there are
two ways to read the numbers: then the one counts on which the things lie where the places are, and none where both do
and select differently, as with symmetric things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.errors import InputError
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.nearest import walk
from mvgen.core.region.files import RegionFile, named, open_region
from mvgen.core.region.model import Axes, Kind, Places, Region
from mvgen.core.region.reach import spacing
from mvgen.core.region.things import Mask, Things, diagonal_of
from mvgen.core.splats.model import Frame, axes

NEAR = 0.02  # of the diagonal of the places: what is farther away from them is something else
_STRAY = 0.5  # share of things that may have no place near them
_ODD = 0.1  # share of them, or of the places: one has more than the other, but both have not
_CLEAR, _BETTER = 0.05, 0.5  # by how much these shares, or times as far the places, tell the right axes from others
_ALIKE = 0.1  # of what is selected, or is not, if that is less: so much may differ
_WORKERS = 2
_ELSE = "select it again on this input"


@dataclass(frozen=True, eq=False)
class Match:
    """For N things, after a turn [3, 3] into the axes of places, the distance [N] to the nearest of them, and its
    number [N]; the shares of things that have no place near, and of places that have no thing near."""

    turn: NDArray[np.float64]
    distance: NDArray[np.float64]
    nearest: NDArray[np.int64]
    strays: float
    bare: float

    @property
    def fits(self) -> bool:
        return self.strays <= _STRAY and min(self.strays, self.bare) <= _ODD

    @property
    def apart(self) -> float:
        return float(np.median(self.distance))


def load_on(things: Things, path: Path, name: str | None = None, warn: Warn = ignore) -> Mask:
    """[N]: which places of some things a region in a file holds, by name where there are several.

    A region of other things is carried, if its file has places, and ``warn`` is told. Raises InputError for a file that
    is missing, damaged, or of something else, UsageError for a name it does not have.
    """
    file = open_region(path)
    if file.places is None or file.fits(things.kind, things.count):
        return _spread(things, named(file.regions(things.kind, things.count), name, path), file.places)
    region = named(file.on_places(), name, path)
    return _carried(things, file, file.places, region.mask, warn)


def load_all_on(things: Things, path: Path) -> list[Region]:
    """All regions of a file of these things, with marks at the places of `Things.told`. Raises InputError."""
    file = open_region(path)
    regions = file.regions(things.kind, things.count)
    return [replace(one, marks=_spread(things, one, file.places)[things.sample]) for one in regions]


def carried(places: Places, marks: Mask, points: NDArray[np.floating]) -> Mask:
    """[N]: the labels [P] of the places nearest to points [N, 3] in the same axes."""
    return marks[_nearest(places.points, points)[1]]


def _spread(things: Things, region: Region, places: Places | None) -> Mask:
    """[N]: a region of these things; on their faces as at the nearest place that is told, or at the nearest vertex."""
    mask = things.mask(region)
    rest = things.places[len(mask) :]
    if not len(rest):
        return mask
    if places is not None and region.marks is not None:
        distance, nearest = _nearest(places.points, rest)
        if np.median(distance) <= NEAR * diagonal_of(places.points):  # it may have been moved since
            return np.concatenate([mask, region.marks[nearest]])
    return np.concatenate([mask, mask[_nearest(things.places[: len(mask)], rest)[1]]])


def _carried(things: Things, file: RegionFile, places: Places, marks: Mask, warn: Warn) -> Mask:
    kinds = (file.kind, things.kind)
    limit = max(NEAR * diagonal_of(places.points), spacing(places.points))
    matches = [_match(places, things, turn, limit) for turn in turns(places.axes, things.axes, kinds)]
    fit = [m for m in matches if m.fits]
    told = f"{file.path}: is a region of {file.count or 'other'} {file.kind or 'things'}"
    if not fit:
        raise InputError(f"{told}, which lie elsewhere than the {things.count} {things.kind} of the input", _ELSE)
    best = _chosen(fit, marks)
    if best is None:
        raise InputError(f"{told}, and it is not known how its axes lie in those of the input", _ELSE)
    far = best.distance > limit
    warn(
        f"{told}: carried to {things.count} {things.kind} by the nearest of its {len(marks)} places"
        + ("" if np.array_equal(best.turn, np.eye(3)) else f", in axes turned from {_shown(places.axes, things.axes)}")
        + (f"; {int(far.sum())} are not near any" if far.any() else "")
    )
    return marks[best.nearest] & ~far


def turns(source: Axes, target: Axes, kinds: tuple[Kind | None, Kind]) -> list[NDArray[np.float64]]:
    """[3, 3] each: the ways in which numbers in the axes of a target may be those of a source; one where it is known.

    kinds: of the source and of the target. Splats are turned as their formats say; without a record of their scene they
    may, to other things, be in its numbers as they are.
    """
    same, known = np.eye(3), None
    if source.name and target.name:
        known = _turn(target.name, source.name)
        if (source.scene and target.scene) or kinds == ("splats", "splats"):
            return [known]
    elif source.scene:  # what tells nothing may be in the numbers of the scene
        known = _turn(source.scene, source.name)
    elif target.scene:
        known = _turn(target.name, target.scene)
    return [same] if known is None or np.array_equal(known, same) else [same, known]


def _turn(source: str, target: str) -> NDArray[np.float64]:
    """[3, 3]: from the numbers of one frame to those of another."""
    return axes(cast(Frame, target)).T @ axes(cast(Frame, source))


def _match(places: Places, things: Things, turn: NDArray[np.float64], limit: float) -> Match:
    turned = things.places.astype(np.float64) @ turn.T
    distance, nearest = _nearest(places.points, turned)
    some = turned[things.sample]
    back = _nearest(some, places.points)[0]
    bare = float(np.mean(back > max(limit, spacing(some))))
    return Match(turn, distance, nearest, float(np.mean(distance > limit)), bare)


def _nearest(
    places: NDArray[np.floating], points: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """[N], [N]: distances of points [N, 3] to the nearest places [P, 3], and the numbers of these."""
    order = walk(points)
    distance, nearest = np.empty(len(points)), np.empty(len(points), np.int64)
    distance[order], nearest[order] = cKDTree(places).query(points[order], workers=_WORKERS)
    return distance, nearest


def _chosen(fit: Sequence[Match], marks: Mask) -> Match | None:
    """The one that fits clearly better, or either where they select the same; else none."""
    first, *others = sorted(fit, key=lambda m: (round((m.strays + m.bare) / _CLEAR), m.apart))
    for other in others:
        fewer = first.strays + first.bare < other.strays + other.bare - _CLEAR
        if not (fewer or first.apart < _BETTER * other.apart or _alike(marks[first.nearest], marks[other.nearest])):
            return None
    return first


def _alike(one: Mask, two: Mask) -> bool:
    return int((one != two).sum()) <= _ALIKE * min(int((one | two).sum()), int((~(one & two)).sum()))


def _shown(source: Axes, target: Axes) -> str:
    return f"{source.name or source.scene or 'its own'} to {target.name or target.scene or 'those of the input'}"
