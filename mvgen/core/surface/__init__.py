"""Surfaces from points, depth maps and fields."""

from mvgen.core.surface.poisson import SurfaceOptions, poisson_surface
from mvgen.core.surface.simplify import drop_small_parts, simplify
from mvgen.core.surface.sparse import extract
from mvgen.core.surface.trim import trim
from mvgen.core.surface.tsdf import TsdfOptions, tsdf_surface

__all__ = [
    "SurfaceOptions",
    "TsdfOptions",
    "drop_small_parts",
    "extract",
    "poisson_surface",
    "simplify",
    "trim",
    "tsdf_surface",
]
