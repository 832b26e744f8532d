"""Depth maps to one cloud of oriented, coloured points."""

from mvgen.core.fusion.fuse import FusionOptions, confirm_view, depth_maps, fuse

__all__ = ["FusionOptions", "confirm_view", "depth_maps", "fuse"]
