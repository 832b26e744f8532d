"""From aligned predictions to what stereo leaves: posed photos, sparse points, and a depth map for each photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.dust3r.align import Alignment, AlignOptions, Prediction
from mvgen.core.dust3r.pairs import Pair
from mvgen.core.dust3r.pictures import SHORT_SIDE, Fit, fit_mask, fit_photo
from mvgen.core.dust3r.predict import Precision, load_pair
from mvgen.core.errors import InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.images import read_mask
from mvgen.core.limits import between
from mvgen.core.scene import DepthMap, Scene, View, depth_normals
from mvgen.core.sfm.pictures import Picture

SPARSE = 2000  # points of a photo that stand for its surface
SAME = 0.02  # of the depth: two photos see the same point


@dataclass(frozen=True)
class Dust3rOptions:
    """graph: which photos are shown together (see `pairs.pair_graph`); batch: pairs decoded at a time; image_size:
    longer side of the network's pictures, 0 for the size it was trained at; worst_pairs: the percentage of pairs, those
    of the lowest mean confidence, that are not aligned as long as photos stay joined; min_confidence: raw confidence (1
    is none) under which a pixel is not believed; least_sure: the percentage of pixels that are not, where that is more;
    clean: leave out what no second photo confirms, within agreement of the depth; share_lens: photos of one camera have
    one focal length; precision: of the network, see `predict.half_precision`."""

    graph: str = "complete"
    batch: int = between(4, 1, 1024)
    image_size: int = between(0, 0, 4096)
    worst_pairs: float = between(0.0, 0, 99)
    min_confidence: float = between(3.0, 0)
    least_sure: float = between(0.0, 0, 99)
    clean: bool = True
    agreement: float = between(0.03, 0, 1)
    share_lens: bool = True
    precision: Precision = "auto"


def fits_of(found: Sequence[tuple[Pair, Path]], pictures: Sequence[Picture]) -> list[Fit]:
    """How each picture became what its predictions show: as this program makes it, or the whole picture resized.

    Raises InputError where a prediction has a shape that comes of neither, or says nothing of a picture.
    """
    sizes: dict[int, tuple[tuple[int, int], Path]] = {}
    for pair, path in found:
        if not all(k in sizes for k in pair):
            prediction = load_pair(pair, path)
            for k, points in zip(pair, (prediction.points_i, prediction.points_j)):
                sizes.setdefault(k, ((points.shape[1], points.shape[0]), path))
    missing = [p.photo for k, p in enumerate(pictures) if k not in sizes]
    if missing:
        raise InputError(f"{found[0][1].parent}: says nothing of {missing[0]}", "every photo needs a pair")
    return [_fit(picture, *sizes[k]) for k, picture in enumerate(pictures)]


def _fit(picture: Picture, size: tuple[int, int], path: Path) -> Fit:
    whole = picture.width, picture.height
    for image_size in (max(size), SHORT_SIDE):
        for keep_square in (False, True):
            fit = fit_photo(*whole, image_size, keep_square)
            if fit.size == size:
                return fit
    if abs(np.log(size[0] / size[1] * whole[1] / whole[0])) > 0.02:
        raise InputError(
            f"{path}: a map of {size[0]}x{size[1]} is no view of {picture.photo}, {whole[0]}x{whole[1]}",
            "photos are numbered in the order of their names",
        )
    return Fit(whole, size, (0, 0), size)


def align_options(pictures: Sequence[Picture], fits: Sequence[Fit], options: Dust3rOptions) -> AlignOptions:
    """What is known beforehand, in the pixels of the network's pictures. Poses count where all photos have one."""
    focals = {k: float(f.to_picture(p.lens.intrinsics)[0, 0]) for k, (p, f) in enumerate(zip(pictures, fits)) if p.lens}
    poses = {k: np.asarray(np.linalg.inv(p.pose), np.float64) for k, p in enumerate(pictures) if p.pose is not None}
    groups = tuple(p.camera for p in pictures) if options.share_lens else None
    if groups is not None and len({(g, f.photo, f.size) for g, f in zip(groups, fits)}) > len(set(groups)):
        groups = tuple(range(len(pictures)))  # of one camera, but of different shapes
    return AlignOptions(groups, focals, poses)


def masked(prediction: Prediction, mask_i: Path | None, mask_j: Path | None, fits: Sequence[Fit]) -> Prediction:
    """The prediction with nothing said of what masks hide."""

    def seen(confidence: NDArray[np.floating], mask: Path | None, fit: Fit) -> NDArray[np.floating]:
        return confidence if mask is None else np.where(fit_mask(read_mask(mask), fit), confidence, 0)

    return replace(
        prediction,
        confidence_i=seen(prediction.confidence_i, mask_i, fits[prediction.i]),
        confidence_j=seen(prediction.confidence_j, mask_j, fits[prediction.j]),
    )


def pair_score(prediction: Prediction) -> float:
    """How sure a prediction is: the mean logarithm of the confidence in its two maps."""
    sure = (np.log(np.maximum(c.astype(np.float32), 1)) for c in (prediction.confidence_i, prediction.confidence_j))
    return float(np.mean([s.mean() for s in sure]))


def posed_scene(
    alignment: Alignment, fits: Sequence[Fit], pictures: Sequence[Picture], options: Dust3rOptions
) -> tuple[Scene, list[DepthMap]]:
    """The scene of all pictures, and their depth maps, which span the whole pictures at the network's scale: nothing is
    known where the network's picture was cropped, nor where the confidence is too low."""
    views, maps = [], []
    least = max(options.min_confidence, _percentile(alignment.confidence, options.least_sure))
    for k, (picture, fit) in enumerate(zip(pictures, fits)):
        width, height = fit.size
        focal = alignment.focals[k]
        seen = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        pose = np.linalg.inv(alignment.camera_to_world[k])
        camera = Camera(picture.name, picture.width, picture.height, fit.to_photo(seen), pose)
        views.append(View(camera, picture.path, picture.mask))
        maps.append(_whole_map(alignment, k, fit, camera, least))
    return Scene(tuple(views), *_sparse(maps)), maps


def _percentile(confidence: Sequence[NDArray[np.float32]], share: float) -> float:
    """Of the confidence of all photos' pixels that are not masked."""
    return float(np.percentile(np.concatenate([c[c > 0] for c in confidence]), share)) if share else 0.0


def _whole_map(alignment: Alignment, k: int, fit: Fit, camera: Camera, min_confidence: float) -> DepthMap:
    (left, top), (width, height) = fit.corner, fit.size
    shape = max(fit.resized[1], top + height), max(fit.resized[0], left + width)
    depth, confidence = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    sure = alignment.confidence[k]
    believed = (sure >= min_confidence) & (alignment.depths[k] > 0)
    part = np.s_[top : top + height, left : left + width]
    depth[part] = np.where(believed, alignment.depths[k], 0)
    confidence[part] = np.where(believed, 1 - 1 / np.maximum(sure, 1), 0)
    small = camera.resized(shape[1], shape[0])
    return DepthMap(small, depth, depth_normals(depth, small), confidence)


def _sparse(maps: Sequence[DepthMap]) -> tuple[PointCloud, NDArray[np.int32]]:
    """Points spread over all depth maps, and (point, view) wherever another map has the same depth."""
    points, owners = [], []
    for k, depth_map in enumerate(maps):
        step = max(1, int(np.sqrt(depth_map.depth.size / SPARSE)))
        known = np.zeros(depth_map.depth.shape, bool)
        known[step // 2 :: step, step // 2 :: step] = True
        known &= depth_map.depth > 0
        camera = depth_map.camera
        points.append(camera.centre + camera.rays()[known] * depth_map.depth[known].astype(np.float64)[:, None])
        owners.append(np.full(len(points[-1]), k))
    cloud, owner = np.concatenate(points), np.concatenate(owners)
    tracks = []
    for k, depth_map in enumerate(maps):
        pixels, depth = depth_map.camera.project(cloud)
        inside = (
            (depth > 0) & (pixels >= 0).all(1) & (pixels < [depth_map.camera.width, depth_map.camera.height]).all(1)
        )
        column, row = np.where(inside[:, None], pixels, 0).astype(np.int64).T
        there = depth_map.depth[row, column]
        seen = inside & (np.abs(there - depth) < SAME * depth) | (owner == k)
        index = np.flatnonzero(seen)
        tracks.append(np.stack([index, np.full(len(index), k)], axis=1))
    return PointCloud(cloud), np.concatenate(tracks).astype(np.int32)
