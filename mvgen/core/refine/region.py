"""How far each vertex of a mesh may go, by regions of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


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
