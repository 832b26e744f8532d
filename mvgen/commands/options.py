"""Options that several commands share, and the small languages they are written in."""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

import typer

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def parse_count(text: str | int) -> int:
    """``6000``, ``6k``, ``1.5m``: a whole number of at least 0. Raises typer.BadParameter (a ValueError too)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)", str(text).strip().lower())
    value = float(match[1]) * _UNITS[match[2]] if match else 0.5
    if value != int(value):
        raise BadValue(f"{text} is not a count; write it as 6000 or 6k")
    return int(value)


class Size(NamedTuple):
    """Of a picture, in pixels. As an option: ``Annotated[Size, typer.Option(parser=parse_size)] = Size(960, 720)``."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def parse_size(text: str | Size) -> Size:
    """``960x720``, or ``512`` for a square. Raises typer.BadParameter."""
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", str(text).strip().lower())
    size = Size(int(match[1]), int(match[2] or match[1])) if match else Size(0, 0)
    if min(size) < 1 or max(size) > 32768:
        raise BadValue(f"{text} is not a size; write it as 960x720 or 512")
    return size


class Colour(NamedTuple):
    """sRGB in [0, 1]. As an option: ``Annotated[Colour, typer.Option(parser=parse_colour)] = BLACK``."""

    red: float
    green: float
    blue: float

    def __str__(self) -> str:
        digits = "".join(f"{round(part * 255):02x}" for part in self)
        return {"000000": "black", "ffffff": "white"}.get(digits, f"#{digits}")


BLACK, WHITE = Colour(0.0, 0.0, 0.0), Colour(1.0, 1.0, 1.0)


def parse_colour(text: str | Colour) -> Colour:
    """``black``, ``white``, ``#rgb`` or ``#rrggbb``. Raises typer.BadParameter."""
    digits = {"black": "000000", "white": "ffffff"}.get(str(text).lower(), str(text).removeprefix("#"))
    if re.fullmatch(r"[0-9a-fA-F]{3}", digits):
        digits = "".join(2 * d for d in digits)
    if not re.fullmatch(r"[0-9a-fA-F]{6}", digits):
        raise BadValue(f"{text} is not a colour; write it as black, white or '#rrggbb'")
    return Colour(*(int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)))


class BadValue(typer.BadParameter, ValueError):
    """A value that does not follow the little language of its option."""


class Corners(NamedTuple):
    """The lowest and the highest corner of a box."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def __str__(self) -> str:
        return ",".join(f"{v:g}" for v in (*self.low, *self.high))


def parse_box(text: str | Corners) -> Corners:
    """``-1,0,-1,1,2,inf``: lowest x, y, z, then highest, which may be infinite. Raises typer.BadParameter."""
    if isinstance(text, Corners):
        return text
    try:
        numbers = [float(word) for word in text.split(",")]
        low, high = (numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5])
        if len(numbers) == 6 and all(a <= b for a, b in zip(low, high)):
            return Corners(low, high)
    except (ValueError, IndexError):
        pass
    raise BadValue(f"{text} is not a box; write its lowest and its highest corner as -1,0,-1,1,2,1 (inf: no end)")


def parse_turn(text: Any) -> tuple[str, float]:
    """``x:90``: an axis and degrees. Raises typer.BadParameter."""
    if isinstance(text, tuple):
        return text
    axis, colon, degrees = str(text).partition(":")
    try:
        angle = float(degrees)
    except ValueError:
        angle = float("nan")
    if axis.lower() not in ("x", "y", "z") or not colon or not abs(angle) < 1e6:
        raise BadValue(f"{text} is not a turn; write it as x:90")
    return axis.lower(), angle


def parse_three(text: Any) -> tuple[float, float, float]:
    """``0,0,1.5``. Raises typer.BadParameter."""
    if isinstance(text, tuple):
        return text
    try:
        x, y, z = (float(word) for word in str(text).split(","))
    except ValueError:
        x = y = z = float("nan")
    if not max(map(abs, (x, y, z))) < 1e30 or x != x:
        raise BadValue(f"{text} is not three numbers; write them as 0,0,1.5")
    return x, y, z


def parse_numbers(text: str) -> tuple[float, ...]:
    """``0,1.5``: finite numbers; none where the text holds anything else."""
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        return ()
    return numbers if all(abs(n) < 1e30 for n in numbers) else ()


def streamed(output: str, format: str | None, usual: str) -> str | None:
    """The format that is asked for; the usual one for standard output where none is."""
    return usual if output == "-" and format is None else format


Output = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is standard output.")]
Format = Annotated[
    str | None, typer.Option("--format", metavar="EXT", help="Format where the extension cannot tell, such as glb.")
]
Crop = Annotated[
    Corners | None,
    typer.Option(
        parser=parse_box,
        metavar="X,Y,Z,X,Y,Z",
        help="Keep what lies between two corners, the lowest and the highest; inf and -inf leave a side open.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STAGE.NAME=VALUE", help="An expert setting; may be given several times."),
]
