"""Smaller faces on the same surface."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh
from mvgen.core.surface.topology import edges_of


def split_long(mesh: Mesh, length: float, most: int) -> Mesh:
    """The mesh with edges halved until none is longer than ``length``, in scene units, the longest ones first as there
    may be at most so many vertices. The first vertices are those of the mesh, with what they have; others have means of
    it. The mesh itself where no edge is too long."""
    while True:
        finer = _halved(mesh, length, most - len(mesh.vertices))
        if finer is mesh:
            return mesh
        mesh = finer


def _halved(mesh: Mesh, length: float, room: int) -> Mesh:
    """Each of the longest edges in two, at most ``room`` of them, and their faces in two to four."""
    large = _with_long_side(mesh, length)
    if room <= 0 or not large.any():
        return mesh
    faces = mesh.faces[large]
    edges = edges_of(faces)
    squared = ((mesh.vertices[edges.ends[:, 1]] - mesh.vertices[edges.ends[:, 0]]) ** 2).sum(1)
    long = np.flatnonzero(squared > length**2)
    if len(long) > room:
        long = np.sort(long[np.argsort(-squared[long], kind="stable")[:room]])
    middle = np.full(len(edges.ends), -1)
    middle[long] = len(mesh.vertices) + np.arange(len(long))
    ends = edges.ends[long]
    vertices = _extended(mesh.vertices, ends)
    split = _split(faces, middle[edges.of].reshape(-1, 3), vertices)
    normals = _extended(mesh.normals, ends)
    if normals is not None:
        normals[-len(ends) :] /= np.maximum(np.linalg.norm(normals[-len(ends) :], axis=1, keepdims=True), 1e-300)
    return replace(
        mesh,
        vertices=vertices,
        faces=np.concatenate([mesh.faces[~large], split]).astype(np.int32),
        normals=normals,
        colours=_extended(mesh.colours, ends),
        uv=_extended(mesh.uv, ends),
    )


def _with_long_side(mesh: Mesh, length: float) -> NDArray[np.bool_]:
    """[F]"""
    out = np.zeros(len(mesh.faces), np.bool_)
    for k in range(3):  # a side at a time takes a third of the memory
        side = mesh.vertices[mesh.faces[:, k]] - mesh.vertices[mesh.faces[:, k - 1]]
        out |= np.einsum("ij,ij->i", side, side) > length**2
    return out


def _split(faces: NDArray[np.integer], middle: NDArray[np.int64], vertices: NDArray[np.float64]) -> NDArray[np.int64]:
    """[F', 3]: faces [F, 3] in parts; middle [F, 3]: the new vertex on each side, which begins at the corner of its
    number, or -1."""
    number = (middle >= 0).sum(1)
    # turned so that a single split side is the first, and a single whole one the last
    first = np.where(number == 1, (middle >= 0).argmax(1), np.where(number == 2, ((middle < 0).argmax(1) + 1) % 3, 0))
    turned = (first[:, None] + np.arange(3)) % 3
    (a, b, c), (m, n, o) = (np.take_along_axis(values, turned, axis=1).T for values in (faces, middle))
    one, two, three = (number == k for k in (1, 2, 3))
    across = ((vertices[a] - vertices[n]) ** 2).sum(1) <= ((vertices[m] - vertices[c]) ** 2).sum(1)
    short, other = two & across, two & ~across  # the shorter way through what the first cut leaves
    parts = [
        (number == 0, (a, b, c)),
        *((one, corners) for corners in ((a, m, c), (m, b, c))),
        (two, (m, b, n)),
        *((short, corners) for corners in ((a, m, n), (a, n, c))),
        *((other, corners) for corners in ((a, m, c), (m, n, c))),
        *((three, corners) for corners in ((a, m, o), (m, b, n), (o, n, c), (m, n, o))),
    ]
    return np.concatenate([np.stack([corner[rows] for corner in corners], 1) for rows, corners in parts])


def _extended(values: NDArray[Any] | None, ends: NDArray[np.int64]) -> Any:
    """[V + E, ...]: values at vertices, and their means at the middles of edges [E, 2]."""
    if values is None:
        return None
    return np.concatenate([values, values[ends].mean(1).astype(values.dtype)])
