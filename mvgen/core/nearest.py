"""Points drawn from surfaces, and the nearest point of a surface or cloud."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh, PointCloud

_CANDIDATES = 6  # triangles that are measured exactly for each query
_SAMPLES = 100_000


@dataclass(frozen=True, eq=False)
class Samples:
    """points [N, 3]; normals [N, 3] unit, or None where the shape has none."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, pick: NDArray[np.generic]) -> Samples:
        return Samples(self.points[pick], None if self.normals is None else self.normals[pick])


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[Samples, NDArray[np.int64]]:
    """``count`` points drawn evenly by area, with the normals of their faces, and the faces [count]."""
    corners = mesh.vertices[mesh.faces]
    normals, area = face_normals(corners)
    total = np.cumsum(area)
    if not len(total) or not total[-1] > 0:
        return Samples(np.zeros((0, 3)), np.zeros((0, 3))), np.zeros(0, np.int64)
    face = np.searchsorted(total, rng.random(count) * total[-1], side="right").clip(0, len(total) - 1)
    a, b = rng.random((2, count, 1))
    root = np.sqrt(a)
    picked = corners[face]
    points = (1 - root) * picked[:, 0] + root * (1 - b) * picked[:, 1] + root * b * picked[:, 2]
    return Samples(points, normals[face]), face


def face_normals(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit normals [F, 3] (0 for a degenerate face) and areas [F] of triangles [F, 3, 3]."""
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(across, axis=1)
    return across / np.maximum(length, 1e-300)[:, None], length / 2


class Nearest:
    """The nearest point of a mesh or a point cloud.

    Of a mesh, distances are exact to the triangles behind the six nearest of many stand-ins (samples by area and all
    centroids): never too small, and too large by no more than the gaps between stand-ins.
    """

    def __init__(self, shape: Mesh | PointCloud):
        from scipy.spatial import cKDTree

        self.corners: NDArray[np.float64] | None = None
        if isinstance(shape, PointCloud):
            self.tree = cKDTree(shape.points)
            self.normals = None if shape.normals is None else shape.normals.astype(np.float64)
            return
        self.corners = shape.vertices[shape.faces]
        self.normals, area = face_normals(self.corners)
        solid = np.flatnonzero(area > 0)
        samples, face = sample_surface(shape, _SAMPLES, np.random.default_rng(0))
        self.tree = cKDTree(np.concatenate([samples.points, self.corners[solid].mean(1)]))
        self.face = np.concatenate([face, solid])

    def query(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Distances [N] of points [N, 3], and the normals [N, 3] there, if there are any."""
        if self.corners is None:
            distance, index = self.tree.query(points)
            return distance, None if self.normals is None else self.normals[index]
        _, index = self.tree.query(points, min(_CANDIDATES, self.tree.n))
        face = self.face[index.reshape(len(points), -1)]
        distance = np.stack([point_triangle_distance(points, self.corners[f]) for f in face.T], axis=1)
        best = distance.argmin(1)
        rows = np.arange(len(points))
        assert self.normals is not None
        return distance[rows, best], self.normals[face[rows, best]]


class Triangles:
    """The nearest points of triangles, exactly: vertices [V, 3] and faces [F, 3]."""

    def __init__(self, vertices: NDArray[np.float64], faces: NDArray[np.integer]):
        import igl

        self.vertices = np.ascontiguousarray(vertices, np.float64)
        self.faces: NDArray[np.int64] = np.ascontiguousarray(faces, np.int64)
        self._tree = igl.AABB()
        self._tree.init(self.vertices, self.faces)

    def query(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Distances [N] of points [N, 3], the nearest faces [N] and the nearest points [N, 3]."""
        order = walk(points)
        found = self._tree.squared_distance(self.vertices, self.faces, np.ascontiguousarray(points[order]))
        squared, face, nearest = (np.empty(len(points)), np.empty(len(points), np.int64), np.empty((len(points), 3)))
        squared[order], face[order] = np.reshape(found[0], -1), np.reshape(found[1], -1)
        nearest[order] = np.reshape(found[2], (-1, 3))
        return np.sqrt(np.maximum(squared, 0)), face, nearest


def walk(points: NDArray[np.floating]) -> NDArray[np.int64]:
    """[N]: an order of points [N, 3] in which most are near the one before (Morton's). Random points are looked up in a
    tree four times as fast in it, as the nodes stay in the processor's cache."""
    if not len(points):
        return np.zeros(0, np.int64)
    low = points.min(0)
    cells = ((points - low) * (1023 / max(float((points - low).max()), 1e-300))).astype(np.int64)
    for shift, mask in ((16, 0x30000FF), (8, 0x300F00F), (4, 0x30C30C3), (2, 0x9249249)):
        cells = (cells | cells << shift) & mask
    return np.argsort(cells[:, 0] | cells[:, 1] << 1 | cells[:, 2] << 2, kind="stable")


def point_triangle_distance(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N]: from each point [N, 3] to its own triangle [N, 3, 3]."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    along = np.minimum(_segment(points, a, b), np.minimum(_segment(points, b, c), _segment(points, c, a)))
    e, f, p = b - a, c - a, points - a
    ee, ef, ff = _dot(e, e), _dot(e, f), _dot(f, f)
    pe, pf = _dot(p, e), _dot(p, f)
    scale = ee * ff - ef * ef
    v, w = ff * pe - ef * pf, ee * pf - ef * pe  # barycentric, times scale
    inside = (v > 0) & (w > 0) & (v + w < scale)
    normal = np.cross(e, f)
    height = _dot(p, normal) ** 2 / np.maximum(_dot(normal, normal), 1e-300)
    return np.sqrt(np.where(inside, height, along))


def _segment(p: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances to segments."""
    d, e = b - a, p - a
    t = np.clip(_dot(e, d) / np.maximum(_dot(d, d), 1e-300), 0, 1)
    rest = e - t[:, None] * d
    return _dot(rest, rest)


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("ij,ij->i", a, b)
