"""Splats that show points."""

from __future__ import annotations

import numpy as np

from mvgen.core.geometry import PointCloud
from mvgen.core.splats.coding import constant_from_colours, joined
from mvgen.core.splats.model import Frame, Splats

_GREY = 0.7  # of points without colours
_NEIGHBOURS = 3
_WIDTH = 0.5  # standard deviation, of the distance to the neighbours: smooth where points are dense, and still sharp
_OPACITY = 0.95
_LARGEST = 10.0  # medians: stray points get no larger splats


def splats_of_points(cloud: PointCloud, frame: Frame) -> Splats:
    """A round splat of the point's colour at each, half as wide as its three nearest points are far away (their root
    mean square; as in Kerbl et al. 2023, there whole). Coordinates stay as they are, and are those of ``frame``."""
    from scipy.spatial import cKDTree

    number = min(_NEIGHBOURS + 1, len(cloud))
    distance = cKDTree(cloud.points).query(cloud.points, number)[0].reshape(len(cloud), number)
    apart = np.sqrt((distance**2).sum(1) / max(number - 1, 1))
    some = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    width = _WIDTH * np.clip(apart, some / _LARGEST, some * _LARGEST)
    colours = np.full((len(cloud), 3), _GREY) if cloud.colours is None else cloud.colours
    return Splats(
        cloud.points.astype(np.float32),
        np.tile(np.array([1, 0, 0, 0], np.float32), (len(cloud), 1)),
        np.repeat(np.log(width).astype(np.float32)[:, None], 3, axis=1),
        np.full(len(cloud), np.log(_OPACITY / (1 - _OPACITY)), np.float32),
        joined(constant_from_colours(colours)),
        frame,
        {key: value for key, value in cloud.metadata.items() if key != "up"},
    )
