"""From where splats were seen when they were made: noted in their metadata, so that they can be looked at from there.

"seen_from": {"eyes": [[x, y, z], ...], "targets": [[x, y, z], ...], "up": [x, y, z], "across": degrees}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, aimed_at
from mvgen.core.frame import cameras_up, level
from mvgen.core.render.orbit import cameras_on_circle, circle, focal_of, look_at
from mvgen.core.render.orbit import up_of as named_up
from mvgen.core.splats.model import FRAMES, SEEN_FROM, UP, Frame, Splats

SCENE_FRAME = "scene_frame"  # in the metadata: the frame in which splats lie as the cameras of their scene
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
    return {
        SEEN_FROM: {
            "eyes": _rounded(eyes),
            "targets": _rounded(targets),
            "up": _rounded(level(cameras_up(cameras))),
            "across": round(float(across), 2),
        }
    }


def frame_of(cameras: Sequence[Camera]) -> Frame:
    """The frame in which a scene with these cameras is upright; "rdf" where none is."""
    up = level(cameras_up(cameras))
    return next((frame for frame, axis in UP.items() if named_up({"up": axis}) @ up > 0.999), "rdf")


def in_scene(splats: Splats, otherwise: Frame | None = None) -> Splats:
    """The splats as the cameras of their scene see them, where the metadata tell, else in another frame or unmoved."""
    frame = splats.metadata.get(SCENE_FRAME)
    wanted = frame if frame in FRAMES else otherwise
    return splats if wanted is None else splats.in_frame(wanted)


def up_of(splats: Splats) -> NDArray[np.float64]:
    """[3]: the direction up, as the splats' metadata tell, else as their frame has it."""
    about: Any = splats.metadata.get(SEEN_FROM)
    if _eyes(splats) is not None:
        return np.array(about["up"], np.float64) / np.linalg.norm(about["up"])
    return named_up({"up": UP[splats.frame]})


def up_name(splats: Splats) -> str:
    """The axis nearest to up, as "-y"."""
    up = up_of(splats)
    k = int(np.argmax(np.abs(up)))
    return ("-" if up[k] < 0 else "") + "xyz"[k]


def orbit(splats: Splats, count: int, size: tuple[int, int], elevation: float, azimuth: float) -> list[Camera]:
    """As `orbit_cameras`, but as far away, and as wide, as splats were seen from; none where they do not tell."""
    seen, up = cameras_of(splats, size), up_of(splats)
    if len(seen) < 2:
        return []
    middle = aimed_at(seen)
    distance = float(np.median([np.linalg.norm(c.centre - middle) for c in seen]))
    return cameras_on_circle(
        circle(count, up, elevation, azimuth), middle, distance, float(seen[0].intrinsics[0, 0]), size, up
    )


def cameras_of(splats: Splats, size: tuple[int, int]) -> list[Camera]:
    """Cameras of ``size`` (width, height) where splats were seen from; none where their metadata does not tell."""
    about = _eyes(splats)
    if about is None:
        return []
    eyes, targets, up, across = about
    width, height = size
    focal = focal_of(size, across)
    lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return [
        Camera(f"view_{i:03d}.png", width, height, lens, look_at(eye, target, up))
        for i, (eye, target) in enumerate(zip(eyes, targets))
        if np.linalg.norm(target - eye) > 0
    ]


def _eyes(splats: Splats) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float] | None:
    """Eyes [V, 3], targets [V, 3], up [3] and the degrees across, where the metadata tell them all."""
    about: Any = splats.metadata.get(SEEN_FROM)
    try:
        eyes, targets, up = (np.array(about[key], np.float64) for key in ("eyes", "targets", "up"))
        across = float(about["across"])
    except (TypeError, KeyError, ValueError):
        return None
    sound = eyes.ndim == 2 and eyes.shape == targets.shape and eyes.shape[1:] == up.shape == (3,) and 1 < across < 170
    known = sound and np.isfinite([*eyes.ravel(), *targets.ravel(), *up]).all() and bool(np.linalg.norm(up))
    return (eyes, targets, up, across) if known else None


def _rounded(values: NDArray[np.float64]) -> Any:
    return [_rounded(row) if np.ndim(row) else float(f"{row:.{DIGITS}g}") for row in values]
