"""Which photo textures which part of the surface."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.texture.observe import Sight
from mvgen.core.texture.surface import Surface

SEAM_COST = 0.01  # of a seam, in units of the surface's scale
UNSEEN_COST = 10.0  # of a photo that does not see a face; the best photo costs 0, a useless one 1
FALLBACK = 1e-3  # weight of the other photos, for texels that the chosen one does not see after all
FEWEST = 3  # photos that must see a point before one of them can be outvoted
TOLERANCE = (12.0, 3.0)  # grey levels and multiples of the usual difference within which photos agree


def choose(surface: Surface, sight: Sight, gains: NDArray[np.float32]) -> NDArray[np.int32]:
    """The photo [F] for each face: sharp, in agreement with the others, and the same as its neighbours' where it can.

    A Markov random field on the face graph as in Lempitsky & Ivanov 2007 ("Seamless mosaicing of image-based texture
    maps"), with pixel counts as data cost and the length of seams as smoothness.
    """
    from mvgen.kernels.texture import smooth_labels

    quality = sight.quality * _agreement(surface, sight, gains)
    best = quality.max(axis=1, keepdims=True)
    costs = np.where(sight.quality > 0, 1 - quality / np.maximum(best, 1e-20), UNSEEN_COST)
    costs[best[:, 0] <= 0] = 0
    unit = surface.areas.sum() / len(surface.areas)
    costs *= (surface.areas / unit)[:, None]
    seams = surface.lengths * (SEAM_COST * surface.scale / unit)
    return smooth_labels(costs.astype(np.float32), surface.twins, seams.astype(np.float32), 8)


def blend_weights(surface: Surface, sight: Sight, labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """[P, V]: how much of each photo to use at each point: the photo chosen around it, a mixture only along seams."""
    views = sight.quality.shape[1]
    chosen = np.zeros((len(surface.points), views))
    area = np.repeat(surface.areas + 1e-12 * surface.areas.max(), 3)
    np.add.at(chosen, (surface.faces.reshape(-1), np.repeat(labels, 3)), area)
    chosen /= np.maximum(chosen.sum(axis=1, keepdims=True), 1e-300)
    return (chosen + FALLBACK * relative_quality(surface, sight) ** 3).astype(np.float32)


def relative_quality(surface: Surface, sight: Sight) -> NDArray[np.float64]:
    """[P, V]: a photo's share of the pixels that the best photo has around each point."""
    around = gathered(surface, sight.quality)
    return around / np.maximum(around.max(axis=1, keepdims=True), 1e-20)


def gathered(surface: Surface, values: NDArray[Any]) -> NDArray[np.float64]:
    """[P, ...]: the sum of face values [F, ...] around each point."""
    from scipy.sparse import coo_array

    count = len(surface.faces)
    place = (surface.faces.reshape(-1), np.repeat(np.arange(count), 3))
    matrix = coo_array((np.ones(3 * count), place), shape=(len(surface.points), count)).tocsr()
    return matrix @ values.reshape(count, -1).astype(np.float64)


def middle(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """[N, K]: the lower median of values [N, V, K] over the views of mask [N, V]; inf where there are none."""
    ordered = np.sort(np.where(mask[..., None], values, np.inf), axis=1)
    at = np.maximum(mask.sum(axis=1) - 1, 0) // 2
    return ordered[np.arange(len(values)), at]


def _agreement(surface: Surface, sight: Sight, gains: NDArray[np.float32]) -> NDArray[np.float32]:
    """[F, V] in (0, 1]: small where a photo shows another colour than most photos that see the place."""
    voters = sight.believed & (sight.believed.sum(axis=1, keepdims=True) >= FEWEST)
    if not voters.any():
        return np.ones_like(sight.quality)
    colours = sight.colours * gains
    centre = middle(colours, voters)
    centre[~voters.any(axis=1)] = 0
    distance = np.abs(colours - centre[:, None]).max(axis=2)
    usual = middle(distance[..., None], voters)[:, 0]
    limit = np.maximum(TOLERANCE[0], TOLERANCE[1] * np.where(np.isfinite(usual), usual, 0))
    excess = np.maximum(distance / limit[:, None] - 1, 0)
    factor = np.where(voters, np.exp(-excess * excess), 1)
    return np.maximum(factor[surface.faces].mean(axis=1), 1e-3).astype(np.float32)
