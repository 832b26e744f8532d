"""What can be said about a few views before anything is read."""

from __future__ import annotations

from dataclasses import dataclass

from mvgen.core.limits import between

DIRECTIONS = {
    "front": (0.0, 0.0),
    "right": (90.0, 0.0),
    "back": (180.0, 0.0),
    "left": (270.0, 0.0),
    "top": (0.0, 90.0),
    "bottom": (0.0, -90.0),
}  # azimuth and elevation of what has a name


@dataclass(frozen=True)
class ViewsOptions:
    """resolution: nodes of the grid along the longest side; faces: at most so many, unless that would open the mesh;
    same_scale: pictures without cameras have one scale and the object's middle at the same place, instead of being
    fitted to each other."""

    resolution: int = between(128, 32, 1024)
    faces: int = between(40_000, 500, 2_000_000)
    same_scale: bool = False
