"""How much of which photo to use where on the surface."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.texture.observe import Sight
from mvgen.core.texture.surface import Surface

SHARPNESS = 6  # power of a photo's relative quality: higher is crisper, lower forgives geometry and cameras more
MOST_PHOTOS = 3  # blended at a point
FEATHER = 6  # rings of faces over which a photo fades out towards where it sees the surface no more
FALLBACK = 1e-4  # part of the weight that the other photos keep, for texels that the best ones do not see after all
FEWEST = 3  # photos that must see a point before one of them can be outvoted
TOLERANCE = (12.0, 3.0)  # grey levels and multiples of the usual difference within which photos agree


def blend_weights(surface: Surface, sight: Sight, gains: NDArray[np.float32]) -> NDArray[np.float32]:
    """[P, V]: how much of each photo to use at each point; smooth along the surface, so that there are no seams.

    A high power of the share of pixels that a photo has of the place (compare Callieri et al. 2008, "Masked photo
    blending"), less that of the best photo beyond MOST_PHOTOS, and small for a photo that the others outvote.
    """
    around = _gathered(surface, sight.quality)
    power = (around / np.maximum(around.max(axis=1, keepdims=True), 1e-20)) ** SHARPNESS
    agreeing = _feathered(surface, power) * _least_around(surface, _agreement(sight, gains))
    share = agreeing / np.maximum(agreeing.max(axis=1, keepdims=True), 1e-20)
    if share.shape[1] > MOST_PHOTOS:
        beyond = np.partition(share, -MOST_PHOTOS - 1, axis=1)[:, -MOST_PHOTOS - 1]
        share = np.maximum(share - beyond[:, None], 0) + FALLBACK * share
    return (share + FALLBACK * FALLBACK * (around > 0)).astype(np.float32)


def _gathered(surface: Surface, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """[P, V]: the sum of face values [F, V] around each point."""
    from scipy.sparse import coo_array

    count = len(surface.faces)
    place = (surface.faces.reshape(-1), np.repeat(np.arange(count), 3))
    return coo_array((np.ones(3 * count), place), shape=(len(surface.points), count)).tocsr() @ values


def _feathered(surface: Surface, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[P, V]: weights that fall gently to zero at the border of what a photo sees, never above those given."""
    from scipy.sparse import diags_array

    links = surface.links()
    mean = diags_array(1 / np.maximum(links.sum(axis=1), 1)) @ links
    for _ in range(FEATHER):
        weights = np.minimum(weights, mean @ weights)
    return weights


def _agreement(sight: Sight, gains: NDArray[np.float32]) -> NDArray[np.float64]:
    """[P, V] in (0, 1]: small where a photo shows another colour than most photos that see the place."""
    voters = sight.believed & (sight.believed.sum(axis=1, keepdims=True) >= FEWEST)
    colours = sight.colours * gains
    centre = _middle(colours, voters)
    distance = np.abs(colours - centre[:, None]).max(axis=2)
    usual = _middle(distance[..., None], voters)[:, 0]
    limit = np.maximum(TOLERANCE[0], TOLERANCE[1] * usual)
    excess = np.maximum(distance / limit[:, None] - 1, 0)
    return np.where(voters, np.maximum(np.exp(-excess * excess), 1e-3), 1)


def _least_around(surface: Surface, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[P, V]: the least of the values [P, V] over each point and its neighbours."""
    corners = surface.faces.reshape(-1)
    order = np.argsort(corners, kind="stable")
    starts = np.searchsorted(corners[order], np.arange(len(values)))
    starts = np.minimum(starts, len(order) - 1)  # points without faces
    return np.minimum.reduceat(values[surface.faces].min(axis=1)[order // 3], starts, axis=0)


def _middle(values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """[N, K]: the lower median of values [N, V, K] over the views of mask [N, V]; 0 where there are none."""
    ordered = np.sort(np.where(mask[..., None], values, np.inf), axis=1)
    count = mask.sum(axis=1)
    chosen = ordered[np.arange(len(values)), np.maximum(count - 1, 0) // 2]
    return np.where(count[:, None] > 0, chosen, 0)
