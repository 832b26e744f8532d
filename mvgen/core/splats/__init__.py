"""Gaussian splats: the data, and the files that hold them."""
