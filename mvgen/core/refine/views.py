"""What normals a surface should have, by pictures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh
from mvgen.core.refine.integrate import Pull, face_normals, sums_at, vertex_normals
from mvgen.core.render.orbit import look_at
from mvgen.core.render.raycast import Caster
from mvgen.core.views.silhouette import Silhouette

FACING = 0.1  # the least cosine between what is wanted and the way to the camera
ROUGHLY, CLOSELY = 0.1, 0.8  # the least cosine between what is wanted and what is there, at first and later
BESIDE = 2.0  # pixels that a face may lie in front of or behind what the pixel at its middle shows
SOLID = 0.99  # of a pixel that counts
OUTLINE = 2  # pixels from the outline within which a vertex is part of it
FARTHEST = 30.0  # pixels that an outline may be off
SPREAD = 20.0  # degrees that a view from outside spans


@dataclass(frozen=True, eq=False)
class NormalView:
    """What a camera should see: normals [H, W, 3] float32, unit, world axes, 0 where they are not known; outline: of
    what should be seen, or None where that is not known."""

    camera: Camera
    normals: NDArray[np.float32]
    outline: Silhouette | None


@dataclass(frozen=True, eq=False)
class Wanted:
    """normals [F, 3] that faces should have, of faces that no view sees the ones they have; seen [F]; spread [F]:
    degrees by which the pixels of a face differ."""

    normals: NDArray[np.float64]
    seen: NDArray[np.bool_]
    spread: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drawn:
    """face, depth [H, W] at each pixel, -1 for none; screen [V, 3]: where vertices are in the view, and their depth."""

    face: NDArray[np.int32]
    depth: NDArray[np.float32]
    screen: NDArray[np.float32]


def drawn(vertices: NDArray[np.float64], faces: NDArray[np.int32], camera: Camera) -> Drawn:
    """What a camera sees of faces."""
    from mvgen.kernels import raster_cpu

    pixels, depth = camera.project(vertices)
    screen = np.concatenate([pixels, depth[:, None]], axis=1).astype(np.float32)
    face = np.empty((camera.height, camera.width), np.int32)
    depths = np.empty(face.shape, np.float32)
    raster_cpu.draw(screen, faces, True, face, np.empty((*face.shape, 3), np.float32), depths)
    return Drawn(face, depths, screen)


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels that show a face which may have what is wanted there, or that the middle of a face is in that no pixel
    shows: face [N]; normals [N, 3] wanted; weight [N]: more for what is seen straight on; centres [N, 2]."""

    face: NDArray[np.int32]
    normals: NDArray[np.float64]
    weight: NDArray[np.float64]
    centres: NDArray[np.float64]


def wanted_normals(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    views: Sequence[NormalView],
    alike: float = ROUGHLY,
) -> Wanted:
    """Means over the pixels of a face, those that see it straight on counting more. alike: as of `pixels_of`."""
    total, weights = np.zeros((len(faces), 3)), np.zeros(len(faces))
    for shown in pixels_of(vertices, faces, views, alike):
        total += sums_at(shown.face, shown.normals * shown.weight[:, None], len(faces))
        weights += np.bincount(shown.face, shown.weight, len(faces))
    length = np.linalg.norm(total, axis=1)
    seen = (weights > 0.5) & (length > 0.2 * weights)
    mean = total / np.maximum(length, 1e-300)[:, None]
    spread = np.degrees(np.arccos(np.clip(length / np.maximum(weights, 1e-300), -1, 1)))
    return Wanted(np.where(seen[:, None], mean, face_normals(vertices, faces)), seen, np.where(seen, spread, 0))


def pixels_of(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    views: Sequence[NormalView],
    alike: float,
    among: NDArray[np.bool_] | None = None,
) -> list[Pixels]:
    """Of each view; those of some faces [F] alone, where ``among`` is given. alike: the least cosine between what is
    wanted and what is there; below it a pixel belongs to another part of the surface, as along an outline."""
    normals = face_normals(vertices, faces)
    among = np.ones(len(faces), np.bool_) if among is None else among
    return [_pixels(vertices, faces, normals, view, alike, among) for view in views]


def _pixels(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    normals: NDArray[np.float64],
    view: NormalView,
    alike: float,
    among: NDArray[np.bool_],
) -> Pixels:
    from mvgen.kernels.creases import facing_pixels, pixels_at_middles

    camera, eye = view.camera, view.camera.centre
    seen = drawn(vertices, faces, camera)
    face, wanted = seen.face.reshape(-1), view.normals.reshape(-1, 3)
    place, weight = np.empty(len(face), np.int32), np.empty(len(face))
    count = facing_pixels(face, among, wanted, normals, vertices, faces, eye, alike, FACING, place, weight)
    place, weight = place[:count], weight[:count]
    hidden = among.copy()
    hidden[face[face >= 0]] = False
    within = BESIDE / float(camera.intrinsics[0, 0])
    more, there, extra = np.empty(len(faces), np.int32), np.empty(len(faces), np.int32), np.empty(len(faces))
    count = pixels_at_middles(
        hidden, face, seen.depth.reshape(-1), camera.width, seen.screen, within, wanted, normals, vertices, faces, eye,
        alike, FACING, more, there, extra,
    )  # fmt: skip
    face = np.concatenate([face[place], more[:count]])
    place, weight = np.concatenate([place, there[:count]]), np.concatenate([weight, extra[:count]])
    row, column = np.divmod(place, camera.width)
    return Pixels(face, wanted[place].astype(np.float64), weight, np.stack([column, row], axis=1) + 0.5)


def agreement(mesh: Mesh, views: Sequence[NormalView]) -> float:
    """The mean cosine between the normals that views want and those that the mesh shows there; 0 where none do."""
    normals = face_normals(mesh.vertices, mesh.faces)
    found = []
    for view in views:
        face = drawn(mesh.vertices, mesh.faces, view.camera).face.reshape(-1)
        wanted = view.normals.reshape(-1, 3)
        place = np.flatnonzero((face >= 0) & wanted.any(1))
        found.append((normals[face[place]] * wanted[place]).sum(1))
    every = np.concatenate(found) if found else np.zeros(0)
    return float(every.mean()) if len(every) else 0.0


def outline_pull(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], views: Sequence[NormalView], weight: float
) -> Pull:
    """Vertices on outlines, pulled across the view to where the outlines should be."""
    normals, flat = vertex_normals(vertices, faces), face_normals(vertices, faces)
    targets, number = np.zeros_like(vertices), np.zeros(len(vertices))
    for view in views:
        if view.outline is not None:
            index, moved = _on_outline(vertices, faces, normals, flat, view)
            targets[index] += moved
            number[index] += 1
    targets /= np.maximum(number, 1)[:, None]
    return Pull(targets, weight * number)


def _on_outline(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    normals: NDArray[np.float64],
    flat: NDArray[np.float64],
    view: NormalView,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Vertices between faces to and from the camera that its picture shows at the rim, and where they should be."""
    camera = view.camera
    assert view.outline is not None
    towards = ((vertices[faces[:, 0]] - camera.centre) * flat).sum(1) < 0
    sides = np.zeros(len(vertices), np.int8)
    sides[faces[towards]] |= 1
    sides[faces[~towards]] |= 2
    index = np.flatnonzero(sides == 3)
    pixels, depth = camera.project(vertices[index])
    wide = np.ones((2 * OUTLINE + 1,) * 2, np.uint8)
    inner = cv2.erode((drawn(vertices, faces, camera).face >= 0).astype(np.uint8), wide) > 0
    limits = camera.width - 1, camera.height - 1
    x, y = (np.clip(np.floor(pixels[:, k]), 0, limits[k]).astype(int) for k in (0, 1))
    away = view.outline.at(pixels)
    near = (depth > 0) & ~inner[y, x] & (np.abs(away) < FARTHEST)
    index, away, depth = index[near], away[near], depth[near]
    rays = vertices[index] - camera.centre
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-300)
    outward = normals[index] - (normals[index] * rays).sum(1, keepdims=True) * rays
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-300)
    return index, vertices[index] - (away * depth / camera.intrinsics[0, 0])[:, None] * outward


def views_of(mesh: Mesh, cameras: Sequence[Camera]) -> list[NormalView]:
    """What cameras see of a mesh."""
    caster, out = Caster(mesh), []
    for camera in cameras:
        seen = caster.render(camera, 2)
        normals = (seen.normal @ camera.rotation).astype(np.float32)
        normals[seen.alpha < SOLID] = 0
        out.append(NormalView(camera, normals, Silhouette.of(seen.alpha) if (seen.alpha > 0.5).any() else None))
    return out


def cameras_around(mesh: Mesh, size: int) -> list[Camera]:
    """14 cameras with pictures of size x size pixels, along the axes and between them, that see all of a mesh."""
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / np.sqrt(3)
    middle = mesh.bounds.mean(0)
    radius = float(np.linalg.norm(mesh.vertices - middle, axis=1).max())
    half = np.radians(SPREAD / 2)
    focal, distance = size / 2 / np.tan(half), 1.02 * radius / np.sin(half)
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return [
        Camera(f"{k}", size, size, intrinsics, look_at(middle + distance * way, middle, np.array([0.0, 1, 0])))
        for k, way in enumerate(np.concatenate([axes, corners]))
    ]


def pixel_size(mesh: Mesh, views: Sequence[NormalView]) -> float:
    """What the finest view's pixel spans at the middle of a mesh."""
    middle = mesh.bounds.mean(0)
    return min(abs(float(v.camera.project(middle)[1])) / float(v.camera.intrinsics[0, 0]) for v in views)
