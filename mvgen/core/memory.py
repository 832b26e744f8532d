"""How much memory a reconstruction takes, planned before it starts.

Every stage reads from files what it needs and forgets it again, so that memory follows the size of the photos and of
the depth maps rather than their number. How many of them are held, to save reading them twice, is what a plan decides.
The figures are upper estimates, fitted to measured peaks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mvgen.core.errors import CannotError

BASE = 260 << 20  # the program and its libraries
WORKER = 120 << 20  # the process that finds the cameras
FEATURE = 128 + 32  # bytes of a feature and its place
CELL = 320  # bytes of a cell of the fused cloud while cells are merged
POINT = 260  # bytes of a fused point while the surface is drawn through it
TEXEL = 28  # bytes of a texel while it is painted
FACE = 900  # bytes of a face of the mesh while it is textured
ACTIVATIONS = 900 << 20  # of a network while a batch of pairs is decoded
ALIGNED = 12 << 20  # bytes that a photo's predictions take while they are aligned
OVERLAP = 0.2  # of the pixels of all depth maps become points of the cloud


@dataclass(frozen=True)
class Holding:
    """What is held in memory rather than read again.

    loaders: photos decoded at a time; pictures: pictures with their halvings while views are matched; depths: depth
    maps while views are compared.
    """

    loaders: int = 2
    pictures: int = 12
    depths: int = 32


@dataclass(frozen=True)
class Job:
    """What a plan depends on.

    photos: width and height in pixels of each; picture_size, feature_size, depth_size: longer sides at which pictures
    are kept, features looked for and depths found; features and neighbours: per photo; sources: views that a view is
    matched with; chunk: cells of the cloud held before they are merged; faces of the mesh; texture_size: 0 for the
    automatic one; weights: bytes of a network's.
    """

    photos: Sequence[tuple[int, int]]
    picture_size: int
    feature_size: int
    depth_size: int
    features: int
    neighbours: int
    sources: int
    chunk: int
    faces: int
    texture_size: int
    weights: int = 0


@dataclass(frozen=True)
class Plan:
    """Bytes that each stage takes at most, and what is held."""

    needs: dict[str, int]
    holding: Holding

    @property
    def peak(self) -> int:
        return max(self.needs.values(), default=BASE)

    @property
    def largest(self) -> str:
        """The stage that needs most."""
        return max(self.needs, key=lambda name: self.needs[name])

    def __str__(self) -> str:
        parts = ", ".join(f"{stage} {gigabytes(need)}" for stage, need in self.needs.items())
        return f"memory planned: at most {gigabytes(self.peak)} ({parts})"


def plan_memory(job: Job, stages: Sequence[str], threads: int, limit: int | None) -> Plan:
    """The plan for some of the stages; less is held where all would not fit the limit (bytes, None for no limit).

    The plan may exceed the limit, when holding the least does not help.
    """
    least, most = Holding(1, 1 + job.sources, 1 + job.sources), Holding(threads, 4 + 2 * job.sources, 32)
    plan = Plan(needs(job, stages, most), most)
    if limit is None or plan.peak <= limit:
        return plan
    fitting = least
    for name in ("depths", "pictures", "loaders"):
        low, high = getattr(least, name), getattr(most, name)
        for count in range(high, low - 1, -1):
            fitting = replace(fitting, **{name: count})
            if Plan(needs(job, stages, fitting), fitting).peak <= limit:
                break
    return Plan(needs(job, stages, fitting), fitting)


def require(plan: Plan, job: Job, stages: Sequence[str], limit: int) -> None:
    """Raise CannotError where a plan exceeds the limit, with the size of depth maps that would fit."""
    if plan.peak <= limit:
        return
    size = job.depth_size
    while size > 64 and plan_memory(replace(job, depth_size=size), stages, 1, limit).peak > limit:
        size -= 32
    fits = plan_memory(replace(job, depth_size=size), stages, 1, limit).peak <= limit
    raise CannotError(
        f"{plan.largest} takes about {gigabytes(plan.peak)} of memory, more than the {gigabytes(limit)} allowed",
        f"use --size {size}" if fits else "allow more with --memory, or ask for a smaller --texture-size or --faces",
    )


def needs(job: Job, stages: Sequence[str], holding: Holding) -> dict[str, int]:
    """Upper estimates of the bytes that stages take."""
    count = len(job.photos)
    photo = max((w * h for w, h in job.photos), default=0)
    picture, feature, depth = (
        _largest(job.photos, side) for side in (job.picture_size, job.feature_size, job.depth_size)
    )
    cells = min(job.chunk + depth, round(count * depth * OVERLAP) + depth)
    points = min(cells, round(count * depth * OVERLAP))
    texels = job.texture_size**2 or min(4096**2, 4 * picture)
    estimates = {
        "load": holding.loaders * (9 * photo + 9 * picture),
        "sfm": WORKER + 70 * feature + min(count, 2 * job.neighbours) * job.features * FEATURE + 12 * picture,
        "stereo": depth * max(20 * holding.pictures + 28 * job.sources + 60, 4 * holding.depths + 200),
        "predict": round(1.2 * job.weights) + ACTIVATIONS + 12 * picture,
        "align": count * ALIGNED + 12 * picture,
        "fusion": CELL * cells + 200 * depth,
        "surface": POINT * points + min(count, 75) * depth,
        "texture": TEXEL * texels + FACE * job.faces + 12 * picture + 16 * count * job.faces,
    }
    return {stage: BASE + estimates[stage] for stage in stages}


def _largest(photos: Sequence[tuple[int, int]], side: int) -> int:
    """Pixels of the largest photo when its longer side is at most so long."""
    return max((round(w * h * min(1, side / max(w, h)) ** 2) for w, h in photos), default=0)


def available_memory() -> int | None:
    """Bytes that this process may still take, or None where the system does not tell."""
    free = _field(Path("/proc/meminfo"), "MemAvailable:")
    if free is None:
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        except (ValueError, OSError, AttributeError):
            return None
    group = Path("/sys/fs/cgroup")
    most, now = _number(group / "memory.max"), _number(group / "memory.current")
    return free if most is None or now is None else min(free, max(most - now, 0))


def _field(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))
    except (OSError, ValueError, StopIteration):
        return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such group, or "max"
        return None


def gigabytes(count: int) -> str:
    """``1.2 GB`` (of 1e9 bytes)."""
    return f"{count / 1e9:.1f} GB"
