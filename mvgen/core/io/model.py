"""Posed pictures as files of photogrammetry programs hold them: cameras with lens distortion, points, observations.

`Scene` is what the rest of mvgen works with: pinhole cameras and their pictures. A `Model` loses less, so that files
can be converted from one format to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, Similarity
from mvgen.core.errors import InputError
from mvgen.core.geometry import PointCloud

VALUES = {  # of each kind of lens, in the order of `Lens.values`
    "perspective": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "fisheye": ("k1", "k2", "p1", "p2", "k3", "k4", "sx1", "sy1"),
    "fov": ("omega",),
    "division": ("k",),
    "eucm": ("alpha", "beta"),
    "rad_tan_thin_prism": ("k0", "k1", "k2", "k3", "k4", "k5", "p0", "p1", "s0", "s1", "s2", "s3"),
}


@dataclass(frozen=True)
class Lens:
    """How a lens moves points, as COLMAP and OpenCV define it, before focal length and principal point apply.

    perspective: OpenCV's rational radial and tangential distortion of (x / z, y / z). fisheye: OpenCV's equidistant
    fisheye, with tangential and thin-prism terms on top. The other kinds are COLMAP's FOV, DIVISION, EUCM and
    RAD_TAN_THIN_PRISM_FISHEYE. values: those that VALUES names.
    """

    kind: str = "perspective"
    values: tuple[float, ...] = (0.0,) * 8

    @property
    def is_pinhole(self) -> bool:
        return self.kind == "perspective" and not any(self.values)

    def value(self, name: str) -> float:
        return self.values[VALUES[self.kind].index(name)]

    def only(self, *names: str) -> bool:
        """Whether all values but those named are zero."""
        return not any(v for name, v in zip(VALUES[self.kind], self.values) if name not in names)

    def distort(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points [..., 2] of the plane at distance 1 go; for perspective and fisheye lenses."""
        k1, k2, p1, p2, k3, k4, a, b = self.values
        u, v = points[..., 0], points[..., 1]
        if self.kind == "fisheye":
            r = np.hypot(u, v)
            ratio = np.where(r > 1e-12, np.arctan(r) / np.maximum(r, 1e-12), 1)
            u, v = u * ratio, v * ratio
        r2 = u * u + v * v
        if self.kind == "fisheye":
            radial = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
            prism = a * r2, b * r2
        else:
            radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (a + r2 * b)))
            prism = 0 * r2, 0 * r2
        du = 2 * p1 * u * v + p2 * (r2 + 2 * u * u) + prism[0]
        dv = 2 * p2 * u * v + p1 * (r2 + 2 * v * v) + prism[1]
        return np.stack([u * radial + du, v * radial + dv], axis=-1)


def lens(kind: str, **values: float) -> Lens:
    """A lens by the names of its values; the others are 0."""
    return Lens(kind, tuple(float(values.get(name, 0.0)) for name in VALUES[kind]))


@dataclass(frozen=True, eq=False)
class Sightings:
    """Observations of points in pictures, in the order of the pictures.

    point [O] int32, -1 where an observation belongs to no point; view [O] int32; pixel [O, 2] float64, or None where a
    file does not say where in the picture.
    """

    point: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    view: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    pixel: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.point)

    @property
    def tracks(self) -> NDArray[np.int32]:
        """[T, 2]: (point, view) pairs, each once, sorted."""
        pairs = np.stack([self.point, self.view], axis=1)[self.point >= 0]
        return np.unique(pairs, axis=0).astype(np.int32).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class Model:
    """cameras: the pinhole part; lenses: the distortion of each; errors [N]: reprojection errors of the points in
    pixels, or None; pictures and masks: where those of each camera lie, None where they were not found.
    """

    cameras: tuple[Camera, ...]
    lenses: tuple[Lens, ...]
    points: PointCloud
    sightings: Sightings
    errors: NDArray[np.float64] | None = None
    pictures: tuple[Path | None, ...] = ()
    masks: tuple[Path | None, ...] = ()

    def moved(self, similarity: Similarity) -> Model:
        cameras = tuple(c.moved(similarity) for c in self.cameras)
        return replace(self, cameras=cameras, points=self.points.moved(similarity))

    @property
    def pixels(self) -> NDArray[np.float64]:
        """[O, 2] of the sightings: as the file said, else where the points project."""
        if self.sightings.pixel is not None:
            return self.sightings.pixel
        out = np.zeros((len(self.sightings), 2))
        for index, (camera, bend) in enumerate(zip(self.cameras, self.lenses)):
            mine = (self.sightings.view == index) & (self.sightings.point >= 0)
            out[mine] = project(camera, bend, self.points.points[self.sightings.point[mine]])
        return out


def project(camera: Camera, bend: Lens, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels [N, 2] of world points [N, 3] in front of a camera with a lens."""
    local = points @ camera.rotation.T + camera.translation
    flat = bend.distort(local[:, :2] / local[:, 2:])
    k = camera.intrinsics
    return np.stack([flat[:, 0] * k[0, 0] + k[0, 2], flat[:, 1] * k[1, 1] + k[1, 2]], axis=1)


def intrinsics(fx: float, fy: float, cx: float, cy: float) -> NDArray[np.float64]:
    """[3, 3]"""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def check_model(
    path: Path,
    found: Sequence[tuple[Camera, Lens]],
    points: PointCloud | None = None,
    sightings: Sightings | None = None,
    errors: NDArray[np.float64] | None = None,
) -> Model:
    """A model of valid cameras. Raises InputError, naming the file ``path``."""
    if not found:
        raise InputError(f"{path}: holds no cameras", "give a file with at least one camera")
    for camera, bend in found:
        _check(path, camera, bend)
    if len({c.name for c, _ in found}) < len(found):
        raise InputError(f"{path}: two cameras have the same name", "rename one of the pictures")
    points = points or PointCloud(np.zeros((0, 3)))
    if not np.isfinite(points.points).all():
        raise InputError(f"{path}: points are not finite", "export the model again")
    sightings = sightings or Sightings()
    if sightings.pixel is not None and not np.isfinite(sightings.pixel).all():
        raise InputError(f"{path}: observations are not finite", "export the model again")
    none = (None,) * len(found)
    return Model(tuple(c for c, _ in found), tuple(b for _, b in found), points, sightings, errors, none, none)


def _check(path: Path, camera: Camera, bend: Lens) -> None:
    rotation, k = camera.rotation, camera.intrinsics
    problem = None
    if not (1 <= camera.width <= 1 << 20 and 1 <= camera.height <= 1 << 20):
        problem = f"a picture size of {camera.width}x{camera.height}"
    elif not (np.isfinite(camera.world_to_camera).all() and np.isfinite(k).all() and np.isfinite(bend.values).all()):
        problem = "numbers that are not finite"
    elif not (k[0, 0] > 0 and k[1, 1] > 0):
        problem = "no positive focal length"
    elif not (np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0):
        problem = "a matrix that is no rotation"
    elif not camera.name or Path(camera.name).is_absolute() or ".." in Path(camera.name).parts or "\0" in camera.name:
        problem = "a name that leads out of its folder"
    if problem:
        raise InputError(f"{path}: camera {camera.name} has {problem}", "export the cameras again")
