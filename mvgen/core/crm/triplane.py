"""From six pictures and six coordinate maps to a triplane, and from that to a mesh with colours.

Points of this module are in the triplane's frame: z up, the front view seen from +y with x to its left, everything
within [-1, 1]. It is the cameras' frame (see `sampler`) after half a turn about z.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.crm.config import Config, TriplaneConfig
from mvgen.core.crm.sampler import add_noise, plain_alphas
from mvgen.core.crm.shapes import triplane_settings

if TYPE_CHECKING:
    from torch import Generator, Tensor

TIMESTEP = 20  # of the noise that is added to the pictures, and that the network is told
SPHERE = 0.5  # radius of the sphere from which signed distances are corrections
BATCH = 1 << 16  # points at once
_WEIGHT_SCALE = 0.5  # of FlexiCubes' weights


@dataclass(frozen=True, eq=False)
class Triplane:
    """features [1, C, S, 3 S]: the planes xy, yz and zx side by side; the first letter counts columns, the second rows.
    heads: tensors of the perceptrons that read them."""

    config: TriplaneConfig
    features: Tensor
    heads: Mapping[str, Tensor]


# ---------------------------------------------------------------- to the triplane


def assemble(views: NDArray[np.uint8], coordinates: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The twelve channels [12, S, 3 S] that the network sees, from views and coordinate maps [6, S, S, 3].

    Each plane is seen from both of its sides, which are turned so that they lie upon one another: channels 0 to 2 and
    3 to 5 hold the colours, 6 to 8 and 9 to 11 the coordinates. Of coordinates only that along the plane's normal
    stays, as a map of heights; channels of coordinates are in the order z, y, x.
    """
    heights = np.zeros_like(coordinates)
    for view, channel in ((0, 1), (3, 1), (1, 2), (4, 2), (2, 0), (5, 0)):
        heights[view, ..., channel] = coordinates[view, ..., 2 - channel]
    rows = [np.concatenate(side, axis=1) for maps in (views, heights) for side in _sides(maps)]
    return np.concatenate(rows, axis=2).transpose(2, 0, 1)


def _sides(maps: NDArray[np.uint8]) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Both sides of the planes xy, yz, zx."""
    front, left, below, back, right, above = maps
    first = [below[::-1, ::-1], right[::-1, ::-1], front[::-1, ::-1].swapaxes(0, 1)]
    second = [above[:, ::-1], left[::-1], np.rot90(back, -1)]
    return first, second


def input_noise(generator: Generator, *shape: int) -> Tensor:
    """[1, *shape], on the CPU: normal, with a mean of 1/2 and that deviation."""
    import torch

    return 0.5 * torch.randn((1, *shape), generator=generator) + 0.5


def noisy(clean: Tensor, noise: Tensor) -> Tensor:
    """Maps in [0, 1] with noise of `TIMESTEP`, with which the network was trained to be robust against what diffusion
    gets wrong."""
    return add_noise(float(plain_alphas()[TIMESTEP]), clean, noise)


def triplane_network(weights: Mapping[str, Tensor], config: Config) -> Any:
    """diffusers' ``UNet2DModel`` with the tensors given, which it shares."""
    import torch
    from diffusers import UNet2DModel

    with torch.device("meta"):
        network: Any = UNet2DModel(**triplane_settings(config))
    network.load_state_dict(dict(weights), assign=True)
    return network.eval().requires_grad_(False)


def triplane_features(network: Any, plane: Tensor, maps: Tensor) -> Tensor:
    """Features [1, C, S, 3 S] from noisy maps [1, 12, S, 3 S] and the learned plane [1, L, S, 3 S]."""
    import torch

    seen = torch.cat([maps.to(plane.device, plane.dtype), plane], dim=1)
    return network(seen, torch.tensor([TIMESTEP], device=plane.device)).sample


# ---------------------------------------------------------------- from the triplane


def plane_features(triplane: Triplane, points: Tensor) -> Tensor:
    """Features [3, N, C] of points [N, 3] on each of the planes; beyond the planes, those of their borders."""
    import torch
    import torch.nn.functional as F

    planes = torch.cat(triplane.features.chunk(3, dim=-1))
    places = points[:, [[0, 1], [1, 2], [2, 0]]].transpose(0, 1)[:, None]  # [3, 1, N, 2]: column and row
    found = F.grid_sample(planes, places.to(planes.dtype), padding_mode="border", align_corners=True)
    return found[:, :, 0].transpose(1, 2)


def point_features(triplane: Triplane, points: Tensor) -> Tensor:
    """[N, C] of points [N, 3]."""
    return plane_features(triplane, points).sum(dim=0)


def perceptron(heads: Mapping[str, Tensor], name: str, features: Tensor) -> Tensor:
    """What one of the heads ``sdfMlp`` and ``rgbMlp`` says of features [N, C]."""
    import torch.nn.functional as F

    for layer in ("fc1", "fc2", "fc3"):
        features = F.linear(features, heads[f"{name}.{layer}.weight"], heads[f"{name}.{layer}.bias"])
        features = F.relu(features) if layer != "fc3" else features
    return features


def cube_weights(heads: Mapping[str, Tensor], features: Tensor) -> Tensor:
    """Raw weights [K, 21] of cubes from the features of their corners [K, 8, C]."""
    import torch.nn.functional as F

    inner = F.silu(F.linear(features.flatten(1), heads["weightMlp.0.weight"], heads["weightMlp.0.bias"]))
    return 0.1 * F.linear(inner, heads["weightMlp.2.weight"], heads["weightMlp.2.bias"])


def point_colours(triplane: Triplane, points: Tensor) -> Tensor:
    """sRGB [N, 3] in [0, 1] at points [N, 3]."""
    import torch

    found = [perceptron(triplane.heads, "rgbMlp", point_features(triplane, some)) for some in _batches(points)]
    return (0.5 * torch.cat(found) + 0.5).clamp(0, 1) if found else points.new_zeros((0, 3))


def grid_field(triplane: Triplane, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """At the corners of a grid [V, 3]: a field [V] that is positive inside, and where the corners move to [V, 3]."""
    import torch

    raw = torch.cat([perceptron(triplane.heads, "sdfMlp", point_features(triplane, s)) for s in _batches(vertices)])
    field = raw[:, 0] + SPHERE - vertices.norm(dim=1)
    return field, vertices + 0.5 / triplane.config.grid * raw[:, 1:].tanh()


def surface_weights(triplane: Triplane, vertices: Tensor, cubes: Tensor) -> Tensor:
    """Raw weights [K, 21] of cubes [K, 8] of a grid's corners [V, 3]."""
    import torch

    found = [
        cube_weights(triplane.heads, point_features(triplane, vertices[some.flatten()]).unflatten(0, (-1, 8)))
        for some in _batches(cubes, BATCH // 8)
    ]
    return torch.cat(found)


def extract_mesh(triplane: Triplane) -> tuple[Tensor, Tensor]:
    """Vertices [N, 3] and faces [M, 3], counter-clockwise from outside; none where there is no surface.

    Weights are computed only for cubes that the surface crosses: the others' are not read. The field enters as it is,
    with the outside as FlexiCubes' inside: so it was trained, and so doubtful cubes are decided.
    """
    from mvgen.core.surface import flexicubes

    vertices, cubes = flexicubes.grid(triplane.config.grid, triplane.features.device)
    field, moved = grid_field(triplane, vertices)
    cubes = cubes[flexicubes.surface_cubes(cubes, field)]
    if not len(cubes):
        return vertices[:0], cubes[:, :3]
    weights = surface_weights(triplane, vertices, cubes)
    spread = weights[:, :20].tanh() * _WEIGHT_SCALE + 1
    gamma = weights[:, 20].sigmoid() * _WEIGHT_SCALE + (1 - _WEIGHT_SCALE) / 2
    surface = flexicubes.extract(moved, cubes, field, spread[:, :12], spread[:, 12:], gamma)
    return surface.vertices, surface.faces.flip(1)


def _batches(rows: Tensor, size: int = BATCH) -> Iterator[Tensor]:
    yield from rows.split(size) if len(rows) else ()
