"""Refinement of meshes as files have them: with seams, colours and textures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress
from mvgen.core.refine.photos import Picture, moved_by_photos
from mvgen.core.refine.refine import RefineOptions, entangled, refined
from mvgen.core.refine.region import faded
from mvgen.core.refine.sharpen import sharpened
from mvgen.core.refine.views import NormalView
from mvgen.core.surface.topology import edges_of, same_places
from mvgen.core.texture.transfer import transfer_colours, transfer_texture


@dataclass(frozen=True, eq=False)
class Result:
    """The mesh; degrees between the normals that views want and its own, before and after, where there are views; the
    share of the vertices that photos know the place of, where there are photos."""

    mesh: Mesh
    before: float | None = None
    after: float | None = None
    known: float | None = None


# What moves vertices [V, 3] of faces [F, 3] that are free [V].
Move = Callable[[NDArray[np.float64], NDArray[np.int32], NDArray[np.bool_]], NDArray[np.float64]]


def refine_by_views(
    mesh: Mesh, views: Sequence[NormalView], strength: NDArray[np.float64], options: RefineOptions, progress: Progress
) -> Result:
    """A mesh with the normals that views want; strength [V] as of `refined`.

    Texture and colours come from the old surface. A textured mesh of which some vertices stay keeps its faces and uv.
    Raises CannotError where no view shows it.
    """
    whole, index = _joined(mesh)
    keep = mesh.uv is not None and not strength.all()
    options = replace(options, remesh=options.remesh and not keep)
    done = refined(whole, views, _most(strength, index, len(whole.vertices)), options, progress)
    if not options.remesh:
        return Result(_put_back(mesh, done.mesh.vertices, index, strength), done.before, done.after)
    progress.stage("texture" if mesh.uv is not None else "colours")
    return Result(_dressed(mesh, done.mesh, strength), done.before, done.after)


def refine_by_photos(
    mesh: Mesh, pictures: Sequence[Picture], strength: NDArray[np.float64], progress: Progress
) -> Result:
    """A mesh moved to where photos agree about it; its faces, uv, colours and texture stay. Raises CannotError."""
    known = 0.0

    def move(vertices: NDArray[np.float64], faces: NDArray[np.int32], free: NDArray[np.bool_]) -> NDArray[np.float64]:
        nonlocal known
        vertices, known = moved_by_photos(vertices, faces, pictures, free, progress)
        return vertices

    return replace(_moved(mesh, strength, move), known=known)


def sharpen(mesh: Mesh, amount: float, strength: NDArray[np.float64], progress: Progress) -> Result:
    """A mesh with stronger detail, or weaker where the amount is negative; its faces, uv, colours and texture stay."""
    return _moved(mesh, strength, lambda vertices, faces, free: sharpened(vertices, faces, amount, free, progress))


def _moved(mesh: Mesh, strength: NDArray[np.float64], move: Move) -> Result:
    """A mesh of which vertices alone are moved, as far as their strength says."""
    whole, index = _joined(mesh)
    share = np.where(entangled(whole), 0.0, _most(strength, index, len(whole.vertices)))
    moved = move(whole.vertices, whole.faces, share > 0)
    vertices = faded(whole.vertices, moved, whole.faces, share)
    return Result(_put_back(mesh, vertices, index, strength))


def _joined(mesh: Mesh) -> tuple[Mesh, NDArray[np.int64]]:
    """The mesh with one vertex at each place, where that closes it; and the vertex there for each [V] of its own."""
    plain = replace(mesh, normals=None, uv=None, texture=None)
    keep, index = same_places(mesh.vertices)
    if len(keep) == len(index):
        return plain, np.arange(len(index))
    joined = Mesh(mesh.vertices[keep], index[mesh.faces].astype(np.int32), metadata=mesh.metadata)
    if (edges_of(joined.faces).count == 1).sum() < (edges_of(mesh.faces).count == 1).sum():
        return joined, index
    return plain, np.arange(len(index))


def _most(values: NDArray[np.float64], index: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    out = np.zeros(count)
    np.maximum.at(out, index, values)
    return out


def _put_back(
    mesh: Mesh, vertices: NDArray[np.float64], index: NDArray[np.int64], strength: NDArray[np.float64]
) -> Mesh:
    """A mesh with its vertices moved. Its normals go, unless some vertices stay: then the moved ones get new ones."""
    from mvgen.core.refine.integrate import vertex_normals

    moved = replace(mesh, vertices=vertices[index], normals=None)
    if mesh.normals is None or strength.all():
        return moved
    normals = mesh.normals.copy()
    changed = (moved.vertices != mesh.vertices).any(1)
    normals[changed] = vertex_normals(moved.vertices, mesh.faces)[changed]
    return replace(moved, normals=normals)


def _dressed(mesh: Mesh, new: Mesh, strength: NDArray[np.float64]) -> Mesh:
    """The new mesh with the texture or the colours of the old one."""
    if mesh.uv is not None and mesh.texture is not None:
        return transfer_texture(mesh, new)
    if mesh.colours is None:
        return new
    out = transfer_colours(mesh, new)
    if not strength.all():  # those that stay keep theirs exactly
        assert out.colours is not None
        colours = out.colours.copy()
        kept = _kept(mesh.vertices, new.vertices)
        colours[kept[1]] = mesh.colours[kept[0]]
        out = replace(out, colours=colours)
    return out


def _kept(old: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vertices [K] of the old mesh and of the new one that are at exactly the same place."""
    _, of = np.unique(np.concatenate([old, new]), axis=0, return_inverse=True)
    of = of.reshape(-1)
    place = np.full(int(of.max()) + 1, -1)
    place[of[: len(old)]] = np.arange(len(old))
    found = place[of[len(old) :]]
    return found[found >= 0], np.flatnonzero(found >= 0)
