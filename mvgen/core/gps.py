"""Places on Earth as metres, and a scene laid over the places where its photos were taken.

Sources: NIMA TR8350.2, "World Geodetic System 1984" (ellipsoid); Hofmann-Wellenhof, Lichtenegger and Wasle, "GNSS"
(2008), section 8.2 (from latitude, longitude and height to a local frame).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mvgen.core.alignment import umeyama
from mvgen.core.camera import Similarity
from mvgen.core.errors import CannotError

RADIUS, FLATTENING = 6_378_137.0, 1 / 298.257223563  # m; of the WGS84 ellipsoid
ERROR = 5.0  # m: how far off a phone's or drone's position usually is
FARTHEST = 50_000.0  # m: places farther from the middle one than this belong to another scene
THIN = 0.05  # second to first extent of the cameras below which they stand in one line
_HINT = "photos with GPS from at least three places, well over 5 m apart and not in one line, tell the scale"


def local_metres(gps: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 3]: east, north, up in metres of places [N, 3] (latitude, longitude in degrees, altitude in m).

    The frame touches the WGS84 ellipsoid below the median place; altitudes that are NaN become the median of the
    known ones, 0 where there are none.
    """
    places = np.array(gps, np.float64).reshape(-1, 3)
    if not len(places):
        return places
    known = np.isfinite(places[:, 2])
    places[~known, 2] = np.median(places[known, 2]) if known.any() else 0.0
    turn = np.remainder(places[:, 1] - places[0, 1] + 180, 360) - 180  # across the date line, too
    latitude = math.radians(float(np.median(places[:, 0])))
    longitude = math.radians(places[0, 1] + float(np.median(turn)))
    origin = _earth_centred(np.array([[math.degrees(latitude), math.degrees(longitude), np.median(places[:, 2])]]))
    a, b, c, d = math.sin(latitude), math.cos(latitude), math.sin(longitude), math.cos(longitude)
    axes = np.array([[-c, d, 0], [-a * d, -a * c, b], [b * d, b * c, a]])
    return (_earth_centred(places) - origin) @ axes.T


def gps_similarity(
    centres: NDArray[np.float64], gps: NDArray[np.float64]
) -> tuple[Similarity, float, NDArray[np.bool_]]:
    """The similarity from camera centres [N, 3] to east, north, up in metres, from GPS [N, 3] as in `local_metres`.

    Rows of GPS without latitude or longitude are NaN. Returns with it the median distance in metres between where it
    puts the cameras and their GPS, and which cameras it trusts [N]: the best-fitting set of a similarity through three
    of them, refined. Raises CannotError with fewer than three places, or where they lie in a line or closer together
    than GPS errs.
    """
    has = np.isfinite(gps[:, :2]).all(1)
    if has.sum() < 3:
        raise CannotError(f"only {int(has.sum())} photos with a camera have GPS", _HINT)
    places = local_metres(gps[has])
    near = np.linalg.norm(places, axis=1) < FARTHEST
    start, goal = centres[has][near], places[near]
    _check_spread(start, goal)
    best = _best_similarity(start, goal)
    distance = np.linalg.norm(best.apply(start) - goal, axis=1)
    trusted = distance <= _limit(distance)
    if trusted.sum() < 3:
        raise CannotError("the photos' GPS contradicts their cameras", _HINT)
    _check_spread(start[trusted], goal[trusted])
    used = np.zeros(len(gps), np.bool_)
    used[np.flatnonzero(has)[near][trusted]] = True
    return best, float(np.median(distance[trusted])), used


def _earth_centred(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 3]: metres from the Earth's centre, through the equator at 0 and 90 degrees east, and the north pole."""
    latitude, longitude, height = np.radians(places[:, 0]), np.radians(places[:, 1]), places[:, 2]
    squash = (1 - FLATTENING) ** 2
    normal = RADIUS / np.sqrt(1 - (1 - squash) * np.sin(latitude) ** 2)
    across = (normal + height) * np.cos(latitude)
    up = (normal * squash + height) * np.sin(latitude)
    return np.stack([across * np.cos(longitude), across * np.sin(longitude), up], axis=1)


def _check_spread(start: NDArray[np.float64], goal: NDArray[np.float64]) -> None:
    if len(start) < 3:
        raise CannotError(f"only {len(start)} photos have GPS near each other", _HINT)
    for points in (start, goal):
        extent = np.linalg.svd(points - points.mean(0), compute_uv=False)
        if not extent[1] > THIN * extent[0]:
            raise CannotError("the photos with GPS were taken in one line", _HINT)
    apart = float(np.linalg.norm(np.ptp(goal, axis=0)[:2]))
    if apart < 2 * ERROR:
        raise CannotError(f"the photos' GPS lies within {apart:.1f} m, about as much as it errs", _HINT)


def _best_similarity(start: NDArray[np.float64], goal: NDArray[np.float64]) -> Similarity:
    """Of similarities through three places each, the one with the least median distance, refined on what fits it."""
    rng = np.random.default_rng(0)
    picks = [np.arange(len(start)), *(rng.choice(len(start), 3, replace=False) for _ in range(200))]

    def cost(similarity: Similarity) -> float:
        return float(np.median(np.linalg.norm(similarity.apply(start) - goal, axis=1)))

    best = min((umeyama(start[pick], goal[pick]) for pick in picks), key=cost)
    for _ in range(5):
        distance = np.linalg.norm(best.apply(start) - goal, axis=1)
        trusted = distance <= _limit(distance)
        if trusted.sum() < 3:
            break
        best = umeyama(start[trusted], goal[trusted])
    return best


def _limit(distance: NDArray[np.float64]) -> float:
    return max(2 * ERROR, 3 * float(np.median(distance)))
