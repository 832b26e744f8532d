"""Views for guidance as files: orbits, from which cameras are drawn, each with what should be seen from them.

{"views": "mvgen", "version": 1, "orbits": [{"prompt": "a burning wing", "target": [0, 1, 0], "elevation": [10, 40],
"azimuth": [-30, 30], "distance": [1.5, 2]}, ...]}

The camera controller of Dong et al., "Interactive3D" (2024), with its edit_data.json read too. Places and distances are
in the coordinates of the splats' file, angles in degrees about its direction up (`core.splats.seen.up_of`). As in
`core.render.orbit`, azimuth 0 looks from +Z where up is +Y, from -Z where it is -Y, from -Y where it is Z, and grows
counter-clockwise seen from above.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError, InputError
from mvgen.core.io.checked import Bad, Check, from_fields, load_json, number, numbers, plain, positive
from mvgen.core.render.orbit import focal_of, look_at, sides

KIND, VERSION = "mvgen", 1
FOV = 40.0  # degrees that a picture spans
FILL = 0.95  # share of the picture that the bounding sphere of a region takes
OVERHEAD, HALF = 60.0, 45.0  # degrees: from where a view is from above; half the width of "front" and "back"
AROUND, TILT = 75.0, 25.0  # degrees about the side of an object on which a region lies
ALONE = 0.15  # radii between the middles of a region and of what lies around it that tell no side
LOW, HIGH = -10.0, 60.0  # elevations of a whole object
MOST_ORBITS, MOST_LETTERS = 1000, 2000
Three = tuple[float, float, float]
Range = tuple[float, float]


@dataclass(frozen=True)
class Orbit:
    """Cameras around a place.

    prompt: what should be seen, negative: what should not; target: what is looked at; origin: what the cameras go
    round, the target where None. elevation and azimuth: lowest and highest, in degrees; distance: from the origin, in
    the file's units; fov: degrees that the (square) picture spans.
    """

    prompt: str
    target: Three
    elevation: Range
    azimuth: Range
    distance: Range
    origin: Three | None = None
    negative: str = ""
    fov: float = FOV


# ---------------------------------------------------------------- files


def load_views(path: Path) -> tuple[Orbit, ...]:
    """The orbits of a views.json, or of an edit_data.json of Interactive3D. Raises InputError."""
    hint = 'write {"views": "mvgen", "version": 1, "orbits": [...]}'
    tree = load_json(path, "list of views", hint)
    if isinstance(tree, dict) and "views" not in tree and _is_edit_data(tree):
        given = [_from_edit_data(prompt, value, f"{path}: {prompt[:40]}") for prompt, value in tree.items()]
    elif not isinstance(tree, dict) or tree.get("views") != KIND or not isinstance(tree.get("orbits"), list):
        raise InputError(f"{path}: is no list of views", hint)
    elif tree.get("version") != VERSION:
        raise InputError(f"{path}: has views of version {tree.get('version')}", f"this mvgen reads version {VERSION}")
    else:
        given = tree["orbits"]
    if not 1 <= len(given) <= MOST_ORBITS:
        raise InputError(f"{path}: has {len(given)} orbits", f"give 1 to {MOST_ORBITS}")
    return tuple(from_fields(Orbit, value, f"{path}: orbit {i + 1}", _CHECKS) for i, value in enumerate(given))


def views_text(orbits: Sequence[Orbit]) -> str:
    """JSON that `load_views` reads, a line for each orbit."""
    lines = ",\n    ".join(json.dumps(plain(orbit)) for orbit in orbits)
    return f'{{\n  "views": "{KIND}",\n  "version": {VERSION},\n  "orbits": [\n    {lines}\n  ]\n}}\n'


def _prompt(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MOST_LETTERS or "\0" in value:
        raise Bad(f"should be text of at most {MOST_LETTERS} letters")
    return value


def _between(low: float, high: float) -> Check:
    def read(value: Any) -> Range:
        first, last = numbers(2)(value)
        if not low <= first <= last <= high:
            raise Bad(f"should be the lowest and the highest, from {low:g} to {high:g}")
        return first, last

    return read


def _distance(value: Any) -> Range:
    first, last = map(positive, numbers(2)(value))
    if first > last:
        raise Bad("should be the lowest and the highest")
    return first, last


def _fov(value: Any) -> float:
    if not 1 <= number(value) <= 170:
        raise Bad("should be from 1 to 170 degrees")
    return float(value)


_CHECKS: dict[str, Check] = {
    **{"prompt": _prompt, "negative": _prompt, "target": numbers(3), "origin": numbers(3), "fov": _fov},
    **{"elevation": _between(-90, 90), "azimuth": _between(-720, 720), "distance": _distance},
}
_NAMES = {"edit_center": "target", "recenter_origin": "origin", "edit_ele": "elevation", "edit_azi": "azimuth"}
_NAMES |= {"edit_dist": "distance"}
_EAST = 90.0  # azimuth of Interactive3D's 0, the x axis where z is up


def _is_edit_data(tree: dict[str, Any]) -> bool:
    return bool(tree) and all(isinstance(v, dict) and set(v) <= set(_NAMES) for v in tree.values())


def _from_edit_data(prompt: str, value: dict[str, Any], at: str) -> dict[str, Any]:
    out = {"prompt": prompt} | {_NAMES[key]: v for key, v in value.items()}
    if "azimuth" in out:
        try:
            low, high = numbers(2)(out["azimuth"])
        except Bad as error:
            raise InputError(f"{at}: edit_azi: {error}") from error
        out["azimuth"] = [low + _EAST, high + _EAST]
    return out


# ---------------------------------------------------------------- cameras


def camera_at(
    orbit: Orbit, elevation: float, azimuth: float, distance: float, up: NDArray[np.floating], size: int
) -> Camera:
    """The camera of an orbit at a place of it; up [3]: in the splats' coordinates; size: of the picture, in pixels.

    Raises CannotError where it would stand in what it looks at.
    """
    target = np.array(orbit.target)
    origin = target if orbit.origin is None else np.array(orbit.origin)
    front, side = sides(up)
    tilt, turn = np.radians([elevation, azimuth])
    level = np.cos(turn) * front + np.sin(turn) * side
    eye = origin + distance * (np.cos(tilt) * level + np.sin(tilt) * up)
    if np.linalg.norm(eye - target) < 1e-6 * distance:
        raise CannotError("a camera stands in what it looks at", "choose another distance or target of the orbit")
    focal = focal_of((size, size), orbit.fov)
    lens = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Camera("view", size, size, lens, look_at(eye, target, up))


def sampled(orbit: Orbit, up: NDArray[np.floating], size: int, rng: np.random.Generator) -> Camera:
    """A camera of an orbit, evenly over the part of a sphere and over distances; see `camera_at`."""
    low, high = np.sin(np.radians(orbit.elevation))
    elevation = float(np.degrees(np.arcsin(rng.uniform(low, high))))
    azimuth, distance = rng.uniform(*orbit.azimuth), rng.uniform(*orbit.distance)
    return camera_at(orbit, elevation, azimuth, distance, up, size)


def middle(orbit: Orbit, up: NDArray[np.floating], size: int) -> Camera:
    """The camera in the middle of an orbit's ranges; see `camera_at`."""
    elevation, azimuth, distance = (sum(ends) / 2 for ends in (orbit.elevation, orbit.azimuth, orbit.distance))
    return camera_at(orbit, elevation, azimuth, distance, up, size)


def around(points: NDArray[np.floating], sizes: NDArray[np.floating], prompt: str, negative: str = "") -> Orbit:
    """The orbit of a whole object: points [N, 3] with what reaches ``sizes`` [N] around each."""
    middle, distance = _framed(points, sizes, FOV)
    return Orbit(prompt, middle, (LOW, HIGH), (-180.0, 180.0), (distance, distance), negative=negative)


def zoomed(
    points: NDArray[np.floating],
    sizes: NDArray[np.floating],
    prompt: str,
    centre: NDArray[np.floating],
    up: NDArray[np.floating],
    negative: str = "",
) -> Orbit:
    """The orbit near a region of an object: it looks at the mean of points [N, 3] from where their bounding sphere,
    with what reaches ``sizes`` [N] around each, fills the picture.

    centre [3]: of what lies around the region, as `middle_around` tells; the cameras stand on that side of it on which
    the region is.
    """
    orbit = around(points, sizes, prompt, negative)
    outward = np.array(orbit.target) - centre
    if np.linalg.norm(outward) < ALONE * orbit.distance[0] * np.sin(np.radians(FOV / 2)):
        return orbit  # it is all that there is, or goes all the way round
    elevation, azimuth = angles(outward, up)
    middle = float(np.clip(elevation, -HIGH, HIGH))
    half = 180.0 if abs(elevation) > HIGH else AROUND  # all sides see what is on top
    tilts = middle - TILT, middle + TILT
    return replace(orbit, elevation=tilts, azimuth=(azimuth - half, azimuth + half))


def middle_around(points: NDArray[np.floating], everything: NDArray[np.floating]) -> NDArray[np.float64]:
    """[3]: the mean of the points of an object [M, 3] that lie around a region of it with points [N, 3]."""
    middle = points.mean(0, dtype=np.float64)
    radius = float(np.linalg.norm(points - middle, axis=1).max())
    near = everything[np.linalg.norm(everything - middle, axis=1) <= 2 * radius]
    return np.asarray(near.mean(0, dtype=np.float64)) if len(near) else middle


def angles(direction: NDArray[np.floating], up: NDArray[np.floating]) -> tuple[float, float]:
    """Elevation and azimuth of a direction [3] in degrees."""
    front, side = sides(up)
    along = direction / max(float(np.linalg.norm(direction)), 1e-30)
    return (
        float(np.degrees(np.arcsin(np.clip(along @ up, -1, 1)))),
        float(np.degrees(np.arctan2(along @ side, along @ front))),
    )


def side_seen(camera: Camera, centre: NDArray[np.floating], up: NDArray[np.floating]) -> str:
    """ "front", "side", "back" or "overhead": from where a camera sees the object around centre [3], whatever part
    of it is looked at."""
    elevation, azimuth = angles(camera.centre - centre, up)
    if elevation > OVERHEAD:
        return "overhead"
    return "front" if abs(azimuth) <= HALF else "back" if abs(azimuth) >= 180 - HALF else "side"


def _framed(points: NDArray[np.floating], sizes: NDArray[np.floating], fov: float) -> tuple[Three, float]:
    """The mean of points, and the distance from which a sphere around all of them takes FILL of the picture."""
    middle = points.mean(0, dtype=np.float64)
    radius = float((np.linalg.norm(points - middle, axis=1) + sizes).max())
    half = np.arctan(FILL * np.tan(np.radians(fov / 2)))
    x, y, z = map(float, middle)
    return (x, y, z), max(radius / float(np.sin(half)), 1e-9)
