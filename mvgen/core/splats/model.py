"""Gaussian splats as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Similarity
from mvgen.core.geometry import PointCloud
from mvgen.core.splats.harmonics import DEGREE_ZERO, count, turning

Frame = Literal["rdf", "rub", "rfu"]
FRAMES: tuple[Frame, ...] = get_args(Frame)
SEEN_FROM = "seen_from"  # in the metadata: see `seen`
UP: dict[Frame, str] = {"rdf": "-y", "rub": "y", "rfu": "z"}  # the axis that points up in each
_AXES = {
    **{"r": (1, 0, 0), "d": (0, 1, 0), "f": (0, 0, 1)},
    **{"l": (-1, 0, 0), "u": (0, -1, 0), "b": (0, 0, -1)},
}


@dataclass(frozen=True, eq=False)
class Splats:
    """N Gaussians as they are optimised and stored: before exponential and sigmoid. All arrays are float32.

    means [N, 3] in scene units; quaternions [N, 4] unit, (w, x, y, z), from the axes of a Gaussian to the world;
    log_scales [N, 3] natural logarithms of the standard deviations; logits [N] of the opacities; harmonics [N, K, 3]
    with K = (degree + 1)^2, such that the sRGB colour is max(0, 0.5 + basis(direction) @ harmonics) along the unit
    direction from the camera to the mean.

    frame: what x, y and z point to: "rdf" (right, down, forward, as in the cameras of mvgen; COLMAP, 3DGS PLY), "rub"
    (right, up, back: glTF, SPZ), "rfu" (right, forward, up: gsgen). metadata: plain JSON values; ``antialiased`` is
    true where the opacities were trained for an antialiased renderer.
    """

    means: NDArray[np.float32]
    quaternions: NDArray[np.float32]
    log_scales: NDArray[np.float32]
    logits: NDArray[np.float32]
    harmonics: NDArray[np.float32]
    frame: Frame = "rdf"
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.means)

    @property
    def degree(self) -> int:
        """Of the spherical harmonics: 0 to 3."""
        return round(self.harmonics.shape[1] ** 0.5) - 1

    @property
    def scales(self) -> NDArray[np.float32]:
        """[N, 3] standard deviations."""
        return np.exp(self.log_scales)

    @property
    def opacities(self) -> NDArray[np.float32]:
        """[N] in [0, 1]."""
        return (0.5 + 0.5 * np.tanh(0.5 * self.logits)).astype(np.float32)

    @property
    def colours(self) -> NDArray[np.float32]:
        """[N, 3] sRGB in [0, 1]: the mean over all directions."""
        return np.clip(0.5 + DEGREE_ZERO * self.harmonics[:, 0], 0, 1).astype(np.float32)

    @property
    def bounds(self) -> NDArray[np.float64]:
        """[2, 3]: lowest and highest corner of the means."""
        return np.stack([self.means.min(0), self.means.max(0)]).astype(np.float64)

    @property
    def diagonal(self) -> float:
        """Length of the bounding box's diagonal."""
        return float(np.linalg.norm(np.diff(self.bounds, axis=0)))

    def __getitem__(self, pick: NDArray[Any] | slice) -> Splats:
        """The splats that a mask, an index array or a slice picks."""
        return replace(
            self,
            means=self.means[pick],
            quaternions=self.quaternions[pick],
            log_scales=self.log_scales[pick],
            logits=self.logits[pick],
            harmonics=self.harmonics[pick],
        )

    def points(self) -> PointCloud:
        """The means with their colours."""
        return PointCloud(self.means.astype(np.float64), colours=self.colours, metadata=self.metadata)

    def moved(self, similarity: Similarity) -> Splats:
        """Means, axes, sizes and directions of the harmonics together; the frame keeps its name."""
        turn = quaternion(similarity.rotation)
        return replace(
            self,
            means=similarity.apply(self.means.astype(np.float64)).astype(np.float32),
            quaternions=_unit(product(turn, self.quaternions)),
            log_scales=(self.log_scales + np.log(similarity.scale)).astype(np.float32),
            harmonics=_turned(self.harmonics, similarity.rotation, self.degree),
            metadata=_seen_from_elsewhere(self.metadata, similarity),
        )

    def in_frame(self, frame: Frame) -> Splats:
        """The same splats with axes of another name."""
        if frame == self.frame:
            return self
        rotation = axes(frame).T @ axes(self.frame)
        out = self.moved(Similarity(1.0, rotation, np.zeros(3)))
        if np.array_equal(rotation, np.diag(np.diag(rotation))):
            # a Gaussian turned by half about an axis of its own looks the same: what was upright stays so
            back = quaternion(rotation) * [1, -1, -1, -1]
            out = replace(out, quaternions=_unit(product(out.quaternions, back)))
        return replace(out, frame=frame)

    def with_degree(self, degree: int) -> Splats:
        """Higher bands are cut, or added as zeros."""
        if degree == self.degree:
            return self
        harmonics = np.zeros((len(self), count(degree), 3), np.float32)
        kept = min(count(degree), self.harmonics.shape[1])
        harmonics[:, :kept] = self.harmonics[:, :kept]
        return replace(self, harmonics=harmonics)


def merged(parts: Sequence[Splats]) -> Splats:
    """All splats of one or more parts, in order, in the first one's frame, with its metadata and the highest degree."""
    first, degree = parts[0], max(part.degree for part in parts)
    if len(parts) == 1:
        return first
    same = [part.in_frame(first.frame).with_degree(degree) for part in parts]
    return replace(
        first,
        means=np.concatenate([part.means for part in same]),
        quaternions=np.concatenate([part.quaternions for part in same]),
        log_scales=np.concatenate([part.log_scales for part in same]),
        logits=np.concatenate([part.logits for part in same]),
        harmonics=np.concatenate([part.harmonics for part in same]),
    )


def axes(frame: Frame) -> NDArray[np.float64]:
    """[3, 3]: columns are the directions of a frame's x, y and z in the frame "rdf"."""
    return np.array([_AXES[letter] for letter in frame], np.float64).T


def quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4]: (w, x, y, z) of a rotation matrix [3, 3]."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_quat(scalar_first=True))


def product(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """[..., 4]: quaternions of the turns ``second``, then ``first``."""
    a, b, c, d = np.moveaxis(np.asarray(first, np.float64), -1, 0)
    w, x, y, z = np.moveaxis(np.asarray(second, np.float64), -1, 0)
    return np.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        axis=-1,
    )


def matrices(quaternions: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N, 3, 3]: rotations of unit quaternions [N, 4]; columns are the axes of the Gaussians."""
    w, x, y, z = np.moveaxis(np.asarray(quaternions, np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _seen_from_elsewhere(metadata: dict[str, Any], similarity: Similarity) -> dict[str, Any]:
    """What metadata tell of the places from which splats were seen moves with the splats."""
    about: Any = metadata.get(SEEN_FROM)
    try:
        places = {key: similarity.apply(np.array(about[key], np.float64)).tolist() for key in ("eyes", "targets")}
        up = (similarity.rotation @ np.array(about["up"], np.float64)).tolist()
    except (TypeError, KeyError, ValueError):  # nothing is told, or nothing that can be read
        return metadata
    return metadata | {SEEN_FROM: about | places | {"up": up}}


def _unit(quaternions: NDArray[np.float64]) -> NDArray[np.float32]:
    return (quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)).astype(np.float32)


def _turned(harmonics: NDArray[np.float32], rotation: NDArray[np.float64], degree: int) -> NDArray[np.float32]:
    if not degree:
        return harmonics
    # one product of rows with all 3 K numbers: several times as fast as one for each colour
    matrix = np.kron(turning(rotation, degree).T, np.eye(3)).astype(np.float32)
    return (harmonics.reshape(len(harmonics), -1) @ matrix).reshape(harmonics.shape)
