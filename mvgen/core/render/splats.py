"""Views of Gaussian splats, blended on the CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.render.buffers import Buffers
from mvgen.core.splats.model import Splats, matrices

SOLID = 0.5  # of a pixel must be covered for depth and normal to be told


class Painter:
    """Splats made ready for any number of views."""

    def __init__(self, splats: Splats):
        self.splats = splats
        self.antialiased = bool(splats.metadata.get("antialiased"))
        thin = np.argmin(splats.log_scales, axis=1)
        self.normals = matrices(splats.quaternions)[np.arange(len(splats)), :, thin]

    def render(self, camera: Camera, supersample: int = 1) -> Buffers:
        """The view of a camera; splats are soft, so there is nothing to supersample.

        Depth and normal are means over the splats at a pixel, the normal of a splat being its shortest axis; id is -1,
        as no splat is the only one at a pixel.
        """
        import torch

        from mvgen.kernels import splatting

        with torch.no_grad():
            means, quaternions, log_scales, logits, harmonics = (
                torch.from_numpy(np.ascontiguousarray(array, np.float32))
                for array in (
                    self.splats.means,
                    self.splats.quaternions,
                    self.splats.log_scales,
                    self.splats.logits,
                    self.splats.harmonics,
                )
            )
            pose, lens = (torch.from_numpy(m.astype(np.float32)) for m in (camera.world_to_camera, camera.intrinsics))
            height, width = camera.height, camera.width
            flat = splatting.project(
                means, quaternions, log_scales, logits, pose, lens, height, width, self.antialiased
            )  # fmt: skip
            colours = splatting.harmonics_colours(harmonics, means, torch.from_numpy(camera.centre.astype(np.float32)))
            facing = torch.from_numpy(self._facing(camera).astype(np.float32))
            deep = splatting.depth_channels(flat, height, width)
            mixed, light = splatting.blend(flat, torch.cat([colours, facing, deep], 1), height, width)
            depth = splatting.blended_depth(mixed[..., 6:])
        return _buffers(mixed.numpy(), depth.numpy(), 1 - light.numpy())

    def _facing(self, camera: Camera) -> NDArray[np.float64]:
        """[N, 3]: the splats' normals in camera axes, towards the camera."""
        local = self.normals @ camera.rotation.T
        away = ((self.splats.means - camera.centre) * self.normals).sum(1) > 0
        return np.where(away[:, None], -local, local)


def _buffers(mixed: NDArray[np.float32], depth: NDArray[np.float32], alpha: NDArray[np.float32]) -> Buffers:
    mean = mixed / np.maximum(alpha, 1e-6)[..., None]
    solid = alpha > SOLID
    length = np.linalg.norm(mean[..., 3:6], axis=-1, keepdims=True)
    return Buffers(
        color=np.where(alpha[..., None] > 0, np.clip(mean[..., :3], 0, 1), 0).astype(np.float32),
        depth=np.where(solid, depth / np.maximum(alpha, 1e-6), 0).astype(np.float32),
        normal=np.where(solid[..., None], mean[..., 3:6] / np.maximum(length, 1e-9), 0).astype(np.float32),
        alpha=alpha.astype(np.float32),
        id=np.full(alpha.shape, -1, np.int32),
    )
