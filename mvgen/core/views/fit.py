"""The hull's edges made round, as far as the outlines allow.

A hull ends in ridges where cones of outlines meet, and the object is smaller there. Vertices move so that the thin-plate
energy falls while the rasterised outlines stay on those of the pictures. Steps are smoothed over the surface, so that an
outline takes its surroundings along (Nicolet et al., "Large steps in inverse rendering of geometry", 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array, diags_array, eye_array
from scipy.sparse.linalg import splu

from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress
from mvgen.core.surface.topology import edges_of
from mvgen.core.views.hull import Seen

SIDE = 192  # pixels of the longer side of what is rasterised
SPREAD = 10.0  # how far a step reaches, in edges squared
RATE = 0.004  # units: of a step
DECAY = (0.9, 0.99)  # of the means of gradients and of their squares


def fitted(mesh: Mesh, views: Sequence[Seen], steps: int, smoothness: float, progress: Progress) -> Mesh:
    """A closed mesh about one unit large, of even triangles, with vertices moved; faces stay."""
    import torch

    from mvgen.kernels.raster import edge_twins

    faces = torch.from_numpy(np.ascontiguousarray(mesh.faces, np.int32))
    twins = edge_twins(faces)
    targets = [_target(v) for v in views]
    laplacian = _laplacian(mesh)
    spread = splu(csc_array(eye_array(len(mesh.vertices)) + SPREAD * laplacian))
    hidden = mesh.vertices + SPREAD * (laplacian @ mesh.vertices)
    mean, square = np.zeros_like(hidden), 0.0
    progress.stage("fit", steps)
    for step in range(1, steps + 1):
        places = spread.solve(hidden)
        gradient = _outline_gradient(places, faces, twins, targets)
        gradient += smoothness * (laplacian @ (laplacian @ places))
        gradient = spread.solve(gradient)
        mean = DECAY[0] * mean + (1 - DECAY[0]) * gradient
        square = DECAY[1] * square + (1 - DECAY[1]) * float((gradient**2).max())
        size = np.sqrt(square / (1 - DECAY[1] ** step)) + 1e-30
        hidden -= RATE * (1 - step / (steps + 1)) * mean / (1 - DECAY[0] ** step) / size
        progress.advance()
    return replace(mesh, vertices=spread.solve(hidden), normals=None)


def _outline_gradient(places: NDArray[np.float64], faces, twins, targets) -> NDArray[np.float64]:
    import torch

    from mvgen.kernels.raster import antialias, project, rasterize

    vertices = torch.from_numpy(places.astype(np.float32)).requires_grad_()
    loss = vertices.new_zeros(())
    for pose, lens, mask in targets:
        screen = project(vertices, pose, lens, True)
        seen = rasterize(screen, faces, *mask.shape)
        filled = antialias((seen.face >= 0).float()[..., None], seen, screen, faces, twins)[..., 0]
        loss = loss + ((filled - mask) ** 2).sum() / mask.sum()
    loss.backward()
    return vertices.grad.numpy().astype(np.float64)


def _target(view: Seen):
    """Pose, lens and mask [H, W] of a view reduced to SIDE pixels around its outline."""
    import torch

    low, high = view.silhouette.outline.min(0), view.silhouette.outline.max(0)
    scale = SIDE / float((high - low).max())
    margin = 4
    move = np.array([[scale, 0, margin - scale * low[0]], [0, scale, margin - scale * low[1]], [0, 0, 1]])
    width, height = np.ceil((high - low) * scale).astype(int) + 2 * margin
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = (np.stack([x, y], axis=-1).reshape(-1, 2) - move[:2, 2]) / scale
    mask = np.clip(0.5 - view.silhouette.at(pixels) * scale, 0, 1).reshape(height, width)
    arrays = view.camera.world_to_camera, move @ view.camera.intrinsics, mask
    return tuple(torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in arrays)


def _laplacian(mesh: Mesh) -> csc_array:
    """[V, V]: each vertex minus the mean of its neighbours, times their number."""
    ends = edges_of(mesh.faces).ends
    i, j = np.concatenate([ends, ends[:, ::-1]]).T
    links = coo_array((np.ones(len(i)), (i, j)), (len(mesh.vertices),) * 2)
    return csc_array(diags_array(links.sum(axis=1)) - links)
