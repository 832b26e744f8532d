"""True size for a scene: from two marked points, from two cameras, or from GPS."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError, UsageError

METRES = {"mm": 1e-3, "cm": 1e-2, "dm": 0.1, "m": 1.0, "km": 1e3, "in": 0.0254, "ft": 0.3048, "yd": 0.9144}
_DISTANCE = re.compile(r"(?P<a>.+),(?P<b>[^,=]+)=\s*(?P<value>[-+.\deE]+?)\s*(?P<unit>[a-z]+)?\s*")


@dataclass(frozen=True)
class Distance:
    """Two things, by name, and how far they are apart in metres."""

    a: str
    b: str
    metres: float


@dataclass(frozen=True)
class Mark:
    """Where a photo shows a marked point: pixels of the whole upright photo, the first pixel spanning 0 to 1."""

    photo: str
    x: float
    y: float


def parse_distance(text: str) -> Distance:
    """``A,B=1.2m``; units are mm, cm, dm, m, km, in, ft, yd, and m where none is given. Raises UsageError."""
    match = _DISTANCE.fullmatch(text.strip())
    problem = "is not of the form A,B=1.2m"
    if match:
        unit, name = METRES.get(match["unit"] or "m"), match["unit"]
        try:
            value = float(match["value"])
        except ValueError:
            value = math.nan
        if unit is None:
            problem = f"{name} is not a unit of length"
        elif not (math.isfinite(value) and value > 0):
            problem = "the distance should be a positive number"
        elif match["a"].strip() == match["b"].strip():
            problem = "a distance has two different ends"
        else:
            return Distance(match["a"].strip(), match["b"].strip(), value * unit)
    raise UsageError(f"--scale-by {text}: {problem}", f"as in --scale-by 'A,B=1.2m'; units: {', '.join(METRES)}")


def read_marks(path: Path) -> dict[str, list[Mark]]:
    """Marked points from a CSV file with lines ``name,photo,x,y``; a first line of such titles is passed over.

    Raises InputError for a file that is missing or holds anything else.
    """
    marks: dict[str, list[Mark]] = {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = [(i, row) for i, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error})", "give a text file with lines name,photo,x,y") from error
    for number, row in rows:
        try:
            name, photo, x, y = (cell.strip() for cell in row)
            mark = Mark(photo, float(x), float(y))
            if not (math.isfinite(mark.x) and math.isfinite(mark.y) and name):
                raise ValueError
        except ValueError:
            if number == 1 and len(row) == 4:
                continue
            raise InputError(f"{path}: line {number} is not name,photo,x,y", "x, y: pixels of the photo") from None
        marks.setdefault(name, []).append(mark)
    if not marks:
        raise InputError(f"{path}: holds no marks", "each line is name,photo,x,y")
    return marks


def metres_per_unit(
    distance: Distance, cameras: Mapping[str, Camera], places: Mapping[str, Sequence[tuple[str, float, float]]]
) -> float:
    """How many metres one unit of the cameras' world is.

    cameras: by photo; places: of each marked point, the photos that show it and the pixel of their camera's picture.
    An end of the distance is a marked point if there is one of that name, else the camera of that photo. Raises
    CannotError where an end is unknown, or where too few photos with a camera show it.
    """
    ends = [_position(name, cameras, places) for name in (distance.a, distance.b)]
    length = float(np.linalg.norm(ends[0] - ends[1]))
    if not length > 0:
        raise CannotError(f"{distance.a} and {distance.b} lie at the same place", "mark two different points")
    return distance.metres / length


def _position(
    name: str, cameras: Mapping[str, Camera], places: Mapping[str, Sequence[tuple[str, float, float]]]
) -> NDArray[np.float64]:
    if name in places:
        seen = [(cameras[photo], (x, y)) for photo, x, y in places[name] if photo in cameras]
        if len(seen) < 2:
            raise CannotError(
                f"{name}: marked in {len(seen)} photos that got a camera; two are needed", "mark it in more photos"
            )
        return triangulated([c for c, _ in seen], np.array([p for _, p in seen], np.float64))
    if name in cameras:
        return cameras[name].centre
    raise CannotError(
        f"{name}: neither a marked point nor a photo that got a camera",
        f"marks: {', '.join(places) or 'none'}; photos: {', '.join(list(cameras)[:5])}",
    )


def triangulated(cameras: Sequence[Camera], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3]: the point whose projections lie nearest, in the least-squares sense, to pixels [N, 2] of N cameras."""
    from scipy.optimize import least_squares

    lhs, rhs = np.zeros((3, 3)), np.zeros(3)
    for camera, pixel in zip(cameras, pixels):
        ray = camera.rotation.T @ np.linalg.inv(camera.intrinsics) @ [*pixel, 1.0]
        ray /= np.linalg.norm(ray)
        across = np.eye(3) - np.outer(ray, ray)
        lhs += across
        rhs += across @ camera.centre
    start = np.linalg.lstsq(lhs, rhs, rcond=1e-12)[0]

    def residual(point: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([c.project(point)[0] - p for c, p in zip(cameras, pixels)])

    return np.asarray(least_squares(residual, start, x_scale=max(float(np.abs(start).max()), 1e-9)).x, np.float64)
