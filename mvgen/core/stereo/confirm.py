"""Keep of each view's depths what other views agree on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.progress import Progress
from mvgen.core.scene import DepthMap
from mvgen.core.sky import sky
from mvgen.core.stereo.depth import ConfirmOptions, StereoResult, camera_normals, read_at, read_mask_at
from mvgen.core.stereo.filters import speckles
from mvgen.core.stereo.match import motion
from mvgen.kernels.consistency import confirm


@dataclass(frozen=True, eq=False)
class Confirmed:
    """A view's believed inverse depths.

    rho [H, W] float32, 0 where not believed; votes [H, W] uint8: other views that confirm; confidence [H, W].
    """

    rho: NDArray[np.float32]
    votes: NDArray[np.uint8]
    confidence: NDArray[np.float32]


def believed(stereo: StereoResult, i: int, max_cost: float) -> NDArray[np.float32]:
    """Inverse depths [H, W] of a view, 0 where the cost is too high or the depth stands alone."""
    state = stereo.planes(i)
    rho = np.where(state.cost < max_cost, state.planes[..., 0], 0).astype(np.float32)
    rho[speckles(rho, stereo.steps[i])] = 0
    return rho


def confirm_view(
    stereo: StereoResult, rho_of: Callable[[int], NDArray[np.float32]], i: int, options: ConfirmOptions
) -> Confirmed:
    """Check a view's depths against those of its sources."""
    found = agree(rho_of, i, stereo.sources[i], stereo.cameras, options)
    likeness = np.clip(1 - stereo.planes(i).cost, 0, 1)
    return replace(found, confidence=found.confidence * likeness)


def agree(
    rho_of: Callable[[int], NDArray[np.float32]],
    i: int,
    names: Sequence[int],
    cameras: Sequence[Camera] | Mapping[int, Camera],
    options: ConfirmOptions,
) -> Confirmed:
    """Check a view's inverse depths against those of the views named; confidence is the share that confirms."""
    rho, others = rho_of(i), [rho_of(j) for j in names]
    sizes = np.array([r.shape for r in others], np.int32)
    offsets = np.concatenate([[0], np.cumsum(sizes.prod(axis=1, dtype=np.int64))[:-1]]).astype(np.int64)
    votes, conflicts = np.empty(rho.shape, np.uint8), np.empty(rho.shape, np.uint8)
    average = np.empty(rho.shape, np.float32)
    confirm(
        rho,
        np.concatenate([r.ravel() for r in others]),
        offsets,
        sizes,
        np.stack([motion(cameras[i], cameras[j]) for j in names]),
        np.stack([motion(cameras[j], cameras[i]) for j in names]),
        np.float32(options.pixels),
        np.float32(options.relative),
        votes,
        average,
        conflicts,
    )
    needed = min(options.min_views, len(names))
    keep = (rho > 0) & (votes >= needed) & (conflicts <= votes)
    kept = np.where(keep, average, 0).astype(np.float32)
    return Confirmed(kept, votes, np.where(keep, votes / len(names), 0).astype(np.float32))


def depth_maps(
    stereo: StereoResult, options: ConfirmOptions, progress: Progress, held: int = 32
) -> Iterator[tuple[DepthMap, NDArray[np.uint8]]]:
    """Each view's believed depths, with its picture at the same size; so many depth maps are held in memory."""

    @lru_cache(maxsize=held)
    def rho_of(i: int) -> NDArray[np.float32]:
        return believed(stereo, i, options.max_cost)

    for i, camera in enumerate(stereo.cameras):
        image = read_at(stereo.scene.views[i], camera)
        confirmed = confirm_view(stereo, rho_of, i, options)
        rho = np.where(sky(image), 0, confirmed.rho)
        mask = stereo.scene.views[i].mask_path
        if mask is not None:
            rho = np.where(read_mask_at(mask, camera), rho, 0)
        depth = np.where(rho > 0, 1 / np.maximum(rho, 1e-20), 0).astype(np.float32)
        normal = np.where(rho[..., None] > 0, camera_normals(stereo.planes(i).planes, camera), 0).astype(np.float32)
        yield DepthMap(camera, depth, normal, np.where(rho > 0, confirmed.confidence, 0).astype(np.float32)), image
        progress.advance()


def cross_checked(
    maps: Callable[[int], DepthMap], sources: Sequence[Sequence[int]], options: ConfirmOptions, held: int = 32
) -> Iterator[DepthMap]:
    """Depth maps that nobody has checked, with only the depths that other views agree on.

    maps: the depth map of a view; sources: for each view, the others it is compared with; held: maps kept in
    memory. A view without others stays as it is.
    """

    @lru_cache(maxsize=held)
    def kept(i: int) -> DepthMap:
        return maps(i)

    def rho_of(i: int) -> NDArray[np.float32]:
        depth = kept(i).depth
        return np.where(depth > 0, 1 / np.maximum(depth, 1e-20), 0).astype(np.float32)

    for i, names in enumerate(sources):
        if not names:
            yield kept(i)
            continue
        cameras = {j: kept(j).camera for j in (i, *names)}
        found = agree(rho_of, i, names, cameras, options)
        depth = np.where(found.rho > 0, 1 / np.maximum(found.rho, 1e-20), 0).astype(np.float32)
        yield replace(kept(i), depth=depth, confidence=found.confidence)
