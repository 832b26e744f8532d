"""Shapes changed: by recorded steps that work on splats, on fits of them, and on meshes."""
