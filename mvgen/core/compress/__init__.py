"""Meshes in a few kilobytes: codecs, the choice among them, and the container file `.mks`."""
