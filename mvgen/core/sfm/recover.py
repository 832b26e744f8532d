"""From photos to cameras and sparse points."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.images import Photo, read_image, write_mask
from mvgen.core.limits import between
from mvgen.core.progress import Progress, Silent
from mvgen.core.scene import Scene, View
from mvgen.core.sfm.lens import Lens
from mvgen.core.sfm.pictures import Picture, prepare_pictures, undistorted_copy, undistorted_mask
from mvgen.core.sfm.process import run_worker
from mvgen.core.sfm.verdicts import Evidence, Verdict, judge, refuse_hopeless


@dataclass(frozen=True)
class SfmOptions:
    """picture_size: longer side of the pictures handed on, in pixels; feature_size: longer side at which features are
    looked for first; max_features: per photo; pairs: which photos are matched with which (auto: all of up to 40, else
    those that look alike and neighbours in order); neighbours and window: how many of each; mapper: how cameras are
    found, one after the other or all at once (for large sets)."""

    picture_size: int = between(1600, 64)
    feature_size: int = between(1024, 64)
    max_features: int = between(8192, 64)
    pairs: Literal["auto", "all", "sequential", "similar"] = "auto"
    neighbours: int = between(15, 1)
    window: int = between(5, 1)
    mapper: Literal["incremental", "global"] = "incremental"


@dataclass(frozen=True, eq=False)
class SfmResult:
    """scene: the photos that got a camera, their pictures and sparse points; verdicts: one for each photo;
    reprojection_error: mean over the sparse points, in pixels of the pictures; seconds: by step; lenses: of each photo
    that got a camera, as it was before undistortion."""

    scene: Scene
    verdicts: tuple[Verdict, ...]
    reprojection_error: float
    seconds: dict[str, float]
    lenses: dict[str, Lens]


def recover_cameras(
    photos: Sequence[Photo],
    folder: Path,
    options: SfmOptions | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> SfmResult:
    """`prepare_pictures` and `find_cameras` in one, for photos of which nothing is known."""
    options, progress = options or SfmOptions(), progress or Silent()
    refuse_too_few(len(photos))
    pictures = prepare_pictures(photos, folder / "upright", options.picture_size, threads, progress)
    return find_cameras(pictures, folder, options, seed, threads, progress)


def refuse_too_few(count: int, fewest: int = 2) -> None:
    """Raise CannotError for fewer photos than can be worked with."""
    if count < fewest:
        raise CannotError(
            "one photo shows no depth: at least two overlapping photos are needed"
            if count
            else "no photo is left to work with",
            "add photos of the same thing taken from other places",
        )


def find_cameras(
    pictures: Sequence[Picture],
    folder: Path,
    options: SfmOptions,
    seed: int,
    threads: int,
    progress: Progress,
) -> SfmResult:
    """Cameras, sparse points and undistorted upright pictures (in ``folder``/images, masks in ``folder``/masks) of
    overlapping photos.

    Known lenses and poses of pictures stay as they are, and the world is that of the known poses. The result does not
    depend on ``threads``. Raises CannotError, saying why, when the photos do not tell where they were taken from.
    """
    refuse_too_few(len(pictures))
    work = folder / "sfm"
    work.mkdir(parents=True, exist_ok=True)
    answer = run_worker(_request(pictures, work, options, seed, threads), work, progress)
    seconds = json.loads(str(answer["seconds"]))
    evidence = _evidence(pictures, answer)
    if any(p.pose is None for p in pictures):
        refuse_hopeless(evidence)
    progress.stage("undistort")
    start = time.perf_counter()
    lenses = [Lens(p.width, p.height, tuple(row)) for p, row in zip(pictures, answer["lens"].tolist())]
    scene = _scene(pictures, lenses, answer, folder)
    seconds["undistort"] = time.perf_counter() - start
    placed = {p.photo: lens for p, lens, group in zip(pictures, lenses, answer["group"]) if group == 0}
    return SfmResult(scene, judge(evidence), _mean(answer["errors"]), seconds, placed)


def _request(pictures: Sequence[Picture], work: Path, options: SfmOptions, seed: int, threads: int) -> dict[str, Any]:
    """The worker knows pictures by numbers, as pycolmap's lists of pairs cannot hold names with spaces."""
    folder = work / "pictures"
    folder.mkdir(exist_ok=True)
    names = [f"{i:06d}{p.path.suffix.lower()}" for i, p in enumerate(pictures)]
    for name, picture in zip(names, pictures):
        _link(picture.path, folder / name)
    return {
        "pictures": [
            {
                "name": name,
                "width": p.width,
                "height": p.height,
                "focal": p.focal,
                "camera": p.camera,
                "lens": None if p.lens is None else list(p.lens.params),
                "pose": None if p.pose is None else p.pose[:3].tolist(),
            }
            for name, p in zip(names, pictures)
        ],
        "image_folder": str(folder.resolve()),
        "mask_folder": _mask_folder(pictures, names, work),
        "work_folder": str(work.resolve()),
        "feature_size": options.feature_size,
        "max_features": options.max_features,
        "pairs": options.pairs,
        "neighbours": options.neighbours,
        "window": options.window,
        "mapper": options.mapper,
        "seed": seed,
        "threads": threads,
    }


def _mask_folder(pictures: Sequence[Picture], names: list[str], work: Path) -> str | None:
    """Where the masks lie under the names that pycolmap expects; each picture needs one as soon as one has."""
    if all(p.mask is None for p in pictures):
        return None
    folder = work / "masks"
    folder.mkdir(exist_ok=True)
    for name, picture in zip(names, pictures):
        target = folder / f"{name}.png"
        if picture.mask is not None:
            _link(picture.mask, target)
        else:
            write_mask(np.ones((picture.height, picture.width), np.bool_), target)
    return str(folder.resolve())


def _link(path: Path, target: Path) -> None:
    """A second name for a file, or a copy where the disk knows no such thing."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, target)


def _evidence(pictures: Sequence[Picture], answer: dict[str, NDArray[Any]]) -> Evidence:
    return Evidence(
        names=[p.photo for p in pictures],
        group=answer["group"],
        features=answer["features"],
        matches=answer["matches"],
        pair=answer["pair"],
        pair_share=answer["pair_share"],
        pair_homography=answer["pair_homography"],
        focal=np.array([np.nan if p.focal is None else p.focal for p in pictures]),
        size=np.array([(p.width, p.height) for p in pictures], np.int32),
        points=np.bincount(answer["tracks"][:, 1], minlength=len(pictures)),
    )


def _scene(pictures: Sequence[Picture], lenses: Sequence[Lens], answer: dict[str, NDArray[Any]], folder: Path) -> Scene:
    """Undistorts the pictures of registered photos."""
    (folder / "images").mkdir(exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    views: list[View] = []
    number = np.full(len(pictures), -1, np.int32)  # of a photo among the views
    for i, (picture, lens) in enumerate(zip(pictures, lenses)):
        if answer["group"][i] != 0:
            continue
        path, mask = folder / "images" / picture.name, None
        undistorted_copy(picture.path, path, lens)
        if picture.mask is not None:
            mask = folder / "masks" / f"{picture.name}.png"
            undistorted_mask(picture.mask, mask, lens)
        number[i] = len(views)
        camera = Camera(picture.name, picture.width, picture.height, lens.pinhole, answer["poses"][i])
        views.append(View(camera, path, mask))
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
