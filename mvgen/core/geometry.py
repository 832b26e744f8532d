"""Meshes and point clouds as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Similarity


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    vertices [V, 3] float64; faces [F, 3] int32, counter-clockwise from outside; normals [V, 3] unit or None;
    colours [V, 3] float32 sRGB in [0, 1] or None. A textured mesh has uv [V, 2] (v = 0 at the bottom of the
    picture; vertices are doubled along seams) and texture [H, W, 3] uint8 sRGB, first row at the top.
    metadata: plain JSON values that a file keeps (frame, units, how it was made).
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    normals: NDArray[np.float64] | None = None
    colours: NDArray[np.float32] | None = None
    uv: NDArray[np.float64] | None = None
    texture: NDArray[np.uint8] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def bounds(self) -> NDArray[np.float64]:
        """[2, 3]: lowest and highest corner."""
        return np.stack([self.vertices.min(0), self.vertices.max(0)])

    @property
    def diagonal(self) -> float:
        """Length of the bounding box's diagonal."""
        return float(np.linalg.norm(np.diff(self.bounds, axis=0)))

    def moved(self, similarity: Similarity) -> Mesh:
        normals = None if self.normals is None else self.normals @ similarity.rotation.T
        return replace(self, vertices=similarity.apply(self.vertices), normals=normals)


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points [N, 3] float64 with, where known, normals [N, 3] unit, colours [N, 3] float32 sRGB in [0, 1] and
    confidence [N] float32 in [0, 1]."""

    points: NDArray[np.float64]
    normals: NDArray[np.float32] | None = None
    colours: NDArray[np.float32] | None = None
    confidence: NDArray[np.float32] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def bounds(self) -> NDArray[np.float64]:
        """[2, 3]: lowest and highest corner."""
        return np.stack([self.points.min(0), self.points.max(0)])

    @property
    def diagonal(self) -> float:
        """Length of the bounding box's diagonal."""
        return float(np.linalg.norm(np.diff(self.bounds, axis=0)))

    def __getitem__(self, pick: NDArray[Any]) -> PointCloud:
        """The points that a mask or an index array picks."""

        def part(values: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if values is None else values[pick]

        return replace(
            self,
            points=self.points[pick],
            normals=part(self.normals),
            colours=part(self.colours),
            confidence=part(self.confidence),
        )

    def moved(self, similarity: Similarity) -> PointCloud:
        normals = None if self.normals is None else (self.normals @ similarity.rotation.T).astype(np.float32)
        return replace(self, points=similarity.apply(self.points), normals=normals)
