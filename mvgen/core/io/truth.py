"""Ground truth to measure a result against: a mesh, points, or a rendered set.

A rendered set is a folder with gt.ply (the object), meta.json (bbox, diag, ground_height in +Y or null), cameras.json
and images/.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.cameras import read_cameras
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.io.meshes import load_any, load_mesh


@dataclass(frozen=True, eq=False)
class Truth:
    """shape: what is true; diagonal: of its bounds [2, 3]; ground: height in +Y of a plane that the object stands on.

    cameras and photos (a folder) belong to a rendered set.
    """

    shape: Mesh | PointCloud
    bounds: NDArray[np.float64]
    diagonal: float
    ground: float | None = None
    cameras: tuple[Camera, ...] = ()
    photos: Path | None = None

    @property
    def is_set(self) -> bool:
        return bool(self.cameras)


def load_truth(path: Path, warn: Warn = ignore) -> Truth:
    """A mesh or point file, or the folder of a rendered set; ``warn`` as in `load_any`. Raises InputError."""
    path = Path(path)
    if not path.is_dir():
        shape = load_any(path, warn)
        if not shape.diagonal > 0:
            raise InputError(f"{path}: all its points lie at one place", "give a ground truth with some extent")
        return Truth(shape, shape.bounds, shape.diagonal)
    if not (path / "gt.ply").is_file():
        raise InputError(f"{path}: holds no gt.ply", "give a mesh, points, or a rendered set with gt.ply and meta.json")
    shape = load_mesh(path / "gt.ply", warn)
    bounds, diagonal, ground = _meta(path / "meta.json")
    cameras = tuple(read_cameras(path / "cameras.json"))
    return Truth(shape, bounds, diagonal, ground, cameras, path / "images")


def _meta(path: Path) -> tuple[NDArray[np.float64], float, float | None]:
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        bounds = np.asarray(meta["bbox"], np.float64).reshape(2, 3)
        diagonal = float(meta["diag"])
        ground = None if meta.get("ground_height") is None else float(meta["ground_height"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "it should have bbox, diag and ground_height") from error
    if not (np.isfinite(bounds).all() and 0 < diagonal < np.inf):
        raise InputError(f"{path}: its bounds are not finite", "render the set again")
    return bounds, diagonal, ground
