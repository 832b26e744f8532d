"""A UV atlas and a photo texture for a mesh."""

from mvgen.core.texture.atlas import unwrap
from mvgen.core.texture.baking import bake, texture_mesh, vertex_colours

__all__ = ["bake", "texture_mesh", "unwrap", "vertex_colours"]
