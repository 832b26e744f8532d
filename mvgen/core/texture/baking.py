"""Photos onto a mesh: a texture from the best views, or one colour for each vertex."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress, Silent
from mvgen.core.scene import View
from mvgen.core.texture.atlas import unwrap
from mvgen.core.texture.levelling import exposure_gains
from mvgen.core.texture.observe import Sight, look, observe
from mvgen.core.texture.select import blend_weights
from mvgen.core.texture.surface import Surface

SIZES = (256, 4096)  # texels, smallest and largest automatic texture
DENSITY = 2.5  # texels for each pixel of the best photo, because both are resampled
FILLING = 0.6  # of an atlas is covered by charts
MARGIN = 1.0  # texels around a chart that are still sampled from the photos
GUTTER = 12  # texels around a chart that repeat its border, for bilinear sampling and mip-maps


def texture_mesh(
    mesh: Mesh,
    views: Sequence[View],
    size: int | None = None,
    progress: Progress | None = None,
    favour: Sequence[float] | None = None,
) -> Mesh:
    """The mesh with uv and a texture [size, size, 3] from the photos; vertices are doubled along seams.

    size: texels; None takes a power of two that keeps the sharpest photo's detail, at most 4096. favour: of each photo,
    how many times as many pixels it counts for where photos compete; for surfaces too rough for photos to agree on.
    Raises CannotError if there are no views or nothing to texture, InputError for a picture that cannot be read or does
    not fit its camera.
    """
    progress = progress or Silent()
    surface, sight = _observed(mesh, views, progress)
    size = size or automatic_size(sight)
    if favour is not None:
        sight = replace(sight, quality=sight.quality * np.asarray(favour, np.float32))
    progress.stage("atlas")
    flat = unwrap(mesh, size)
    progress.stage("texture", len(views))
    return replace(flat, texture=_baked(flat, surface, sight, views, size, progress))


def bake(mesh: Mesh, views: Sequence[View], size: int, progress: Progress | None = None) -> Mesh:
    """A mesh that has uv, with a new texture [size, size, 3] from the photos. Raises as `texture_mesh` does."""
    if mesh.uv is None:
        raise CannotError("the mesh has no texture coordinates", hint="unwrap it first")
    progress = progress or Silent()
    surface, sight = _observed(mesh, views, progress)
    progress.stage("texture", len(views))
    return replace(mesh, texture=_baked(mesh, surface, sight, views, size, progress))


def automatic_size(sight: Sight) -> int:
    """A power of two at which texels are about as dense as the best photo's pixels."""
    pixels = sight.quality.max(axis=1)
    seen = pixels > 0
    texels = DENSITY * pixels.sum() * len(pixels) / max(seen.sum(), 1) / FILLING
    return int(np.clip(2 ** np.ceil(np.log2(np.sqrt(max(texels, 1))) - 0.2), *SIZES))


def vertex_colours(mesh: Mesh, views: Sequence[View], progress: Progress | None = None) -> Mesh:
    """The mesh with one colour per vertex from the photos that see it best. Raises as `texture_mesh` does."""
    surface, sight = _observed(mesh, views, progress or Silent())
    gains = exposure_gains(sight)
    colours = point_colours(surface, sight, blend_weights(surface, sight, gains), gains)
    order = np.unique(mesh.vertices, axis=0, return_inverse=True)[1].reshape(-1)
    return replace(mesh, colours=(colours[order] / 255).astype(np.float32))


def _observed(mesh: Mesh, views: Sequence[View], progress: Progress) -> tuple[Surface, Sight]:
    if not views:
        raise CannotError("there are no photos to texture the mesh with", hint="give at least one posed photo")
    surface = Surface.of(mesh)
    progress.stage("visibility", len(views))
    return surface, observe(surface, views, progress)


def _baked(
    mesh: Mesh, surface: Surface, sight: Sight, views: Sequence[View], size: int, progress: Progress
) -> NDArray[np.uint8]:
    """[size, size, 3]"""
    from mvgen.kernels.texture import add_view, face_map, paint

    gains = exposure_gains(sight)
    weights = blend_weights(surface, sight, gains)
    fill = point_colours(surface, sight, weights, gains)
    assert mesh.uv is not None
    corners = ((mesh.uv * [1, -1] + [0, 1]) * size)[mesh.faces].astype(np.float32)
    owner = face_map(corners, size, MARGIN).reshape(-1)
    places = np.flatnonzero(owner >= 0)
    texels = np.stack([owner[places], places.astype(np.int32)], axis=1)
    del places
    del owner
    slopes = _slopes(corners)
    total = np.zeros((len(texels), 4), np.float32)
    for k, view in enumerate(views):
        seen = look(surface, view)
        planes = _planes(corners, slopes, np.c_[seen.points, weights[:, k]][surface.faces])
        add_view(total, texels, size, planes, seen.limit, seen.trust, _brightened(seen.image, gains[k]))
        progress.advance()
    texture = np.zeros((size, size, 3), np.uint8)
    paint(texture, texels, total, _planes(corners, slopes, fill[surface.faces]))
    return _with_gutter(texture, texels[:, 1])


def _brightened(image: NDArray[np.uint8], gain: NDArray[np.float32]) -> NDArray[np.uint8]:
    table = np.clip(np.arange(256)[:, None] * gain + 0.5, 0, 255).astype(np.uint8)
    return np.stack([table[image[..., k], k] for k in range(3)], axis=-1)


def _slopes(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """[F, 2, 2]: rows turn the differences of corners 1 and 2 from corner 0 into change per texel along x and y."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).astype(np.float64)
    area = np.where(np.abs(area) < 1e-9, np.inf, area)[:, None]
    along_x = np.stack([second[:, 1], -first[:, 1]], axis=1) / area
    along_y = np.stack([-second[:, 0], first[:, 0]], axis=1) / area
    return np.stack([along_x, along_y], axis=1).astype(np.float32)


def _planes(corners: NDArray[Any], slopes: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float32]:
    """[F, 4, K]: values [F, 3, K] at the corners as linear functions of the texel, see `add_view`."""
    planes = np.zeros((len(values), 4, values.shape[2]), np.float32)
    planes[:, 0] = values[:, 0]
    planes[:, 1:3] = slopes[:, :, :1] * (values[:, 1] - values[:, 0])[:, None]
    planes[:, 1:3] += slopes[:, :, 1:] * (values[:, 2] - values[:, 0])[:, None]
    planes[:, 3, :2] = corners[:, 0]
    return planes


def point_colours(
    surface: Surface, sight: Sight, weights: NDArray[np.float32], gains: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[P, 3] (0..255): the photos' colours at the points; where none can be believed, as smooth as the surface allows.

    weights [P, V]; gains [V, 3]. Unseen points solve Laplace's equation on the mesh.
    """
    weight = weights * sight.believed
    total = weight.sum(axis=1)
    known = total > 0
    colours = np.einsum("pv,pvk->pk", weight, sight.colours * gains) / np.maximum(total, 1e-20)[:, None]
    if not known.any():
        return np.full((len(known), 3), 128, np.float32)
    colours[~known] = colours[known].mean(axis=0)
    if not known.all():
        colours[~known] = _harmonic(surface, colours, known)
    return np.clip(colours, 0, 255).astype(np.float32)


def _harmonic(surface: Surface, colours: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[U, 3]: colours of the unknown points, each the mean of its neighbours."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import splu

    links = surface.links()[~known]
    # a weak pull to the mean, so that pieces that nobody sees have a solution
    degree = links.sum(axis=1) + 1e-6
    right = links[:, known] @ colours[known] + 1e-6 * colours[~known]
    matrix = (diags_array(degree) - links[:, ~known]).tocsc()
    solver = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return solver.solve(right)


def _with_gutter(texture: NDArray[np.uint8], places: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Charts (texels ``places``) grown by GUTTER texels, their mean colour in the rest."""
    from mvgen.kernels.texture import spread

    known = np.zeros(texture.shape[:2], np.uint8)
    known.reshape(-1)[places] = 1
    for step in range(1, GUTTER + 1):
        spread(texture, known, step)
    sample = texture.reshape(-1, 3)[places[:: max(1, len(places) // 100_000)]]
    texture[known == 0] = sample.mean(axis=0).round().astype(np.uint8)
    return texture
