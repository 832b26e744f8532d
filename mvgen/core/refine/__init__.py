"""Meshes sharpened by normals."""
