"""Pictures to textured meshes, stage by stage: the work of ``mvgen generate``."""
