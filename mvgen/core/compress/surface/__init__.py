"""The codec `surface`: few faces fitted to the source, or all of them, their connectivity and positions coded together.

Holds any triangles: open, in pieces, with edges of many faces. Colours of vertices are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mvgen.core.compress.surface.payload import announce, decode_surface
from mvgen.core.compress.surface.search import Search, cleaned, effort_of
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.nearest import face_normals
from mvgen.core.progress import Progress

if TYPE_CHECKING:
    from mvgen.core.compress.codec import Goal

__all__ = ["decode", "encode"]


def encode(mesh: Mesh, goal: Goal, effort: int, seed: int, progress: Progress) -> bytes:
    """The payload of a mesh in the container's frame. Raises CannotError where the goal is out of reach."""
    announce(progress)
    mesh = cleaned(mesh)
    if not face_normals(mesh.vertices[mesh.faces])[1].sum() > 0:
        raise CannotError("the mesh has no area", "are its faces degenerate?")
    search = Search(mesh, effort_of(effort, len(mesh.faces)), seed, progress)
    if goal.bytes is not None:
        return search.within(goal.bytes).coded.payload
    return search.below(goal.mean, goal.maximum).coded.payload


def decode(payload: bytes) -> Mesh:
    """The mesh of a payload; InputError where it is damaged."""
    return decode_surface(payload)
