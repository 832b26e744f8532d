"""Gaussian splats as pictures, with gradients (Kerbl et al., "3D Gaussian splatting for real-time radiance field
rendering", 2023; Zwicker et al., "EWA splatting", 2002).

    flat = project(means, quaternions, log_scales, logits, world_to_camera, intrinsics)
    colours = harmonics_colours(harmonics, means, centre)
    picture, light = blend(flat, colours, height, width)
    picture = picture + light[..., None] * background

What is per splat is torch and differentiates itself; what is per pixel is a kernel, of the CPU or of CUDA as the
tensors are, and `splatting_reference` says the same plainly. Cameras are OpenCV's, pixel centres at +0.5. float32 and
float64 are taken. On the CPU results and gradients are the same for any number of threads; on CUDA gradients are summed
in any order, and kernels run in the default stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mvgen.kernels.splatting_pixel import LEAST

LOW_PASS = 0.3  # square pixels by which every splat is widened
NEAR = 0.01  # units of length in front of the camera: what is nearer is not drawn
WIDE = 1.3  # times the picture's half angle: the tangent at which the slant of a splat is taken at most
C0, C1 = 0.28209479177387814, 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
C3 = (
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    -0.4570457994644658,
    1.445305721320277,
    -0.5900435899266435,
)


@dataclass(frozen=True, eq=False)
class Flat:
    """Splats in a picture: means [N, 2] in pixels; conics [N, 3]: a, b and c of the exponent a x^2 / 2 + b x y +
    c y^2 / 2; opacities [N]; depths [N] along the optical axis; reach [N, 2]: half the sides of the box in which a
    splat can be seen, in pixels, negative where it is not drawn."""

    means: Tensor
    conics: Tensor
    opacities: Tensor
    depths: Tensor
    reach: Tensor


def project(
    means: Tensor,
    quaternions: Tensor,
    log_scales: Tensor,
    logits: Tensor,
    world_to_camera: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    antialiased: bool = False,
) -> Flat:
    """Splats as a camera sees them.

    means [N, 3]; quaternions [N, 4] (w, x, y, z), of any length; log_scales [N, 3]; logits [N] of opacities;
    world_to_camera [4, 4]; intrinsics [3, 3]. antialiased: opacities fall as `LOW_PASS` widens (Yu et al., "Mip-
    splatting", 2024).
    """
    local = means @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    depth = local[:, 2]
    front = depth > NEAR
    z = torch.where(front, depth, 1.0)
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    x, y = local[:, 0] / z, local[:, 1] / z
    flat = torch.stack([fx * x + cx, fy * y + cy], 1)
    limit_x, limit_y = WIDE * 0.5 * width / fx, WIDE * 0.5 * height / fy
    x = torch.minimum(torch.maximum(x, -limit_x), limit_x)
    y = torch.minimum(torch.maximum(y, -limit_y), limit_y)
    one, other = _axes(quaternions, log_scales, world_to_camera[:3, :3], x, y, z, fx, fy)
    a, b, c = (one * one).sum(1), (one * other).sum(1), (other * other).sum(1)
    raw = torch.linalg.cross(one, other).square().sum(1)  # a c - b b, without its loss of digits
    area = raw + LOW_PASS * (a + c) + LOW_PASS**2
    a, c = a + LOW_PASS, c + LOW_PASS
    opacity = torch.sigmoid(logits)
    if antialiased:
        opacity = opacity * torch.sqrt(torch.clamp(raw / area, min=1e-12))
    drawn = front & (area > 0) & (opacity > LEAST) & torch.isfinite(area)
    with torch.no_grad():
        deep = torch.sqrt(2 * torch.log(torch.clamp(opacity / LEAST, min=1)))
        reach = deep[:, None] * torch.sqrt(torch.clamp(torch.stack([a, c], 1), min=0))
        reach = torch.where(drawn[:, None], reach, -1.0)
    safe = torch.where(drawn, area, 1.0)
    return Flat(flat, torch.stack([c / safe, -b / safe, a / safe], 1), opacity, depth, reach)


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
    """`project` and `blend` at once: colours [N, C] seen by a camera, [H, W, C], and the light that is left, [H, W]."""
    flat = project(
        means, quaternions, log_scales, logits, world_to_camera, intrinsics, height, width, antialiased
    )  # fmt: skip
    return blend(flat, colours, height, width)


def blend(flat: Flat, colours: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Colours [N, C] of splats seen through one another, [H, W, C], and what is left of the light behind, [H, W].

    The nearest come first; of equally near ones, the first. Gradients reach colours and flat's means, conics and
    opacities. Per pixel, less than 1/255 of opacity is left out, more than 0.99 counts as 0.99, and nothing is added
    once less than 1e-4 of the light is left.
    """
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {width} x {height} pixels")
    return _Blend.apply(flat.means, flat.conics, flat.opacities, colours, flat.depths, flat.reach, height, width)


def harmonics_colours(harmonics: Tensor, means: Tensor, centre: Tensor) -> Tensor:
    """[N, 3], at least 0: spherical harmonics [N, K, 3] (K is 1, 4, 9 or 16) of splats seen from a centre [3]."""
    basis = harmonics_basis(means - centre, harmonics.shape[1])
    return torch.clamp((basis[..., None] * harmonics).sum(1) + 0.5, min=0)


def harmonics_basis(directions: Tensor, count: int) -> Tensor:
    """[N, count]: real spherical harmonics, with the signs of 3D Gaussian splatting, of directions [N, 3]."""
    x, y, z = (directions / torch.linalg.vector_norm(directions, dim=1, keepdim=True).clamp(min=1e-20)).T
    rows = [torch.full_like(x, C0)]
    if count > 1:
        rows += [-C1 * y, C1 * z, -C1 * x]
    if count > 4:
        xx, yy, zz = x * x, y * y, z * z
        rows += [C2[0] * x * y, C2[1] * y * z, C2[2] * (2 * zz - xx - yy), C2[3] * x * z, C2[4] * (xx - yy)]
    if count > 9:
        rows += [
            C3[0] * y * (3 * xx - yy),
            C3[1] * x * y * z,
            C3[2] * y * (4 * zz - xx - yy),
            C3[3] * z * (2 * zz - 3 * xx - 3 * yy),
            C3[4] * x * (4 * zz - xx - yy),
            C3[5] * z * (xx - yy),
            C3[6] * x * (xx - 3 * yy),
        ]
    return torch.stack(rows, 1)


def rotations(quaternions: Tensor) -> Tensor:
    """[N, 3, 3] of quaternions [N, 4] (w, x, y, z) of any length."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=1).T
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, 1).reshape(-1, 3, 3)


def _axes(
    quaternions: Tensor, log_scales: Tensor, turn: Tensor, x: Tensor, y: Tensor, z: Tensor, fx: Tensor, fy: Tensor
) -> tuple[Tensor, Tensor]:
    """What the three axes of splats span along x and along y of the picture, [N, 3] each, in pixels: their products are
    the covariance. By the slope of the projection at x, y (with z = 1) and the depth z."""
    slope = torch.stack([fx / z, fy / z], 1)[..., None] * (turn[:2] - torch.stack([x, y], 1)[..., None] * turn[2])
    axes = slope @ (rotations(quaternions) * torch.exp(log_scales)[:, None])
    return axes[:, 0], axes[:, 1]


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, means: Tensor, conics: Tensor, opacities: Tensor, colours: Tensor, depths: Tensor, reach: Tensor,
        height: int, width: int,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        kernels = _kernels(means)
        order = torch.argsort(depths.float(), stable=True)
        order = order[(reach[order] > 0).all(1)].to(torch.int32)
        lists = kernels.tile_lists(*_arrays(means, reach, order), height, width)
        starts, entries = (torch.as_tensor(a) for a in lists)
        given = [t.detach().contiguous() for t in (means, conics, opacities, colours)]
        out, light = means.new_empty((height, width, colours.shape[1])), means.new_empty((height, width))
        last = torch.zeros((height, width), dtype=starts.dtype, device=means.device)
        kernels.blend(*_arrays(*given, starts, entries, out, light, last))
        ctx.save_for_backward(*given, starts, entries, light, last)
        return out, light

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        found = saved[0].new_zeros((len(saved[0]), 6 + saved[3].shape[1]))
        _kernels(found).blend_gradient(*_arrays(*saved, *gradients, found))
        return found[:, :2], found[:, 2:5], found[:, 5], found[:, 6:], None, None, None, None


def _kernels(tensor: Tensor) -> Any:
    """The kernels for the device of a tensor."""
    if tensor.is_cuda:
        from mvgen.kernels import splatting_cuda

        splatting_cuda.select(str(tensor.device))
        return splatting_cuda
    from mvgen.kernels import splatting_cpu

    return splatting_cpu


def _arrays(*tensors: Tensor) -> list[Any]:
    """The tensors' memory as the kernels take it, without copies where it lies in order."""
    whole = [t.detach().contiguous() for t in tensors]
    return [t if t.is_cuda else t.numpy() for t in whole]
