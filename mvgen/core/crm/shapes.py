"""Every tensor of CRM's networks, by its name in the published files, and its shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mvgen.core.crm.config import (
    CAMERA,
    LATENT,
    MAPS,
    TEXT_LENGTH,
    ClipConfig,
    Config,
    Shape,
    TriplaneConfig,
    UNetConfig,
    VaeConfig,
)

Kind = Literal["conv", "residual", "attention", "down", "up"]

# ---------------------------------------------------------------- the multi-view diffusion network


@dataclass(frozen=True)
class Piece:
    """One part of a block: what it is and the channels that enter and leave it."""

    kind: Kind
    inside: int
    outside: int


Block = tuple[Piece, ...]


@dataclass(frozen=True)
class Layout:
    """The blocks of a U-Net, in the order in which they run."""

    inputs: tuple[Block, ...]
    middle: Block
    outputs: tuple[Block, ...]


def unet_layout(config: UNetConfig, channels: int) -> Layout:
    """Blocks of the diffusion network for pictures of so many channels. All levels but the last have attention."""
    widths = [config.width * m for m in config.multipliers]
    last = len(widths) - 1
    inputs: list[Block] = [(Piece("conv", channels, config.width),)]
    now, skips = config.width, [config.width]
    for level, width in enumerate(widths):
        for _ in range(config.blocks):
            inputs.append(_residual(now, width, level < last))
            skips.append(now := width)
        if level < last:
            inputs.append((Piece("down", now, now),))
            skips.append(now)
    middle = (Piece("residual", now, now), Piece("attention", now, now), Piece("residual", now, now))
    outputs: list[Block] = []
    for level in range(last, -1, -1):
        for i in range(config.blocks + 1):
            block = _residual(now + skips.pop(), now := widths[level], level < last)
            ends = level > 0 and i == config.blocks
            outputs.append((*block, Piece("up", now, now)) if ends else block)
    return Layout(tuple(inputs), middle, tuple(outputs))


def _residual(inside: int, outside: int, attention: bool) -> Block:
    block = (Piece("residual", inside, outside),)
    return (*block, Piece("attention", outside, outside)) if attention else block


def named_blocks(layout: Layout) -> list[tuple[str, Block]]:
    """Each block with its name in a checkpoint, in the order in which they run."""
    inputs = [(f"input_blocks.{n}", block) for n, block in enumerate(layout.inputs)]
    outputs = [(f"output_blocks.{n}", block) for n, block in enumerate(layout.outputs)]
    return [*inputs, ("middle_block", layout.middle), *outputs]


def unet_shapes(config: UNetConfig, channels: int, image_width: int) -> dict[str, Shape]:
    """Every tensor of the diffusion network. channels: that enter; image_width: of the image encoder's tokens."""
    embedding = 4 * config.width
    shapes = _linear("time_embed.0", config.width, embedding) | _linear("time_embed.2", embedding, embedding)
    shapes |= _linear("camera_embed.0", CAMERA, embedding) | _linear("camera_embed.2", embedding, embedding)
    shapes |= _resampler_shapes(config, image_width)
    for name, block in named_blocks(unet_layout(config, channels)):
        for k, piece in enumerate(block):
            shapes |= _piece_shapes(f"{name}.{k}", piece, embedding, config.context)
    return shapes | _norm("out.0", config.width) | _conv("out.2", config.width, LATENT, 3)


def _piece_shapes(name: str, piece: Piece, embedding: int, context: int) -> dict[str, Shape]:
    inside, outside = piece.inside, piece.outside
    if piece.kind == "conv":
        return _conv(name, inside, outside, 3)
    if piece.kind == "down":
        return _conv(f"{name}.op", inside, outside, 3)
    if piece.kind == "up":
        return _conv(f"{name}.conv", inside, outside, 3)
    if piece.kind == "attention":
        return _transformer_shapes(name, inside, context)
    shapes = _norm(f"{name}.in_layers.0", inside) | _conv(f"{name}.in_layers.2", inside, outside, 3)
    shapes |= _linear(f"{name}.emb_layers.1", embedding, outside)
    shapes |= _norm(f"{name}.out_layers.0", outside) | _conv(f"{name}.out_layers.3", outside, outside, 3)
    return shapes | (_conv(f"{name}.skip_connection", inside, outside, 1) if inside != outside else {})


def _transformer_shapes(name: str, width: int, context: int) -> dict[str, Shape]:
    block = f"{name}.transformer_blocks.0"
    shapes = _norm(f"{name}.norm", width) | _linear(f"{name}.proj_in", width, width)
    for attention, source in (("attn1", width), ("attn2", context)):
        shapes |= _matrix(f"{block}.{attention}.to_q", width, width)
        shapes |= _matrix(f"{block}.{attention}.to_k", source, width) | _matrix(
            f"{block}.{attention}.to_v", source, width
        )
        shapes |= _linear(f"{block}.{attention}.to_out.0", width, width)
    shapes |= _matrix(f"{block}.attn2.to_k_ip", context, width) | _matrix(f"{block}.attn2.to_v_ip", context, width)
    for k in (1, 2, 3):
        shapes |= _norm(f"{block}.norm{k}", width)
    shapes |= _linear(f"{block}.ff.net.0.proj", width, 8 * width) | _linear(f"{block}.ff.net.2", 4 * width, width)
    return shapes | _linear(f"{name}.proj_out", width, width)


def _resampler_shapes(config: UNetConfig, image_width: int) -> dict[str, Shape]:
    width, inner = config.context, config.resampler_heads * config.resampler_head
    shapes: dict[str, Shape] = {"image_embed.latents": (1, config.image_tokens, width)}
    shapes |= _linear("image_embed.proj_in", image_width, width) | _linear("image_embed.proj_out", width, width)
    shapes |= _norm("image_embed.norm_out", width)
    for i in range(config.resampler_layers):
        layer = f"image_embed.layers.{i}"
        shapes |= _norm(f"{layer}.0.norm1", width) | _norm(f"{layer}.0.norm2", width)
        shapes |= _matrix(f"{layer}.0.to_q", width, inner) | _matrix(f"{layer}.0.to_kv", width, 2 * inner)
        shapes |= _matrix(f"{layer}.0.to_out", inner, width) | _norm(f"{layer}.1.0", width)
        shapes |= _matrix(f"{layer}.1.1", width, 4 * width) | _matrix(f"{layer}.1.3", 4 * width, width)
    return shapes


# ---------------------------------------------------------------- encoders


def vision_shapes(config: ClipConfig) -> dict[str, Shape]:
    """Tensors of the image encoder that are read: all but its last block, its last norm and its projection."""
    width, tokens = config.vision_width, (config.image // config.patch) ** 2 + 1
    shapes: dict[str, Shape] = {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (tokens, width),
        "visual.conv1.weight": (width, 3, config.patch, config.patch),
    }
    shapes |= _norm("visual.ln_pre", width)
    for i in range(config.vision_layers - 1):
        shapes |= _clip_block(f"visual.transformer.resblocks.{i}", width)
    return shapes


def text_shapes(config: ClipConfig, width: int) -> dict[str, Shape]:
    """Tensors of the text encoder that are read: all but its last block and its projection."""
    shapes: dict[str, Shape] = {
        "token_embedding.weight": (config.vocabulary, width),
        "positional_embedding": (TEXT_LENGTH, width),
    }
    for i in range(config.text_layers - 1):
        shapes |= _clip_block(f"transformer.resblocks.{i}", width)
    return shapes | _norm("ln_final", width)


def _clip_block(name: str, width: int) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {
        f"{name}.attn.in_proj_weight": (3 * width, width),
        f"{name}.attn.in_proj_bias": (3 * width,),
    }
    shapes |= _norm(f"{name}.ln_1", width) | _norm(f"{name}.ln_2", width)
    shapes |= _linear(f"{name}.attn.out_proj", width, width)
    return shapes | _linear(f"{name}.mlp.c_fc", width, 4 * width) | _linear(f"{name}.mlp.c_proj", 4 * width, width)


def vae_shapes(config: VaeConfig) -> dict[str, Shape]:
    """Every tensor of the image autoencoder."""
    widths, last = config.widths, len(config.widths) - 1
    shapes = _conv("encoder.conv_in", 3, widths[0], 3)
    now = widths[0]
    for level, width in enumerate(widths):
        for k in range(config.blocks):
            shapes |= _vae_block(f"encoder.down.{level}.block.{k}", now, now := width)
        if level < last:
            shapes |= _conv(f"encoder.down.{level}.downsample.conv", now, now, 3)
    shapes |= _vae_middle("encoder.mid", now) | _norm("encoder.norm_out", now)
    shapes |= _conv("encoder.conv_out", now, 2 * LATENT, 3) | _conv("quant_conv", 2 * LATENT, 2 * LATENT, 1)
    shapes |= _conv("post_quant_conv", LATENT, LATENT, 1) | _conv("decoder.conv_in", LATENT, now, 3)
    shapes |= _vae_middle("decoder.mid", now)
    for level in range(last, -1, -1):
        for k in range(config.blocks + 1):
            shapes |= _vae_block(f"decoder.up.{level}.block.{k}", now, now := widths[level])
        if level:
            shapes |= _conv(f"decoder.up.{level}.upsample.conv", now, now, 3)
    return shapes | _norm("decoder.norm_out", now) | _conv("decoder.conv_out", now, 3, 3)


def _vae_block(name: str, inside: int, outside: int) -> dict[str, Shape]:
    shapes = _norm(f"{name}.norm1", inside) | _conv(f"{name}.conv1", inside, outside, 3)
    shapes |= _norm(f"{name}.norm2", outside) | _conv(f"{name}.conv2", outside, outside, 3)
    return shapes | (_conv(f"{name}.nin_shortcut", inside, outside, 1) if inside != outside else {})


def _vae_middle(name: str, width: int) -> dict[str, Shape]:
    shapes = _vae_block(f"{name}.block_1", width, width) | _vae_block(f"{name}.block_2", width, width)
    shapes |= _norm(f"{name}.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        shapes |= _conv(f"{name}.attn_1.{part}", width, width, 1)
    return shapes


# ---------------------------------------------------------------- the triplane and what reads it


def triplane_settings(config: Config) -> dict[str, Any]:
    """Keywords of diffusers' ``UNet2DModel``."""
    plane = config.triplane
    levels = [i in plane.attention for i in range(len(plane.widths))]
    return {
        "sample_size": (config.picture, 3 * config.picture),
        "in_channels": MAPS + plane.learned,
        "out_channels": plane.features,
        "layers_per_block": plane.blocks,
        "block_out_channels": plane.widths,
        "down_block_types": tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in levels),
        "up_block_types": tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(levels)),
    }


def plane_shape(config: Config) -> Shape:
    """Of the learned plane, `learned_plane`."""
    return (1, config.triplane.learned, config.picture, 3 * config.picture)


def head_shapes(config: TriplaneConfig) -> dict[str, Shape]:
    """Every tensor of the three perceptrons."""
    hidden = config.hidden
    shapes = _linear("weightMlp.0", 8 * config.features, hidden) | _linear("weightMlp.2", hidden, 21)
    for name, outside in (("sdfMlp", 4), ("rgbMlp", 3)):
        shapes |= _linear(f"{name}.fc1", config.features, hidden) | _linear(f"{name}.fc2", hidden, hidden)
        shapes |= _linear(f"{name}.fc3", hidden, outside)
    return shapes


def _matrix(name: str, inside: int, outside: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outside, inside)}


def _linear(name: str, inside: int, outside: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)}


def _conv(name: str, inside: int, outside: int, side: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outside, inside, side, side), f"{name}.bias": (outside,)}


def _norm(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
