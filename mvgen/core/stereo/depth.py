"""Depth maps for a whole scene: every view matched with its sources, then again with what they found.

State goes through files in a work folder, so that memory does not grow with the number of photos.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.io.images import read_image, read_mask
from mvgen.core.limits import between
from mvgen.core.progress import Progress
from mvgen.core.scene import Scene, View
from mvgen.core.stereo.match import (
    MatchOptions,
    Picture,
    Planes,
    improve,
    index_intrinsics,
    match_view,
    pack_sources,
    picture_of,
    pixel_step,
)
from mvgen.core.stereo.select import inverse_depth_range, source_views, visibility
from mvgen.kernels import jit

COARSEST = 160  # long side of the coarsest level, in pixels, at least
KERNELS = "stereo"


@dataclass(frozen=True)
class ConfirmOptions:
    """What counts as agreement between views."""

    max_cost: float = between(0.8, 0, 2)  # photometric cost over which a depth is not believed
    min_views: int = between(1, 1)  # other views that must confirm a depth (never more than there are)
    pixels: float = between(1.5, 0)  # reprojection error of a confirmation
    relative: float = between(0.01, 0)  # difference in depth of a confirmation


@dataclass(frozen=True)
class StereoOptions:
    """How depth maps are made."""

    size: int = between(960, 16)  # long side of a depth map in pixels
    sources: int = between(4, 1, 64)  # other views that a view is matched with
    geometric_passes: int = between(1, 0, 9)  # passes that also ask for agreement between views
    match: MatchOptions = field(default_factory=MatchOptions)
    confirm: ConfirmOptions = field(default_factory=ConfirmOptions)


@dataclass(frozen=True, eq=False)
class StereoResult:
    """Where the depths of a scene lie: one state file per view, and what made them."""

    scene: Scene
    cameras: tuple[Camera, ...]  # at the size of the depth maps
    sources: list[list[int]]
    ranges: list[tuple[float, float]]
    steps: list[float]  # inverse depth of one pixel of disparity, per view
    files: tuple[Path, ...]

    def planes(self, view: int) -> Planes:
        """The planes and costs of a view."""
        stack = np.load(self.files[view], mmap_mode="r")
        return Planes(np.ascontiguousarray(stack[..., :3]), np.ascontiguousarray(stack[..., 3]))


def read_at(view: View, camera: Camera) -> NDArray[np.uint8]:
    """The picture of a view resampled to the size of a camera, [H, W, 3]."""
    image = read_image(view.image_path)
    if image.shape[:2] == (camera.height, camera.width):
        return image
    return np.asarray(cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA), np.uint8)


def read_mask_at(path: Path, camera: Camera) -> NDArray[np.bool_]:
    """A mask resampled to the size of a camera, [H, W]: white wherever most of a pixel is."""
    mask = read_mask(path).astype(np.uint8) * 255
    return np.asarray(cv2.resize(mask, (camera.width, camera.height), interpolation=cv2.INTER_AREA)) > 127


def grey_of(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[H, W] in [0, 1] (Rec. 601 luma)."""
    return (image @ np.array([0.299, 0.587, 0.114], np.float32) / 255).astype(np.float32)


def pyramid(grey: NDArray[np.float32]) -> list[Picture]:
    """The picture and its halvings, finest first; three levels, or more for large pictures."""
    out = [picture_of(grey)]
    while len(out) < 3 or max(out[-1].shape) >= 2 * COARSEST:
        height, width = out[-1].shape
        if min(height, width) < 32:
            break
        half = cv2.resize(out[-1].grades[0], ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        out.append(picture_of(half))
    return out


def estimate_depths(
    scene: Scene,
    folder: Path,
    options: StereoOptions,
    seed: int,
    progress: Progress,
    device: str = "cpu",
    held: int = 12,
) -> StereoResult:
    """Match every view of a scene on a device (``cpu`` or ``cuda:N``); the states are written to files in `folder`.

    held: pictures kept in memory. States that an interrupted call for the same scene, options, seed and device left
    there are not computed again.
    """
    cameras = tuple(v.camera.fitted(options.size) for v in scene.views)
    seen = visibility(scene)
    sources = source_views(scene, options.sources)
    ranges = [inverse_depth_range(scene, i, seen[i]) for i in range(len(cameras))]
    steps = [pixel_step(c, [cameras[j] for j in s], 0.5 * sum(r)) for c, s, r in zip(cameras, sources, ranges)]

    @lru_cache(maxsize=held)
    def pictures(i: int) -> list[Picture]:
        return pyramid(grey_of(read_at(scene.views[i], cameras[i])))

    passes = 1 + options.geometric_passes
    progress.stage("depth", len(cameras) * passes)
    notice = jit.wait_notice(KERNELS, 15)
    if notice and device == "cpu":
        progress.warn(notice)

    def photometric(i: int) -> Planes:
        views = [i, *sources[i]]
        chosen = [cameras[j] for j in views], [pictures(j) for j in views]
        return match_view(*chosen, ranges[i], options.match, seed + i, device)

    first = _last_finished_pass(folder, len(cameras), passes)
    progress.advance(len(cameras) * first)
    before: StereoResult | None = None
    for k in range(first, passes):

        def compute(i: int, k: int = k, before: StereoResult | None = before) -> Planes:
            if before is None:  # only at k = 0: a pass that an earlier call finished asks for nothing
                return photometric(i)
            return _confirm_pass(before, i, pictures, options.match, seed + 1000 * k + i, device)

        files = _write_states(compute, len(cameras), folder / f"depth{k}", progress)
        for old in before.files if before else ():
            old.unlink(missing_ok=True)
        before = StereoResult(scene, cameras, sources, ranges, steps, files)
        if device == "cpu":
            jit.mark_warm(KERNELS)
    assert before is not None
    return before


def _confirm_pass(
    before: StereoResult,
    i: int,
    pictures: Callable[[int], list[Picture]],
    options: MatchOptions,
    seed: int,
    device: str,
) -> Planes:
    """Sweep a view again at full size, its cost now with the disagreement with its sources' depths (Xu & Tao 2019)."""
    names = before.sources[i]
    sources = pack_sources(before.cameras[i], [before.cameras[j] for j in names], [pictures(j)[0] for j in names])
    state = before.planes(i)
    depths = np.concatenate([before.planes(j).planes[..., 0].ravel() for j in names])
    unknown = Planes(state.planes, np.full_like(state.cost, -1))
    return improve(
        pictures(i)[0], before.cameras[i], sources, unknown, before.ranges[i], before.steps[i], (0.5, 0.15),
        options.geometric_sweeps, options, seed, depths, device,
    )  # fmt: skip


def _state_file(folder: Path, view: int) -> Path:
    return folder / f"{view:05d}.npy"


def _last_finished_pass(folder: Path, count: int, passes: int) -> int:
    """The last pass that an earlier call has finished, or 0; the states of those before it are gone."""
    complete = [all(_state_file(folder / f"depth{k}", i).exists() for i in range(count)) for k in range(passes)]
    return max((k for k in range(passes) if complete[k]), default=0)


def _write_states(compute: Callable[[int], Planes], count: int, folder: Path, progress: Progress) -> tuple[Path, ...]:
    """A file for each view, computed where it is not there yet and put in place when it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    files = tuple(_state_file(folder, i) for i in range(count))
    for i, file in enumerate(files):
        if not file.exists():
            state = compute(i)
            draft = file.with_suffix(".draft.npy")
            np.save(draft, np.concatenate([state.planes, state.cost[..., None]], axis=-1))
            draft.replace(file)
        progress.advance()
    return files


def camera_normals(planes: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Unit normals [H, W, 3] of planes [H, W, 3], in camera axes, towards the camera."""
    k = index_intrinsics(camera)
    x, y = np.meshgrid(np.arange(camera.width, dtype=np.float32), np.arange(camera.height, dtype=np.float32))
    rho, a, b = planes[..., 0], planes[..., 1], planes[..., 2]
    rest = rho - a * (x - np.float32(k[0, 2])) - b * (y - np.float32(k[1, 2]))
    normal = np.stack([np.float32(-k[0, 0]) * a, np.float32(-k[1, 1]) * b, -rest], axis=-1)
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-20)
