"""The little languages in which selections are written on the command line. Nothing heavy is loaded here.

All functions raise UsageError for text that does not follow them; ``option`` names the option in that message.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from mvgen.core.errors import UsageError

CLICK = "2%"  # radius around a clicked place
TOLERANCE = 20.0  # of a colour, in CIE Lab
ANGLE = 30.0  # degrees around a normal

Point = tuple[float, float, float]


class Length(NamedTuple):
    """In the numbers of the file, or as a share of the diagonal of what it holds."""

    value: float
    share: bool

    def on(self, diagonal: float) -> float:
        """In the numbers of a file with this diagonal."""
        return self.value * diagonal if self.share else self.value


class Pixel(NamedTuple):
    """A place in the picture of a camera, in pixels from its upper left corner."""

    camera: str
    x: float
    y: float


Place = Pixel | Point


class Ball(NamedTuple):
    """A place and a radius."""

    place: Place
    radius: Length


class Lasso(NamedTuple):
    """A polygon in the picture of a camera."""

    camera: str
    corners: tuple[tuple[float, float], ...]


class Shade(NamedTuple):
    """An sRGB colour in [0, 1] and the distance from it in CIE Lab."""

    colour: Point
    tolerance: float


class Cone(NamedTuple):
    """A direction and an angle around it in degrees."""

    axis: Point
    angle: float


class Range(NamedTuple):
    """low <= value <= high."""

    low: float
    high: float


def length(text: str, option: str) -> Length:
    """``0.05`` in the numbers of the file, or ``2%`` of the diagonal: above 0."""
    match = re.fullmatch(r"(\+?\d*\.?\d+(?:[eE][-+]?\d+)?)(%?)", text.strip())
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value < math.inf or match is None:
        raise _wrong(option, text, "a length", "0.05, or 2% of the diagonal")
    return Length(value, bool(match[2]))


def box(text: str, option: str) -> tuple[Point, Point]:
    """``-1,0,-1,1,2,inf``: the lowest corner, then the highest."""
    found = _numbers(text, infinite=True)
    if found is None or len(found) != 6 or any(a > b for a, b in zip(found[:3], found[3:])):
        raise _wrong(option, text, "a box", "its lowest and its highest corner, as -1,0,-1,1,2,1 (inf: no end)")
    return (found[0], found[1], found[2]), (found[3], found[4], found[5])


def ball(text: str, option: str) -> Ball:
    """``X,Y,Z,R`` or ``CAMERA:x,y,R``: a place, and a length around it."""
    head, _, last = text.rpartition(",")
    try:
        return Ball(place(head, option), length(last, option))
    except UsageError:
        how = "X,Y,Z,R or CAMERA:x,y,R, with R as 0.1 or 2%"
        raise _wrong(option, text.removesuffix(f",{CLICK}"), "a place and a radius", how) from None


def place(text: str, option: str) -> Place:
    """``X,Y,Z``, or ``CAMERA:x,y``."""
    if ":" in text:
        return pixel(text, option)
    found = _numbers(text)
    if found is None or len(found) != 3:
        raise _wrong(option, text, "a place", "X,Y,Z or CAMERA:x,y")
    return found[0], found[1], found[2]


def pixel(text: str, option: str) -> Pixel:
    """``CAMERA:x,y``."""
    camera, found = _in_camera(text)
    if not camera or found is None or len(found) != 2:
        raise _wrong(option, text, "a place in a picture", "CAMERA:x,y")
    return Pixel(camera, found[0], found[1])


def click(text: str, option: str) -> Ball:
    """``CAMERA:x,y`` or ``CAMERA:x,y,R``."""
    found = ball(text if text.rpartition(":")[2].count(",") == 2 else f"{text},{CLICK}", option)
    if not isinstance(found.place, Pixel):
        raise _wrong(option, text, "a place in a picture", "CAMERA:x,y or CAMERA:x,y,R")
    return found


def lasso(text: str, option: str) -> Lasso:
    """``CAMERA:x,y,x,y,x,y``: three corners or more."""
    camera, found = _in_camera(text)
    if not camera or found is None or len(found) < 6 or len(found) % 2:
        raise _wrong(option, text, "a polygon in a picture", "CAMERA:x,y,x,y,x,y")
    return Lasso(camera, tuple(zip(found[::2], found[1::2])))


def plane(text: str, option: str) -> tuple[Point, float]:
    """``A,B,C,D``: where A x + B y + C z >= D."""
    found = _numbers(text)
    if found is None or len(found) != 4 or not any(found[:3]):
        raise _wrong(option, text, "a half-space", "A,B,C,D: where A x + B y + C z >= D")
    return (found[0], found[1], found[2]), found[3]


def shade(text: str, option: str) -> Shade:
    """``#rrggbb`` or ``#rrggbb,TOLERANCE``."""
    match = re.fullmatch(r"#?([0-9a-fA-F]{6})(?:,(.+))?", text.strip())
    tolerance = _numbers(match[2] or str(TOLERANCE)) if match else None
    if match is None or tolerance is None or len(tolerance) != 1 or tolerance[0] < 0:
        raise _wrong(option, text, "a colour", "'#rrggbb', or '#rrggbb,15' with a tolerance in CIE Lab")
    red, green, blue = (int(match[1][i : i + 2], 16) / 255 for i in (0, 2, 4))
    return Shade((red, green, blue), tolerance[0])


def cone(text: str, option: str) -> Cone:
    """``X,Y,Z`` or ``X,Y,Z,DEGREES``."""
    found = _numbers(text)
    if found is None or len(found) not in (3, 4) or not any(found[:3]) or not 0 <= (*found, ANGLE)[3] <= 180:
        raise _wrong(option, text, "a direction", "X,Y,Z or X,Y,Z,DEGREES")
    return Cone((found[0], found[1], found[2]), (*found, ANGLE)[3])


def interval(text: str, option: str) -> Range:
    """``LOW..HIGH``; one of them may be left out."""
    low, dots, high = text.strip().partition("..")
    found = _numbers(f"{low or '-inf'},{high or 'inf'}", infinite=True)
    if not dots or not (low or high) or found is None or not found[0] <= found[1]:
        raise _wrong(option, text, "a range", "LOW..HIGH, LOW.. or ..HIGH")
    return Range(found[0], found[1])


def part(text: str, option: str) -> int | Place:
    """``largest`` (1), the number of a part by size from 1, or a place in it."""
    if text.strip() == "largest":
        return 1
    if re.fullmatch(r"[1-9]\d{0,8}", text.strip()):
        return int(text)
    try:
        return place(text, option)
    except UsageError:
        raise _wrong(option, text, "a part", "largest, 2 (the second largest), X,Y,Z or CAMERA:x,y") from None


def words(text: str, option: str) -> str:
    """Any text that says something."""
    if not text.strip():
        raise _wrong(option, text, "the name of a part", "it as in --text 'the wings'")
    return text.strip()


def named(text: str, option: str, what: str) -> tuple[str, str]:
    """``FILE:NAME``, at the last colon."""
    first, colon, last = text.rpartition(":")
    if not (colon and first and last):
        raise _wrong(option, text, "a file and a name", what)
    return first, last


def _in_camera(text: str) -> tuple[str, list[float] | None]:
    camera, _, rest = text.rpartition(":")
    return camera.strip(), _numbers(rest)


def _numbers(text: str, infinite: bool = False) -> list[float] | None:
    """Numbers between commas; None where one is none, or not finite."""
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        return None
    return found if all(math.isfinite(v) or (infinite and math.isinf(v)) for v in found) else None


def _wrong(option: str, text: str, what: str, how: str) -> UsageError:
    return UsageError(f"{option} {text}: is not {what}", f"write {how}")
