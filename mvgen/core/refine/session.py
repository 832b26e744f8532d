"""A mesh refined step by step, each time where it is selected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress
from mvgen.core.refine.meshes import Result
from mvgen.core.refine.region import strengths


class Way(Protocol):
    """What refines a mesh, its vertices [V] as strongly as they say."""

    def __call__(self, mesh: Mesh, *, strength: NDArray[np.float64], progress: Progress) -> Result: ...


@dataclass(frozen=True, eq=False)
class State:
    """A mesh, which of its vertices [V] are selected, and in a few words what it was refined by."""

    result: Result
    mask: NDArray[np.bool_]
    how: str = ""

    @property
    def mesh(self) -> Mesh:
        return self.result.mesh


class Refinement:
    """All states of a mesh, from the first one on. falloff: of regions, in diagonals."""

    def __init__(self, mesh: Mesh, mask: NDArray[np.bool_], falloff: float):
        self.falloff = falloff
        self._states = [State(Result(mesh), mask)]

    @property
    def now(self) -> State:
        return self._states[-1]

    @property
    def before(self) -> State:
        """What the last refinement began with; the first state where there was none."""
        return self._states[max(len(self._states) - 2, 0)]

    @property
    def first(self) -> State:
        return self._states[0]

    @property
    def steps(self) -> tuple[str, ...]:
        """What it was refined by, one after the other."""
        return tuple(state.how for state in self._states[1:])

    def refined(self, way: Way, mask: NDArray[np.bool_], strength: float, progress: Progress) -> Result:
        """The mesh refined where it is selected [V]; nothing is changed. Raises CannotError."""
        if not mask.any():
            raise CannotError("nothing is selected", 'paint where to refine, or press "invert" to take all')
        mesh = self.now.mesh
        share = strengths(mesh.vertices, mask, self.falloff * mesh.diagonal, strength)
        return way(mesh, strength=share, progress=progress)

    def take(self, result: Result, mask: NDArray[np.bool_], how: str) -> bool:
        """Go on with a result, with what is selected [V] now. Whether its faces are new, and the selection carried."""
        new = len(result.mesh.vertices) != len(mask) or not np.array_equal(result.mesh.faces, self.now.mesh.faces)
        carried = carried_over(self.now.mesh, mask, result.mesh) if new else mask
        self._states[-1:] = [replace(self.now, mask=mask), State(result, carried, how)]
        return new

    def undo(self) -> None:
        """Back to the mesh and the selection before the last refinement, if there was one."""
        if len(self._states) > 1:
            self._states.pop()


def carried_over(old: Mesh, mask: NDArray[np.bool_], new: Mesh) -> NDArray[np.bool_]:
    """[V]: vertices of a new mesh whose nearest vertex of the old one is in a mask."""
    return mask[cKDTree(old.vertices).query(new.vertices, workers=-1)[1]]
