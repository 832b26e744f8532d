"""Blending splats plainly: every splat at every pixel, with autograd's gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from mvgen.kernels.splatting import Flat
from mvgen.kernels.splatting_pixel import DONE, LEAST, MOST


def blend_reference(flat: Flat, colours: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """As `splatting.blend`. Cost: N H W."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    light = torch.ones(height, width, dtype=colours.dtype)
    going = torch.ones(height, width, dtype=torch.bool)
    out = torch.zeros(height, width, colours.shape[1], dtype=colours.dtype)
    for i in torch.argsort(flat.depths.float(), stable=True).tolist():
        if not (flat.reach[i] > 0).all():
            continue
        dx, dy = x.to(colours.dtype) - flat.means[i, 0], y.to(colours.dtype) - flat.means[i, 1]
        a, b, c = flat.conics[i]
        power = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = torch.clamp(flat.opacities[i] * torch.exp(-power), max=MOST)
        seen = going & (power >= 0) & (alpha >= LEAST)
        after = light * (1 - alpha)
        going = going & ~(seen & (after < DONE))
        seen = seen & going
        out = out + torch.where(seen, light * alpha, 0.0)[..., None] * colours[i]
        light = torch.where(seen, after, light)
    return out, light
