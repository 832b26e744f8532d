"""Vertices moved along their normals to where photos agree about what they show.

A patch of the surface around each vertex is looked up in the photos that see it best, at several distances along the
normal; where normalised cross-correlation has a clear peak, the vertex belongs there. All vertices then move together,
so that the surface keeps its shape between those that know (multi-view photometric refinement, after Furukawa and Ponce
2010, "Accurate, dense, and robust multiview stereopsis", without their gradient descent).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError
from mvgen.core.progress import Progress
from mvgen.core.refine.integrate import Pull, face_normals, towards_normals, vertex_normals

STEPS = (2.0, 1.0, 0.5, 0.5)  # pixels between the places that are tried, round by round
TRIED = 3  # places on each side
HALF = 3  # pixels, of a patch
VIEWS = 4  # that see a patch best
FACING = 0.35  # the least cosine between the normal and the way to the camera
HIDDEN = 0.005  # of the depth, by which something before a vertex hides it
ALIKE, CLEAR = 0.6, 0.03  # the least correlation of a peak, and how far it stands above the others' mean
WEIGHT = 0.3  # of a vertex that knows its place, against 1 for the shape of a face
_CHUNK = 8192  # vertices at a time


@dataclass(frozen=True, eq=False)
class Picture:
    """A camera, its picture [H, W] float32, grey, and its mask [H, W] or None."""

    camera: Camera
    grey: NDArray[np.float32]
    mask: NDArray[np.float32] | None = None


def moved_by_photos(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    pictures: Sequence[Picture],
    free: NDArray[np.bool_],
    progress: Progress,
) -> tuple[NDArray[np.float64], float]:
    """Vertices [V, 3] where pictures agree about them, and the share of the free [V] that know their place.

    Raises CannotError where fewer than two pictures see any part of the surface.
    """
    share = 0.0
    progress.stage("photos", len(STEPS))
    for step in STEPS:
        normals = vertex_normals(vertices, faces)
        seen = _views(vertices, faces, normals, pictures)
        several = free & (seen[:, 1] >= 0)
        if not several.any():
            raise CannotError("no part of the mesh is seen by two photos", "check that the photos belong to it")
        size = _pixel_sizes(vertices, pictures, seen)
        moves, trust = np.zeros(len(vertices)), np.zeros(len(vertices))
        rows = np.flatnonzero(several)
        for first in range(0, len(rows), _CHUNK):
            some = rows[first : first + _CHUNK]
            moves[some], trust[some] = _agreed(vertices[some], normals[some], size[some], seen[some], pictures, step)
        share = float((trust[free] > 0).mean())
        pull = Pull(vertices + moves[:, None] * normals, WEIGHT * trust)
        extent = float(np.ptp(vertices, axis=0).max())
        vertices = towards_normals(vertices, faces, face_normals(vertices, faces), free, extent, pull=pull)
        progress.advance()
    return vertices, share


def _views(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], normals: NDArray[np.float64], pictures: Sequence[Picture]
) -> NDArray[np.int32]:
    """[V, VIEWS]: the pictures that see each vertex straightest on, best first, -1 where there are no more."""
    score = np.stack([_facing(vertices, faces, normals, picture) for picture in pictures], axis=1)
    order = np.argsort(-score, axis=1, kind="stable")[:, :VIEWS]
    best = np.take_along_axis(score, order, axis=1)
    out = np.where(best > FACING, order, -1).astype(np.int32)
    if out.shape[1] < VIEWS:
        out = np.pad(out, ((0, 0), (0, VIEWS - out.shape[1])), constant_values=-1)
    return out


def _facing(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], normals: NDArray[np.float64], picture: Picture
) -> NDArray[np.float64]:
    """[V]: the cosine between a vertex' normal and the way to the camera, -1 where the camera does not see it."""
    from mvgen.kernels import raster_cpu

    camera = picture.camera
    pixels, depth = camera.project(vertices)
    screen = np.concatenate([pixels, depth[:, None]], axis=1).astype(np.float32)
    face, drawn = np.empty((camera.height, camera.width), np.int32), np.empty((camera.height, camera.width), np.float32)
    raster_cpu.draw(screen, faces, True, face, np.empty((*face.shape, 3), np.float32), drawn)
    x, y = (np.floor(pixels[:, k]).astype(np.int64) for k in (0, 1))
    inside = (depth > 0) & (x >= HALF) & (y >= HALF) & (x < camera.width - HALF) & (y < camera.height - HALF)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    # the nearest around counts, as a vertex on an edge may be drawn beside its pixel
    far = cv2.dilate(np.where(face >= 0, drawn, 0), np.ones((3, 3), np.uint8))
    seen = inside & (depth <= far[y, x] * (1 + HIDDEN))
    if picture.mask is not None:
        seen &= picture.mask[y, x] > 0.5
    rays = camera.centre - vertices
    cosine = (rays * normals).sum(1) / np.maximum(np.linalg.norm(rays, axis=1), 1e-300)
    return np.where(seen, cosine, -1.0)


def _pixel_sizes(
    vertices: NDArray[np.float64], pictures: Sequence[Picture], seen: NDArray[np.int32]
) -> NDArray[np.float64]:
    """[V]: what a pixel of the first picture that sees a vertex spans there."""
    out = np.ones(len(vertices))
    for number, picture in enumerate(pictures):
        rows = seen[:, 0] == number
        out[rows] = picture.camera.project(vertices[rows])[1] / picture.camera.intrinsics[0, 0]
    return out


def _agreed(
    places: NDArray[np.float64],
    normals: NDArray[np.float64],
    size: NDArray[np.float64],
    seen: NDArray[np.int32],
    pictures: Sequence[Picture],
    step: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far along normals [n, 3] pictures agree best about patches at places [n, 3]; how sure that is, in 0..1."""
    aside = np.cross(normals, np.where(np.abs(normals[:, :1]) < 0.8, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-300)
    up = np.cross(normals, aside)
    grid = np.stack(np.meshgrid(*[np.arange(-HALF, HALF + 1.0)] * 2), axis=-1).reshape(-1, 2)
    patch = size[:, None, None] * (grid[:, :1] * aside[:, None] + grid[:, 1:] * up[:, None])
    tried = np.arange(-TRIED, TRIED + 1.0) * step
    scores = []
    for distance in tried:
        centre = places + (distance * size)[:, None] * normals
        scores.append(_alike(centre[:, None] + patch, seen, pictures))
    return _peak(np.stack(scores, axis=1), tried, size)


def _alike(points: NDArray[np.float64], seen: NDArray[np.int32], pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """[n]: the mean correlation of the first picture's patch with the others', of patches of points [n, P, 3]."""
    count, length = points.shape[:2]
    patches = np.zeros((VIEWS, count, length), np.float32)
    for number, picture in enumerate(pictures):
        rows, slot = np.nonzero(seen == number)
        if len(rows):
            pixels = picture.camera.project(points[rows])[0].astype(np.float32) - np.float32(0.5)
            looked = cv2.remap(
                picture.grey, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            patches[slot, rows] = looked
    patches -= patches.mean(2, keepdims=True)
    norm = np.sqrt((patches**2).sum(2))
    patches /= np.maximum(norm, 1e-3)[..., None]
    others = (patches[1:] * patches[:1]).sum(2)
    known = seen.T[1:] >= 0
    return (others * known).sum(0) / np.maximum(known.sum(0), 1)


def _peak(
    scores: NDArray[np.float32], tried: NDArray[np.float64], size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where scores [n, T] are highest, between places too; how sure that is. Peaks at an end are none."""
    best = scores.argmax(1)
    inner = (best > 0) & (best < len(tried) - 1)
    row, middle = np.arange(len(scores)), np.clip(best, 1, len(tried) - 2)
    low, top, high = scores[row, middle - 1], scores[row, middle], scores[row, middle + 1]
    bend = low - 2 * top + high
    shift = np.where(bend < -1e-6, 0.5 * (low - high) / np.where(bend < -1e-6, bend, 1), 0)
    clear = top - scores.mean(1)
    sure = inner & (top > ALIKE) & (clear > CLEAR)
    step = tried[1] - tried[0]
    moves = (tried[middle] + np.clip(shift, -0.5, 0.5) * step) * size
    return np.where(sure, moves, 0.0), np.where(sure, np.clip((top - ALIKE) / (1 - ALIKE), 0.05, 1), 0.0)
