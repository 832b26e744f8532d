"""Which points do the photos' masks speak against?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mvgen.core.io.images import read_view_mask
from mvgen.core.scene import View


def outside_masks(points: NDArray[np.floating], views: Sequence[View], share: float) -> NDArray[np.bool_]:
    """Mask [N] of the points [N, 3] that lie outside the masks of more than a share of the masked views.

    Only views count whose picture the point falls into, whether or not something hides it there; a point that no
    masked view looks at stays. share 0 lets one view decide. Masks are read one at a time. Raises InputError for a mask
    that cannot be read or has another size than its camera.
    """
    outside, looked = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
    for view in views:
        mask = read_view_mask(view)
        if mask is None:
            continue
        pixels, depth = view.camera.project(points)
        rows, columns = mask.shape
        inside = (depth > 0) & (pixels >= 0).all(1) & (pixels < [columns, rows]).all(1)
        x, y = np.floor(pixels[inside]).astype(np.int64).T
        looked[inside] += 1
        outside[inside] += ~mask[y, x]
    return (looked > 0) & (outside > share * looked)
