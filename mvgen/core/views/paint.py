"""One picture painted over a texture wherever it is seen, so that from its camera the mesh looks like it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh
from mvgen.core.render.raycast import Caster

FINEST, COARSEST = 4, 2  # rays along a pixel's side, for small and large pictures
LARGE = 1 << 20  # pixels
ROWS = 64  # of the picture at a time
GAP = 7  # texels between rays that are closed
GRAZING = 0.01  # cosine to the normal below which a place is left as it is


def painted_over(mesh: Mesh, camera: Camera, image: NDArray[np.uint8], alpha: NDArray[np.float32]) -> Mesh:
    """A textured mesh whose texels show an image [H, W, 3] where the camera sees them, each the mean of the rays that
    meet it; alpha [H, W]: where the image shows the object."""
    assert mesh.texture is not None and mesh.uv is not None
    size = np.array([mesh.texture.shape[1], mesh.texture.shape[0]])
    total = np.zeros((size.prod(), 4), np.float32)
    caster = Caster(mesh)
    fine = FINEST if alpha.size <= LARGE else COARSEST
    inverse = np.linalg.inv(camera.intrinsics).T @ camera.rotation
    for first in range(0, camera.height, ROWS):
        rows = np.arange(first * fine, min(first + ROWS, camera.height) * fine)
        x, y = np.meshgrid((np.arange(camera.width * fine) + 0.5) / fine, (rows + 0.5) / fine)
        shown = alpha[y.astype(np.int32), x.astype(np.int32)] > 0.5
        pixels = np.stack([x[shown], y[shown], np.ones(int(shown.sum()))], axis=1)
        if not len(pixels):
            continue
        rays = pixels @ inverse
        found = caster.hits(camera.centre, rays)
        slant = -(caster.face_normals[found.face] * rays).sum(1) / np.linalg.norm(rays, axis=1)
        hit = np.flatnonzero((found.face >= 0) & (slant > GRAZING))
        uv = (mesh.uv[mesh.faces[found.face[hit]]] * found.w[hit][..., None]).sum(1)
        texel = np.floor((uv * [1, -1] + [0, 1]) * size).astype(np.int64).clip(0, size - 1)
        place = pixels[hit, :2].astype(np.float32) - np.float32(0.5)
        colour = _sampled(image, place)
        for k in range(3):
            total[:, k] += np.bincount(texel[:, 1] * size[0] + texel[:, 0], colour[:, k], len(total))
        total[:, 3] += np.bincount(texel[:, 1] * size[0] + texel[:, 0], minlength=len(total))
    return replace(mesh, texture=_closed(mesh.texture, total.reshape(*mesh.texture.shape[:2], 4)))


def _closed(texture: NDArray[np.uint8], total: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A texture [H, W, 3] with the means of total [H, W, 4] (sums of colours, and their number); where a surface is
    seen at a low angle rays leave gaps, which get the mean of what is around."""
    met = (total[..., 3] > 0).astype(np.uint8)
    between = cv2.morphologyEx(met, cv2.MORPH_CLOSE, np.ones((GAP, GAP), np.uint8)) > 0
    around = cv2.blur(total, (GAP, GAP), borderType=cv2.BORDER_CONSTANT)
    full = np.where(met[..., None] > 0, total, around)
    mean = np.rint(full[..., :3] / np.maximum(full[..., 3:], 1e-9)).clip(0, 255).astype(np.uint8)
    return np.where((between & (full[..., 3] > 1e-6))[..., None], mean, texture)


def _sampled(image: NDArray[np.uint8], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, 3] between the pixels, whose centres are at whole places (x, y)."""
    width = 1 << 14  # OpenCV takes no longer rows
    rows = -(-len(places) // width)
    padded = np.zeros((2, rows * width), np.float32)
    padded[:, : len(places)] = places.T
    x, y = padded.reshape(2, rows, width)
    found = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32).reshape(-1, 3)[: len(places)]
