"""Less of what is too much for a browser."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.companions import Warn
from mvgen.core.io.meshes import with_vertex_colours
from mvgen.core.io.model import Model
from mvgen.core.splats.model import Splats
from mvgen.core.viewer.things import Thing


@dataclass(frozen=True)
class Limits:
    """What an ordinary browser still turns smoothly."""

    points: int = 2_000_000
    faces: int = 1_000_000
    splats: int = 1_000_000


def thinned(thing: Thing, limits: Limits, rng: np.random.Generator, warn: Warn) -> Thing:
    """The thing within the limits; ``warn`` is told, in a line, where something is left out."""
    content = thing.content
    if isinstance(content, Mesh):
        small = thin_mesh(content, limits.faces)
        _tell(thing, "faces", len(content.faces), len(small.faces), warn)
        return replace(thing, content=small)
    if isinstance(content, Splats):
        fewer = thin_splats(content, limits.splats)
        _tell(thing, "splats", len(content), len(fewer), warn)
        return replace(thing, content=fewer)
    cloud = content.points if isinstance(content, Model) else content
    sparser = thin_points(cloud, limits.points, rng)
    _tell(thing, "points", len(cloud), len(sparser), warn)
    return replace(thing, content=replace(content, points=sparser) if isinstance(content, Model) else sparser)


def _tell(thing: Thing, what: str, before: int, after: int, warn: Warn) -> None:
    if after < before:
        warn(f"{thing.name}: thinned for the browser, from {before:,} to {after:,} {what}")


def thin_points(cloud: PointCloud, most: int, rng: np.random.Generator) -> PointCloud:
    """At most so many of the points, drawn at random, in their order."""
    if len(cloud) <= most:
        return cloud
    return cloud[np.sort(rng.choice(len(cloud), most, replace=False))]


def thin_splats(splats: Splats, most: int) -> Splats:
    """At most so many of the splats: those that cover the most, by opacity and the area of their two longer axes."""
    if len(splats) <= most:
        return splats
    area = np.sort(splats.log_scales, axis=1)[:, 1:].sum(1)
    weight = np.log(np.maximum(splats.opacities, 1e-30)) + area
    return splats[np.sort(np.argpartition(-weight, most)[:most])]


def thin_mesh(mesh: Mesh, most: int) -> Mesh:
    """At most so many faces: vertices that share a cell of a grid become one (Rossignac & Borrel 1993).

    A texture becomes colours of the vertices first. It is coarse, but takes seconds for millions of faces.
    """
    if len(mesh.faces) <= most:
        return mesh
    mesh = with_vertex_colours(mesh)
    corners = mesh.vertices[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    cell = max(np.sqrt(2 * area / most), 1e-6 * mesh.diagonal, 1e-30)
    while True:
        small = _clustered(mesh, cell)
        if len(small.faces) <= most:
            return small
        cell *= 1.25


def _clustered(mesh: Mesh, cell: float) -> Mesh:
    """The mesh with the vertices of each cell of a grid merged at their mean, without the faces that vanish."""
    place = np.floor((mesh.vertices - mesh.vertices.min(0)) / cell).astype(np.int64)
    size = place.max(0) + 1
    _, group = np.unique((place[:, 0] * size[1] + place[:, 1]) * size[2] + place[:, 2], return_inverse=True)
    count = np.bincount(group)

    def mean(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.stack([np.bincount(group, column) / count for column in values.T], axis=1)

    faces = group[mesh.faces]
    kept = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    colours = None if mesh.colours is None else mean(mesh.colours).astype(np.float32)
    return replace(
        mesh, vertices=mean(mesh.vertices), faces=faces[kept].astype(np.int32), normals=None, colours=colours
    )
