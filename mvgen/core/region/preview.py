"""A picture of what is selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.progress import Progress
from mvgen.core.region.things import Mask, Things
from mvgen.core.render.frames import buffers
from mvgen.core.render.pictures import over, picture, sheet
from mvgen.core.splats.harmonics import DEGREE_ZERO
from mvgen.core.splats.model import Splats

ORANGE = (1.0, 0.45, 0.0)  # sRGB
_STRONG = 0.65  # share of it in what is selected
_GREY = (0.75, 0.75, 0.75)  # of points without colours
WHITE = (1.0, 1.0, 1.0)


def preview(things: Things, mask: Mask, cameras: Sequence[Camera], progress: Progress) -> NDArray[np.uint8]:
    """[H, W, 3]: things on white with the places in a mask [N] in orange; several views as a sheet."""
    tiles = []
    for view in buffers(_painted(things, mask), cameras, progress):
        rgba = picture(view, "color", (0.0, 1.0))
        if isinstance(things.shape, Mesh):
            hit = view.id >= 0
            part = mask[things.shape.faces].mean(1)[view.id[hit]]  # of the three corners
            rgba[hit, :3] = np.rint(_mixed(rgba[hit, :3] / 255, part[:, None]) * 255).astype(np.uint8)
        tiles.append(over(rgba, WHITE))
    return tiles[0] if len(tiles) == 1 else sheet(tiles)


def _painted(things: Things, mask: Mask) -> Mesh | PointCloud | Splats:
    """Points and splats in their colours, or orange; a mesh as it is, for its vertices may be far apart."""
    shape = things.shape
    if isinstance(shape, Mesh):
        return shape
    if isinstance(shape, Splats):
        harmonics = shape.harmonics[:, :1].copy()
        harmonics[mask, 0] = (_mixed(shape.colours[mask]) - np.float32(0.5)) / DEGREE_ZERO
        return replace(shape, harmonics=harmonics)
    colours = np.tile(np.array(_GREY, np.float32), (len(shape), 1)) if shape.colours is None else shape.colours.copy()
    colours[mask] = _mixed(colours[mask])
    return replace(shape, colours=colours)


def _mixed(colours: NDArray[np.floating], part: NDArray[np.floating] | float = 1.0) -> NDArray[np.float32]:
    """[n, 3] with more orange where more of it is selected, [n, 1]."""
    strong = _STRONG * part
    return np.asarray(strong * np.array(ORANGE) + (1 - strong) * colours, np.float32)
