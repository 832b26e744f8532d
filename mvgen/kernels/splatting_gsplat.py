"""Pictures of splats by gsplat (https://github.com/nerfstudio-project/gsplat), behind `splatting.draw`'s arguments.

gsplat is installed apart from mvgen and needs a CUDA device. Its pictures differ slightly from ours, as it bounds what
a splat hides by 0.999 and cuts splats off nearer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mvgen.kernels.splatting import LOW_PASS, NEAR


def draw(
    means: Tensor,
    quaternions: Tensor,
    log_scales: Tensor,
    logits: Tensor,
    colours: Tensor,
    world_to_camera: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    antialiased: bool = False,
) -> tuple[Tensor, Tensor]:
    """As `splatting.draw`, with gradients to splats, colours and world_to_camera; float32 on a CUDA device."""
    from gsplat import rasterization

    picture, alpha, _ = rasterization(
        means=means,
        quats=quaternions,
        scales=torch.exp(log_scales),
        opacities=torch.sigmoid(logits),
        colors=colours,
        viewmats=world_to_camera[None],
        Ks=intrinsics[None],
        width=width,
        height=height,
        near_plane=NEAR,
        eps2d=LOW_PASS,
        packed=False,
        rasterize_mode="antialiased" if antialiased else "classic",
    )
    return picture[0], 1 - alpha[0, ..., 0]


def why_not(device: str) -> str | None:
    """Why gsplat cannot draw on a device, or None where it can; may build its kernels to find out."""
    if not device.startswith("cuda"):
        return "it needs a CUDA device"
    try:
        one = torch.zeros(1, 3, device=device)
        turn, eye = torch.tensor([[1.0, 0, 0, 0]], device=device), torch.eye(4, device=device)
        draw(one + 1, turn, one, one[:, 0], one, eye, eye[:3, :3], 16, 16)
    except ImportError:
        return "it is not installed"
    except Exception as error:  # missing compilers, toolkits and drivers each fail in their own way
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return None
