"""Measuring a result against ground truth: alignment, distances in a region, pictures, cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core import alignment, metrics
from mvgen.core.camera import Camera, Similarity
from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.images import find_photos, read_image
from mvgen.core.io.truth import Truth
from mvgen.core.nearest import Nearest, Samples, sample_surface
from mvgen.core.progress import Progress, Silent
from mvgen.core.render.raycast import Caster

Align = Literal["auto", "none", "similarity", "icp", "cameras"]

SAMPLES = 100_000
MARGIN = 0.03  # of the scored region around the object, in diagonals
ABOVE_GROUND = 0.01  # where the scored region begins, in diagonals
THIN = 0.002  # cell in which a point cloud counts once, in diagonals
SILENT = Silent()


@dataclass(frozen=True)
class Options:
    """align: how the result is brought to the truth; thresholds: of the F-score, in diagonals; keyspheres: whether the
    measures with which key spheres were published are added."""

    align: Align = "auto"
    thresholds: tuple[float, ...] = (0.005, 0.01, 0.02)
    seed: int = 0
    keyspheres: bool = False


@dataclass(frozen=True, eq=False)
class Scores:
    """metrics by name (None: could not be measured, see reasons); alignment and per_view as plain values."""

    metrics: dict[str, float | None]
    reasons: dict[str, str] = field(default_factory=dict)
    alignment: dict[str, Any] = field(default_factory=dict)
    per_view: list[dict[str, Any]] = field(default_factory=list)


def evaluate(
    result: Mesh | PointCloud,
    truth: Truth,
    cameras: Sequence[Camera] = (),
    photos: Path | None = None,
    options: Options = Options(),
    progress: Progress = SILENT,
) -> Scores:
    """Measure a result.

    In a rendered set only the object counts: its bounds with a margin of 3 % of the diagonal, from 1 % above the
    ground, and of the truth the points that at least two of the set's views see. ``cameras`` are the result's, in its
    frame; photos are the set's or a folder with pictures named as the cameras' (see `picture_scores`).
    """
    progress.stage("align")
    rng = np.random.default_rng(options.seed)
    samples, expected = truth_samples(truth, rng)
    if not len(expected):
        raise CannotError("the ground truth has nothing that two of its views see", "check its cameras.json")
    goal = alignment.Goal(samples, expected, truth.diagonal, lambda points, extra: inside(truth, points, extra))
    pairs = alignment.matching_cameras(cameras, truth.cameras)
    similarity, how = _align(result, goal, pairs, truth.ground, options)
    moved = result.moved(similarity)
    progress.stage("distances")
    values, reasons = shape_scores(moved, truth, samples[expected], options, rng)
    if options.keyspheres:
        progress.stage("key spheres")
        _add_keysphere_measures(moved, truth, values, reasons, rng)
    scores = Scores(values, reasons, _told(similarity, how))
    if cameras and truth.is_set:
        scores.metrics.update(camera_scores(pairs, truth))
    found = truth.photos if photos is None else photos
    if found is not None and isinstance(result, Mesh) and _has_colour(result):
        views = list(cameras) or [c.moved(similarity.inverse()) for c in truth.cameras]
        more, per_view = picture_scores(result, views, found, truth, progress)
        scores.metrics.update(more)
        scores.per_view.extend(per_view)
    elif found is not None:
        reasons["psnr"] = "the result has no texture and no colours, or no faces"
        scores.metrics.update({"psnr": None, "ssim": None, "coverage": None})
    return scores


# ---- the truth


def truth_samples(truth: Truth, rng: np.random.Generator) -> tuple[Samples, NDArray[np.int64]]:
    """Samples of the truth, and which of them a result should hold (at most SAMPLES)."""
    if isinstance(truth.shape, PointCloud):
        cloud = truth.shape
        order = rng.permutation(len(cloud))
        normals = None if cloud.normals is None else cloud.normals[order].astype(np.float64)
        samples = Samples(cloud.points[order], normals)
        return samples, np.flatnonzero(inside(truth, samples.points))[:SAMPLES]
    samples, _ = sample_surface(truth.shape, 2 * SAMPLES, rng)
    if not len(samples):
        raise CannotError("the ground truth has no area", "give a mesh with faces of some size")
    mask = inside(truth, samples.points)
    if truth.cameras:
        mask &= count_views(truth.shape, samples.points, truth.cameras) >= 2
    return samples, np.flatnonzero(mask)[:SAMPLES]


def inside(truth: Truth, points: NDArray[np.float64], extra: float = 0.0) -> NDArray[np.bool_]:
    """[N]: which points [N, 3] lie in the scored region, widened by ``extra`` diagonals; all where there is none."""
    if not truth.is_set:
        return np.ones(len(points), bool)
    pad = (MARGIN + extra) * truth.diagonal
    mask = ((points > truth.bounds[0] - pad) & (points < truth.bounds[1] + pad)).all(1)
    if truth.ground is not None:
        mask &= points[:, 1] > truth.ground + (ABOVE_GROUND - extra) * truth.diagonal
    return mask


def count_views(mesh: Mesh, points: NDArray[np.float64], cameras: Sequence[Camera]) -> NDArray[np.int64]:
    """[N]: how many cameras see each point [N, 3] of a mesh, neither outside the picture nor hidden by the mesh."""
    caster = Caster(mesh)
    seen = np.zeros(len(points), np.int64)
    for camera in cameras:
        pixels, depth = camera.project(points)
        framed = (depth > 0) & (pixels >= 0).all(1) & (pixels < [camera.width, camera.height]).all(1)
        rays = points[framed] - camera.centre
        hits = caster.hits(camera.centre, rays)
        slack = 1e-3 * mesh.diagonal / np.linalg.norm(rays, axis=1)
        seen[framed] += (hits.face < 0) | (hits.distance > 1 - slack)
    return seen


# ---- alignment


def _align(
    result: Mesh | PointCloud,
    goal: alignment.Goal,
    pairs: Sequence[tuple[Camera, Camera]],
    ground: float | None,
    options: Options,
) -> tuple[Similarity, str]:
    if options.align == "none":
        return Similarity.identity(), "none"
    if options.align == "cameras" and len(pairs) < 2:
        raise UsageError(
            "--align cameras needs at least two cameras named as the truth's", "give --cameras, or --align similarity"
        )
    points = _cloud(result, np.random.default_rng(options.seed))
    if len(pairs) >= 2 and options.align in ("auto", "cameras"):
        start = alignment.align_cameras(pairs)
        if options.align == "cameras":
            return start, "cameras"
        if alignment.misfit(goal, points, start) < 0.08:
            return alignment.icp(goal, points, start, 0.03), "cameras, then icp"
    identity = Similarity.identity()
    near = alignment.misfit(goal, points, identity, both_ways=True) < 0.05
    if options.align == "icp" or (options.align == "auto" and near):
        return alignment.icp(goal, points, identity), "icp"
    return alignment.icp(goal, points, alignment.search(goal, points, options.seed, ground), 0.03), "similarity"


def _cloud(result: Mesh | PointCloud, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points that stand for a result, in random order."""
    if isinstance(result, Mesh):
        points = sample_surface(result, SAMPLES, rng)[0].points
    else:
        points = rng.permutation(result.points[_first_in_cell(result.points, 1e-3 * result.diagonal)])[:SAMPLES]
    if len(points) < 20:
        raise CannotError("the result is too small to be measured", "give a mesh with some area, or more points")
    return points


def _told(similarity: Similarity, how: str) -> dict[str, Any]:
    return {
        "by": how,
        "scale": similarity.scale,
        "rotation": similarity.rotation.tolist(),
        "translation": similarity.translation.tolist(),
    }


# ---- shapes


def shape_scores(
    result: Mesh | PointCloud, truth: Truth, expected: Samples, options: Options, rng: np.random.Generator
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Metrics of an aligned result, and why some could not be measured."""
    reasons: dict[str, str] = {}
    to_truth = Nearest(truth.shape)
    own, near = _result_samples(result, truth, rng)
    if len(own):
        there, there_normals = to_truth.query(own.points)
        back, back_normals = Nearest(near).query(expected.points)
        pairs = [(own.normals, there_normals), (expected.normals, back_normals)]
        consistency = metrics.normal_consistency(pairs)
    else:
        there, back, consistency = np.zeros(0), np.full(len(expected), np.inf), None
        reasons["accuracy"] = "nothing of the result lies in the scored region"
    values = metrics.distance_metrics(there / truth.diagonal, back / truth.diagonal, options.thresholds)
    values["normal_consistency"] = consistency
    if consistency is None:
        reasons["normal_consistency"] = "one of the two has no normals" if len(own) else reasons["accuracy"]
    values["volume_iou"] = None
    if isinstance(result, Mesh) and isinstance(truth.shape, Mesh):
        try:
            values["volume_iou"] = metrics.volume_iou(result, truth.shape)
        except CannotError as error:
            reasons["volume_iou"] = error.message
    else:
        reasons["volume_iou"] = "points enclose no volume"
    return values, reasons


def _add_keysphere_measures(
    result: Mesh | PointCloud,
    truth: Truth,
    values: dict[str, float | None],
    reasons: dict[str, str],
    rng: np.random.Generator,
) -> None:
    from mvgen.core.keyspheres.measures import NAMES, keysphere_measures

    values.update(dict.fromkeys(NAMES))
    if not (isinstance(result, Mesh) and isinstance(truth.shape, Mesh)):
        reasons[NAMES[0]] = "points have no inside"
        return
    try:
        values.update(keysphere_measures(result, truth.shape, rng))
    except CannotError as error:
        reasons[NAMES[0]] = error.message


def _result_samples(
    result: Mesh | PointCloud, truth: Truth, rng: np.random.Generator
) -> tuple[Samples, Mesh | PointCloud]:
    """About SAMPLES points of the result in the scored region, and the part of the result near that region."""
    if isinstance(result, PointCloud):
        near = result[inside(truth, result.points, 0.05)]
        thin = near[np.sort(_first_in_cell(near.points, THIN * truth.diagonal))]
        thin = thin[inside(truth, thin.points)]
        return Samples(thin.points, None if thin.normals is None else thin.normals.astype(np.float64)), near
    corners = result.vertices[result.faces]
    touching = np.ones(len(corners), bool)
    if truth.is_set:
        pad = (MARGIN + 0.05) * truth.diagonal
        touching = ((corners.max(1) > truth.bounds[0] - pad) & (corners.min(1) < truth.bounds[1] + pad)).all(1)
    near_mesh = replace(result, faces=result.faces[touching])
    kept, drawn, have = [np.zeros((0, 3))], 0, 0
    normals = [np.zeros((0, 3))]
    while have < SAMPLES and drawn < 20 * SAMPLES:
        some, _ = sample_surface(near_mesh, SAMPLES, rng)
        if not len(some):
            break
        some = some[inside(truth, some.points)]
        assert some.normals is not None
        kept.append(some.points)
        normals.append(some.normals)
        have += len(some)
        drawn += SAMPLES
    return Samples(np.concatenate(kept)[:SAMPLES], np.concatenate(normals)[:SAMPLES]), near_mesh


def _first_in_cell(points: NDArray[np.float64], cell: float) -> NDArray[np.int64]:
    """Index of the first point in each occupied cubic cell."""
    if not len(points) or not cell > 0:
        return np.arange(len(points))
    keys = np.floor((points - points.min(0)) / cell).astype(np.int64)
    return np.unique(keys, axis=0, return_index=True)[1]


# ---- cameras and pictures


def camera_scores(pairs: Sequence[tuple[Camera, Camera]], truth: Truth) -> dict[str, float | None]:
    """Share of registered views; angles in degrees and distances in diagonals, the cameras aligned by themselves."""
    out: dict[str, float | None] = {"registered": len(pairs) / len(truth.cameras)}
    names = ("rotation_error", "centre_error")
    if len(pairs) < 2:
        return out | dict.fromkeys(names)
    turn, shift = alignment.camera_errors(pairs, alignment.align_cameras(pairs))
    for name, error in zip(names, (turn, shift / truth.diagonal)):
        out |= {name: float(error.mean()), f"{name}_median": float(np.median(error)), f"{name}_max": float(error.max())}
    return out


def picture_scores(
    result: Mesh, cameras: Sequence[Camera], photos: Path, truth: Truth, progress: Progress
) -> tuple[dict[str, float | None], list[dict[str, Any]]]:
    """PSNR and SSIM of renderings of the result against photos, and coverage.

    Compared are the covered pixels: those of the object, found by casting rays at the true shape from the true camera
    (without one, the whole photo), where at least half the rays of the rendering hit the result. PSNR and SSIM are
    computed per view, without matching of brightness, and averaged over views weighted by their compared pixels;
    coverage is compared pixels over object pixels, of all views together.
    """
    files = {alignment.plain_name(p.name): p for p in find_photos([photos])}
    caster = Caster(result)
    truth_caster = Caster(truth.shape) if isinstance(truth.shape, Mesh) else None
    per_view: list[dict[str, Any]] = []
    wanted = [c for c in cameras if alignment.plain_name(c.name) in files]
    if not wanted:
        raise InputError(
            f"{photos}: no picture is named as one of the cameras", "names must agree, but for the extension"
        )
    progress.stage("photos", len(wanted))
    for camera in wanted:
        photo = read_image(files[alignment.plain_name(camera.name)]).astype(np.float32) / 255
        height, width = photo.shape[:2]
        view = caster.render(camera.resized(width, height))
        target = _object_mask(truth_caster, truth, camera.name, (height, width))
        covered = target & (view.alpha >= 0.5)
        entry: dict[str, Any] = {"name": camera.name, "object": int(target.sum()), "compared": int(covered.sum())}
        if covered.any():
            entry["psnr"] = metrics.psnr(view.color, photo, covered)
            entry["ssim"] = metrics.ssim(view.color, photo, covered)
        per_view.append(entry)
        progress.advance()
    return _pooled(per_view), per_view


def _pooled(per_view: list[dict[str, Any]]) -> dict[str, float | None]:
    seen = [v for v in per_view if v["compared"]]
    weight = np.array([v["compared"] for v in seen], np.float64)
    out: dict[str, float | None] = {
        name: float((weight * [v[name] for v in seen]).sum() / weight.sum()) if seen else None
        for name in ("psnr", "ssim")
    }
    target = sum(v["object"] for v in per_view)
    return out | {"coverage": float(weight.sum() / target) if target else None}


def _object_mask(caster: Caster | None, truth: Truth, name: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """[H, W]: the object's pixels in a photo; all where the truth has no camera of that name."""
    camera = next((c for c in truth.cameras if alignment.plain_name(c.name) == alignment.plain_name(name)), None)
    if caster is None or camera is None:
        return np.ones(size, bool)
    return caster.render(camera.resized(size[1], size[0]), 1).id >= 0


def _has_colour(mesh: Mesh) -> bool:
    return mesh.colours is not None or (mesh.uv is not None and mesh.texture is not None)
