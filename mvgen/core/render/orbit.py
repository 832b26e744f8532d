"""Cameras around an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.splats.model import Splats

Shape = Mesh | PointCloud | Splats
_AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}
ACROSS = 40.0  # degrees that a view of an orbit spans
_FILL = 0.92  # share of the frame that the object may take
_MOST_POINTS = 50_000


def up_of(metadata: dict[str, Any]) -> NDArray[np.float64]:
    """[3]: the up axis that a file's metadata names ("+Z"), else +Y."""
    own = metadata.get("mvgen")
    name = str((own if isinstance(own, dict) else metadata).get("up", "+Y")).lower()
    axis = np.array(_AXES.get(name[-1:], (0, 1, 0)), np.float64)
    return -axis if name.startswith("-") else axis


def robust_points(shape: Shape) -> NDArray[np.float64]:
    """At most 50 000 points [N, 3] of a shape, without the few far ones where these stretch its bounds by half."""
    places: NDArray[np.floating]
    if isinstance(shape, Splats):
        places = shape.means
    else:
        places = shape.vertices[np.unique(shape.faces)] if isinstance(shape, Mesh) else shape.points
    points = places[:: max(1, len(places) // _MOST_POINTS)].astype(np.float64)
    low, high = np.percentile(points, [1, 99], axis=0)
    margin = 0.1 * (high - low)
    core = points[((points >= low - margin) & (points <= high + margin)).all(1)]
    if len(core) and np.linalg.norm(np.ptp(points, axis=0)) > 1.5 * np.linalg.norm(np.ptp(core, axis=0)):
        return core
    return points


def look_at(eye: NDArray[np.floating], target: NDArray[np.floating], up: NDArray[np.floating]) -> NDArray[np.float64]:
    """world_to_camera [4, 4] of a camera at eye that sees target in the middle, with up pointing up in the picture."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-6:  # straight up or down: any right will do
        right = np.cross(forward, up[[1, 2, 0]])
    right /= np.linalg.norm(right)
    out = np.eye(4)
    out[:3, :3] = [right, np.cross(forward, right), forward]
    out[:3, 3] = -out[:3, :3] @ eye
    return out


def orbit_cameras(
    points: NDArray[np.floating],
    count: int,
    size: tuple[int, int],
    up: NDArray[np.floating],
    elevation: float = 20.0,
    azimuth: float = 30.0,
) -> list[Camera]:
    """``count`` cameras on a circle around points [N, 3], all at the same distance, which frames the points in each.

    size: (width, height) in pixels; elevation of the cameras above the middle and azimuth of the first one, in degrees;
    azimuth 0 looks from +Z where up is +Y, from -Z where it is -Y, and grows counter-clockwise seen from above. The
    view spans 40 degrees.
    """
    focal = focal_of(size, ACROSS)
    directions = circle(count, up, elevation, azimuth)
    middle, distance = _framing(points, [look_at(d, np.zeros(3), up)[:3, :3] for d in directions], focal, size)
    return cameras_on_circle(directions, middle, distance, focal, size, up)


def focal_of(size: tuple[int, int], across: float) -> float:
    """Focal length in pixels of a picture whose longer side spans ``across`` degrees."""
    return 0.5 * max(size) / float(np.tan(np.radians(across / 2)))


def circle(count: int, up: NDArray[np.floating], elevation: float, azimuth: float) -> list[NDArray[np.float64]]:
    """Unit directions from the middle of a circle to ``count`` places on it; see `orbit_cameras`."""
    front, side = sides(up)
    angles = np.radians(azimuth + 360 * np.arange(count) / count)
    tilt = np.radians(elevation)
    return [np.cos(tilt) * (np.cos(a) * front + np.sin(a) * side) + np.sin(tilt) * up for a in angles]


def sides(up: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit directions from the middle of a circle to azimuth 0 and 90; see `orbit_cameras`."""
    front = np.array([0.0, 0, 1 if up[1] >= 0 else -1]) if abs(up[2]) < 0.5 else np.array([0.0, -1, 0])
    front = front - (front @ up) * up
    front /= np.linalg.norm(front)
    return front, np.cross(up, front)


def cameras_on_circle(
    directions: Sequence[NDArray[np.float64]],
    middle: NDArray[np.float64],
    distance: float,
    focal: float,
    size: tuple[int, int],
    up: NDArray[np.floating],
) -> list[Camera]:
    """Cameras that see ``middle`` from a distance in unit directions, in their order."""
    width, height = size
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    digits = max(3, len(str(len(directions) - 1)))
    return [
        Camera(f"view_{i:0{digits}d}.png", width, height, intrinsics, look_at(middle + distance * d, middle, up))
        for i, d in enumerate(directions)
    ]


def _framing(
    points: NDArray[np.floating], turns: list[NDArray[np.float64]], focal: float, size: tuple[int, int]
) -> tuple[NDArray[np.float64], float]:
    """The point to look at and the distance from it that show all points in every view, on average in the middle."""
    room = _FILL * np.array(size) / (2 * focal)  # half the frame at distance 1
    some = points[:: max(1, len(points) * len(turns) // 1_000_000)]
    middle = (points.min(0) + points.max(0)) / 2
    distance = 0.0
    for last in (False, False, False, True):
        views = [(some - middle) @ turn.T for turn in turns]
        distance = max(float((np.abs(v[:, :2]) / room - v[:, 2:]).max()) for v in views)
        distance = max(distance, 1e-9 * float(np.abs(points).max()) + 1e-12)
        if last:
            break
        steps = []
        for view, turn in zip(views, turns):
            seen = view[:, :2] / (view[:, 2:] + distance)
            steps.append(distance * (seen.min(0) + seen.max(0)) / 2 @ turn[:2])
        middle = middle + np.mean(steps, axis=0)
    return middle, distance
