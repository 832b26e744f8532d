"""Fewer splats that look much the same: those stay that show most.

How much a splat shows is what it adds to pictures from all around, opacity times the light that reaches it, summed over
pixels (as in Fang and Wang, "Mini-Splatting", 2024, who take the views of the photos).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.progress import Progress, Silent
from mvgen.core.splats.harmonics import spread
from mvgen.core.splats.model import Splats

AROUND = 24  # views from outside, spread over the sphere
WITHIN = 6  # views from the middle outwards, for scenes that surround their photographer
SHARE_WITHIN = 0.2  # of all that counts
SIDE = 256  # pixels of a view
_CORE = 0.98  # share of the splats that a view from outside is to hold


def pruned(splats: Splats, most: int, progress: Progress | None = None) -> Splats:
    """At most ``most`` splats, those of the highest `importance`, in their old order and unchanged."""
    if len(splats) <= most:
        return splats
    order = np.argsort(-importance(splats, progress or Silent()), kind="stable")
    return splats[np.sort(order[:most])]


def importance(splats: Splats, progress: Progress) -> NDArray[np.float64]:
    """[N]: the share of each splat in what the views show; those that none shows get far less, by opacity and size."""
    views = _views(splats.means.astype(np.float64))
    progress.stage("weigh splats", len(views))
    shown = np.zeros((2, len(splats)))
    for i, (pose, lens) in enumerate(views):
        shown[int(i >= AROUND)] += _shown(splats, pose, lens)
        progress.advance()
    total = shown.sum(1, keepdims=True)
    around, within = np.divide(shown, total, out=np.zeros_like(shown), where=total > 0)
    hidden = splats.opacities * np.exp(splats.log_scales.astype(np.float64).mean(1))
    return (1 - SHARE_WITHIN) * around + SHARE_WITHIN * within + 1e-12 * hidden / max(hidden.max(), 1e-300)


def _shown(splats: Splats, pose: NDArray[np.float64], lens: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N]: what each adds to a view, in pixels: the gradient of the picture's sum, were all of them white."""
    import torch

    from mvgen.kernels import splatting

    means, turns, sizes, logits, view, intrinsics = (
        torch.from_numpy(np.ascontiguousarray(a, np.float32))
        for a in (splats.means, splats.quaternions, splats.log_scales, splats.logits, pose, lens)
    )
    antialiased = bool(splats.metadata.get("antialiased"))
    with torch.no_grad():
        flat = splatting.project(means, turns, sizes, logits, view, intrinsics, SIDE, SIDE, antialiased)
    white = torch.ones(len(splats), 1, requires_grad=True)
    picture, _ = splatting.blend(flat, white, SIDE, SIDE)
    return torch.autograd.grad(picture.sum(), white)[0][:, 0].numpy().astype(np.float64)


def _views(points: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Poses [4, 4] and intrinsics [3, 3] of the views around most of points [N, 3], then of those from within."""
    middle = np.median(points, axis=0)
    radius = max(float(np.quantile(np.linalg.norm(points - middle, axis=1), _CORE)), 1e-9)
    half = np.radians(20)
    narrow, wide = _lens(SIDE / 2 / np.tan(half)), _lens(SIDE / 2)
    outside = [(_looking(middle - radius / np.sin(half) * d, d), narrow) for d in spread(AROUND)]
    return [*outside, *((_looking(middle, d), wide) for d in np.concatenate([np.eye(3), -np.eye(3)]))]


def _lens(focal: float) -> NDArray[np.float64]:
    return np.array([[focal, 0, SIDE / 2], [0, focal, SIDE / 2], [0, 0, 1]])


def _looking(eye: NDArray[np.float64], forward: NDArray[np.float64]) -> NDArray[np.float64]:
    """World to camera [4, 4]; how it is rolled does not matter."""
    right = np.cross(np.eye(3)[np.abs(forward).argmin()], forward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = [right, np.cross(forward, right), forward]
    pose[:3, 3] = -pose[:3, :3] @ eye
    return pose
