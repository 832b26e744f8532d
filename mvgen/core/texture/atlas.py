"""Unwrap a mesh: cut it into nearly flat charts, flatten each along its own normal, pack them with xatlas.

Faces choose one of a few directions, smoothed over the surface so that charts are large and their borders short;
faces that would flip or hide another one when flattened are cut out. Much faster than growing charts face by
face, and photos do not ask for more: they see a chart best from its front, too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.texture.surface import Surface

MIN_COSINE = 0.2  # between a face's normal and its chart's direction
BORDER_COST = 0.02  # of a chart border, in units of the surface's scale
SMALL_CHART = 5e-4  # of the whole area: melts into its neighbour
MOST_ROUNDS = 20  # of cutting charts until they are flat
PADDING = 4  # texels between charts
UNITS = 65536.0  # width of the plane handed to xatlas, which drops faces smaller than about 1e-7


def unwrap(mesh: Mesh, size: int, padding: int = PADDING) -> Mesh:
    """The mesh with uv for a texture of size x size texels; vertices are doubled along seams.

    Every face has uv within [0, 1], v = 0 at the bottom; charts do not overlap (some are mirrored) and stand about
    ``padding`` texels apart; texels are about equally dense on the surface. The result is the same on every run.
    Colours and normals are kept, an old texture is not. Raises CannotError for a mesh without area.
    """
    from mvgen.kernels.texture import smooth_labels

    surface = Surface.of(mesh)
    costs = surface.areas[:, None] * (1 - surface.normals @ _directions().T)
    border = surface.lengths * (BORDER_COST * surface.scale)
    unit = surface.areas.sum() / len(surface.areas)  # keeps float32 away from its limits
    labels = smooth_labels((costs / unit).astype(np.float32), surface.twins, (border / unit).astype(np.float32), 6)
    charts = _flat_charts(surface, _without_small(surface, surface.components(labels)))
    flat, _ = _flatten(surface, charts)
    return _packed(mesh, charts, flat, size, padding)


def _directions() -> NDArray[np.float64]:
    """[14, 3]: towards the faces and the corners of a cube."""
    grid = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    kept = grid[np.isin(np.abs(grid).sum(1), (1, 3))]
    return kept / np.linalg.norm(kept, axis=1, keepdims=True)


def _without_small(surface: Surface, charts: NDArray[np.int32]) -> NDArray[np.int32]:
    """Charts with the small ones given to the neighbour with whom they share the longest border."""
    from scipy.sparse import coo_array

    for _ in range(4):
        count = int(charts.max()) + 1
        area = np.bincount(charts, surface.areas, minlength=count)
        face, edge = np.nonzero(surface.twins >= 0)
        mine, other = charts[face], charts[surface.twins[face, edge] // 3]
        # towards a larger neighbour only, or two small ones would swap
        wanted = (area[mine] < SMALL_CHART * area.sum()) & (
            (area[other] > area[mine]) | (area[other] == area[mine]) & (other < mine)
        )
        if not wanted.any():
            break
        shared = coo_array(
            (surface.lengths[face, edge][wanted], (mine[wanted], other[wanted])), shape=(count, count)
        ).tocsr()
        longest = np.asarray(shared.argmax(axis=1)).reshape(-1)
        target = np.where(np.diff(shared.indptr) > 0, longest, np.arange(count))
        charts = surface.components(target[charts])
    return charts


def _flat_charts(surface: Surface, charts: NDArray[np.int32]) -> NDArray[np.int32]:
    """Cut out faces until no chart folds over or covers itself when it is flattened along its mean normal.

    Each round cuts every chart that is not flat, because no chart turns away from its mean normal as a whole or lies
    under itself as a whole. Charts that are not flat after all rounds are taken apart.
    """
    suspect = np.ones(len(charts), bool)  # faces of charts that may not be flat
    for _ in range(MOST_ROUNDS):
        bad = _not_flat(surface, charts, suspect)
        suspect = np.bincount(charts, bad)[charts] > 0
        if not bad.any():
            return charts
        charts = surface.components(2 * charts + bad)
    bad = _not_flat(surface, charts, suspect)
    alone = np.where(np.bincount(charts, bad)[charts] > 0, np.arange(len(charts)) + len(charts), charts)
    return np.unique(alone, return_inverse=True)[1].astype(np.int32)


def _not_flat(surface: Surface, charts: NDArray[np.int32], suspect: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[F]: faces that turn away from their chart's direction; in charts without such, those under another face.

    Only charts of ``suspect`` faces are looked at.
    """
    flat, direction = _flatten(surface, charts)
    cosine = np.einsum("fi,fi->f", surface.normals, direction[charts])
    bad = suspect & (cosine < MIN_COSINE) & (surface.areas > 0)
    rest = np.flatnonzero(suspect & (np.bincount(charts, bad)[charts] == 0))
    if len(rest):
        heights = np.einsum("fi,fi->f", surface.points[surface.faces[rest]].mean(1), direction[charts[rest]])
        bad[rest] = _hidden(charts[rest], flat[rest], heights)
    return bad


def _flatten(surface: Surface, charts: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners [F, 3, 2] projected along each chart's mean normal, counter-clockwise; those directions [C, 3]."""
    count = int(charts.max()) + 1
    weighted = surface.normals * surface.areas[:, None]
    direction = np.stack([np.bincount(charts, weighted[:, k], minlength=count) for k in range(3)], axis=1)
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    direction = np.where(length > 0, direction / np.maximum(length, 1e-300), np.array([0.0, 0.0, 1.0]))
    helper = np.eye(3)[np.abs(direction).argmin(1)]
    right = np.asarray(np.cross(helper, direction), np.float64)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    basis = np.stack([right, np.cross(direction, right)], axis=1)
    return np.einsum("fij,fkj->fki", basis[charts], surface.points[surface.faces]), direction.astype(np.float64)


def _hidden(charts: NDArray[np.int32], flat: NDArray[np.float64], heights: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[F]: faces that lie under another face of their chart; heights [F] tell which is above."""
    from mvgen.kernels.texture import hidden_faces

    charts = np.unique(charts, return_inverse=True)[1].astype(np.int32)
    faces = np.bincount(charts)
    order, starts = np.argsort(charts, kind="stable"), np.r_[0, np.cumsum(faces)[:-1]]
    lows, highs = flat.min(1), flat.max(1)
    low = np.minimum.reduceat(lows[order], starts)
    extent = np.maximum.reduceat(highs[order], starts) - low
    boxes = np.bincount(charts, np.prod(highs - lows, axis=1)) / faces
    cell = _cell_widths(faces, boxes, extent)
    shape = np.floor(extent / cell[:, None]).astype(np.int64) + 1
    grids = np.stack([np.r_[0, np.cumsum(shape.prod(1))], np.r_[shape[:, 0], 0]], axis=1)
    corners = (flat - low[charts][:, None]) / cell[charts][:, None, None]
    return hidden_faces(corners, heights, grids, charts)


def _cell_widths(
    faces: NDArray[np.int64], boxes: NDArray[np.float64], extent: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[C]: of grids with cells as large as the charts' faces, and at most about 20 cells for each face.

    faces [C]: their number; boxes [C]: mean area of a box around one; extent [C, 2]: of the chart.
    """
    width = np.maximum(np.sqrt(np.maximum(boxes, extent.prod(1) / (4 * faces))), extent.max(1) / (4 * faces))
    return np.where(width > 0, width, 1.0)


def _packed(mesh: Mesh, charts: NDArray[np.int32], flat: NDArray[np.float64], size: int, padding: int) -> Mesh:
    """The mesh with flattened charts side by side; corners that share vertex and chart share a new vertex."""
    import xatlas

    key = charts[:, None].astype(np.int64) * len(mesh.vertices) + mesh.faces
    unique, first, corner = np.unique(key.reshape(-1), return_index=True, return_inverse=True)
    faces = corner.reshape(-1, 3).astype(np.int32)
    plane = flat.reshape(-1, 2)[first]
    plane = (plane - plane.mean(0)) * (UNITS / np.ptp(plane, axis=0).max())
    atlas = xatlas.Atlas()
    atlas.add_uv_mesh(plane.astype(np.float32), faces.astype(np.uint32), charts.astype(np.uint32)[:, None])
    options = xatlas.PackOptions()
    options.resolution, options.padding, options.bilinear = size, padding, True
    atlas.generate(xatlas.ChartOptions(), options)
    source, packed_faces, uv = atlas[0]
    if atlas.atlas_count != 1 or len(packed_faces) != len(faces):
        raise CannotError("the charts of the mesh do not fit one texture", hint="ask for a larger texture")
    uv = uv.astype(np.float64) * [atlas.width, atlas.height] / max(atlas.width, atlas.height)
    origin = (unique % len(mesh.vertices))[source]
    return replace(
        mesh,
        vertices=mesh.vertices[origin],
        faces=packed_faces.astype(np.int32),
        normals=None if mesh.normals is None else mesh.normals[origin],
        colours=None if mesh.colours is None else mesh.colours[origin],
        uv=np.clip(uv, 0, 1),
        texture=None,
    )
