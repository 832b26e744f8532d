"""A cut-out picture as a closed, textured surface: what is seen in front, its mirror image at the back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh
from mvgen.core.inflate.height import heights
from mvgen.core.inflate.outline import outline
from mvgen.core.prepare.cutout import Cutout, bled, cropped

SOLID = 0.5  # of a pixel belongs to the foreground where its colour is shown


def inflate(cutout: Cutout, thickness: float = 1.0) -> Mesh:
    """The foreground as a closed mesh with a hole wherever the foreground has one.

    In glTF's axes (y up), the picture's plane at z = 0 and its viewer at +z; the longer side of the foreground is 1
    and the middle of its box the origin. thickness: depth of a round part over its width. Both sides are textured by
    the picture itself, so their colours meet at the rim; the back is invented.
    """
    part = cropped(cutout)
    region = outline(part.alpha)
    height = thickness * heights(region)
    low, high = region.points.min(0), region.points.max(0)
    scale = 1 / float((high - low).max())
    flat = (region.points - (low + high) / 2) * [scale, -scale]
    depth = np.zeros(len(flat))
    depth[: region.nodes] = height * scale
    front = np.column_stack([flat, depth])
    vertices = np.concatenate([front, front[: region.nodes] * [1, 1, -1]])
    name = np.arange(len(front))  # of the vertices seen from behind; those of the outline are shared
    name[: region.nodes] = len(front) + np.arange(region.nodes)
    faces = np.concatenate([region.faces, name[region.faces][:, ::-1]]).astype(np.int32)
    rows, columns = part.alpha.shape
    uv = region.points / [columns, rows]
    uv = np.column_stack([uv[:, 0], 1 - uv[:, 1]])
    return Mesh(
        vertices,
        faces,
        normals=_normals(vertices, faces),
        uv=np.concatenate([uv, uv[: region.nodes]]),
        texture=bled(part.image, part.alpha > SOLID),
    )


def _normals(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """[V, 3]: by the areas of the faces around."""
    corner = vertices[faces]
    across = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    out = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(out, faces[:, k], across)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-300)
