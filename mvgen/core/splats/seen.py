"""From where splats were seen when they were made: noted in their metadata, so that they can be looked at from there.

"seen_from": {"eyes": [[x, y, z], ...], "targets": [[x, y, z], ...], "up": [x, y, z], "across": degrees}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, aimed_at
from mvgen.core.render.orbit import look_at
from mvgen.core.splats.model import SEEN_FROM, Splats

MOST = 24  # cameras that are noted: more would make the header of a file long
DIGITS = 5


def noted(cameras: Sequence[Camera]) -> dict[str, Any]:
    """Metadata that tells from where, and how wide, these cameras look."""
    some = [cameras[i] for i in np.unique(np.linspace(0, len(cameras) - 1, min(len(cameras), MOST)).astype(int))]
    middle = aimed_at(some)
    eyes = np.array([c.centre for c in some])
    ahead = [max(float((middle - c.centre) @ c.forward), 1e-3 * float(np.linalg.norm(middle - c.centre))) for c in some]
    targets = eyes + np.array(ahead)[:, None] * [c.forward for c in some]
    across = np.median([np.degrees(2 * np.arctan(max(c.width, c.height) / (2 * c.intrinsics[0, 0]))) for c in some])
    upwards = -np.mean([c.rotation[1] for c in some], axis=0)
    return {
        SEEN_FROM: {
            "eyes": _rounded(eyes),
            "targets": _rounded(targets),
            "up": _rounded(_upright(upwards)),
            "across": round(float(across), 2),
        }
    }


def cameras_of(splats: Splats, size: tuple[int, int]) -> list[Camera]:
    """Cameras of ``size`` (width, height) where splats were seen from; none where their metadata does not tell."""
    about: Any = splats.metadata.get(SEEN_FROM)
    try:
        eyes, targets, up = (np.array(about[key], np.float64) for key in ("eyes", "targets", "up"))
        across = float(about["across"])
    except (TypeError, KeyError, ValueError):
        return []
    sound = eyes.ndim == 2 and eyes.shape == targets.shape and eyes.shape[1:] == up.shape == (3,) and 1 < across < 170
    if not sound or not np.isfinite([*eyes.ravel(), *targets.ravel(), *up]).all() or not np.linalg.norm(up):
        return []
    width, height = size
    focal = max(width, height) / (2 * np.tan(np.radians(across / 2)))
    lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return [
        Camera(f"view_{i:03d}.png", width, height, lens, look_at(eye, target, up))
        for i, (eye, target) in enumerate(zip(eyes, targets))
        if np.linalg.norm(target - eye) > 0
    ]


def _upright(up: NDArray[np.float64]) -> NDArray[np.float64]:
    """The axis that points up, where one nearly does, else the direction as it is."""
    unit = up / max(float(np.linalg.norm(up)), 1e-12)
    axis = np.zeros(3)
    k = int(np.argmax(np.abs(unit)))
    axis[k] = np.sign(unit[k])
    return axis if unit @ axis > 0.5 else unit


def _rounded(values: NDArray[np.float64]) -> Any:
    return [_rounded(row) if np.ndim(row) else float(f"{row:.{DIGITS}g}") for row in values]
