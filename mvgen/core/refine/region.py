"""How far each vertex of a mesh may go, by regions of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

SEAM = 2.0  # degrees that faces may turn beside those that stay


def strengths(
    vertices: NDArray[np.float64], mask: NDArray[np.bool_], falloff: float, strength: float
) -> NDArray[np.float64]:
    """[V]: 0 outside of a region [V], growing smoothly to the strength over ``falloff`` from the nearest outside."""
    out = np.where(mask, strength, 0.0)
    if mask.all() or not mask.any() or not falloff > 0:
        return out
    inside = np.flatnonzero(mask)
    share = np.clip(cKDTree(vertices[~mask]).query(vertices[inside], workers=-1)[0] / falloff, 0, 1)
    out[inside] *= share**2 * (3 - 2 * share)
    return out


def apart(faces: NDArray[np.int32], strength: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[V]: whether a vertex has no face with one that stays, of strength [V] 0."""
    out = np.ones(len(strength), bool)
    out[faces[(strength[faces] == 0).any(axis=1)]] = False
    return out


def faded(
    old: NDArray[np.float64], new: NDArray[np.float64], faces: NDArray[np.int32], strength: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Vertices [V, 3] that go from old to new places as far as their strength [V] in 0..1 says.

    Faces at an edge whose ends stay turn by at most SEAM degrees, so that no seam shows where vertices are far apart:
    for that the third vertex is held back."""
    share = strength[:, None]
    out = np.where(share == 1, new, old + share * (new - old))
    still = strength == 0
    if still.any():
        allowed = _allowed(old, out, faces, still)[:, None]
        out = np.where(allowed < 1, old + allowed * (out - old), out)
    return out


def _allowed(
    old: NDArray[np.float64], new: NDArray[np.float64], faces: NDArray[np.int32], still: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """[V]: the part of its way that each vertex may go so that faces at edges between still ones turn little."""
    out, most = np.ones(len(old)), np.tan(np.radians(SEAM))
    for corner in range(3):
        tip, start, end = (faces[:, (corner + k) % 3] for k in range(3))
        some = still[start] & still[end] & ~still[tip]
        tip, start, end = tip[some], start[some], end[some]
        edge = _unit(old[end] - old[start])
        before, after = (_beside(places[tip] - old[start], edge) for places in (old, new))
        height, level = np.linalg.norm(before, axis=1), _unit(before)
        along = (after * level).sum(1)
        rise = np.linalg.norm(after - along[:, None] * level, axis=1)
        # after a part t of the way the tip is t * rise above the old face, height + t * (along - height) from the edge
        steep = rise - most * (along - height)
        part = np.where(steep > most * height, most * height / np.maximum(steep, 1e-300), 1.0)
        np.minimum.at(out, tip, part)
    return out


def _beside(vectors: NDArray[np.float64], edge: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors - (vectors * edge).sum(1, keepdims=True) * edge


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
