"""Folds of a surface smoothed away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.refine.integrate import face_normals, sums_at, vertex_normals

ROUNDS = 30


def unfolded(vertices: NDArray[np.float64], faces: NDArray[np.int32], free: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Vertices [V, 3], of which those of folded faces that are free [V] went to the middle of their neighbours.

    That is repeated until no face is folded that could be helped so, or it does not help within ROUNDS."""
    out = vertices
    for _ in range(ROUNDS):
        corners = faces[folded(out, faces)]
        moved = np.unique(corners[free[corners]])
        if not len(moved):
            break
        out = out.copy()
        out[moved] = _middles(out, faces, moved)
    return out


def folded(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.bool_]:
    """[F]: faces that look against the mean of those around their corners, by area."""
    around = vertex_normals(vertices, faces)[faces].sum(axis=1)
    return (face_normals(vertices, faces) * around).sum(axis=1) < 0


def _middles(vertices: NDArray[np.float64], faces: NDArray[np.int32], some: NDArray[np.integer]) -> NDArray[np.float64]:
    """[N, 3]: the means of the neighbours of some vertices [N]."""
    marked = np.zeros(len(vertices), bool)
    marked[some] = True
    near = faces[marked[faces].any(axis=1)]
    ends = np.concatenate([near, near])
    others = np.concatenate([np.roll(near, -1, axis=1), np.roll(near, 1, axis=1)])
    sums = sums_at(ends, vertices[others.reshape(-1)], len(vertices))[some]
    return sums / np.bincount(ends.reshape(-1), minlength=len(vertices))[some, None]
