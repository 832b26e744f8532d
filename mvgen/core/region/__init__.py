"""Regions: which vertices, faces, points, splats or grid cells are meant."""
