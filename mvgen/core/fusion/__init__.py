"""Depth maps to oriented points."""

from mvgen.core.fusion.fuse import FusionOptions, fuse

__all__ = ["FusionOptions", "fuse"]
