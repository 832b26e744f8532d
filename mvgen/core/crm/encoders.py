"""What surrounds the diffusion network: texts and pictures to tokens, pictures to latents and back.

Text and image go through OpenCLIP's ViT-H-14, pictures through the autoencoder of Stable Diffusion 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.crm.config import GROUPS, LATENT, TEXT_LENGTH, ClipConfig, VaeConfig
from mvgen.core.crm.shapes import vae_shapes

if TYPE_CHECKING:
    from torch import Generator, Tensor

Picture = NDArray[np.uint8]

LATENT_SCALE = 0.18215  # brings latents to about unit variance
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# The two texts that the networks were trained with, as numbers in OpenCLIP's vocabulary, 0 after their end.
# "3D assets"
PROMPT = (49406, 274, 323, 13170, 49407)
# "uniform low no texture ugly, boring, bad anatomy, blurry, pixelated, obscure, unnatural colors, poor lighting, dull,
# and unclear."
NEGATIVE_PROMPT = (
    49406, 11075, 1042, 871, 16505, 8159, 267, 12519, 267, 2103, 15376, 267, 21977, 267, 14384, 943, 267, 33337, 267,
    569, 3288, 5389, 267, 3665, 5799, 267, 19433, 267, 537, 32955, 269, 49407,
)  # fmt: skip


def encode_texts(weights: Mapping[str, Tensor], config: ClipConfig) -> Tensor:
    """Tokens [2, 77, C] of the negative prompt and of the prompt."""
    import torch

    from mvgen.core.crm.network import text_tokens

    table = weights["token_embedding.weight"]
    ids = torch.zeros((2, TEXT_LENGTH), dtype=torch.int64, device=table.device)
    for row, text in enumerate((NEGATIVE_PROMPT, PROMPT)):
        ids[row, : len(text)] = torch.tensor(text)
    return text_tokens(weights, config, ids)


def encode_image(weights: Mapping[str, Tensor], config: ClipConfig, image: Picture) -> Tensor:
    """Tokens [1, N, C] of a square picture [S, S, 3]."""
    import torch

    from mvgen.core.crm.network import vision_tokens

    kernel = weights["visual.conv1.weight"]
    values = resized(image, config.image, "bicubic") / 255
    values = (values - CLIP_MEAN) / CLIP_STD
    pixels = torch.from_numpy(values.transpose(2, 0, 1)[None]).to(kernel.device, kernel.dtype)
    return vision_tokens(weights, config, pixels)


def resized(image: Picture, side: int, how: str) -> Picture:
    """A picture [side, side, 3]; how: bilinear or bicubic, over all pixels that fall into one where it shrinks."""
    from PIL import Image

    if image.shape[:2] == (side, side):
        return image
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((side, side), filters[how]))


# ---------------------------------------------------------------- the autoencoder


def autoencoder(weights: Mapping[str, Tensor], config: VaeConfig) -> Any:
    """diffusers' ``AutoencoderKL`` with the tensors of `vae_shapes`, which it shares."""
    import torch
    from diffusers import AutoencoderKL

    levels = len(config.widths)
    with torch.device("meta"):
        network: Any = AutoencoderKL(
            block_out_channels=config.widths,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            layers_per_block=config.blocks,
            latent_channels=LATENT,
            norm_num_groups=GROUPS,
        )
    renamed = {}
    for name in vae_shapes(config):
        new = diffusers_name(name, levels)
        square = ".attentions." in new and weights[name].ndim == 4
        renamed[new] = weights[name][..., 0, 0] if square else weights[name]
    network.load_state_dict(renamed, assign=True)
    return network.eval().requires_grad_(False)


def diffusers_name(name: str, levels: int) -> str:
    """The name in diffusers of a tensor of the autoencoder that latent diffusion's files call ``name``."""
    side, *parts = name.split(".")
    if side not in ("encoder", "decoder"):
        return name
    if parts[0] in ("down", "up"):
        level = int(parts[1]) if parts[0] == "down" else levels - 1 - int(parts[1])
        inner = parts[2:]
        if inner[0] == "block":
            inner = ["resnets", inner[1], inner[2].replace("nin_shortcut", "conv_shortcut"), *inner[3:]]
        else:
            inner = [f"{inner[0]}rs", "0", *inner[1:]]
        return ".".join([side, f"{parts[0]}_blocks", str(level), *inner])
    if parts[:2] == ["mid", "attn_1"]:
        part = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}[parts[2]]
        return ".".join([side, "mid_block.attentions.0", part, *parts[3:]])
    if parts[0] == "mid":
        return ".".join([side, "mid_block.resnets", str(int(parts[1][-1]) - 1), *parts[2:]])
    return ".".join([side, parts[0].replace("norm_out", "conv_norm_out"), *parts[1:]])


def encode_pictures(vae: Any, pictures: Picture, generator: Generator) -> Tensor:
    """Latents [N, 4, h, w] in float32 of pictures [N, H, W, 3], drawn from what the autoencoder holds for likely; the
    generator is one of the CPU."""
    import torch

    latents = []
    for picture in pictures:  # one by one: memory stays that of one
        values = torch.from_numpy(picture.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        likely = vae.encode(values.to(vae.device, vae.dtype)).latent_dist
        noise = torch.randn(likely.mean.shape, generator=generator).to(vae.device)
        latents.append(likely.mean.float() + likely.std.float() * noise)
    return LATENT_SCALE * torch.cat(latents)


def decode_pictures(vae: Any, latents: Tensor) -> Picture:
    """Pictures [N, H, W, 3] of latents [N, 4, h, w]; values are cut to 8 bits, not rounded, as in training."""
    pictures = []
    for latent in latents:
        values = vae.decode((latent[None] / LATENT_SCALE).to(vae.dtype)).sample[0].float()
        pictures.append((values.clamp(-1, 1) * 127.5 + 127.5).byte().permute(1, 2, 0).cpu().numpy())
    return np.stack(pictures)
