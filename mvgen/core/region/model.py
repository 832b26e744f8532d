"""A region as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Kind = Literal["vertices", "faces", "points", "splats", "cells"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NAME = "region"  # of a region that has no other


@dataclass(frozen=True, eq=False)
class Region:
    """Some of the N things that a file holds, in the order in which it holds them.

    kind: what they are; mask [N]: which of them are meant. Cells of a grid [X, Y, Z] are counted with z fastest.
    bounds [2, 3]: lowest and highest corner of those meant, in scene units; None where there are none, or not known.
    marks [P]: which of the places of its file are meant; None where it has none.
    """

    kind: Kind
    mask: NDArray[np.bool_]
    bounds: NDArray[np.float64] | None = None
    name: str = NAME
    marks: NDArray[np.bool_] | None = None

    @property
    def count(self) -> int:
        """N: of all things, meant or not."""
        return len(self.mask)

    @property
    def indices(self) -> NDArray[np.int64]:
        """[M], rising: of those meant."""
        return np.flatnonzero(self.mask)


@dataclass(frozen=True)
class Axes:
    """What x, y and z of a file point to: a frame of splats ("rub", "rdf", "rfu"); "" where it is not known.

    scene: that of the other files of the same scene, which is the same one where a file tells its own; "" where nothing
    but a format's custom says what ``name`` says.
    """

    name: str = ""
    scene: str = ""


@dataclass(frozen=True, eq=False)
class Places:
    """Where regions of some things are known: points [P, 3] float64 in the numbers of the things' file; its axes."""

    points: NDArray[np.float64]
    axes: Axes = Axes()


def region_of(kind: Kind, mask: NDArray[np.bool_], points: NDArray[np.floating], name: str = NAME) -> Region:
    """The region with the bounds of its points; points [N, 3] are where the N things are."""
    inside = points[mask]
    bounds = np.stack([inside.min(0), inside.max(0)]).astype(np.float64) if len(inside) else None
    return Region(kind, mask, bounds, name)
