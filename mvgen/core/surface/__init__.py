"""Surfaces from points."""

from mvgen.core.surface.carve import cut_free_space
from mvgen.core.surface.poisson import SurfaceOptions, poisson_surface
from mvgen.core.surface.simplify import drop_small_parts, simplify

__all__ = ["SurfaceOptions", "cut_free_space", "drop_small_parts", "poisson_surface", "simplify"]
