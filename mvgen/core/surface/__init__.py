"""Surfaces from points."""

from mvgen.core.surface.poisson import SurfaceOptions, poisson_surface
from mvgen.core.surface.simplify import drop_small_parts, simplify
from mvgen.core.surface.trim import trim

__all__ = ["SurfaceOptions", "drop_small_parts", "poisson_surface", "simplify", "trim"]
