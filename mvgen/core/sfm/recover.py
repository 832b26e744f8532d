"""From photos to cameras and sparse points."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.images import Photo, find_duplicates, read_image
from mvgen.core.limits import between
from mvgen.core.progress import Progress, Silent
from mvgen.core.scene import Scene, View
from mvgen.core.sfm.pictures import Lens, Picture, prepare_pictures, undistort_picture
from mvgen.core.sfm.process import run_worker
from mvgen.core.sfm.verdicts import Evidence, Verdict, judge, refuse_hopeless


@dataclass(frozen=True)
class SfmOptions:
    """picture_size: longer side of the pictures handed on, in pixels; feature_size: longer side at which features are
    looked for first; max_features: per photo."""

    picture_size: int = between(1600, 64)
    feature_size: int = between(1024, 64)
    max_features: int = between(8192, 64)


@dataclass(frozen=True, eq=False)
class SfmResult:
    """scene: the photos that got a camera, their pictures and sparse points; verdicts: one for each photo;
    reprojection_error: mean over the sparse points, in pixels of the pictures; seconds: by step."""

    scene: Scene
    verdicts: tuple[Verdict, ...]
    reprojection_error: float
    seconds: dict[str, float]


def recover_cameras(
    photos: Sequence[Photo],
    folder: Path,
    options: SfmOptions | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> SfmResult:
    """Cameras, sparse points and undistorted upright pictures (in ``folder``/images) of overlapping photos.

    The result does not depend on ``threads``. Raises InputError for a broken photo, before any other work, and
    CannotError, saying why, when the photos do not tell where they were taken from.
    """
    options, progress = options or SfmOptions(), progress or Silent()
    if len(photos) < 2:
        raise CannotError(
            "one photo shows no depth: at least two overlapping photos are needed",
            "add photos of the same thing taken from other places",
        )
    start = time.perf_counter()
    pictures = prepare_pictures(photos, folder / "images", options.picture_size, threads, progress)
    for names in find_duplicates(photos):
        progress.warn(f"{names[0]}: the same file as {', '.join(names[1:])}")
    seconds = {"load": time.perf_counter() - start}
    work = folder / "sfm"
    work.mkdir(parents=True, exist_ok=True)
    answer = run_worker(_request(pictures, work, options, seed, threads), work, progress)
    seconds |= json.loads(str(answer["seconds"]))
    evidence = _evidence(photos, pictures, answer)
    refuse_hopeless(evidence)
    progress.stage("undistort")
    start = time.perf_counter()
    scene = _scene(pictures, answer)
    seconds["undistort"] = time.perf_counter() - start
    return SfmResult(scene, judge(evidence), _mean(answer["errors"]), seconds)


def _request(pictures: list[Picture], work: Path, options: SfmOptions, seed: int, threads: int) -> dict[str, Any]:
    """The worker knows pictures by numbers, as pycolmap's lists of pairs cannot hold names with spaces."""
    folder = work / "pictures"
    folder.mkdir(exist_ok=True)
    names = [f"{i:06d}{p.path.suffix.lower()}" for i, p in enumerate(pictures)]
    for name, picture in zip(names, pictures):
        _link(picture.path, folder / name)
    return {
        "pictures": [
            {"name": name, "width": p.width, "height": p.height, "focal": p.focal, "camera": p.camera}
            for name, p in zip(names, pictures)
        ],
        "image_folder": str(folder.resolve()),
        "work_folder": str(work.resolve()),
        "feature_size": options.feature_size,
        "max_features": options.max_features,
        "seed": seed,
        "threads": threads,
    }


def _link(path: Path, target: Path) -> None:
    """A second name for a file, or a copy where the disk knows no such thing."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, target)


def _evidence(photos: Sequence[Photo], pictures: list[Picture], answer: dict[str, NDArray[Any]]) -> Evidence:
    count = len(photos)
    return Evidence(
        names=[p.name for p in photos],
        group=answer["group"],
        features=answer["features"],
        matches=answer["matches"],
        pair=answer["pair"],
        pair_share=answer["pair_share"],
        pair_homography=answer["pair_homography"],
        focal=np.array([np.nan if p.focal is None else p.focal for p in pictures]),
        size=np.array([(p.width, p.height) for p in pictures], np.int32),
        points=np.bincount(answer["tracks"][:, 1], minlength=count),
    )


def _scene(pictures: list[Picture], answer: dict[str, NDArray[Any]]) -> Scene:
    """Undistorts the pictures of registered photos and removes the others."""
    views: list[View] = []
    number = np.full(len(pictures), -1, np.int32)  # of a photo among the views
    for i, picture in enumerate(pictures):
        if answer["group"][i] != 0:
            picture.path.unlink()
            continue
        focal, radial = answer["lens"][i]
        focal = undistort_picture(picture.path, Lens(picture.width, picture.height, float(focal), float(radial)))
        intrinsics = np.array([[focal, 0, picture.width / 2], [0, focal, picture.height / 2], [0, 0, 1]])
        number[i] = len(views)
        camera = Camera(picture.name, picture.width, picture.height, intrinsics, answer["poses"][i])
        views.append(View(camera, picture.path))
    tracks = np.stack([answer["tracks"][:, 0], number[answer["tracks"][:, 1]]], 1).astype(np.int32)
    colours = _point_colours(views, answer["points"], tracks)
    return Scene(tuple(views), PointCloud(answer["points"], colours=colours), tracks)


def _point_colours(
    views: Sequence[View], points: NDArray[np.float64], tracks: NDArray[np.int32]
) -> NDArray[np.float32]:
    """[P, 3]: mean colour of each point in the pictures that see it."""
    total, seen = np.zeros((len(points), 3)), np.zeros(len(points))
    for index, view in enumerate(views):
        mine = tracks[tracks[:, 1] == index, 0]
        image = read_image(view.image_path)
        pixels, _ = view.camera.project(points[mine])
        x, y = (np.clip(pixels[:, k], 0, image.shape[1 - k] - 1).astype(int) for k in (0, 1))
        np.add.at(total, mine, image[y, x] / 255)
        np.add.at(seen, mine, 1)
    return (total / np.maximum(seen, 1)[:, None]).astype(np.float32)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
