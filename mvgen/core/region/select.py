"""Which places meet a condition: functions from N places to a mask [N], which combine as masks do."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.colour import srgb_from_linear
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.region.things import Mask, Things
from mvgen.core.splats.model import Splats, matrices

How = Literal["and", "or", "minus"]


def combined(first: Mask, how: How, second: Mask) -> Mask:
    """What both hold, what one holds, or what the first alone does."""
    return {"and": first & second, "or": first | second, "minus": first & ~second}[how]


def in_sphere(points: NDArray[np.floating], centre: NDArray[np.floating], radius: float) -> Mask:
    """[N]: within a distance of a point, in scene units."""
    squared = np.zeros(len(points))
    for axis in range(3):  # a column at a time, as in Box.holds
        squared += (points[:, axis] - np.float64(centre[axis])) ** 2
    return squared <= radius**2


def in_half_space(points: NDArray[np.floating], normal: tuple[float, float, float], offset: float) -> Mask:
    """[N]: where normal . point >= offset."""
    return points.astype(np.float64) @ np.array(normal) >= offset


def of_colour(things: Things, colour: tuple[float, float, float], tolerance: float) -> Mask:
    """[N]: within a distance in CIE Lab (1976) of an sRGB colour in [0, 1]. Raises CannotError without colours."""
    import cv2

    def lab(rgb: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb, np.float32)[None], cv2.COLOR_RGB2LAB))[0]

    difference = lab(_colours(things)) - lab(np.array([colour]))
    return np.einsum("ij,ij->i", difference, difference) <= tolerance**2


def of_opacity(things: Things, low: float, high: float) -> Mask:
    """[N]: splats with an opacity from low to high. Raises CannotError for other things."""
    found = _splats(things, "opacities").opacities
    return (found >= low) & (found <= high)


def of_scale(things: Things, low: float, high: float) -> Mask:
    """[N]: splats whose largest standard deviation is from low to high, in scene units."""
    found = np.exp(_splats(things, "sizes").log_scales.max(1).astype(np.float64))
    return (found >= low) & (found <= high)


def of_normal(things: Things, axis: tuple[float, float, float], angle: float) -> Mask:
    """[N]: with a normal within an angle, in degrees, of a direction. That of a splat is its shortest axis, which has
    two ends. Raises CannotError for things without normals."""
    along = _normals(things) @ (np.array(axis) / np.linalg.norm(axis))
    if isinstance(things.shape, Splats):
        along = np.abs(along)
    return along >= np.cos(np.radians(angle)) - 1e-9


def _splats(things: Things, what: str) -> Splats:
    if not isinstance(things.shape, Splats):
        raise CannotError(f"{things.name}: {things.kind} have no {what}, only splats do", "leave the option out")
    return things.shape


def _colours(things: Things) -> NDArray[np.floating]:
    """[N, 3] sRGB in [0, 1]."""
    shape = things.shape
    if isinstance(shape, Mesh) and shape.uv is not None and shape.texture is not None:
        from mvgen.core.io.parts import repeats
        from mvgen.core.render.texture import Texture

        linear = Texture(shape.texture, repeats(shape.uv)).sample(shape.uv, np.ones(len(shape.uv)))
        return srgb_from_linear(linear)
    if shape.colours is None:
        raise CannotError(f"{things.name}: its {things.kind} have no colours", "leave --color out")
    return shape.colours


def _normals(things: Things) -> NDArray[np.float64]:
    """[N, 3] unit."""
    shape = things.shape
    if isinstance(shape, Splats):
        return _shortest_axes(shape)
    if shape.normals is not None:
        normals = shape.normals.astype(np.float64)
    elif isinstance(shape, Mesh):
        normals = vertex_normals(shape)
    else:
        raise CannotError(f"{things.name}: its {things.kind} have no normals", "make a mesh of them first")
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)


def _shortest_axes(splats: Splats) -> NDArray[np.float64]:
    """[N, 3]"""
    out = np.empty((len(splats), 3))
    thin = np.argmin(splats.log_scales, axis=1)
    for axis in range(3):
        of = np.flatnonzero(thin == axis)
        out[of] = matrices(splats.quaternions[of])[:, :, axis]
    return out


def vertex_normals(mesh: Mesh) -> NDArray[np.float64]:
    """[V, 3]: sums of the faces' normals by area; vertices at the same place have the same."""
    _, place = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = place.reshape(-1)[mesh.faces]
    corners = mesh.vertices[mesh.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((int(place.max()) + 1, 3))
    for k in range(3):
        np.add.at(total, faces[:, k], across)
    return total[place.reshape(-1)]
