"""One view's depth by PatchMatch: coarse to fine, begun by a semi-globally matched plane sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.device import usable
from mvgen.core.limits import between
from mvgen.core.progress import Progress
from mvgen.kernels import patchmatch as pm

GATE = 1e-5  # variance of grey in [0, 1] under which a patch says nothing
BLUR = (1.2, 2.4)  # sigma in pixels of the grades of blur after the first, which is sharp
ENOUGH = (3e-5, 1e-5)  # variance of a patch from which on a grade is good enough
TONE = 12.0  # how fast the weight of a tap falls with its difference in grey


@dataclass(frozen=True)
class MatchOptions:
    """Expert knobs of the dense matcher."""

    geometric: float = between(0.15, 0)  # cost of one pixel of disagreement with another view's depth
    coarse_sweeps: int = between(2, 0, 99)
    geometric_sweeps: int = between(1, 0, 99)
    fine_sweeps: int = between(2, 0, 99)
    sweep_levels: int = between(64, 3, 512)  # inverse depths of the plane sweep
    best: int = between(2, 1)  # sources that judge a pixel: the best few


@dataclass(frozen=True, eq=False)
class Planes:
    """planes [H, W, 3] float32: inverse depth and its steps per pixel in x and y; cost [H, W] float32 in [0, 2]."""

    planes: NDArray[np.float32]
    cost: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Picture:
    """A grey picture [B, H, W] in B grades of blur, and the grade in which each pixel is matched [H, W] uint8."""

    grades: NDArray[np.float32]
    support: NDArray[np.uint8]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.support.shape[0], self.support.shape[1]


def picture_of(grey: NDArray[np.float32]) -> Picture:
    """Blur a grey picture [H, W] in [0, 1] and choose for each pixel the finest grade with enough texture."""
    grades = np.stack([grey, *(cv2.GaussianBlur(grey, (0, 0), s) for s in BLUR)]).astype(np.float32)
    support = np.full(grey.shape, len(BLUR), np.uint8)
    for grade in reversed(range(len(BLUR))):
        side = (9 << grade) - (grade > 0)
        mean, square = (cv2.boxFilter(g, -1, (side, side)) for g in (grades[grade], grades[grade] ** 2))
        support[square - mean**2 >= ENOUGH[grade]] = grade
    return Picture(grades, support)


@dataclass(frozen=True, eq=False)
class Sources:
    """The source pictures of one level, packed flat for the kernels, all of one grade of blur before the next."""

    packed: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int32]  # [S, 2] height, width
    motions: NDArray[np.float32]  # [S, 12] M, m from the reference to a source
    backward: NDArray[np.float32]  # [S, 12] and back


def index_intrinsics(camera: Camera) -> NDArray[np.float64]:
    """Intrinsics [3, 3] for array indices, where a pixel's centre is a whole number."""
    out = camera.intrinsics.copy()
    out[:2, 2] -= 0.5
    return out


def motion(reference: Camera, source: Camera) -> NDArray[np.float32]:
    """[12]: M = K_s R K^-1 row by row, then m = K_s t, so that p ~ M (x, y, 1) + m / depth, in array indices."""
    relative = source.world_to_camera @ np.linalg.inv(reference.world_to_camera)
    k_source = index_intrinsics(source)
    m = k_source @ relative[:3, :3] @ np.linalg.inv(index_intrinsics(reference))
    return np.concatenate([m.ravel(), k_source @ relative[:3, 3]]).astype(np.float32)


def pixel_step(reference: Camera, sources: Sequence[Camera], rho: float) -> float:
    """The change of inverse depth that moves the picture's middle by one pixel in a source (median over sources)."""
    middle = np.array([reference.width / 2, reference.height / 2, 1.0])
    steps = []
    for source in sources:
        v = motion(reference, source).astype(float)
        m, t = v[:9].reshape(3, 3) @ middle, v[9:]

        def place(r: float, m: NDArray[np.float64] = m, t: NDArray[np.float64] = t) -> NDArray[np.float64]:
            p = m + t * r
            return p[:2] / p[2]

        delta = 1e-3 * rho
        steps.append(delta / max(float(np.linalg.norm(place(rho + delta) - place(rho))), 1e-9))
    return float(np.median(steps))


def pack_sources(reference: Camera, cameras: Sequence[Camera], pictures: Sequence[Picture]) -> Sources:
    """Everything the kernels need of the sources of one level."""
    sizes = np.array([p.shape for p in pictures], np.int32)
    counts = sizes.prod(axis=1, dtype=np.int64)
    return Sources(
        packed=np.concatenate([pm.pack_picture(p.grades[k]).ravel() for k in range(len(BLUR) + 1) for p in pictures]),
        offsets=np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64),
        sizes=sizes,
        motions=np.stack([motion(reference, c) for c in cameras]),
        backward=np.stack([motion(c, reference) for c in cameras]),
    )


_NO_DEPTHS = np.zeros(1, np.float32)


def kernels_for(device: str, sources: int) -> ModuleType:
    """The module with ``run_passes`` and ``sweep_volume`` for ``cpu`` or ``cuda:N`` and a number of sources."""
    if device == "cpu":
        return pm
    from mvgen.kernels import patchmatch_cuda

    if sources > patchmatch_cuda.MOST_SOURCES:
        return pm
    patchmatch_cuda.select(device)
    return patchmatch_cuda


def usable_device(device: str, progress: Progress) -> str:
    """The device, or ``cpu`` with a warning where its kernels do not run."""
    return usable(device, "patchmatch_cuda", "computing", progress)


def _match(
    image: Picture, sources: Sources, options: MatchOptions, depths: NDArray[np.float32] | None = None
) -> pm.Match:
    return pm.Match(
        image.grades, image.support, sources.packed, sources.offsets, sources.sizes, sources.motions,
        sources.backward, _NO_DEPTHS if depths is None else depths, min(options.best, len(sources.sizes)),
    )  # fmt: skip


def improve(
    image: Picture,
    camera: Camera,
    sources: Sources,
    state: Planes,
    rho_range: tuple[float, float],
    rho_px: float,
    spread: tuple[float, float],
    sweeps: int,
    options: MatchOptions,
    seed: int,
    depths: NDArray[np.float32] | None = None,
    device: str = "cpu",
) -> Planes:
    """Run sweeps of both colours over a state; spread: random range in pixels and of the normal, halved per sweep."""
    planes, cost = state.planes.copy(), state.cost.copy()
    k = index_intrinsics(camera)
    lens = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]], np.float32)
    geometric = options.geometric if depths is not None else 0.0
    halving = 0.5 ** (np.arange(2 * sweeps) // 2)  # the two colours of a sweep are two passes
    settings = np.empty((2 * sweeps, 8), np.float32)
    settings[:] = [*rho_range, rho_px, *spread, TONE, GATE, geometric]
    settings[:, 3:5] *= halving[:, None]
    salts = (seed * 1000003 + np.arange(2 * sweeps)) & 0x7FFFFFFF
    run_passes = kernels_for(device, len(sources.sizes)).run_passes
    run_passes(_match(image, sources, options, depths), lens, settings, salts, planes, cost)
    return Planes(planes, cost)


def sweep_planes(
    image: Picture, sources: Sources, rho_range: tuple[float, float], options: MatchOptions, device: str = "cpu"
) -> Planes:
    """A first state: fronto-parallel plane sweep, semi-global matching, and the planes through its depths."""
    height, width = image.shape
    levels = np.linspace(*rho_range, options.sweep_levels).astype(np.float32)
    volume = np.empty((height, width, len(levels)), np.uint8)
    settings = np.array([0, 0, 0, 0, 0, TONE, GATE], np.float32)
    kernels_for(device, len(sources.sizes)).sweep_volume(_match(image, sources, options), levels, settings, volume)
    total = pm.aggregate(volume, image.grades[0], 10, 120, 20.0)
    rho = _subpixel(total, levels)
    planes = np.stack([rho, _slope(rho, 1), _slope(rho, 0)], axis=-1).astype(np.float32)
    return Planes(planes, np.full((height, width), -1, np.float32))


def _subpixel(total: NDArray[np.uint16], levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The level of least cost, moved to the vertex of the parabola through it and its neighbours."""
    k = total.argmin(axis=-1)
    inner = np.clip(k, 1, len(levels) - 2)
    before, here, after = (
        np.take_along_axis(total, (inner + d)[..., None], -1)[..., 0].astype(np.float32) for d in (-1, 0, 1)
    )
    bend = before - 2 * here + after
    shift = np.where((bend > 0) & (k == inner), np.clip((before - after) / (2 * np.maximum(bend, 1e-6)), -0.5, 0.5), 0)
    return (levels[k] + shift * (levels[1] - levels[0])).astype(np.float32)


def _slope(rho: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Median of the one-sided steps at 1 and 2 pixels: a slope that edges do not bend."""
    steps = []
    for k in (1, 2):
        ahead = (np.roll(rho, -k, axis) - rho) / k
        behind = (rho - np.roll(rho, k, axis)) / k
        steps += [ahead, behind]
    slope = np.median(np.stack(steps), axis=0).astype(np.float32)
    edge = [slice(None), slice(None)]
    for part in (slice(0, 2), slice(-2, None)):
        edge[axis] = part
        slope[tuple(edge)] = 0
    return slope


def enlarge(state: Planes, height: int, width: int, scale: tuple[float, float]) -> Planes:
    """The same planes on a finer grid; scale: fine pixels per coarse pixel in x and y."""
    ch, cw = state.cost.shape
    cy = (np.arange(height) + 0.5) / scale[1] - 0.5
    cx = (np.arange(width) + 0.5) / scale[0] - 0.5
    iy = np.clip(np.rint(cy).astype(int), 0, ch - 1)
    ix = np.clip(np.rint(cx).astype(int), 0, cw - 1)
    planes = state.planes[np.ix_(iy, ix)].copy()
    planes[..., 0] += planes[..., 1] * (cx - ix)[None, :] + planes[..., 2] * (cy - iy)[:, None]
    planes[..., 1] /= scale[0]
    planes[..., 2] /= scale[1]
    return Planes(planes.astype(np.float32), np.full((height, width), -1, np.float32))


def match_view(
    cameras: Sequence[Camera],
    pyramids: Sequence[Sequence[Picture]],
    rho_range: tuple[float, float],
    options: MatchOptions,
    seed: int,
    device: str = "cpu",
) -> Planes:
    """Planes of the first camera's picture, the others being its sources.

    cameras are those of the finest level; pyramids[i][0] is the finest picture of camera i.
    """
    state: Planes | None = None
    middle = 0.5 * (rho_range[0] + rho_range[1])
    levels = len(pyramids[0])
    for level in reversed(range(levels)):
        pictures = [p[level] for p in pyramids]
        scaled = [c.resized(p.shape[1], p.shape[0]) for c, p in zip(cameras, pictures)]
        sources = pack_sources(scaled[0], scaled[1:], pictures[1:])
        rho_px = pixel_step(scaled[0], scaled[1:], middle)
        height, width = pictures[0].shape
        if state is None:
            state = sweep_planes(pictures[0], sources, rho_range, options, device)
        else:
            ch, cw = state.cost.shape
            state = enlarge(state, height, width, (width / cw, height / ch))
        sweeps = options.fine_sweeps if level == 0 else options.coarse_sweeps
        state = improve(
            pictures[0], scaled[0], sources, state, rho_range, rho_px, (1.0, 0.3), sweeps, options, seed + level,
            device=device,
        )  # fmt: skip
    assert state is not None
    return state
