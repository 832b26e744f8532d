"""Posed photos to splats: the start, the fit, and how well it shows the photos."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mvgen.core.errors import CannotError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.atomic import atomic_file
from mvgen.core.metrics import psnr, ssim
from mvgen.core.progress import Progress
from mvgen.core.render.splats import Painter
from mvgen.core.splats.fit.start import BACKDROP, backdrop, first_splats, seen_points
from mvgen.core.splats.fit.state import SPLATS, State, begin, load_state, save_state, splats_of
from mvgen.core.splats.fit.train import Job, train
from mvgen.core.splats.fit.views import Photo
from mvgen.core.splats.model import Splats, merged
from mvgen.core.splats.seen import SCENE_FRAME, frame_of, noted

FEWEST = 2  # photos that can tell where something is


@dataclass(frozen=True)
class Quality:
    """How well splats show photos: means over them of PSNR in dB and of SSIM."""

    photos: int
    psnr: float
    ssim: float


def fit_splats(job: Job, points: PointCloud | None, progress: Progress, checkpoint: Path | None = None) -> Splats:
    """Splats that show what the photos show.

    They begin at points, or where the photos' depth maps see a surface. With ``checkpoint``, a folder, a fit that was
    killed goes on, to the same result. Raises CannotError where there are too few photos or the fit diverges.
    """
    if len(job.photos) < FEWEST:
        raise CannotError(f"{len(job.photos)} photo to fit to: at least {FEWEST} are needed", "give more photos")
    progress.stage("start")
    start, dome = first(job, points, progress)
    file = None if checkpoint is None else checkpoint / f"splats-{_key(start, job)}.safetensors"
    state = begin(start, len(job.photos), job.options.degree, job.device)
    if file is not None and file.exists():
        state = load_state(file, job.device)
        progress.note(f"{file}: goes on after {state.step} iterations")
    progress.stage("fit", job.options.iterations)
    progress.advance(state.step)
    behind = begin(dome, 0, job.options.degree, job.device).values
    found = splats_of(train(state, job, behind, progress, _keeper(file)), start)
    return merged([found, dome]) if len(dome) else found


def first(job: Job, points: PointCloud | None, progress: Progress) -> tuple[Splats, Splats]:
    """The splats that a fit begins with, and those behind them that stay as they are."""
    photos = job.photos
    most, rng = job.options.splats, np.random.default_rng(job.seed)
    number = max(1, round(job.options.first * most))
    if points is None:
        points = seen_points(photos, number, rng)
    if points is None or not len(points):
        progress.warn("there are neither points nor depth maps to begin with: the fit starts from chance")
        points = PointCloud(np.zeros((0, 3)))
    splats = first_splats(points, photos, number, rng)
    far, dome = backdrop(splats, photos, max(1, round(BACKDROP * most)))
    progress.note(f"{len(splats):,} splats to begin with, {len(far):,} far behind them, a dome of {len(dome):,}")
    cameras = [p.camera for p in photos]
    frame = frame_of(cameras)
    about = noted(cameras) | {SCENE_FRAME: frame} | ({"antialiased": True} if job.options.antialiased else {})
    return replace(merged([splats, far]), frame=frame, metadata=about), replace(dome, frame=frame)


def quality(splats: Splats, photos: Sequence[Photo], background: Sequence[float], device: str = "cpu") -> Quality:
    """How well splats show photos, in the pixels of their masks where they have some."""
    painter, found = Painter(splats, device), []
    for photo in photos:
        view = painter.render(photo.camera)
        shown = np.clip(view.color * view.alpha[..., None] + (1 - view.alpha[..., None]) * background, 0, 1)
        mask = np.ones(shown.shape[:2], bool) if photo.mask is None else photo.mask > 0.5
        if mask.any():
            truth = photo.picture / np.float32(255)
            found.append((psnr(shown, truth, mask), ssim(shown, truth, mask)))
    mean = np.mean(found, axis=0) if found else (0.0, 0.0)
    return Quality(len(found), float(mean[0]), float(mean[1]))


def _keeper(file: Path | None) -> Callable[[State], None]:
    def keep(state: State) -> None:
        if not all(bool(state.values[name].isfinite().all()) for name in SPLATS):
            raise CannotError("the fit diverged: some numbers are not finite", "try smaller rates, with --set")
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(file) as draft:
                save_state(state, draft)

    return keep


def _key(start: Splats, job: Job) -> str:
    """Names a fit: what it begins with, what it sees, and how it works."""
    about: Any = (asdict(job.options), job.background, job.seed, job.device.partition(":")[0])
    digest = hashlib.sha256(repr(about).encode())
    for array in (getattr(start, name) for name in SPLATS):
        digest.update(array.tobytes())
    for photo in job.photos:
        digest.update(repr(photo.camera).encode())
        for array in (photo.picture, photo.mask, photo.depth):
            digest.update(b"-" if array is None else array.tobytes())
    return digest.hexdigest()[:24]
