"""Colours and texture of one surface onto another that lies close to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.colour import linear_from_srgb, srgb_from_linear
from mvgen.core.geometry import Mesh
from mvgen.core.io.parts import repeats
from mvgen.core.nearest import sample_surface
from mvgen.core.render.texture import Texture
from mvgen.core.texture.atlas import unwrap
from mvgen.core.texture.baking import MARGIN, _with_gutter

SIZES = (64, 8192)  # texels, smallest and largest automatic texture
_STAND_INS = 200_000  # samples by which the nearest triangles are found
_CANDIDATES = 8  # triangles measured exactly for each point
_CHUNK = 1 << 17


@dataclass(frozen=True, eq=False)
class Places:
    """Points of a mesh: faces [N] and barycentric weights [N, 3]."""

    face: NDArray[np.int64]
    weights: NDArray[np.float64]


class Closest:
    """The nearest places of a mesh.

    Exact among the triangles behind the nearest of many stand-ins (samples by area, and all corners and middles).
    Of equally near ones, as on a sheet with two sides, the one that faces the same way is taken.
    """

    def __init__(self, mesh: Mesh):
        self.corners = mesh.vertices[mesh.faces]
        across = np.cross(self.corners[:, 1] - self.corners[:, 0], self.corners[:, 2] - self.corners[:, 0])
        length = np.linalg.norm(across, axis=1, keepdims=True)
        self.normals = across / np.maximum(length, 1e-300)
        self.scale = mesh.diagonal
        samples, face = sample_surface(mesh, _STAND_INS, np.random.default_rng(0))
        every = np.arange(len(self.corners))
        middles = self.corners.mean(1)
        near = [0.8 * self.corners[:, k] + 0.2 * middles for k in range(3)]
        self.tree = cKDTree(np.concatenate([samples.points, middles, *near]))
        self.face = np.concatenate([face, np.tile(every, 4)])

    def query(self, points: NDArray[np.float64], normals: NDArray[np.float64] | None = None) -> Places:
        """For points [N, 3] and, where known, normals [N, 3] there."""
        faces, weights = [], []
        for first in range(0, len(points), _CHUNK):
            some = points[first : first + _CHUNK]
            part = self._query(some, None if normals is None else normals[first : first + _CHUNK])
            faces.append(part.face)
            weights.append(part.weights)
        return Places(np.concatenate(faces), np.concatenate(weights)) if faces else Places(*_nowhere())

    def _query(self, points: NDArray[np.float64], normals: NDArray[np.float64] | None) -> Places:
        index = self.tree.query(points, min(_CANDIDATES, self.tree.n), workers=-1)[1].reshape(len(points), -1)
        candidates = self.face[index]
        best = np.full(len(points), np.inf)
        face, weights = np.zeros(len(points), np.int64), np.zeros((len(points), 3))
        for column in candidates.T:
            w = closest_weights(points, self.corners[column])
            distance = np.linalg.norm((self.corners[column] * w[..., None]).sum(1) - points, axis=1)
            if normals is not None:  # a face that looks away counts as farther
                distance = distance + 0.005 * self.scale * (1 - (self.normals[column] * normals).sum(1))
            closer = distance < best
            best[closer], face[closer], weights[closer] = distance[closer], column[closer], w[closer]
        return Places(face, weights)


def transfer_colours(old: Mesh, new: Mesh) -> Mesh:
    """The new mesh with the colours that the old one has at the nearest places."""
    if old.colours is None or not len(old.faces):
        return new
    places = Closest(old).query(new.vertices)
    corners = linear_from_srgb(old.colours[old.faces[places.face]])
    colours = srgb_from_linear((corners * places.weights[..., None]).sum(1))
    return replace(new, colours=np.clip(colours, 0, 1).astype(np.float32))


def transfer_texture(old: Mesh, new: Mesh, size: int | None = None) -> Mesh:
    """The new mesh on an atlas of its own, with the texture that the old one has at the nearest places.

    size: texels a side; None takes a power of two with about as many texels as the old picture. Raises CannotError as
    `unwrap`.
    """
    assert old.uv is not None and old.texture is not None
    height, width = old.texture.shape[:2]
    size = size or int(np.clip(2 ** np.ceil(np.log2(np.sqrt(height * width)) - 0.2), *SIZES))
    flat = unwrap(replace(new, colours=None), size)
    assert flat.uv is not None
    texels, points, normals = _texel_places(flat, size)
    picture = Texture(old.texture, repeats(old.uv))
    closest = Closest(old)
    texture = np.zeros((size * size, 3), np.uint8)
    for first in range(0, len(texels), _CHUNK):
        some = slice(first, first + _CHUNK)
        places = closest.query(points[some], normals[some])
        uv = (old.uv[old.faces[places.face]] * places.weights[..., None]).sum(1)
        colour = srgb_from_linear(picture.sample(uv, np.ones(len(uv))))
        texture[texels[some]] = np.rint(255 * np.clip(colour, 0, 1)).astype(np.uint8)
    return replace(flat, texture=_with_gutter(texture.reshape(size, size, 3), texels))


def bake_colours(mesh: Mesh, colours: Callable[[NDArray[np.float64]], NDArray[np.floating]], size: int) -> Mesh:
    """The mesh on an atlas of size x size texels, with sRGB colours [N, 3] in 0..1 of the surface's points [N, 3]."""
    flat = unwrap(replace(mesh, colours=None), size)
    texels, points, _ = _texel_places(flat, size)
    texture = np.zeros((size * size, 3), np.uint8)
    for first in range(0, len(texels), _CHUNK):
        some = slice(first, first + _CHUNK)
        texture[texels[some]] = np.rint(255 * np.clip(colours(points[some]), 0, 1)).astype(np.uint8)
    return replace(flat, texture=_with_gutter(texture.reshape(size, size, 3), texels))


def _texel_places(flat: Mesh, size: int) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    """Texels [T] covered by charts (row * size + column), and the surface's points and normals [T, 3] there."""
    from mvgen.kernels.texture import face_map

    assert flat.uv is not None
    corners = ((flat.uv * [1, -1] + [0, 1]) * size)[flat.faces]
    owner = face_map(corners.astype(np.float32), size, MARGIN).reshape(-1)
    texels = np.flatnonzero(owner >= 0).astype(np.int32)
    face = owner[texels]
    centres = np.stack([texels % size, texels // size], axis=1).astype(np.float64) + 0.5
    w = _plane_weights(centres, np.asarray(corners[face], np.float64))
    space = flat.vertices[flat.faces]
    across = np.cross(space[:, 1] - space[:, 0], space[:, 2] - space[:, 0])
    normals = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-300)
    return texels, (space[face] * w[..., None]).sum(1), normals[face]


def _plane_weights(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 3]: weights of triangles' corners [N, 3, 2] at points [N, 2], which may lie a little outside."""
    e, f, p = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    area = e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
    safe = np.where(np.abs(area) < 1e-12, np.inf, area)
    b = (p[:, 0] * f[:, 1] - p[:, 1] * f[:, 0]) / safe
    c = (e[:, 0] * p[:, 1] - e[:, 1] * p[:, 0]) / safe
    out = np.clip(np.stack([1 - b - c, b, c], axis=1), 0, 1)
    return out / out.sum(1, keepdims=True)


def closest_weights(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 3]: barycentric weights of the point of its own triangle [N, 3, 3] that is nearest to each point [N, 3]."""
    a = corners[:, 0]
    e, f, p = corners[:, 1] - a, corners[:, 2] - a, points - a
    ee, ef, ff = (e * e).sum(1), (e * f).sum(1), (f * f).sum(1)
    pe, pf = (p * e).sum(1), (p * f).sum(1)
    scale = ee * ff - ef * ef
    safe = np.where(scale > 1e-14 * ee * ff, scale, np.inf)
    v, w = (ff * pe - ef * pf) / safe, (ee * pf - ef * pe) / safe
    inside = (v > 0) & (w > 0) & (v + w < 1) & np.isfinite(safe)
    best = np.where(inside, 0.0, np.inf)
    out = np.stack([1 - v - w, v, w], axis=1)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, along = corners[:, i], corners[:, j] - corners[:, i]
        t = np.clip(((points - start) * along).sum(1) / np.maximum((along * along).sum(1), 1e-300), 0, 1)
        distance = ((start + t[:, None] * along - points) ** 2).sum(1)
        closer = ~inside & (distance < best)
        best[closer] = distance[closer]
        edge = np.zeros((len(points), 3))
        edge[:, i], edge[:, j] = 1 - t, t
        out[closer] = edge[closer]
    return out


def _nowhere() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return np.zeros(0, np.int64), np.zeros((0, 3))
