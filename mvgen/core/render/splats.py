"""Views of Gaussian splats, blended on the CPU or a CUDA device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.device import usable
from mvgen.core.errors import CannotError
from mvgen.core.progress import Progress
from mvgen.core.render.buffers import Buffers
from mvgen.core.scene import DepthMap
from mvgen.core.splats.model import Splats, matrices

if TYPE_CHECKING:
    from torch import Tensor

SOLID = 0.5  # of a pixel must be covered for depth and normal to be told
AGREE = 2.0  # of their mean size: the standard deviation of depth among the splats at a pixel that show one surface
Renderer = Literal["mvgen", "gsplat"]


class Painter:
    """Splats made ready for any number of views, drawn by `splatting.draw` or another function like it."""

    def __init__(self, splats: Splats, device: str = "cpu", draw: Any = None):
        import torch

        from mvgen.kernels import splatting

        self.draw = draw or splatting.draw
        self.device = torch.device(device)
        self.antialiased = bool(splats.metadata.get("antialiased"))
        thin = np.argmin(splats.log_scales, axis=1)
        self.sizes = self._tensor(splats.scales.max(1, keepdims=True))
        self.means, self.quaternions, self.log_scales, self.logits, self.harmonics, self.normals = (
            self._tensor(array)
            for array in (
                splats.means,
                splats.quaternions,
                splats.log_scales,
                splats.logits,
                splats.harmonics,
                matrices(splats.quaternions)[np.arange(len(splats)), :, thin],
            )
        )

    def render(self, camera: Camera, supersample: int = 1) -> Buffers:
        """The view of a camera; splats are soft, so there is nothing to supersample.

        Depth and normal are means over the splats at a pixel, the normal of a splat being its shortest axis; id is -1,
        as no splat is the only one at a pixel.
        """
        return _buffers(*self._seen(camera))

    def depth_map(self, camera: Camera) -> tuple[DepthMap, NDArray[np.uint8]]:
        """What a camera sees as a depth map, known where the splats at a pixel agree on it, and as a picture."""
        mixed, alpha = self._seen(camera)
        view = _buffers(mixed, alpha)
        square, size = np.moveaxis(mixed[..., 7:], -1, 0) / np.maximum(alpha, 1e-6)
        spread = np.sqrt(np.maximum(square - view.depth**2, 0))
        depth = np.where(spread < AGREE * size, view.depth, 0).astype(np.float32)
        seen = np.where(depth > 0, alpha, 0).astype(np.float32)
        return DepthMap(camera, depth, view.normal, seen), np.rint(view.color * 255).astype(np.uint8)

    def _seen(self, camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Colours, depth, normal, squared depth and size summed at each pixel, [H, W, 9]; the opacity there, [H, W]."""
        import torch

        from mvgen.kernels.splatting import harmonics_colours

        pose, lens, centre = map(self._tensor, (camera.world_to_camera, camera.intrinsics, camera.centre))
        with torch.no_grad():
            colours = harmonics_colours(self.harmonics, self.means, centre)
            depths = self.means @ pose[2, :3] + pose[2, 3]
            away = ((self.means - centre) * self.normals).sum(1, keepdim=True) > 0
            facing = torch.where(away, -self.normals, self.normals) @ pose[:3, :3].T
            channels = torch.cat([colours, depths[:, None], facing, depths[:, None] ** 2, self.sizes], 1)
            mixed, light = self.draw(
                self.means, self.quaternions, self.log_scales, self.logits, channels, pose, lens,
                camera.height, camera.width, self.antialiased,
            )  # fmt: skip
        return mixed.cpu().numpy(), 1 - light.cpu().numpy()

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device)


def painter(splats: Splats, device: str, renderer: Renderer, progress: Progress) -> Painter:
    """By our kernels, on the CPU with a warning where those of the device do not run; or by gsplat.

    Raises CannotError where gsplat cannot be used.
    """
    if renderer == "gsplat":
        from mvgen.kernels import splatting_gsplat

        reason = splatting_gsplat.why_not(device)
        if reason is not None:
            raise CannotError(f"gsplat cannot be used: {reason}", "leave --renderer out: mvgen draws splats itself")
        return Painter(splats, device, splatting_gsplat.draw)
    return Painter(splats, usable_device(device, progress))


def usable_device(device: str, progress: Progress) -> str:
    """The device, or ``cpu`` with a warning where its kernels do not run."""
    return usable(device, "splatting_cuda", "splats are drawn", progress)


def _buffers(mixed: NDArray[np.float32], alpha: NDArray[np.float32]) -> Buffers:
    mean = mixed / np.maximum(alpha, 1e-6)[..., None]
    solid = alpha > SOLID
    length = np.linalg.norm(mean[..., 4:7], axis=-1, keepdims=True)
    return Buffers(
        color=np.where(alpha[..., None] > 0, np.clip(mean[..., :3], 0, 1), 0).astype(np.float32),
        depth=np.where(solid, mean[..., 3], 0).astype(np.float32),
        normal=np.where(solid[..., None], mean[..., 4:7] / np.maximum(length, 1e-9), 0).astype(np.float32),
        alpha=alpha.astype(np.float32),
        id=np.full(alpha.shape, -1, np.int32),
    )
