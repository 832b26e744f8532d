"""What became of each photo and why, in words; and what to say when nothing could be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError

FEW_FEATURES = 60
MIN_MATCHES = 15
FLAT, FLAT_AND_FAILED = 0.97, 0.8  # share of a pair's matches that one homography explains
TURN_TOLERANCE = 0.03  # how far a homography may be from a rotation, as its largest over its smallest singular value


@dataclass(frozen=True)
class Verdict:
    """One photo: whether it got a camera; verified matches with its best neighbour; sparse points it sees; where it
    got none, the reason and what to do."""

    name: str
    registered: bool
    neighbour: str | None
    matches: int
    points: int
    reason: str = ""
    advice: str = ""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What matching found. group [n]: number of the model that holds a photo, -1 for none; features [n];
    matches [n, n]: verified; pair [m, 2], pair_share [m], pair_homography [m, 3, 3]: photo pairs, the share of their
    matches that a homography explains, and the homography in pixels; focal [n]: from EXIF, NaN where unknown;
    size [n, 2]: width and height; points [n]: sparse points seen."""

    names: Sequence[str]
    group: NDArray[np.int32]
    features: NDArray[np.int32]
    matches: NDArray[np.int32]
    pair: NDArray[np.int32]
    pair_share: NDArray[np.float64]
    pair_homography: NDArray[np.float64]
    focal: NDArray[np.float64]
    size: NDArray[np.int32]
    points: NDArray[np.int64]


def judge(evidence: Evidence) -> tuple[Verdict, ...]:
    """A verdict for each photo, in order."""
    return tuple(_verdict(evidence, i) for i in range(len(evidence.names)))


def refuse_hopeless(evidence: Evidence) -> None:
    """Raise CannotError, saying why, when no cameras were found or when those found cannot be trusted."""
    found = bool((evidence.group == 0).any())
    if not found and np.median(evidence.features) < FEW_FEATURES:
        raise CannotError(
            f"the photos show too little texture: {int(np.median(evidence.features))} features in the median photo",
            "take sharper photos with more light, or put something with a pattern into the scene",
        )
    best = _best_pair(evidence)
    if best is None or evidence.matches[best] < MIN_MATCHES:
        if not found:
            raise _unrelated(evidence, best)
        return
    flat = evidence.pair_share > (FLAT if found else FLAT_AND_FAILED)
    if not len(flat) or flat.mean() < 0.9:
        if not found:
            raise _too_weak(evidence, best)
        return
    if all(is_turn(evidence, i) for i in range(len(flat))):
        raise CannotError(
            "the camera only turned: every photo is taken from the same place, so there is no depth to see",
            "move sideways between photos, about a tenth of the distance to the subject",
        )
    if np.isnan(evidence.focal).any():
        raise CannotError(
            "the photos show one flat surface, from which the focal length cannot be told, and they carry none",
            "use photos with EXIF, or let things in front of or beside the surface be seen",
        )
    if not found:
        raise _too_weak(evidence, best)


def is_turn(evidence: Evidence, index: int) -> bool:
    """Whether a pair's homography is what a camera sees that turns in place: K2 R K1^-1 for some rotation R.

    Where EXIF gives no focal length, any plausible one will do.
    """
    a, b = evidence.pair[index]
    ratios = np.geomspace(0.4, 4, 60)
    guesses = [np.array([evidence.focal[i]]) * np.geomspace(0.92, 1.08, 9) for i in (a, b)]
    focals = [
        guess if np.isfinite(guess).all() else ratios * evidence.size[i].max() for guess, i in zip(guesses, (a, b))
    ]
    if len(focals[0]) != len(focals[1]):
        focals = [ratios * evidence.size[i].max() for i in (a, b)]
    spread = []
    for f1, f2 in zip(*focals):
        turn = np.linalg.inv(_intrinsics(f2, evidence.size[b])) @ evidence.pair_homography[index]
        values = np.linalg.svd(turn @ _intrinsics(f1, evidence.size[a]), compute_uv=False)
        spread.append(values[0] / max(values[2], 1e-12) - 1)
    return bool(min(spread) < TURN_TOLERANCE)


def _intrinsics(focal: float, size: NDArray[np.int32]) -> NDArray[np.float64]:
    return np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])


def _best_pair(evidence: Evidence) -> tuple[int, int] | None:
    if len(evidence.names) < 2:
        return None
    a, b = np.unravel_index(int(evidence.matches.argmax()), evidence.matches.shape)
    return int(a), int(b)


def _unrelated(evidence: Evidence, best: tuple[int, int] | None) -> CannotError:
    most = 0 if best is None else int(evidence.matches[best])
    where = f", between {evidence.names[best[0]]} and {evidence.names[best[1]]}" if best and most else ""
    return CannotError(
        f"the photos do not overlap: at most {most} matches{where}; at least {MIN_MATCHES} are needed, 100 are good",
        "take photos of the same things, each showing about two thirds of what the one before shows",
    )


def _too_weak(evidence: Evidence, best: tuple[int, int]) -> CannotError:
    a, b = (evidence.names[i] for i in best)
    return CannotError(
        f"no cameras could be recovered, though {a} and {b} share {evidence.matches[best]} matches: "
        "they are too few or show too little depth",
        "add photos between the ones at hand, from clearly different places",
    )


def _verdict(evidence: Evidence, i: int) -> Verdict:
    name = evidence.names[i]
    matches = evidence.matches[i]
    best = int(matches.argmax()) if len(matches) > 1 else i
    neighbour, count = (evidence.names[best], int(matches[best])) if matches.any() else (None, 0)
    if evidence.group[i] == 0:
        return Verdict(name, True, neighbour, count, int(evidence.points[i]))
    reason, advice = _why_not(evidence, i, neighbour, count)
    return Verdict(name, False, neighbour, count, 0, reason, advice)


def _why_not(evidence: Evidence, i: int, neighbour: str | None, count: int) -> tuple[str, str]:
    if evidence.features[i] < FEW_FEATURES:
        reason = f"too little texture ({evidence.features[i]} features)"
        return reason, "take it again, sharper or with more light"
    if neighbour is None:
        return "no matches with any other photo", "leave it out, or add photos that link it to the others"
    if count < MIN_MATCHES:
        return f"only {count} matches with its best neighbour {neighbour}", "add photos between them"
    if evidence.group[i] > 0:
        others = [
            n for n, g in zip(evidence.names, evidence.group) if g == evidence.group[i] and n != evidence.names[i]
        ]
        reason = f"fits only {', '.join(others[:3])}{' and others' if len(others) > 3 else ''}, not the larger group"
        return reason, "add photos that link the two groups"
    return f"only {count} matches with its best neighbour {neighbour}", "add photos between them"
