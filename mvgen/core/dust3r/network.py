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
    """A network ready to run."""

    config: NetworkConfig
    weights: Weights


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
    tokens = F.conv2d(images, kernel, bias, stride=PATCH).flatten(2).transpose(1, 2)
    turn = Rotation.of((height // PATCH, width // PATCH), config.encoder_width // config.encoder_heads, tokens)
    for i in range(config.encoder_depth):
        block = f"enc_blocks.{i}"
        normed = _norm(weights, f"{block}.norm1", tokens)
        tokens = tokens + _self_attention(weights, f"{block}.attn", normed, config.encoder_heads, turn)
        tokens = tokens + _mlp(weights, f"{block}.mlp", _norm(weights, f"{block}.norm2", tokens))
    return _norm(weights, "enc_norm", tokens)


def decode(network: Network, first: Tensor, second: Tensor, grids: tuple[Grid, Grid]) -> tuple[PointMap, PointMap]:
    """Point maps of both pictures of B pairs, from their tokens [B, N, C]; both are in the first camera's frame."""
    layers = _decoded(network, first, second, grids)
    return _predict(network, 1, layers[0], grids[0]), _predict(network, 2, layers[1], grids[1])


def _decoded(network: Network, first: Tensor, second: Tensor, grids: tuple[Grid, Grid]) -> list[list[Tensor]]:
    """For each picture the encoder's tokens and those after each block, the last ones normalised."""
    weights, config = network.weights, network.config
    size = config.decoder_width // config.decoder_heads
    turns = [Rotation.of(grid, size, first) for grid in grids]
    layers = [[first], [second]]
    now = [_linear(weights, "decoder_embed", tokens) for tokens in (first, second)]
    for i in range(config.decoder_depth):
        now = [
            _decoder_block(weights, f"dec_blocks.{i}", config.decoder_heads, now[0], now[1], turns[0], turns[1]),
            _decoder_block(weights, f"dec_blocks2.{i}", config.decoder_heads, now[1], now[0], turns[1], turns[0]),
        ]
        for k in (0, 1):
            layers[k].append(now[k])
    for k in (0, 1):
        layers[k][-1] = _norm(weights, "dec_norm", layers[k][-1])
    return layers


def _decoder_block(
    weights: Weights, block: str, heads: int, own: Tensor, other: Tensor, turn: Rotation, other_turn: Rotation
) -> Tensor:
    own = own + _self_attention(weights, f"{block}.attn", _norm(weights, f"{block}.norm1", own), heads, turn)
    memory = _norm(weights, f"{block}.norm_y", other)
    asking = _norm(weights, f"{block}.norm2", own)
    own = own + _cross_attention(weights, f"{block}.cross_attn", asking, memory, heads, turn, other_turn)
    return own + _mlp(weights, f"{block}.mlp", _norm(weights, f"{block}.norm3", own))


# ---------------------------------------------------------------- parts


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotary positions in two dimensions (Su et al., "RoFormer", 2021): cosines and sines [N, head size].

    Half of a head's channels turn with the row, half with the column; channel k of a half with that a quarter further.
    """

    cosine: Tensor
    sine: Tensor

    @staticmethod
    def of(grid: Grid, size: int, like: Tensor) -> Rotation:
        half = size // 2
        frequency = ROTATION_BASE ** (-torch.arange(0, half, 2, device=like.device, dtype=torch.float32) / half)
        rows, columns = torch.meshgrid(*(torch.arange(n, device=like.device).float() for n in grid), indexing="ij")
        angles = [place.reshape(-1, 1) * frequency for place in (rows, columns)]
        angle = torch.cat([angles[0], angles[0], angles[1], angles[1]], dim=-1)
        return Rotation(angle.cos(), angle.sin())

    def __call__(self, heads: Tensor) -> Tensor:
        """Turned queries or keys [B, heads, N, size]."""
        out = heads * self.cosine.to(heads.dtype)
        parts, sines = heads.chunk(4, dim=-1), self.sine.to(heads.dtype).chunk(4, dim=-1)
        # added in place: memory, not arithmetic, takes the time here
        for turned, other, sine, sign in zip(out.chunk(4, dim=-1), (1, 0, 3, 2), sines, (-1, 1, -1, 1)):
            turned.addcmul_(parts[other], sine, value=sign)
        return out


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], NORM_EPS)


def _mlp(weights: Weights, name: str, x: Tensor) -> Tensor:
    return _linear(weights, f"{name}.fc2", F.gelu(_linear(weights, f"{name}.fc1", x)))


def _heads(x: Tensor, heads: int) -> Tensor:
    """[B, N, C] to [B, heads, N, C / heads]"""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def _self_attention(weights: Weights, name: str, x: Tensor, heads: int, turn: Rotation) -> Tensor:
    query, key, value = (_heads(part, heads) for part in _linear(weights, f"{name}.qkv", x).chunk(3, dim=-1))
    return _linear(weights, f"{name}.proj", _attend(turn(query), turn(key), value))


def _cross_attention(
    weights: Weights, name: str, x: Tensor, memory: Tensor, heads: int, turn: Rotation, memory_turn: Rotation
) -> Tensor:
    query = _heads(_linear(weights, f"{name}.projq", x), heads)
    key, value = (_heads(_linear(weights, f"{name}.proj{p}", memory), heads) for p in "kv")
    return _linear(weights, f"{name}.proj", _attend(turn(query), memory_turn(key), value))


# ---------------------------------------------------------------- heads


def _predict(network: Network, which: int, layers: list[Tensor], grid: Grid) -> PointMap:
    """Heads compute in float32: the exponential that ends them would magnify rounding."""
    weights, config = network.weights, network.config
    name = f"downstream_head{which}"
    with torch.autocast(layers[-1].device.type, enabled=False):
        if config.head == "linear":
            raw = _linear_head(weights, name, layers[-1].float(), grid)
        else:
            hooked = [layers[int(config.decoder_depth * share)].float() for share in HOOKS]
            raw = _dense_head(weights, f"{name}.dpt", hooked, grid)
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
