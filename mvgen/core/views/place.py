"""Where the cameras of pictures from known directions stand: the scale and shift of each picture.

Two parallel views see the same extent of the object along the direction at right angles to both lines of sight (the
epipolar tangency of silhouettes; compare Cipolla and Giblin, "Visual motion of curves and surfaces", 2000). With a, the
length of a pixel, and b, a shift, for each picture this is linear in all of them: a_i p_i + b_i n_i = a_j p_j + b_j n_j
for the least and the greatest p along n in both outlines. So any set of directions is solved at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.views.silhouette import Silhouette

FAR = 2000.0  # units: a view from there is parallel to a tenth of a pixel, and float32 resolves it
OPPOSITE = np.sin(np.radians(0.5))  # between lines of sight that count as one


def turn(azimuth: float, elevation: float) -> NDArray[np.float64]:
    """[3, 3], world axes (y up, the front seen from +z) to those of a camera in a direction given in degrees: azimuth
    90 is at +x, elevation 90 above, where the picture's lower side is the front."""
    a, e = np.radians([azimuth, elevation])
    right = np.array([np.cos(a), 0, -np.sin(a)])
    forward = -np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    return np.stack([right, np.cross(forward, right), forward])


def far_camera(
    name: str, size: tuple[int, int], rotation: NDArray[np.float64], scale: float, middle: NDArray[np.float64]
) -> Camera:
    """A camera FAR from the origin, which lies at pixel ``middle``; scale: pixels per unit; size (width, height)."""
    focal = FAR * scale
    pose = np.eye(4)
    pose[:3, :3], pose[2, 3] = rotation, FAR
    lens = np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1.0]])
    return Camera(name, *size, lens, pose)


def solve(
    rotations: Sequence[NDArray[np.float64]], silhouettes: Sequence[Silhouette]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """scale [V], pixels per unit, and middle [V, 2], the origin's pixel, of parallel views; the greatest disagreement.

    The object is about one unit large and somewhere near the origin. The disagreement is in units.
    """
    size = np.array([np.ptp(s.outline, axis=0).max() for s in silhouettes])
    centre = np.array([(s.outline.min(0) + s.outline.max(0)) / 2 for s in silhouettes])
    count = len(silhouettes)
    rows = []
    for i, j in combinations(range(count), 2):
        for axis in _shared(rotations[i], rotations[j]):
            row = np.zeros((2, 3 * count))
            for k, sign in ((i, 1), (j, -1)):
                across = rotations[k][:2] @ axis
                seen = (silhouettes[k].outline - centre[k]) @ across / size[k]
                row[:, 3 * k] = sign * np.array([seen.min(), seen.max()])
                row[:, 3 * k + 1 : 3 * k + 3] = sign * across
            rows.append(row)
    system = np.concatenate(rows)
    total = np.zeros((1, 3 * count))
    total[0, ::3] = 10.0  # of all lengths: without it, nothing at all would be a solution
    right = np.r_[np.zeros(len(system)), 10.0 * count]
    found = np.linalg.lstsq(np.concatenate([system, total]), right, rcond=1e-9)[0]
    length, shift = found[::3] / size, found.reshape(-1, 3)[:, 1:]
    wrong = float(np.abs(system @ found).max())
    safe = np.maximum(length, 1e-3 / size)
    return 1 / safe, centre - shift / safe[:, None], wrong


def _shared(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """[1 or 2, 3]: directions that lie in both pictures' planes; two for opposite views."""
    axis = np.cross(first[2], second[2])
    length = np.linalg.norm(axis)
    return first[:2] if length < OPPOSITE else axis[None] / length
