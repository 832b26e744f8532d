"""Depth maps from posed pictures."""
