"""Make photos of different exposure agree: one gain per photo, then a smooth correction over the surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.texture.observe import Sight
from mvgen.core.texture.surface import Surface

FEWEST_SHARED = 30  # points that two photos must share before their exposure is compared
DARK = 4.0  # grey levels; darker pixels say little about exposure
STRONGEST = 2.5  # gains are kept within 1 / STRONGEST ... STRONGEST
STIFFNESS = 10.0  # of the correction: a change along an edge costs this much more than a difference at a seam
SHRINK = 1e-4  # pulls the correction to zero where nothing else says


def exposure_gains(sight: Sight) -> NDArray[np.float32]:
    """[V, 3]: factors on each photo's colours that make shared points agree; their geometric mean is 1.

    Least squares on the median ratios of all pairs of photos, which few moving things or highlights can not disturb.
    """
    views = sight.believed.shape[1]
    usable = sight.believed & (sight.colours.min(axis=2) > DARK) & (sight.colours.max(axis=2) < 250)
    logs = np.log(np.maximum(sight.colours, 1))
    normal, right = np.eye(views) * 1e-3, np.zeros((views, 3))
    for a in range(views):
        for b in range(a + 1, views):
            both = usable[:, a] & usable[:, b]
            if both.sum() < FEWEST_SHARED:
                continue
            ratio = np.median(logs[both, a] - logs[both, b], axis=0)
            normal[[a, b], [a, b]] += 1
            normal[[a, b], [b, a]] -= 1
            right[a] -= ratio
            right[b] += ratio
    gains = np.linalg.solve(normal, right)
    limit = np.log(STRONGEST)
    return np.exp(np.clip(gains - gains.mean(axis=0), -limit, limit)).astype(np.float32)


def seam_shifts(
    surface: Surface, sight: Sight, labels: NDArray[np.int32], gains: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[P, V, 3]: colours to add to photo v at point p so that photos agree along seams.

    Unknowns are the points of each patch of one photo; a point on a seam has one for each side. Squared differences
    across seams plus STIFFNESS times squared changes along edges are least (Lempitsky & Ivanov 2007, equation 3).
    """
    from scipy.sparse import coo_array, eye_array
    from scipy.sparse.linalg import splu

    views = sight.believed.shape[1]
    key = surface.faces.astype(np.int64) * views + labels[:, None]
    nodes, node = np.unique(key, return_inverse=True)
    node = node.reshape(-1, 3)
    shifts = np.zeros((len(surface.points) * views, 3), np.float32)
    point, view = np.divmod(nodes, views)
    first = np.flatnonzero(point[1:] == point[:-1])
    second = first + 1
    good = sight.believed[point[first], view[first]] & sight.believed[point[second], view[second]]
    first, second = first[good], second[good]
    if len(first) == 0:
        return shifts.reshape(-1, views, 3)
    colours = sight.colours[point, view] * gains[view]
    jump = (colours[second] - colours[first]).astype(np.float64)

    edges = np.unique(np.sort(np.stack([node, np.roll(node, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1), axis=0)
    ends = np.concatenate([np.stack([first, second], axis=1), edges])
    weight = np.r_[np.ones(len(first)), np.full(len(edges), STIFFNESS)]
    row = np.arange(len(ends))
    shape = (len(ends), len(nodes))
    change = coo_array((weight, (row, ends[:, 0])), shape) - coo_array((weight, (row, ends[:, 1])), shape)
    signs = coo_array((np.ones(len(ends)), (row, ends[:, 0])), shape) - coo_array((np.ones(len(ends)), (row, ends[:, 1])), shape)
    right = (change.T.tocsr()[:, : len(first)]) @ jump
    matrix = (change.T @ signs + SHRINK * eye_array(len(nodes))).tocsc()
    solver = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    shifts[nodes] = solver.solve(right)
    return shifts.reshape(-1, views, 3)
