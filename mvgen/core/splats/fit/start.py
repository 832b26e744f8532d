"""Splats to begin with: one at each of a choice of points, and a backdrop where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, aimed_at
from mvgen.core.geometry import PointCloud
from mvgen.core.render.splats import Painter
from mvgen.core.splats.coding import constant_from_colours
from mvgen.core.splats.fit.views import Photo
from mvgen.core.splats.harmonics import spread
from mvgen.core.splats.model import Splats

NEIGHBOURS = 3  # whose mean distance tells a splat's size
WIDTH = 0.6  # of a splat, in distances of neighbours
ALONE = 3.0  # times as far from the others as it would be on a surface that faces the camera: a point is an error
FLAT = 0.2  # thickness of a splat on a surface, in its sizes
OPACITY = 0.9
GUESSES = 20_000  # splats, where no point is known
REACH = 3.0  # radius of the backdrop, in radii of what the points and cameras fill
STEP = 12  # pixels between two splats of the backdrop
BACKDROP = 0.1  # of all splats, at most
DOME, DOME_SPLATS = 1.05, 500  # its radius, in those of the backdrop, and its splats, at most
DOME_NEIGHBOURS = 8  # places whose colours such a splat takes


def first_splats(points: PointCloud, photos: Sequence[Photo], count: int, rng: np.random.Generator) -> Splats:
    """At most ``count`` splats at points drawn from all, or where the cameras look if there are none."""
    if len(points) < NEIGHBOURS + 1:
        points = _guessed([p.camera for p in photos], min(count, GUESSES), rng)
    chosen = np.sort(rng.permutation(len(points))[:count])
    places = points.points[chosen]
    spacing = _spacing(places)
    scales = np.repeat(WIDTH * spacing[:, None], 3, axis=1)
    turns = np.tile([1.0, 0, 0, 0], (len(places), 1))
    if points.normals is not None:
        scales[:, 2] *= FLAT
        turns = _facing(points.normals[chosen])
    colours = np.full((len(places), 3), 0.5) if points.colours is None else points.colours[chosen]
    return _splats(places, turns, scales, colours, OPACITY)


def seen_points(photos: Sequence[Photo], count: int, rng: np.random.Generator) -> PointCloud | None:
    """About ``count`` points where the photos' depth maps see a surface, as many in each picture as it has pixels with
    depth; None where no photo has any. Depths that stand alone are taken for errors."""
    known = [np.zeros(0, int) if p.depth is None else np.flatnonzero(p.depth > 0) for p in photos]
    total = sum(map(len, known))
    if not total:
        return None
    share = min(1.0, count / total)
    places, normals, colours, apart = [], [], [], []
    for photo, pixels in zip(photos, known):
        if photo.depth is None or photo.normal is None:
            continue
        chosen = rng.permutation(pixels)[: round(share * len(pixels))]
        depth, normal = photo.depth.reshape(-1)[chosen], photo.normal.reshape(-1, 3)[chosen]
        places.append(photo.camera.centre + photo.camera.rays().reshape(-1, 3)[chosen] * depth[:, None])
        normals.append(normal @ photo.camera.rotation)
        colours.append(photo.picture.reshape(-1, 3)[chosen] / np.float32(255))
        apart.append(depth / (photo.camera.intrinsics[0, 0] * np.sqrt(share)))
    cloud = PointCloud(np.concatenate(places), np.concatenate(normals), np.concatenate(colours))
    if len(cloud) <= NEIGHBOURS:
        return cloud
    return cloud[_spacing(cloud.points) < ALONE * np.concatenate(apart)]


def backdrop(splats: Splats, photos: Sequence[Photo], most: int) -> tuple[Splats, Splats]:
    """Splats on a far sphere where pictures show what no splat covers, and a dome of large ones behind them all around,
    in the colours of what was seen nearest: so no view looks into nothing. At most ``most`` each; none where all is
    covered."""
    seen = [_uncovered(splats, photo) for photo in photos]
    centre, radius = _sphere(splats, [p.camera for p in photos])
    places = np.concatenate([_on_sphere(p.camera.centre, s[0], centre, radius) for p, s in zip(photos, seen)])
    if not len(places):
        return splats[:0], splats[:0]
    width = radius * max(STEP / p.camera.intrinsics[0, 0] for p in photos)
    places, colours = _thinned(places, np.concatenate([s[1] for s in seen]), width, most)
    around = centre + DOME * radius * spread(min(DOME_SPLATS, most))
    shades = _nearest_colours(around, places, colours)
    wide = DOME * radius * np.sqrt(4 * np.pi / len(around))
    return _towards(centre, places, colours, width), _towards(centre, around, shades, wide)


def _thinned(
    places: NDArray[np.float64], colours: NDArray[np.float64], width: float, most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One place for each cell of a width, with the mean colour there; at most ``most``."""
    cells = np.round(places / width).astype(np.int64)
    _, first, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    number = np.bincount(inverse.ravel())
    mean = np.stack([np.bincount(inverse.ravel(), c) / number for c in colours.T], 1)
    keep = np.unique(np.linspace(0, len(first) - 1, min(most, len(first))).astype(int))
    return places[first[keep]], mean[keep]


def _nearest_colours(
    wanted: NDArray[np.float64], places: NDArray[np.float64], colours: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[N, 3]: the mean colour of the few places nearest to each of those wanted [N, 3]."""
    from scipy.spatial import cKDTree

    _, index = cKDTree(places).query(wanted, min(DOME_NEIGHBOURS, len(places)))
    return np.asarray(colours[index].reshape(len(wanted), -1, 3).mean(1))


def _towards(
    centre: NDArray[np.float64], places: NDArray[np.float64], colours: NDArray[np.float64], width: float
) -> Splats:
    """Flat splats that face a centre, with neighbours at a distance of ``width``."""
    scales = np.tile([WIDTH * width, WIDTH * width, FLAT * WIDTH * width], (len(places), 1))
    return _splats(places, _facing(centre - places), scales, colours, OPACITY)


def extent_of(cameras: Sequence[Camera]) -> float:
    """How far the cameras reach from their middle, and a little more."""
    centres = np.array([c.centre for c in cameras])
    return 1.1 * float(np.linalg.norm(centres - centres.mean(0), axis=1).max()) or 1.0


def _splats(
    places: NDArray[np.float64],
    turns: NDArray[np.float64],
    scales: NDArray[np.float64],
    colours: NDArray[np.floating],
    opacity: float,
) -> Splats:
    return Splats(
        places.astype(np.float32),
        turns.astype(np.float32),
        np.log(scales).astype(np.float32),
        np.full(len(places), np.log(opacity / (1 - opacity)), np.float32),
        constant_from_colours(np.asarray(colours, np.float32)).astype(np.float32)[:, None],
    )


def _spacing(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N]: mean distance to the nearest others."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(places).query(places, NEIGHBOURS + 1)
    found = distance[:, 1:].mean(1)
    return np.maximum(found, max(1e-3 * float(np.median(found)), 1e-9))


def _facing(normals: NDArray[np.floating]) -> NDArray[np.float64]:
    """Quaternions [N, 4] that turn z to normals [N, 3]."""
    unit = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    half = np.stack([1 + unit[:, 2], -unit[:, 1], unit[:, 0], np.zeros(len(unit))], 1)
    half[unit[:, 2] < -0.999999] = [0, 1, 0, 0]
    return np.asarray(half / np.linalg.norm(half, axis=1, keepdims=True))


def _guessed(cameras: Sequence[Camera], count: int, rng: np.random.Generator) -> PointCloud:
    """Points all over the ball around the place that the cameras look at, as large as they are far from it."""
    middle = aimed_at(cameras)
    reach = float(np.median([np.linalg.norm(c.centre - middle) for c in cameras])) or 1.0
    steps = rng.normal(size=(count, 3))
    steps *= (rng.random((count, 1)) ** (1 / 3)) / np.linalg.norm(steps, axis=1, keepdims=True)
    return PointCloud(middle + 0.7 * reach * steps)


def _uncovered(splats: Splats, photo: Photo) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rays [N, 3] through pixels, some way apart, where nothing is, and the colours [N, 3] there."""
    small = photo.camera.resized(max(photo.camera.width // STEP, 1), max(photo.camera.height // STEP, 1))
    solid = replace(splats, logits=np.full(len(splats), 3.0, np.float32))
    empty = Painter(solid).render(small).alpha < 0.5
    picture = cv2.resize(photo.picture, (small.width, small.height), interpolation=cv2.INTER_AREA)
    if photo.mask is not None:
        empty &= cv2.resize(photo.mask, (small.width, small.height), interpolation=cv2.INTER_AREA) > 0.5
    return small.rays()[empty], picture[empty] / 255


def _sphere(splats: Splats, cameras: Sequence[Camera]) -> tuple[NDArray[np.float64], float]:
    """Centre and radius of the backdrop."""
    centre = np.median(splats.means, axis=0).astype(np.float64)
    reach = np.quantile(np.linalg.norm(splats.means - centre, axis=1), 0.98)
    far = max(float(np.linalg.norm(c.centre - centre)) for c in cameras)
    return centre, REACH * max(float(reach), far)


def _on_sphere(
    eye: NDArray[np.float64], rays: NDArray[np.float64], centre: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    """[N, 3]: where rays [N, 3] from an eye inside the sphere meet it."""
    unit = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    away = eye - centre
    along = unit @ away
    return eye + unit * (np.sqrt(along**2 - away @ away + radius**2) - along)[:, None]
