"""Splats in glTF by the extension KHR_gaussian_splatting; read only, in the frame "rub".

The ratified extension holds scales as they are; files of its drafts hold logarithms, which show as negative numbers.
Source: Khronos Group, KHR_gaussian_splatting.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Similarity
from mvgen.core.errors import InputError
from mvgen.core.io.companions import Warn, ignore, shown
from mvgen.core.io.gltf import EXTENSION_SPLATS, splat_primitives
from mvgen.core.splats.coding import EXPORT_AGAIN, joined, logits_from_opacities, sound
from mvgen.core.splats.harmonics import MOST_DEGREE, count
from mvgen.core.splats.model import Splats, merged

_PREFIX = f"{EXTENSION_SPLATS}:"


def read_gltf(data: bytes, path: Path, warn: Warn = ignore) -> Splats:
    """All splats of the scene, with the nodes' moves applied. Raises InputError, also for uneven stretches."""
    primitives = splat_primitives(data, path)
    if not primitives:
        raise InputError(f"{path}: holds no splats", f"give a glTF file with {EXTENSION_SPLATS}")
    for key, usual in (("kernel", "ellipse"), ("colorSpace", "srgb_rec709_display")):
        other = {shown(e[key]) for _, e, _ in primitives if e.get(key, usual) != usual}
        if other:
            warn(f"{path}: its {key} is {', '.join(sorted(other))}; the numbers are taken as {usual}")
    scales = [a[_PREFIX + "SCALE"] for a, _, _ in primitives if _PREFIX + "SCALE" in a]
    draft = any((values < 0).any() for values in scales)
    parts = [_part(attributes, draft, path, warn).moved(_similarity(m, path)) for attributes, _, m in primitives]
    whole = merged(parts)
    if not np.isfinite(whole.means).all():
        raise InputError(f"{path}: its numbers are not finite", EXPORT_AGAIN)
    return replace(whole, metadata={})


def _part(attributes: dict[str, NDArray[Any]], draft: bool, path: Path, warn: Warn) -> Splats:
    size = len(attributes.get("POSITION", ()))

    def column(key: str, width: int) -> NDArray[np.float64]:
        values = attributes.get(key)
        if values is None or values.shape != (size, width):
            raise InputError(f"{path}: its splats have no proper attribute {key}", EXPORT_AGAIN)
        with np.errstate(all="ignore"):
            return values.astype(np.float64)

    def band(degree: int) -> list[NDArray[np.float64]]:
        return [column(f"{_PREFIX}SH_DEGREE_{degree}_COEF_{i}", 3) for i in range(2 * degree + 1)]

    degree = max((d for d in range(1, MOST_DEGREE + 1) if f"{_PREFIX}SH_DEGREE_{d}_COEF_0" in attributes), default=0)
    rest = [values for d in range(1, degree + 1) for values in band(d)]
    scale = column(_PREFIX + "SCALE", 3)
    with np.errstate(all="ignore"):
        return sound(
            str(path),
            warn,
            "rub",
            column("POSITION", 3),
            np.roll(column(_PREFIX + "ROTATION", 4), 1, axis=1),
            scale if draft else np.log(scale),
            logits_from_opacities(column(_PREFIX + "OPACITY", 1)[:, 0]),
            joined(band(0)[0], np.stack(rest, axis=1) if rest else np.zeros((size, count(0) - 1, 3))),
        )


def _similarity(matrix: NDArray[np.float64], path: Path) -> Similarity:
    """A node's matrix [4, 4], where it is one. Raises InputError."""
    linear = matrix[:3, :3]
    size = float(np.cbrt(np.linalg.det(linear))) if np.isfinite(matrix).all() else 0.0
    if not 1e-12 < size < 1e12 or not np.allclose(linear @ linear.T, size**2 * np.eye(3), rtol=0, atol=1e-4 * size**2):
        raise InputError(
            f"{path}: a node stretches its splats unevenly, or mirrors them", "apply its transform before the export"
        )
    left, _, right = np.linalg.svd(linear)
    return Similarity(size, left @ right, matrix[:3, 3])
