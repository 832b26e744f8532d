"""A mesh rasteriser with gradients, on torch tensors of the CPU or of a CUDA device.

    screen = project(vertices, world_to_camera, intrinsics, perspective=False)
    seen = rasterize(screen, faces, height, width, perspective=False)
    colours = interpolate(vertex_colours, faces, seen)
    picture = antialias(colours, seen, screen, faces, edge_twins(faces))

Gradients of `interpolate` reach the attributes, and through the barycentric weights the vertices; those of depth reach
the vertices too. What covers a pixel changes in steps and has no gradient there; `antialias` gives outlines one, so a
loss on silhouettes needs it. Meshes are seen from both sides. `raster_reference` says the same plainly.

float32 and float64 are taken. On the CPU results and gradients are the same for any number of threads; on CUDA
gradients are summed in any order, and kernels run in the default stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mvgen.kernels.raster_pixel import NEAR


@dataclass(frozen=True, eq=False)
class Raster:
    """What is seen at each pixel: face [H, W] int32, -1 for none; barycentrics [H, W, 3], the weights of the face's
    corners at the point that is seen; depth [H, W] along the optical axis. Both are 0 where no face is."""

    face: Tensor
    barycentrics: Tensor
    depth: Tensor


def project(vertices: Tensor, world_to_camera: Tensor, intrinsics: Tensor, perspective: bool = True) -> Tensor:
    """World points [V, 3] on the screen: [V, 3] pixel x, pixel y (down, pixel centres at +0.5) and depth.

    world_to_camera [4, 4], OpenCV axes; intrinsics [3, 3] in pixels, for an orthographic camera in pixels per unit of
    length. Points that are not in front of a perspective camera get finite pixels without meaning.
    """
    local = vertices @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    depth = local[:, 2:]
    divisor = torch.where(depth > NEAR, depth, 1.0) if perspective else 1.0
    pixels = (local[:, :2] / divisor) @ intrinsics[:2, :2].T + intrinsics[:2, 2]
    return torch.cat([pixels, depth], dim=1)


def rasterize(screen: Tensor, faces: Tensor, height: int, width: int, perspective: bool = True) -> Raster:
    """What a mesh shows at each pixel centre, with gradients from barycentrics and depth to screen.

    screen [V, 3] of `project`; faces [F, 3] integers. The nearest face wins, of equally near ones (as float32) the
    first; a centre on an edge that two faces share belongs to one of them. Faces are left out that have a corner not
    deeper than `NEAR`, farther than 2^24 pixels out, or not finite, and faces without area.
    Raises ValueError for other shapes and for faces that name vertices that do not exist.
    """
    faces = _checked(screen, faces)
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {width} x {height} pixels")
    face, barycentrics, depth = _Rasterize.apply(screen.contiguous(), faces, height, width, perspective)
    return Raster(face, barycentrics, depth)


def interpolate(attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
    """Attributes at each pixel [H, W, C], 0 where no face is, with gradients to attributes and raster.barycentrics.

    attributes: [V, C] of vertices, or [F, 3, C] of the corners of faces [F, 3].
    """
    corners = faces
    if attributes.dim() == 3:
        corners = torch.arange(3 * len(faces), device=faces.device).reshape(-1, 3)
        attributes = attributes.flatten(0, 1)
    corners = _checked(attributes, corners, columns=None)
    return _Interpolate.apply(attributes.contiguous(), corners, raster.face, raster.barycentrics)


def edge_twins(faces: Tensor) -> Tensor:
    """[F, 3] int32: of each edge k (from corner k to k + 1) of a face, the half-edge 3 g + j of the other face there.

    -1 where there is no other face, or more than one. Vertices that were doubled, as for texture, make a border of
    their own: weld the faces' indices first where no outline should be seen.
    """
    ends = torch.stack([faces, faces.roll(-1, dims=1)], dim=-1).reshape(-1, 2).long()
    key = ends.amin(1) * (int(faces.max()) + 1 if len(faces) else 1) + ends.amax(1)
    key, order = torch.sort(key, stable=True)
    same = key[1:] == key[:-1]
    no = same.new_zeros(1)
    starts_pair = torch.cat([same, no]) & ~torch.cat([no, same]) & ~torch.cat([same[1:], no, no])[: len(key)]
    first = starts_pair.nonzero()[:, 0]
    twins = torch.full_like(key, -1)
    twins[order[first]], twins[order[first + 1]] = order[first + 1], order[first]
    return twins.reshape(-1, 3).int()


def antialias(image: Tensor, raster: Raster, screen: Tensor, faces: Tensor, twins: Tensor) -> Tensor:
    """The image [H, W, C] with smooth outlines, with gradients to image and to screen's x and y.

    twins [F, 3]: `edge_twins` of the faces. After Laine et al. 2020 ("Modular primitives for high-performance
    differentiable rendering"): where neighbouring pixels show different surfaces, the outline's edge crosses the line
    between their centres somewhere; the pixel that the crossing lies in takes that share of the other's colour by
    which it is covered. Here the edge is found by walking over the surface from pixel to pixel, so that it need not
    belong to a face that covers a pixel centre, and edges inside a surface are not taken for outlines.
    """
    faces = _checked(screen, faces)
    edges = torch.empty((2, *raster.face.shape), dtype=torch.int32, device=screen.device)
    kernels = _kernels(screen)
    kernels.find_edges(*_arrays(screen.contiguous(), faces, twins.contiguous(), raster.face, edges))
    out = image
    for axis in (0, 1):
        row, column = (edges[axis] >= 0).nonzero(as_tuple=True)
        next_row, next_column = row + axis, column + 1 - axis
        share = _share(screen, faces, edges[axis, row, column], axis, row, column)[:, None]
        step = image[next_row, next_column] - image[row, column]
        first = torch.where(share > 0, share, 0) * step  # the crossing lies in the first pixel of the pair
        second = torch.where(share > 0, 0, share) * step
        out = out.index_put((row, column), first, accumulate=True)
        out = out.index_put((next_row, next_column), second, accumulate=True)
    return out


def _share(screen: Tensor, faces: Tensor, half: Tensor, axis: int, row: Tensor, column: Tensor) -> Tensor:
    """How far before the border between two pixels half-edges cross the line of their centres: [N] in pixels."""
    p = screen[faces[half // 3, half % 3].long()]
    q = screen[faces[half // 3, (half + 1) % 3].long()]
    level, start = (row + 0.5, column + 0.5) if axis == 0 else (column + 0.5, row + 0.5)
    across, along = (q - p)[:, 1 - axis], (q - p)[:, axis]
    weight = (across**2 / (across**2 + along**2)).detach()
    return weight * (0.5 + start - p[:, axis] - along / across * (level - p[:, 1 - axis]))


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, screen: Tensor, faces: Tensor, height: int, width: int, perspective: bool) -> Any:
        face = torch.empty((height, width), dtype=torch.int32, device=screen.device)
        barycentrics, depth = screen.new_empty((height, width, 3)), screen.new_empty((height, width))
        corners, indices, *out = _arrays(screen, faces, face, barycentrics, depth)
        _kernels(screen).draw(corners, indices, perspective, *out)
        ctx.save_for_backward(screen, faces, face)
        ctx.perspective = perspective
        ctx.mark_non_differentiable(face)
        return face, barycentrics, depth

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        screen, faces, face = ctx.saved_tensors
        out = torch.zeros_like(screen)
        corners, indices, *rest = _arrays(screen, faces, face, *(g.contiguous() for g in gradients[1:]), out)
        _kernels(screen).draw_gradient(corners, indices, ctx.perspective, *rest)
        return out, None, None, None, None


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attributes: Tensor, corners: Tensor, face: Tensor, barycentrics: Tensor) -> Tensor:
        out = attributes.new_empty((*face.shape, attributes.shape[1]))
        _kernels(out).blend(*_arrays(attributes, corners, face, barycentrics, out))
        ctx.save_for_backward(attributes, corners, face, barycentrics)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        saved = ctx.saved_tensors
        of_attributes, of_barycentrics = torch.zeros_like(saved[0]), torch.empty_like(saved[3])
        kernels = _kernels(of_attributes)
        kernels.blend_gradient(*_arrays(*saved, gradients[0].contiguous(), of_attributes, of_barycentrics))
        return of_attributes, None, None, of_barycentrics


def _checked(values: Tensor, faces: Tensor, columns: int | None = 3) -> Tensor:
    """Faces as the kernels take them. Raises ValueError where they do not fit values [N, columns]."""
    if values.dim() != 2 or (columns and values.shape[1] != columns):
        raise ValueError(f"a tensor of shape {tuple(values.shape)} where one row for each vertex is needed")
    if faces.dim() != 2 or faces.shape[1] != 3:
        raise ValueError(f"faces of shape {tuple(faces.shape)}: [F, 3] is needed")
    if len(faces) and (int(faces.min()) < 0 or int(faces.max()) >= len(values)):
        raise ValueError(f"faces name vertices that do not exist: there are {len(values)}")
    return faces.int().contiguous()


def _kernels(tensor: Tensor) -> Any:
    """The kernels for the device of a tensor."""
    if tensor.is_cuda:
        from mvgen.kernels import raster_cuda

        raster_cuda.select(str(tensor.device))
        return raster_cuda
    from mvgen.kernels import raster_cpu

    return raster_cpu


def _arrays(*tensors: Tensor) -> list[Any]:
    """The tensors' memory as the kernels take it, without copies."""
    return [t.detach() if t.is_cuda else t.detach().numpy() for t in tensors]
