"""The network: two pictures in, for each pixel a point in the first camera's frame and how sure it is.

An encoder sees each picture by itself; two decoders, one for each picture, look at one another's tokens in every block.
The network is a mapping of tensors by their names in a checkpoint (see `config.tensor_shapes`) and functions of it.

B pictures or pairs, N tokens (a row of patches after the other), C channels, H x W pixels, h x w patches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mvgen.core.dust3r.config import HOOKS, PATCH, NetworkConfig

Weights = Mapping[str, Tensor]
Grid = tuple[int, int]  # rows and columns of patches

NORM_EPS = 1e-6
ROTATION_BASE = 100.0


@dataclass(frozen=True, eq=False)
class Network:
    """A network ready to run. weights: a checkpoint's, where channels that turn together follow each other."""

    config: NetworkConfig
    weights: Weights

    @staticmethod
    def of(config: NetworkConfig, weights: Weights) -> Network:
        """From the tensors of a checkpoint."""
        return Network(config, {name: _in_pairs(name, tensor, config) for name, tensor in weights.items()})


@dataclass(frozen=True, eq=False)
class PointMap:
    """points [B, H, W, 3] in the first camera's frame (OpenCV axes, no unit); confidence [B, H, W], at least 1."""

    points: Tensor
    confidence: Tensor


def encode(network: Network, images: Tensor) -> Tensor:
    """Tokens [B, N, C] of pictures [B, 3, H, W] in [-1, 1]; H and W are multiples of PATCH.

    Raises ValueError for other sizes.
    """
    weights, config = network.weights, network.config
    height, width = images.shape[-2:]
    if height % PATCH or width % PATCH:
        raise ValueError(f"pictures of {width}x{height} do not divide into patches of {PATCH} pixels")
    kernel, bias = weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"]
    tokens = F.conv2d(images, kernel, bias, stride=PATCH).flatten(2).transpose(1, 2).contiguous()
    turn = rotation((height // PATCH, width // PATCH), config.encoder_width // config.encoder_heads, tokens.device)
    for i in range(config.encoder_depth):
        block = f"enc_blocks.{i}"
        normed = _norm(weights, f"{block}.norm1", tokens)
        tokens += _self_attention(weights, f"{block}.attn", normed, config.encoder_heads, turn)
        tokens += _mlp(weights, f"{block}.mlp", _norm(weights, f"{block}.norm2", tokens))
    return _norm(weights, "enc_norm", tokens)


def decode(network: Network, first: Tensor, second: Tensor, grids: tuple[Grid, Grid]) -> tuple[PointMap, PointMap]:
    """Point maps of both pictures of B pairs, from their tokens [B, N, C]; both are in the first camera's frame."""
    layers = _decoded(network, first, second, grids)
    return _predict(network, 1, layers[0], grids[0]), _predict(network, 2, layers[1], grids[1])


def _decoded(network: Network, first: Tensor, second: Tensor, grids: tuple[Grid, Grid]) -> list[list[Tensor]]:
    """For each picture the tokens that its head reads: those after some of the blocks, the last ones normalised."""
    weights, config = network.weights, network.config
    size = config.decoder_width // config.decoder_heads
    turns = [rotation(grid, size, first.device) for grid in grids]
    read = [int(config.decoder_depth * share) for share in HOOKS] if config.head == "dpt" else []
    layers = [[tokens] if 0 in read else [] for tokens in (first, second)]
    now = [_linear(weights, "decoder_embed", tokens) for tokens in (first, second)]
    for i in range(config.decoder_depth):
        blocks = [f"dec_blocks.{i}", f"dec_blocks2.{i}"]
        memory = [_norm(weights, f"{block}.norm_y", other) for block, other in zip(blocks, now[::-1])]
        for k, block in enumerate(blocks):
            _decode_block(weights, block, config.decoder_heads, now[k], memory[k], (turns[k], turns[1 - k]))
            if i + 1 in read[:-1]:
                layers[k].append(now[k].clone())
    return [[*kept, _norm(weights, "dec_norm", last)] for kept, last in zip(layers, now)]


def _decode_block(
    weights: Weights, block: str, heads: int, own: Tensor, memory: Tensor, turns: tuple[Tensor, Tensor]
) -> None:
    """Changes a picture's ``own`` tokens; memory: the other's, normalised."""
    own += _self_attention(weights, f"{block}.attn", _norm(weights, f"{block}.norm1", own), heads, turns[0])
    asking = _norm(weights, f"{block}.norm2", own)
    own += _cross_attention(weights, f"{block}.cross_attn", asking, memory, heads, turns)
    own += _mlp(weights, f"{block}.mlp", _norm(weights, f"{block}.norm3", own))


# ---------------------------------------------------------------- parts


def rotation(grid: Grid, size: int, device: torch.device) -> Tensor:
    """Rotary positions in two dimensions (Su et al., "RoFormer", 2021): complex numbers [N, 1, size / 2].

    Half of a head's channels turn with the row, half with the column, each pair of channels at a speed of its own.
    """
    half = size // 2
    speed = ROTATION_BASE ** (-torch.arange(0, half, 2, device=device, dtype=torch.float32) / half)
    rows, columns = torch.meshgrid(*(torch.arange(n, device=device).float() for n in grid), indexing="ij")
    angle = torch.cat([place.reshape(-1, 1) * speed for place in (rows, columns)], dim=-1)
    return torch.polar(torch.ones_like(angle), angle)[:, None]


def rotate(heads: Tensor, turn: Tensor) -> Tensor:
    """Turns queries or keys [B, N, heads, size], in place: memory, not arithmetic, takes the time here."""
    pairs = heads.unflatten(-1, (-1, 2))
    if heads.dtype == torch.float32:
        torch.view_as_complex(pairs).mul_(turn)
    else:
        pairs.copy_(torch.view_as_real(torch.view_as_complex(pairs.float()) * turn))
    return heads


def _in_pairs(name: str, tensor: Tensor, config: NetworkConfig) -> Tensor:
    """Weights and biases of queries and keys so that channels which turn together, a quarter of a head apart in a
    checkpoint, follow each other; all else as it is. Attention does not see the order of a head's channels."""
    layer = name.split(".")[-2:][0]
    if layer not in ("qkv", "projq", "projk"):
        return tensor
    encoder = name.startswith("enc_")
    size = config.encoder_width // config.encoder_heads if encoder else config.decoder_width // config.decoder_heads
    turned = tensor[: len(tensor) * 2 // 3] if layer == "qkv" else tensor
    pairs = turned.unflatten(0, (-1, 2, 2, size // 4)).transpose(2, 3).flatten(0, 3)
    return torch.cat([pairs, tensor[len(turned) :]])


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], NORM_EPS)


def _mlp(weights: Weights, name: str, x: Tensor) -> Tensor:
    return _linear(weights, f"{name}.fc2", F.gelu(_linear(weights, f"{name}.fc1", x)))


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """[B, N, C] of queries, keys and values [B, N, heads, C / heads]."""
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def _self_attention(weights: Weights, name: str, x: Tensor, heads: int, turn: Tensor) -> Tensor:
    parts = _linear(weights, f"{name}.qkv", x).unflatten(-1, (3, heads, -1))
    rotate(parts[:, :, :2].flatten(2, 3), turn)
    return _linear(weights, f"{name}.proj", _attend(*parts.unbind(2)))


def _cross_attention(
    weights: Weights, name: str, x: Tensor, memory: Tensor, heads: int, turns: tuple[Tensor, Tensor]
) -> Tensor:
    """turns: of the asking picture and of the memory's."""
    query, key, value = (
        _linear(weights, f"{name}.proj{part}", tokens).unflatten(-1, (heads, -1))
        for part, tokens in (("q", x), ("k", memory), ("v", memory))
    )
    return _linear(weights, f"{name}.proj", _attend(rotate(query, turns[0]), rotate(key, turns[1]), value))


# ---------------------------------------------------------------- heads


def _predict(network: Network, which: int, layers: list[Tensor], grid: Grid) -> PointMap:
    """Heads compute in float32: the exponential that ends them would magnify rounding."""
    weights, config = network.weights, network.config
    name = f"downstream_head{which}"
    with torch.autocast(layers[-1].device.type, enabled=False):
        if config.head == "linear":
            raw = _linear_head(weights, name, layers[-1].float(), grid)
        else:
            raw = _dense_head(weights, f"{name}.dpt", [tokens.float() for tokens in layers], grid)
        raw = raw.permute(0, 2, 3, 1)
        return PointMap(_points(raw[..., :3], config), _confidence(raw[..., 3], config))


def _points(raw: Tensor, config: NetworkConfig) -> Tensor:
    """The raw vector's length is a function of the distance, its direction is the point's."""
    name, low, high = config.depth_mode
    if name == "linear":
        return raw if math.isinf(low) and math.isinf(high) else raw.clamp(low, high)
    length = raw.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    return raw / length * (length.square() if name == "square" else length.expm1())


def _confidence(raw: Tensor, config: NetworkConfig) -> Tensor:
    name, low, high = config.conf_mode
    if name == "sigmoid":
        return low + (high - low) * raw.sigmoid()
    return low + raw.exp().clamp(max=high - low)


def _linear_head(weights: Weights, name: str, tokens: Tensor, grid: Grid) -> Tensor:
    """[B, 4, H, W]"""
    flat = _linear(weights, f"{name}.proj", tokens).transpose(1, 2).unflatten(-1, grid)
    return F.pixel_shuffle(flat, PATCH)


def _dense_head(weights: Weights, name: str, layers: list[Tensor], grid: Grid) -> Tensor:
    """[B, 4, H, W]: tokens of four depths as pictures of four scales, joined from coarse to fine."""
    scales = [tokens.transpose(1, 2).unflatten(-1, grid) for tokens in layers]
    act = f"{name}.act_postprocess"
    scales = [_conv(weights, f"{act}.{k}.0", x) for k, x in enumerate(scales)]
    for k, step in ((0, 4), (1, 2)):
        up = f"{act}.{k}.1"
        scales[k] = F.conv_transpose2d(scales[k], weights[f"{up}.weight"], weights[f"{up}.bias"], stride=step)
    scales[3] = _conv(weights, f"{act}.3.1", scales[3], stride=2)
    scratch = f"{name}.scratch"
    scales = [F.conv2d(x, weights[f"{scratch}.layer{k}_rn.weight"], padding=1) for k, x in enumerate(scales, 1)]
    joined = _refined(weights, f"{scratch}.refinenet4", scales[3], None)
    joined = joined[..., : scales[2].shape[-2], : scales[2].shape[-1]]  # an odd grid was rounded up
    for k in (3, 2, 1):
        joined = _refined(weights, f"{scratch}.refinenet{k}", joined, scales[k - 1])
    fine = _twice(_conv(weights, f"{name}.head.0", joined))
    return _conv(weights, f"{name}.head.4", F.relu(_conv(weights, f"{name}.head.2", fine)))


def _conv(weights: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    kernel = weights[f"{name}.weight"]
    return F.conv2d(x, kernel, weights[f"{name}.bias"], stride=stride, padding=kernel.shape[-1] // 2)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _refined(weights: Weights, name: str, coarse: Tensor, fine: Tensor | None) -> Tensor:
    """The coarse picture with a finer one added, at twice the coarse one's size."""
    if fine is not None:
        coarse = coarse + _residual(weights, f"{name}.resConfUnit1", fine)
    coarse = _residual(weights, f"{name}.resConfUnit2", coarse)
    return _twice(_conv(weights, f"{name}.out_conv", coarse))  # either order gives the same


def _residual(weights: Weights, name: str, x: Tensor) -> Tensor:
    inner = _conv(weights, f"{name}.conv1", F.relu(x))
    return x + _conv(weights, f"{name}.conv2", F.relu(inner))
