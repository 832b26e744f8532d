"""CRM's own networks as functions of tensors that keep their names in the published files.

The diffusion network is the U-Net of latent diffusion (Rombach et al., 2022) with what makes F views of one object one
sample (Wang and Shi, "ImageDream", 2023): self-attention over the tokens of all views, a camera for each view, and
tokens of the input image beside those of the text. The image encoder and the text encoder are OpenCLIP's.

B objects, F views, C channels, h x w pixels of a latent, N tokens. Sums over channels and pixels that norms take are
made in float32 whatever the weights' precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mvgen.core.crm.config import GROUPS, ClipConfig, UNetConfig
from mvgen.core.crm.shapes import Block, named_blocks, unet_layout

Weights = Mapping[str, Tensor]

LONGEST_PERIOD = 10000.0
BLOCK_EPS = 1e-5
TRANSFORMER_EPS = 1e-6  # of the group norms that open transformers


@dataclass(frozen=True, eq=False)
class UNet:
    """A diffusion network ready to run. channels: that enter for each view."""

    config: UNetConfig
    channels: int
    weights: Weights

    @property
    def dtype(self) -> torch.dtype:
        return self.weights["out.2.weight"].dtype


@dataclass(frozen=True, eq=False)
class _Condition:
    """What every block is told: embedding [B F, E] of time and camera, text [B, N, C] and image tokens [B, M, C]."""

    config: UNetConfig
    embedding: Tensor
    text: Tensor
    image: Tensor
    frames: int


def predict_noise(
    unet: UNet, latents: Tensor, timesteps: Tensor, cameras: Tensor, text: Tensor, image: Tensor
) -> Tensor:
    """The noise [B, F, 4, h, w] in latents [B, F, C, h, w] of F views.

    timesteps [B]; cameras [F, 16]; text [B, N, C] as the text encoder gives it; image [B, M, C] from `embed_image`.
    """
    weights, config, dtype = unet.weights, unet.config, unet.dtype
    frames = latents.shape[1]
    embedding = embed_time(unet, timesteps)[:, None] + embed_cameras(unet, cameras)
    told = _Condition(config, embedding.flatten(0, 1), text.to(dtype), image.to(dtype), frames)
    x = latents.flatten(0, 1).to(dtype)
    skips: list[Tensor] = []
    for name, block in named_blocks(unet_layout(config, unet.channels)):
        if name.startswith("output_blocks"):
            x = torch.cat([x, skips.pop()], dim=1)
        x = _run_block(weights, name, block, x, told)
        if name.startswith("input_blocks"):
            skips.append(x)
    x = _conv(weights, "out.2", F.silu(_group_norm(weights, "out.0", x, BLOCK_EPS)))
    return x.unflatten(0, (-1, frames))


def embed_time(unet: UNet, timesteps: Tensor) -> Tensor:
    """[B, E] of timesteps [B]."""
    half = unet.config.width // 2
    steps = torch.arange(half, device=timesteps.device, dtype=torch.float32)
    angles = timesteps[:, None].float() * torch.exp(-math.log(LONGEST_PERIOD) / half * steps)
    waves = torch.cat([angles.cos(), angles.sin()], dim=-1).to(unet.dtype)
    return _two_layers(unet.weights, "time_embed", waves)


def embed_cameras(unet: UNet, cameras: Tensor) -> Tensor:
    """[F, E] of cameras [F, 16]."""
    return _two_layers(unet.weights, "camera_embed", cameras.to(unet.dtype))


def _two_layers(weights: Weights, name: str, x: Tensor) -> Tensor:
    return _linear(weights, f"{name}.2", F.silu(_linear(weights, f"{name}.0", x)))


def embed_image(unet: UNet, features: Tensor) -> Tensor:
    """A few tokens [B, M, C] that a resampler gathers from the image encoder's tokens [B, N, W]
    (Ye et al., "IP-Adapter", 2023)."""
    weights, config = unet.weights, unet.config
    features = _linear(weights, "image_embed.proj_in", features.to(unet.dtype))
    tokens = weights["image_embed.latents"].expand(len(features), -1, -1)
    for i in range(config.resampler_layers):
        name = f"image_embed.layers.{i}"
        own = _norm(weights, f"{name}.0.norm2", tokens)
        seen = torch.cat([_norm(weights, f"{name}.0.norm1", features), own], dim=1)
        key, value = _matrix(weights, f"{name}.0.to_kv", seen).chunk(2, dim=-1)
        gathered = _attend(_matrix(weights, f"{name}.0.to_q", own), key, value, config.resampler_head)
        tokens = tokens + _matrix(weights, f"{name}.0.to_out", gathered)
        inner = _matrix(weights, f"{name}.1.1", _norm(weights, f"{name}.1.0", tokens))
        tokens = tokens + _matrix(weights, f"{name}.1.3", F.gelu(inner))
    return _norm(weights, "image_embed.norm_out", _linear(weights, "image_embed.proj_out", tokens))


# ---------------------------------------------------------------- blocks of the U-Net


def _run_block(weights: Weights, name: str, block: Block, x: Tensor, told: _Condition) -> Tensor:
    for k, piece in enumerate(block):
        part = f"{name}.{k}"
        if piece.kind == "conv":
            x = _conv(weights, part, x)
        elif piece.kind == "down":
            x = _conv(weights, f"{part}.op", x, stride=2)
        elif piece.kind == "up":
            x = _conv(weights, f"{part}.conv", F.interpolate(x, scale_factor=2, mode="nearest"))
        elif piece.kind == "residual":
            x = _residual(weights, part, x, told.embedding)
        else:
            x = _transformer(weights, part, x, told)
    return x


def _residual(weights: Weights, name: str, x: Tensor, embedding: Tensor) -> Tensor:
    inner = _conv(weights, f"{name}.in_layers.2", F.silu(_group_norm(weights, f"{name}.in_layers.0", x, BLOCK_EPS)))
    inner = inner + _linear(weights, f"{name}.emb_layers.1", F.silu(embedding))[..., None, None]
    normed = _group_norm(weights, f"{name}.out_layers.0", inner, BLOCK_EPS)
    inner = _conv(weights, f"{name}.out_layers.3", F.silu(normed))
    skip = f"{name}.skip_connection"
    return (_conv(weights, skip, x) if f"{skip}.weight" in weights else x) + inner


def _transformer(weights: Weights, name: str, x: Tensor, told: _Condition) -> Tensor:
    """The views of an object are one long row of tokens [B, F h w, C]. Text and image are the same for all views, so
    that a view's tokens may ask for them in that row too."""
    size, block = x.shape[-2:], f"{name}.transformer_blocks.0"
    tokens = _group_norm(weights, f"{name}.norm", x, TRANSFORMER_EPS).flatten(2).transpose(1, 2)
    tokens = tokens.unflatten(0, (-1, told.frames)).flatten(1, 2)
    tokens = _linear(weights, f"{name}.proj_in", tokens)
    normed = _norm(weights, f"{block}.norm1", tokens)
    tokens = tokens + _ask(weights, f"{block}.attn1", normed, (("to_k", "to_v", normed),), told.config.head)
    sources = (("to_k", "to_v", told.text), ("to_k_ip", "to_v_ip", told.image))
    normed = _norm(weights, f"{block}.norm2", tokens)
    tokens = tokens + _ask(weights, f"{block}.attn2", normed, sources, told.config.head)
    value, gate = _linear(weights, f"{block}.ff.net.0.proj", _norm(weights, f"{block}.norm3", tokens)).chunk(2, dim=-1)
    tokens = tokens + _linear(weights, f"{block}.ff.net.2", value * F.gelu(gate))
    tokens = _linear(weights, f"{name}.proj_out", tokens).unflatten(1, (told.frames, -1)).flatten(0, 1)
    return x + tokens.transpose(1, 2).unflatten(-1, size)


def _ask(weights: Weights, name: str, x: Tensor, sources: tuple[tuple[str, str, Tensor], ...], head: int) -> Tensor:
    """The sum of attentions to sources, each with its own maps to keys and values."""
    query = _matrix(weights, f"{name}.to_q", x)
    found = [
        _attend(query, _matrix(weights, f"{name}.{k}", source), _matrix(weights, f"{name}.{v}", source), head)
        for k, v, source in sources
    ]
    return _linear(weights, f"{name}.to_out.0", found[0] if len(found) == 1 else found[0] + found[1])


# ---------------------------------------------------------------- encoders of image and text


def vision_tokens(weights: Weights, config: ClipConfig, images: Tensor) -> Tensor:
    """Tokens [B, 1 + patches, C] of normalised pictures [B, 3, H, W]: those that leave the last block but one."""
    patches = F.conv2d(images, weights["visual.conv1.weight"], stride=config.patch).flatten(2).transpose(1, 2)
    first = weights["visual.class_embedding"].expand(len(patches), 1, -1)
    x = torch.cat([first, patches], dim=1) + weights["visual.positional_embedding"]
    x = _norm(weights, "visual.ln_pre", x)
    head = config.vision_width // config.vision_heads
    for i in range(config.vision_layers - 1):
        x = _clip_block(weights, f"visual.transformer.resblocks.{i}", x, head, causal=False)
    return x


def text_tokens(weights: Weights, config: ClipConfig, ids: Tensor) -> Tensor:
    """Tokens [B, N, C] of texts as numbers [B, N]: those that leave the last block but one, normalised."""
    x = F.embedding(ids, weights["token_embedding.weight"]) + weights["positional_embedding"]
    head = x.shape[-1] // config.text_heads
    for i in range(config.text_layers - 1):
        x = _clip_block(weights, f"transformer.resblocks.{i}", x, head, causal=True)
    return _norm(weights, "ln_final", x)


def _clip_block(weights: Weights, name: str, x: Tensor, head: int, causal: bool) -> Tensor:
    attention = f"{name}.attn"
    normed = _norm(weights, f"{name}.ln_1", x)
    joined = F.linear(normed, weights[f"{attention}.in_proj_weight"], weights[f"{attention}.in_proj_bias"])
    query, key, value = joined.chunk(3, dim=-1)
    x = x + _linear(weights, f"{attention}.out_proj", _attend(query, key, value, head, causal))
    inner = F.gelu(_linear(weights, f"{name}.mlp.c_fc", _norm(weights, f"{name}.ln_2", x)))
    return x + _linear(weights, f"{name}.mlp.c_proj", inner)


# ---------------------------------------------------------------- parts


def _attend(query: Tensor, key: Tensor, value: Tensor, head: int, causal: bool = False) -> Tensor:
    """Attention in heads of so many channels: [B, N, C] of queries [B, N, C], keys and values [B, M, C]."""
    query, key, value = (x.unflatten(-1, (-1, head)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, is_causal=causal).transpose(1, 2).flatten(2)


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _matrix(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"])


def _conv(weights: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    kernel = weights[f"{name}.weight"]
    return F.conv2d(x, kernel, weights[f"{name}.bias"], stride=stride, padding=kernel.shape[-1] // 2)


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def _group_norm(weights: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    weight, bias = weights[f"{name}.weight"].float(), weights[f"{name}.bias"].float()
    return F.group_norm(x.float(), GROUPS, weight, bias, eps).to(x.dtype)
