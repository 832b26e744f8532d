"""Operations on splats: each takes an `Editing` and gives another, and leaves alone what is not selected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.edit.affine import mapped
from mvgen.core.errors import CannotError, UsageError
from mvgen.core.splats.harmonics import DEGREE_ZERO
from mvgen.core.splats.model import Splats, merged

ROWS = ("means", "quaternions", "log_scales", "logits", "harmonics")
MOMENTS = ("first", "second")
NEAR = 3.0  # standard deviations of two splats within which one has lost a neighbour in the other


@dataclass(frozen=True, eq=False)
class Editing:
    """Splats between two operations.

    origin [N]: the row of the input that each one was, -1 where it is new; selected [N]: what the next operation works
    on; touched [N]: what has been changed, or is new; edge [N]: what has lost neighbours. moments: what Adam remembers
    of a fit, ``{"first": {"means": [N, 3], ...}, "second": ...}``; None of splats from a file.
    """

    splats: Splats
    origin: NDArray[np.int64]
    selected: NDArray[np.bool_]
    touched: NDArray[np.bool_]
    edge: NDArray[np.bool_]
    moments: dict[str, dict[str, NDArray[np.float32]]] | None = None

    @property
    def middle(self) -> NDArray[np.float64]:
        """[3]: the mean of the means of the selected. Raises CannotError where nothing is selected."""
        self.needed()
        return np.asarray(self.splats.means[self.selected].mean(0, dtype=np.float64))

    @property
    def unsettled(self) -> NDArray[np.bool_]:
        """[N]: what a fit goes over where nothing else is told."""
        return self.touched | self.edge

    def needed(self) -> None:
        """Raises CannotError where nothing is selected."""
        if not self.selected.any():
            raise CannotError("no splat is selected", "choose another --region")


def begun(splats: Splats, moments: dict[str, dict[str, NDArray[np.float32]]] | None = None) -> Editing:
    """Before the first operation: everything is selected."""
    everything = np.ones(len(splats), bool)
    return Editing(splats, np.arange(len(splats)), everything, ~everything, ~everything, moments)


def picked(editing: Editing, rows: NDArray[Any]) -> Editing:
    """The splats that a mask or an index picks."""
    moments = editing.moments
    if moments is not None:
        moments = {part: {name: values[rows] for name, values in m.items()} for part, m in moments.items()}
    selected, touched, edge = (mask[rows] for mask in (editing.selected, editing.touched, editing.edge))
    return Editing(editing.splats[rows], editing.origin[rows], selected, touched, edge, moments)


def joined(editing: Editing, more: Splats) -> Editing:
    """With new splats behind the others, which alone are selected; Adam knows nothing of them yet."""
    splats = merged([editing.splats, more])
    new = np.arange(len(splats)) >= len(editing.splats)
    origin = np.concatenate([editing.origin, np.full(len(more), -1)])
    touched = np.concatenate([editing.touched, np.ones(len(more), bool)])
    edge = np.concatenate([editing.edge, np.zeros(len(more), bool)])
    return Editing(splats, origin, new, touched, edge, _padded(editing.moments, splats))


def changed(editing: Editing, part: Splats, rows: NDArray[np.bool_] | None = None) -> Editing:
    """With ``part`` in the place of the selected, or of the splats of a mask ``rows`` [N]."""
    rows = editing.selected if rows is None else rows
    return replace(editing, splats=_placed(editing.splats, rows, part), touched=editing.touched | rows)


def removed(editing: Editing) -> Editing:
    """Without the selected; everything is selected then. Raises CannotError where nothing is left."""
    editing.needed()
    if editing.selected.all():
        raise CannotError("all splats would be removed", "choose what to remove with --region")
    out = _all_selected(picked(editing, ~editing.selected))
    return replace(out, edge=out.edge | _beside(out.splats, editing.splats[editing.selected]))


def kept(editing: Editing) -> Editing:
    """The selected alone."""
    editing.needed()
    return picked(editing, editing.selected)


def duplicated(editing: Editing) -> Editing:
    """With copies of the selected, which alone are selected then."""
    editing.needed()
    return joined(editing, editing.splats[editing.selected])


def added(editing: Editing, other: Splats, places: NDArray[np.bool_] | None = None) -> Editing:
    """With the splats of another, brought to the frame of these, behind them, or at ``places`` [N + M] of the result.

    So splats that were taken out go back to where they were. Raises UsageError where the places are not as many.
    """
    out = joined(editing, other)
    if places is None:
        return out
    if int(places.sum()) != len(other):
        raise UsageError(
            f"the region has {int(places.sum())} places for {len(other)} added splats",
            "leave --region out, or give the one by which they were taken out",
        )
    order = np.empty(len(places), np.int64)
    order[~places] = np.arange(len(editing.splats))
    order[places] = np.arange(len(editing.splats), len(places))
    return picked(out, order)


def moved(editing: Editing, matrix: NDArray[np.float64]) -> Editing:
    """The selected after an affine map [4, 4]."""
    editing.needed()
    splats = mapped(editing.splats, matrix, editing.selected)
    return replace(editing, splats=splats, touched=editing.touched | editing.selected)


def recoloured(editing: Editing, colour: tuple[float, float, float]) -> Editing:
    """The mean colour of the selected becomes ``colour``, sRGB in [0, 1]; differences from it stay."""
    editing.needed()
    rows, harmonics = editing.selected, editing.splats.harmonics.copy()
    mean = harmonics[rows, 0].mean(0, dtype=np.float64)
    harmonics[rows, 0] += ((np.array(colour) - 0.5) / DEGREE_ZERO - mean).astype(np.float32)
    return replace(editing, splats=replace(editing.splats, harmonics=harmonics), touched=editing.touched | rows)


def _beside(splats: Splats, gone: Splats) -> NDArray[np.bool_]:
    """[N]: splats that reach the nearest one of those that are gone."""
    distance, index = cKDTree(gone.means).query(splats.means, workers=-1)
    return np.asarray(distance < NEAR * (splats.scales.max(1) + gone.scales.max(1)[index]))


def _all_selected(editing: Editing) -> Editing:
    return replace(editing, selected=np.ones(len(editing.splats), bool))


def _placed(splats: Splats, rows: NDArray[np.bool_], part: Splats) -> Splats:
    """Arrays that ``part`` shares with the old ones are not copied."""
    if rows.all():
        return replace(part, frame=splats.frame, metadata=splats.metadata)
    arrays: dict[str, Any] = {}
    for name in ROWS:
        arrays[name] = getattr(splats, name).copy()
        arrays[name][rows] = getattr(part, name)
    return replace(splats, **arrays)


def _padded(
    moments: dict[str, dict[str, NDArray[np.float32]]] | None, splats: Splats
) -> dict[str, dict[str, NDArray[np.float32]]] | None:
    """Zeros for new rows and new bands."""
    if moments is None:
        return None
    out: dict[str, dict[str, NDArray[np.float32]]] = {}
    for part, arrays in moments.items():
        out[part] = {}
        for name, old in arrays.items():
            out[part][name] = np.zeros_like(getattr(splats, name))
            out[part][name][tuple(slice(0, n) for n in old.shape)] = old
    return out
