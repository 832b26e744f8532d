"""mvgen: photos, prompts and meshes into 3D, one composable step at a time."""

__version__ = "0.1.0"
