"""How near two shapes are, and two pictures.

Lengths are fractions of the truth's bounding-box diagonal, shares lie in [0, 1], angles are in degrees, PSNR is in dB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh

LOWER_IS_BETTER = (
    "accuracy",
    "completeness",
    "chamfer",
    "rotation_error",
    "centre_error",
    "surface_error",
    "importance_error",
    "grid_error",
)  # and what starts like them


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of a metric (``accuracy_median``, ``f_score@1%``) is the better one."""
    return metric.startswith(LOWER_IS_BETTER)


def percent_name(threshold: float) -> str:
    """0.01 as ``1%``."""
    return f"{100 * threshold:g}%"


def metric_names(thresholds: Sequence[float]) -> list[str]:
    """Every metric that an evaluation with these thresholds may report."""
    names = ["accuracy", "accuracy_median", "completeness", "completeness_median", "chamfer"]
    for threshold in thresholds:
        names += [f"{kind}@{percent_name(threshold)}" for kind in ("precision", "recall", "f_score")]
    names += ["normal_consistency", "volume_iou", "registered"]
    names += [f"{kind}{end}" for kind in ("rotation_error", "centre_error") for end in ("", "_median", "_max")]
    names += ["surface_error", "importance_error", "grid_error", "g_iou", "chamfer_squared"]
    return [*names, "psnr", "ssim", "coverage"]


# ---- shapes


def distance_metrics(
    there: NDArray[np.float64], back: NDArray[np.float64], thresholds: Sequence[float]
) -> dict[str, float | None]:
    """Of the distances result -> truth and truth -> result, both in diagonals.

    accuracy and completeness (mean and median), chamfer (half their sum), and for each threshold precision, recall and
    their harmonic mean, the F-score (Knapitsch et al., "Tanks and Temples", 2017).
    """
    out: dict[str, float | None] = {}
    for name, distance in (("accuracy", there), ("completeness", back)):
        known = len(distance) > 0 and bool(np.isfinite(distance).all())
        out[name] = float(distance.mean()) if known else None
        out[f"{name}_median"] = float(np.median(distance)) if known else None
    one, other = out["accuracy"], out["completeness"]
    out["chamfer"] = None if one is None or other is None else (one + other) / 2
    for threshold in thresholds:
        precision = float((there <= threshold).mean()) if len(there) else 0.0
        recall = float((back <= threshold).mean()) if len(back) else 0.0
        name = percent_name(threshold)
        out[f"precision@{name}"], out[f"recall@{name}"] = precision, recall
        out[f"f_score@{name}"] = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    return out


def normal_consistency(pairs: Sequence[tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]]) -> float | None:
    """Mean of |cos| between normals [N, 3] and those at their nearest points, over the pairs; None where unknown."""
    values = []
    for own, other in pairs:
        if own is None or other is None or not len(own):
            return None
        length = np.linalg.norm(own, axis=1) * np.linalg.norm(other, axis=1)
        values.append(float((np.abs((own * other).sum(1)) / np.maximum(length, 1e-12))[length > 0].mean()))
    return float(np.mean(values))


def open_edges(mesh: Mesh) -> int:
    """Edges that do not join exactly two faces, vertices at the same place counting as one."""
    _, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    return int((count != 2).sum())


def volume_iou(one: Mesh, other: Mesh, cells: int = 96) -> float:
    """Shared over joint volume of two closed meshes, counted on a grid with ``cells`` cells along the longest side.

    Raises CannotError for a mesh that is not closed.
    """
    for name, mesh in (("result", one), ("ground truth", other)):
        count = open_edges(mesh)
        if count:
            raise CannotError(f"the {name} is not closed ({count} open edges)")
    low = np.minimum(one.bounds[0], other.bounds[0])
    high = np.maximum(one.bounds[1], other.bounds[1])
    cell = max(float((high - low).max()) / cells, 1e-300)
    shape = np.ceil((high - low) / cell).astype(int) + 1
    origin = low - cell * np.array([0.3819660113, 0.4142135624, 0.4472135955])  # off round numbers, where edges lie
    a, b = (occupied(mesh, origin, cell, tuple(shape)) for mesh in (one, other))
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else 0.0


def occupied(mesh: Mesh, origin: NDArray[np.float64], cell: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """[X, Y, Z]: whether a closed mesh encloses the centre of each cell of a grid."""
    from mvgen.kernels.voxels import add_crossings

    counts = np.zeros((shape[0], shape[1], shape[2] + 1), np.int32)
    add_crossings(np.ascontiguousarray((mesh.vertices[mesh.faces] - origin) / cell), counts)
    return np.cumsum(counts, axis=2)[:, :, :-1] != 0


# ---- pictures


def psnr(one: NDArray[np.floating], other: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """PSNR in dB of pictures [H, W, 3] in [0, 1] over the pixels of a mask [H, W]; 100 for equal ones."""
    error = float(((one[mask].astype(np.float64) - other[mask]) ** 2).mean())
    return float(min(-10 * np.log10(max(error, 1e-30)), 100.0))


def ssim(one: NDArray[np.floating], other: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Mean SSIM of pictures [H, W, 3] in [0, 1] over the pixels of a mask [H, W] (see `ssim_map`)."""
    return float(ssim_map(one, other, mask)[mask].mean())


def ssim_map(one: NDArray[np.floating], other: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """SSIM [H, W, 3] of pictures [H, W, 3] in [0, 1]; only pixels of a mask [H, W] take part in the windows.

    Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2 0.03 (Wang et al., "Image quality assessment: from error
    visibility to structural similarity", 2004)
    """
    import cv2

    def blur(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return cv2.GaussianBlur(values, (11, 11), 1.5, borderType=cv2.BORDER_CONSTANT).astype(np.float64)

    weight = mask.astype(np.float64)
    total = np.maximum(blur(weight), 1e-12)[..., None]

    def local_mean(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return blur(values * weight[..., None]) / total

    a, b = one.astype(np.float64), other.astype(np.float64)
    mean_a, mean_b = local_mean(a), local_mean(b)
    var_a = local_mean(a * a) - mean_a**2
    var_b = local_mean(b * b) - mean_b**2
    both = local_mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    return (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
