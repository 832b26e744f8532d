"""Draco with all faces of the source: positions are rounded, and vertices come back in another order."""

from __future__ import annotations

from mvgen.core.compress.codec import Goal
from mvgen.core.compress.draco import decode, encode_whole, may_beat
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress

__all__ = ["decode", "encode", "may_beat"]


def encode(mesh: Mesh, goal: Goal, effort: int, seed: int, progress: Progress) -> bytes:
    """Raises CannotError where the faces alone take more than the size."""
    return encode_whole(mesh, goal, seed)
