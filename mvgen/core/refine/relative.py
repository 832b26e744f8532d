"""What a mesh's views should be by pictures that know detail but not form: depth maps of networks, normal maps of
diffusion models. Long waves are the mesh's own; short ones are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh
from mvgen.core.refine.views import FACING, SOLID, NormalView
from mvgen.core.render.raycast import Caster

WAVES = 1 / 20  # of the longer side of a view: waves longer than about 5 of it are the mesh's own
SMOOTH = 1.0  # pixels, standard deviation, before depths are compared with their neighbours'
AGREE = 0.5  # the least correlation between a depth map and the depth of the mesh
ROUNDS, OUTLIER, WILD = 4, 2.5, 6.0  # of the fit; deviations from which a pixel is left out, then and at first
FEWEST = 100  # pixels


def views_by_depths(mesh: Mesh, cameras: Sequence[Camera], found: Sequence[NDArray[np.float32]]) -> list[NormalView]:
    """What cameras should see of a mesh by depth maps [H, W] as large as their pictures: of depth or of its inverse,
    true but for a scale and a shift, not finite where unknown. Those that disagree with the mesh are left out."""
    caster, out = Caster(replace(mesh, normals=None)), []
    for camera, values in zip(cameras, found):
        own = caster.render(camera, 1)
        known = (own.depth > 0) & np.isfinite(values)
        depth = aligned(values, own.depth, known)
        if depth is not None:
            out.append(_view(camera, own.normal, normals_of_depth(depth, camera, known)))
    return out


def own_normals(mesh: Mesh, cameras: Sequence[Camera]) -> list[NDArray[np.float32]]:
    """[H, W, 3] for each camera: the normals of a mesh's faces in camera axes, 0 where it does not fill a pixel."""
    caster = Caster(replace(mesh, normals=None))
    seen = [caster.render(camera, 2) for camera in cameras]
    return [np.where(view.alpha[..., None] > SOLID, view.normal, 0).astype(np.float32) for view in seen]


def views_by_normals(
    cameras: Sequence[Camera], own: Sequence[NDArray[np.float32]], found: Sequence[NDArray[np.float32]]
) -> list[NormalView]:
    """What cameras should see of a mesh with normal maps of its own [H, W, 3] by others, in camera axes, unit, 0 where
    unknown."""
    return [_view(*three) for three in zip(cameras, own, found)]


def aligned(
    values: NDArray[np.floating], depth: NDArray[np.floating], known: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Values [H, W] as depths: those, or the inverse of those, after the scale above 0 and the shift that bring them
    nearest to a depth [H, W] where both are known [H, W]; 0 elsewhere. None where they do not agree with it."""
    x, z = values[known].astype(np.float64), depth[known].astype(np.float64)
    if len(x) < FEWEST or not np.ptp(x) > 0 or not np.ptp(z) > 0:
        return None
    best, out = AGREE, None
    for inverse in (False, True):
        y = 1 / z if inverse else z
        scale, shift, alike = _line(x, y)
        if scale > 0 and alike > best:
            found = scale * values.astype(np.float64) + shift
            low = 0.2 * float(y.min())  # depths behind the camera, or at the horizon, are none
            good = known & (found > low)
            best, out = alike, np.where(good, 1 / np.maximum(found, low) if inverse else found, 0.0)
    return out


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float]:
    """Scale and shift from x [N] to y [N] by least squares without outliers, and the correlation of what is left."""
    keep = _near(x - np.median(x), WILD)
    scale = shift = alike = 0.0
    for _ in range(ROUNDS):
        a, b = x[keep] - x[keep].mean(), y[keep] - y[keep].mean()
        scale = float((a * b).sum() / max((a * a).sum(), 1e-300))
        alike = float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-300))
        shift = float(y[keep].mean() - scale * x[keep].mean())
        keep = _near(scale * x + shift - y, OUTLIER)
    return scale, shift, alike


def _near(values: NDArray[np.float64], most: float) -> NDArray[np.bool_]:
    """[N]: values within so many standard deviations of 0, as their median tells it."""
    off = np.abs(values)
    return off <= most * 1.4826 * float(np.median(off)) + 1e-9 * float(off.max())


def normals_of_depth(depth: NDArray[np.floating], camera: Camera, known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """[H, W, 3] in camera axes, facing the camera: of the surface through depths [H, W] along the optical axis; 0 where
    a pixel or a neighbour is not known [H, W], or is farther or nearer by a step."""
    known = known & (depth > 0)
    smooth = _mean(depth[..., None].astype(np.float64), known, SMOOTH)
    rays = camera.rays() @ camera.rotation.T
    points = rays * smooth
    across, down = np.zeros_like(points), np.zeros_like(points)
    across[:, 1:-1] = points[:, 2:] - points[:, :-2]
    down[1:-1] = points[2:] - points[:-2]
    normals = np.cross(down, across)
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-300)
    facing = -(normals * rays).sum(2) / np.linalg.norm(rays, axis=2)
    whole = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    return np.where((whole & (facing > FACING))[..., None], normals, 0).astype(np.float32)


def detailed(own: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float32]:
    """Normals [H, W, 3] with the long waves of one map and the short ones of another; 0 where one of them is 0."""
    known = np.asarray(own.any(2) & other.any(2))
    out = other + _mean((own - other).astype(np.float64), known, WAVES * max(own.shape[:2]))
    length = np.linalg.norm(out, axis=2, keepdims=True)
    return np.where(known[..., None] & (length > 0.1), out / np.maximum(length, 1e-300), 0).astype(np.float32)


def _view(camera: Camera, own: NDArray[np.floating], other: NDArray[np.floating]) -> NormalView:
    return NormalView(camera, (detailed(own, other) @ camera.rotation).astype(np.float32), None)


def _mean(values: NDArray[np.float64], known: NDArray[np.bool_], deviation: float) -> NDArray[np.float64]:
    """Values [H, W, C] blurred among what is known [H, W]; 0 elsewhere."""
    weight = cv2.GaussianBlur(known.astype(np.float64), (0, 0), deviation, borderType=cv2.BORDER_CONSTANT)
    blurred = cv2.GaussianBlur(values * known[..., None], (0, 0), deviation, borderType=cv2.BORDER_CONSTANT)
    return blurred.reshape(values.shape) * known[..., None] / np.maximum(weight, 1e-9)[..., None]
