"""Cameras and depths of many photos from point maps of pairs.

Every prediction of photo i in its own camera says the same up to scale, so those of all its pairs are averaged into one
depth map and one focal length (Weiszfeld's algorithm). What a pair (i, j) says of photo j in camera i, against photo
j's own map, is a similarity between two cameras (Umeyama 1991). Cameras follow from all similarities: scales and
positions by linear least squares, orientations by averaging in the tangent space (Hartley et al., "Rotation
Averaging", 2013). Everything is weighted by confidence and made robust by reweighting (sums of distances instead of
squares). Then depths are averaged again, now over all that any pair says of a photo, and cameras once more.

Cameras are OpenCV's; a pixel's centre is at +0.5. World units are those of the first camera's map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.progress import Progress, Silent

Array = NDArray[np.float64]

SAMPLES = 4096  # most pixels of a photo from which scales, focal lengths and cameras are found
FEWEST = 256  # of them, however many pairs there are
HELD = 12 << 20  # bytes of sampled points a photo, on average; 64 for each sample of a pair
ROUNDS = 12  # of reweighting
NEAR = 1e-3  # of the typical distance or error: what is nearer than that weighs no more
ROWS = 64  # of a photo whose depths are averaged at a time


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of the ordered pair (i, j), all in camera i, in a unit of its own.

    points_i [H, W, 3], points_j [h, w, 3]; confidence_i [H, W], confidence_j [h, w], at least 1, 0 where masked.
    """

    i: int
    j: int
    points_i: NDArray[np.floating]
    confidence_i: NDArray[np.floating]
    points_j: NDArray[np.floating]
    confidence_j: NDArray[np.floating]


@dataclass(frozen=True)
class AlignOptions:
    """groups: for each photo, the number of its camera; photos of one camera share a focal length. focals: those known,
    by photo, in pixels of the picture. poses [4, 4]: camera to world, by photo, where known: then of all photos."""

    groups: tuple[int, ...] | None = None
    focals: Mapping[int, float] = field(default_factory=dict)
    poses: Mapping[int, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Alignment:
    """focals [N] in pixels; camera_to_world [N, 4, 4]; depths: [H, W] float32 of each photo along the optical axis, in
    world units; confidence: [H, W] float32, the highest of any pair; residual: median distance between predictions
    and result over the depth."""

    focals: Array
    camera_to_world: Array
    depths: list[NDArray[np.float32]]
    confidence: list[NDArray[np.float32]]
    residual: float


Load = Callable[[int], Prediction]


def align(
    pairs: Sequence[tuple[int, int]],
    load: Load,
    sizes: Sequence[tuple[int, int]],
    options: AlignOptions | None = None,
    progress: Progress | None = None,
) -> Alignment:
    """Align the predictions of ordered pairs; ``load(e)`` reads that of pairs[e]; sizes: height and width of photos.

    Only one photo's maps are held at a time, and the more pairs, the fewer pixels of each: memory follows the number of
    photos. Raises CannotError where photos are not joined by pairs.
    """
    options, progress = options or AlignOptions(), progress or Silent()
    _check_joined(pairs, len(sizes))
    progress.stage("align", 4 * len(pairs))
    most = min(SAMPLES, max(FEWEST, HELD * len(sizes) // (64 * len(pairs))))
    grids = [_sampling(size, most) for size in sizes]
    samples = [_sample(pairs, load, e, grids, progress) for e in range(len(pairs))]
    views = _own_views(pairs, samples, grids, options)
    cameras = _linked(pairs, samples, views, options, progress)
    for _ in range(2):
        views = _joint_views(pairs, samples, views, cameras)
        cameras = _linked(pairs, samples, views, options, progress)
    return _dense(pairs, load, sizes, samples, views, cameras, progress)


def _linked(
    pairs: Sequence[tuple[int, int]],
    samples: list[_Sampled],
    views: list[_View],
    options: AlignOptions,
    progress: Progress,
) -> _Cameras:
    """The cameras that all pairs agree on best, given each photo's map."""
    cameras = _synchronised([_link(pair, sample, views) for pair, sample in zip(pairs, samples)], len(views), options)
    progress.note(f"align: pairs are {_disagreement(pairs, samples, views, cameras):.3%} of the depth apart")
    return cameras


# ---------------------------------------------------------------- samples


@dataclass(frozen=True, eq=False)
class _Sampling:
    """Which pixels of a photo are sampled: size (height, width), rows [S] and columns [S]."""

    size: tuple[int, int]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def rays(self, focal: float) -> Array:
        """[S, 3], with z = 1."""
        height, width = self.size
        x, y = (self.columns + 0.5 - width / 2) / focal, (self.rows + 0.5 - height / 2) / focal
        return np.stack([x, y, np.ones(len(x))], axis=-1)


@dataclass(frozen=True, eq=False)
class _Sampled:
    """A prediction at the pixels that are sampled: points [S, 3] and weights [S] of both photos, and the scale that
    brings it to photo i's own map."""

    points_i: Array
    weights_i: Array
    points_j: Array
    weights_j: Array
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class _View:
    """A photo's own map at its samples: rays [S, 3] with z = 1, depths [S], weights [S]; focal in pixels."""

    rays: Array
    depths: Array
    weights: Array
    focal: float

    @property
    def points(self) -> Array:
        return self.rays * self.depths[:, None]


def _check_joined(pairs: Sequence[tuple[int, int]], count: int) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    i, j = np.array(pairs, int).reshape(-1, 2).T
    parts, label = connected_components(coo_array((np.ones(len(i)), (i, j)), (count, count)), directed=False)
    if parts > 1:
        alone = int(np.flatnonzero(label != np.bincount(label).argmax())[0])
        raise CannotError(f"photo {alone} shares no pair with the others", "use a graph with more pairs")


def _sampling(size: tuple[int, int], most: int) -> _Sampling:
    """An even grid of about ``most`` pixels of a photo."""
    height, width = size
    step = max(1.0, np.sqrt(height * width / most))
    rows = np.arange(step / 2, height, step).astype(np.int64)
    columns = np.arange(step / 2, width, step).astype(np.int64)
    grid = np.meshgrid(rows, columns, indexing="ij")
    return _Sampling(size, grid[0].ravel(), grid[1].ravel())


def _weights(confidence: NDArray[np.floating], points: NDArray[np.floating]) -> Array:
    """The logarithm of the confidence, which is at least 1; nothing for what is masked or no number."""
    weight = np.log(np.maximum(np.asarray(confidence, np.float64), 1.0)) + 1e-3
    usable = np.isfinite(points).all(-1) & (np.asarray(confidence) > 0) & np.isfinite(weight)
    return np.where(usable, weight, 0.0)


def _sample(
    pairs: Sequence[tuple[int, int]], load: Load, e: int, grids: list[_Sampling], progress: Progress
) -> _Sampled:
    prediction = load(e)
    parts: list[Array] = []
    for view, points, confidence in (
        (pairs[e][0], prediction.points_i, prediction.confidence_i),
        (pairs[e][1], prediction.points_j, prediction.confidence_j),
    ):
        at = grids[view].rows, grids[view].columns
        some = np.asarray(points[at], np.float64)
        weight = _weights(confidence[at], some)
        parts += [np.where(weight[:, None] > 0, some, 0.0), weight]
    progress.advance()
    return _Sampled(parts[0], parts[1], parts[2], parts[3])


def _distances(difference: Array) -> Array:
    return np.asarray(np.linalg.norm(difference, axis=-1), np.float64)


def _reweighted(weight: Array, distance: Array) -> Array:
    """Weights whose squares sum to the distances (Weiszfeld); the nearest are kept from weighing everything."""
    typical = np.average(distance, weights=weight) if weight.sum() > 0 else 1.0
    return weight / np.maximum(distance, NEAR * typical + 1e-300)


# ---------------------------------------------------------------- a photo's own map


def _own_views(
    pairs: Sequence[tuple[int, int]], samples: list[_Sampled], grids: list[_Sampling], options: AlignOptions
) -> list[_View]:
    """Each photo's map from what its own pairs say of it; their scales are put into the samples."""
    maps, weights = [], []
    for i in range(len(grids)):
        mine = [e for e, pair in enumerate(pairs) if pair[0] == i]
        if not mine:
            raise CannotError(f"photo {i} is never the first of a pair", "predict its pairs both ways")
        points, weight, scales = _common_map([samples[e].points_i for e in mine], [samples[e].weights_i for e in mine])
        for e, scale in zip(mine, scales):
            samples[e] = replace(samples[e], scale=float(scale))
        maps.append(points)
        weights.append(weight)
    focals = _focals(maps, weights, grids, options)
    out = []
    for points, weight, grid, focal in zip(maps, weights, grids, focals):
        rays = grid.rays(focal)
        out.append(_View(rays, np.maximum(points[:, 2], 1e-9), np.where(points[:, 2] > 0, weight, 0.0), focal))
    return out


def _common_map(maps: list[Array], weights: list[Array]) -> tuple[Array, Array, Array]:
    """The map [S, 3] that maps [K, S, 3] are scaled versions of, its weight [S], and the scales [K]."""
    stack, weight = np.stack(maps), np.stack(weights)
    length = _distances(stack)
    sizes = np.array([np.average(d, weights=w) if w.sum() > 0 else 1.0 for d, w in zip(length, weight)])
    scales = sizes.mean() / np.maximum(sizes, 1e-300)
    mean = np.average(stack * scales[:, None, None], axis=0, weights=weight[..., None].repeat(3, -1) + 1e-300)
    for _ in range(ROUNDS):
        near = _reweighted(weight, _distances(stack * scales[:, None, None] - mean))
        mean = (near[..., None] * stack * scales[:, None, None]).sum(0) / (near.sum(0) + 1e-300)[:, None]
        near = _reweighted(weight, _distances(stack * scales[:, None, None] - mean))
        along, square = (near[..., None] * stack * mean).sum((1, 2)), (near[..., None] * stack**2).sum((1, 2))
        scales = np.where(square > 0, along / np.maximum(square, 1e-300), scales)
        scales /= np.exp(np.log(np.maximum(scales * sizes, 1e-300)).mean()) / sizes.mean()  # or all would shrink
    return mean, weight.sum(0), scales


def _focals(maps: list[Array], weights: list[Array], grids: list[_Sampling], options: AlignOptions) -> list[float]:
    """The focal length of each photo, or of each group of photos, that explains where points are seen."""
    groups = options.groups or tuple(range(len(maps)))
    out = [0.0] * len(maps)
    for group in set(groups):
        members = [k for k, g in enumerate(groups) if g == group]
        known = [options.focals[k] for k in members if k in options.focals]
        focal = (
            known[0]
            if known
            else _focal([maps[k] for k in members], [weights[k] for k in members], [grids[k] for k in members])
        )
        for k in members:
            out[k] = options.focals.get(k, focal)
    return out


def _focal(maps: list[Array], weights: list[Array], grids: list[_Sampling]) -> float:
    """Minimises the sum of distances in pixels between f (x / z, y / z) and the pixels."""
    seen, there, weight = [], [], []
    for points, w, grid in zip(maps, weights, grids):
        rays = grid.rays(1.0)[:, :2]
        front = (points[:, 2] > 1e-9) & (w > 0)
        seen.append(rays[front])
        there.append(points[front, :2] / points[front, 2:])
        weight.append(w[front])
    p, q, w = np.concatenate(seen), np.concatenate(there), np.concatenate(weight)
    longest = max(max(grid.size) for grid in grids)
    if not len(p) or not (w[:, None] * q**2).sum() > 0:
        return 1.2 * longest
    near = w
    focal = 0.0
    for _ in range(ROUNDS):
        focal = float((near[:, None] * p * q).sum() / (near[:, None] * q**2).sum())
        near = _reweighted(w, _distances(p - focal * q))
    return float(np.clip(focal, 0.2 * longest, 20 * longest))


def _disagreement(
    pairs: Sequence[tuple[int, int]], samples: list[_Sampled], views: list[_View], cameras: _Cameras
) -> float:
    """Median over pairs (i, j) of the median distance between what they say of j and j's own place, over its depth."""
    errors = []
    for (i, j), sample in zip(pairs, samples):
        there = cameras.scales[i] * sample.scale * sample.points_j @ cameras.rotations[i].T + cameras.translations[i]
        own = cameras.scales[j] * views[j].points @ cameras.rotations[j].T + cameras.translations[j]
        off = _distances(there - own) / (cameras.scales[j] * views[j].depths)
        believed = (sample.weights_j > 0) & (views[j].weights > 0)
        errors.append(float(np.median(off[believed])) if believed.any() else 0.0)
    return float(np.median(errors))


# ---------------------------------------------------------------- pairs of cameras


@dataclass(frozen=True, eq=False)
class _Link:
    """Camera i's point = scale * rotation @ camera j's point + translation, both in their own maps' units; weight: how
    much it is to be believed."""

    i: int
    j: int
    scale: float
    rotation: Array
    translation: Array
    weight: float


@dataclass(frozen=True, eq=False)
class _Cameras:
    """World point = scale * rotation @ camera's point + translation."""

    scales: Array
    rotations: Array
    translations: Array


def similarity(source: Array, target: Array, weight: Array) -> tuple[float, Array, Array]:
    """Scale, rotation [3, 3] and translation [3] that bring points [S, 3] nearest to others: least weighted squares
    (Umeyama, "Least-squares estimation of transformation parameters", 1991)."""
    total = max(float(weight.sum()), 1e-300)
    a, b = (weight @ source) / total, (weight @ target) / total
    da, db = source - a, target - b
    u, d, vt = np.linalg.svd((weight[:, None] * db).T @ da / total)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = (u * sign) @ vt
    spread = float(weight @ (da**2).sum(1)) / total
    scale = float((d * sign).sum() / max(spread, 1e-300))
    return scale, rotation, b - scale * rotation @ a


def _link(pair: tuple[int, int], sampled: _Sampled, views: list[_View]) -> _Link:
    """The similarity from photo j's own map to what the pair says of photo j in camera i."""
    i, j = pair
    source, target = views[j].points, sampled.scale * sampled.points_j
    weight = np.sqrt(views[j].weights * sampled.weights_j)
    near = weight / np.maximum(views[j].depths, 1e-9) ** 2
    scale, rotation, translation = 1.0, np.eye(3), np.zeros(3)
    for _ in range(ROUNDS):
        scale, rotation, translation = similarity(source, target, near)
        distance = _distances(scale * source @ rotation.T + translation - target) / (scale * views[j].depths)
        near = _reweighted(weight, distance) / views[j].depths ** 2
    error = float(np.average(distance, weights=weight)) if weight.sum() > 0 else np.inf
    return _Link(i, j, max(scale, 1e-9), rotation, translation, float(weight.sum()) / (error + 1e-3) ** 2)


def _synchronised(links: list[_Link], count: int, options: AlignOptions) -> _Cameras:
    """All cameras from the similarities between pairs; the first camera is the world, unless poses are known."""
    if len(options.poses) == count:
        rotations = np.stack([options.poses[k][:3, :3] for k in range(count)])
        centres = np.stack([options.poses[k][:3, 3] for k in range(count)])
        return _Cameras(_known_scales(links, rotations, centres), rotations, centres)
    order = _tree(links, count)
    rotations = _rotations(links, count, order)
    logs = _averaged([(k.i, k.j, np.array([np.log(k.scale)]), k.weight) for k in links], count)[:, 0]
    scales = np.exp(logs - logs[0])
    steps = [(k.i, k.j, scales[k.i] * rotations[k.i] @ k.translation, k.weight / scales[k.i] ** 2) for k in links]
    translations = _averaged(steps, count)
    return _Cameras(scales, rotations, translations - translations[0])


def _known_scales(links: list[_Link], rotations: Array, centres: Array) -> Array:
    """The scale of each camera's map in the world of known poses, from the steps to the cameras it is linked with."""
    along, square = np.zeros(len(centres)), np.zeros(len(centres))
    for k in links:
        step, true = rotations[k.i] @ k.translation, centres[k.j] - centres[k.i]
        along[k.i] += k.weight * step @ true
        square[k.i] += k.weight * step @ step
    scales = along / np.maximum(square, 1e-300)
    good = scales > 0
    if not good.any():
        raise CannotError("the known poses contradict the predictions", "leave them out")
    return np.where(good, scales, np.median(scales[good]))


def _tree(links: list[_Link], count: int) -> list[tuple[int, _Link, bool]]:
    """Links in an order that reaches every camera from the first, the strongest first; True where from i to j."""
    reached, order = {0}, []
    while len(reached) < count:
        options = [(k.weight, n, k) for n, k in enumerate(links) if (k.i in reached) != (k.j in reached)]
        _, _, best = max(options, key=lambda o: (o[0], -o[1]))
        forward = best.i in reached
        new = best.j if forward else best.i
        reached.add(new)
        order.append((new, best, forward))
    return order


def _rotations(links: list[_Link], count: int, order: list[tuple[int, _Link, bool]]) -> Array:
    """Orientations [N, 3, 3] (camera to world): along the tree first, then averaged over all links."""
    from scipy.spatial.transform import Rotation

    rotations = np.tile(np.eye(3), (count, 1, 1))
    for new, link, forward in order:
        rotations[new] = rotations[link.i] @ link.rotation if forward else rotations[link.j] @ link.rotation.T
    for _ in range(10):
        steps = []
        for k in links:
            wrong = rotations[k.i] @ k.rotation @ rotations[k.j].T
            steps.append((k.i, k.j, Rotation.from_matrix(wrong).as_rotvec(), k.weight))
        turns = _averaged(steps, count)
        turns -= turns[0]
        rotations = np.stack([Rotation.from_rotvec(t).as_matrix() @ r for t, r in zip(turns, rotations)])
        if np.abs(turns).max() < 1e-10:
            break
    return rotations


def _averaged(steps: list[tuple[int, int, Array, float]], count: int) -> Array:
    """Values x [N, D] whose differences x_j - x_i are nearest to steps (i, j, difference [D], weight): least sum of
    distances, by reweighted least squares; the mean is 0."""
    i, j = (np.array([s[k] for s in steps]) for k in (0, 1))
    wanted, weight = np.stack([s[2] for s in steps]), np.array([s[3] for s in steps])
    weight = weight / weight.max()
    near = weight
    values = np.zeros((count, wanted.shape[1]))
    for _ in range(ROUNDS):
        laplacian = np.full((count, count), 1.0 / count)
        np.add.at(laplacian, (i, i), near)
        np.add.at(laplacian, (j, j), near)
        np.add.at(laplacian, (i, j), -near)
        np.add.at(laplacian, (j, i), -near)
        right = np.zeros_like(values)
        np.add.at(right, i, -near[:, None] * wanted)
        np.add.at(right, j, near[:, None] * wanted)
        values = np.linalg.solve(laplacian, right)
        near = _reweighted(weight, _distances(values[j] - values[i] - wanted))
        near = near / near.max()
    return values


# ---------------------------------------------------------------- depths


def _joint_views(
    pairs: Sequence[tuple[int, int]], samples: list[_Sampled], views: list[_View], cameras: _Cameras
) -> list[_View]:
    """Each photo's depths averaged over all that any pair says of it."""
    out = []
    for k, view in enumerate(views):
        said = [(z, w) for e, pair in enumerate(pairs) for z, w in _said_of(k, pair, samples[e], cameras)]
        depths, weights = _robust_depth(np.stack([z for z, _ in said]), np.stack([w for _, w in said]), view.depths)
        out.append(replace(view, depths=depths, weights=weights))
    return out


def _said_of(k: int, pair: tuple[int, int], said: _Sampled, cameras: _Cameras) -> list[tuple[Array, Array]]:
    """Depths in photo k's own unit, and weights, that a pair gives."""
    i, j = pair
    out = []
    if k == i:
        out.append((said.scale * said.points_i[:, 2], said.weights_i))
    if k == j:
        row, shift = _to_depth(i, j, cameras)
        out.append((said.scale * said.points_j @ row + shift, said.weights_j))
    return out


def _to_depth(i: int, j: int, cameras: _Cameras) -> tuple[Array, float]:
    """(row [3], shift): the depth in camera j, in its own unit, of a point p of camera i is row . p + shift."""
    axis = cameras.rotations[j][:, 2] / cameras.scales[j]
    row = cameras.scales[i] * axis @ cameras.rotations[i]
    return row, float(axis @ (cameras.translations[i] - cameras.translations[j]))


def _robust_depth(depths: Array, weights: Array, start: Array) -> tuple[Array, Array]:
    """The depth [S] with the least weighted sum of distances to depths [K, S], from a start; its weight [S]."""
    usable = (depths > 0) & (weights > 0)
    weights = np.where(usable, weights, 0.0)
    value = _weighted_median(np.where(usable, depths, np.inf), weights, start)
    for _ in range(4):  # from the median towards the mean of those near it, which is less noisy
        spread = _weighted_median(np.where(usable, np.abs(depths - value), np.inf), weights, value * 0.01) + 1e-12
        near = np.where(usable, weights / (1 + ((depths - value) / (2 * spread)) ** 2) ** 2, 0.0)
        total = near.sum(0)
        value = np.where(total > 0, (near * np.where(usable, depths, 0)).sum(0) / np.maximum(total, 1e-300), value)
    return np.maximum(value, 1e-9), weights.sum(0)


def _weighted_median(values: Array, weights: Array, otherwise: Array) -> Array:
    """[S] of values [K, S]; ``otherwise`` where nothing has weight."""
    order = np.argsort(values, axis=0, kind="stable")
    values, weights = np.take_along_axis(values, order, 0), np.take_along_axis(weights, order, 0)
    reached = np.cumsum(weights, axis=0) >= 0.5 * weights.sum(0)
    middle = np.take_along_axis(values, reached.argmax(0)[None], 0)[0]
    return np.where(np.isfinite(middle) & (weights.sum(0) > 0), middle, otherwise)


def _dense(
    pairs: Sequence[tuple[int, int]],
    load: Load,
    sizes: Sequence[tuple[int, int]],
    samples: list[_Sampled],
    views: list[_View],
    cameras: _Cameras,
    progress: Progress,
) -> Alignment:
    """Depth and confidence of every pixel, one photo after the other."""
    depths, confidence, errors = [], [], []
    for k, size in enumerate(sizes):
        said: list[NDArray[np.float32]] = []
        weight: list[NDArray[np.float32]] = []
        best = np.zeros(size, np.float32)
        for e, (i, j) in enumerate(pairs):
            if k not in (i, j):
                continue
            prediction, scale = load(e), samples[e].scale
            progress.advance()
            if k == i:
                z, sure, points = scale * prediction.points_i[..., 2], prediction.confidence_i, prediction.points_i
            else:
                row, shift = _to_depth(i, j, cameras)
                z, sure, points = (
                    scale * prediction.points_j @ row + shift,
                    prediction.confidence_j,
                    prediction.points_j,
                )
            said.append(np.asarray(z, np.float32))
            weight.append(_weights(sure, points).astype(np.float32))
            best = np.maximum(best, np.asarray(sure, np.float32))
        depth, error = _averaged_depth(said, weight, size)
        errors.append(error)
        depths.append((depth * cameras.scales[k]).astype(np.float32))
        confidence.append(best)
    poses = np.tile(np.eye(4), (len(sizes), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = cameras.rotations, cameras.translations
    focals = np.array([v.focal for v in views])
    return Alignment(focals, poses, depths, confidence, float(np.median(errors)))


def _averaged_depth(
    said: list[NDArray[np.float32]], weight: list[NDArray[np.float32]], size: tuple[int, int]
) -> tuple[Array, float]:
    """Depth [H, W], 0 where unknown, from all that is said of it [H, W], some rows at a time; the median difference."""
    depth, errors = np.zeros(size), []
    for top in range(0, size[0], ROWS):
        part = slice(top, top + ROWS)
        z, w = (np.stack([a[part].ravel() for a in arrays]).astype(np.float64) for arrays in (said, weight))
        value, total = _robust_depth(z, w, np.zeros_like(z[0]))
        depth[part] = np.where(total > 0, value, 0).reshape(-1, size[1])
        off = (np.abs(z - value) / value)[(w > 0) & (z > 0)]
        errors.append(float(np.median(off)) if len(off) else 0.0)
    return depth, float(np.median(errors))
