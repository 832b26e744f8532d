"""CRM with few channels: its files, and its recorded numbers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from mvgen.core.crm.config import config_from, config_values
from mvgen.core.crm.sampler import plain_alphas, zero_terminal
from mvgen.core.crm.shapes import (
    head_shapes,
    plane_shape,
    text_shapes,
    triplane_settings,
    unet_shapes,
    vae_shapes,
    vision_shapes,
)
from tests.core.fill import fill

GOLDEN = Path(__file__).parent / "golden"
KEYS = json.loads(gzip.decompress((GOLDEN / "keys.json.gz").read_bytes()))
TINY = config_from(
    {
        "picture": 32,
        "unet": {
            "width": 32,
            "multipliers": [1, 2],
            "blocks": 1,
            "head": 16,
            "context": 16,
            "image_tokens": 4,
            "resampler_layers": 1,
            "resampler_heads": 2,
            "resampler_head": 8,
        },
        "vae": {"widths": [32, 64], "blocks": 1},
        "clip": {
            "vision_width": 32,
            "vision_layers": 3,
            "vision_heads": 2,
            "patch": 8,
            "image": 16,
            "text_layers": 3,
            "text_heads": 2,
        },
        "triplane": {
            "widths": [32, 64],
            "attention": [1],
            "blocks": 1,
            "features": 8,
            "learned": 2,
            "hidden": 16,
            "grid": 12,
        },
    }
)


def golden(name):
    return dict(np.load(GOLDEN / f"{name}.npz"))


def filled(shapes, seed=0):
    return {name: torch.from_numpy(fill(name, shape, seed)) for name, shape in shapes.items()}


def close(found, expected):
    """The largest difference in parts of the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def triplane_shapes(config):
    from diffusers import UNet2DModel

    with torch.device("meta"):
        network = UNet2DModel(**triplane_settings(config))
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def stage_tensors(channels, config=TINY):
    """What a file of a diffusion stage holds."""
    clip = vision_shapes(config.clip) | text_shapes(config.clip, config.unet.context)
    groups = {
        "model.diffusion_model.": unet_shapes(config.unet, channels, config.clip.vision_width),
        "vae_model.": vae_shapes(config.vae),
        "clip_model.model.": clip | {"logit_scale": ()},
    }
    tensors = {p + name: tensor for p, shapes in groups.items() for name, tensor in filled(shapes).items()}
    tensors["alphas_cumprod"] = torch.from_numpy(zero_terminal(plain_alphas())).float()
    return tensors | {"posterior_mean_coef1": torch.zeros(1000)}


def reconstruction_tensors(config=TINY):
    tensors = filled({f"unet2.unet.{name}": shape for name, shape in triplane_shapes(config).items()})
    return tensors | filled({"unet2.learned_plane": plane_shape(config)}) | filled(head_shapes(config.triplane))


def write_files(folder):
    """The three files under their published names, and a config.json that tells their sizes."""
    torch.save(stage_tensors(4), folder / "pixel-diffusion.pth")
    torch.save({"state_dict": stage_tensors(8)}, folder / "ccm-diffusion.pth")
    save_file(reconstruction_tensors(), folder / "CRM.safetensors", {"crm": json.dumps(config_values(TINY))})
    (folder / "config.json").write_text(json.dumps({"crm": config_values(TINY)}))
    return folder
