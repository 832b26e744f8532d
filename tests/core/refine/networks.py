"""Tiny networks of random weights, as folders of a model hub."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from mvgen.core.geometry import Mesh
from mvgen.core.refine.views import cameras_around
from mvgen.core.render.pictures import over, picture
from mvgen.core.render.raycast import Caster


def depth_anything(folder: Path, side: int = 56) -> Path:
    """Depth Anything for pictures of ``side`` pixels and more."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    torch.manual_seed(0)
    backbone = Dinov2Config(
        image_size=side, patch_size=14, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        head_hidden_size=4,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    told = {"size": {"height": side, "width": side}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}
    told |= {"do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return folder


def taught(folder: Path, mesh: Mesh) -> Path:
    """Depth Anything that has seen the depths of a mesh, from where `cameras_around` looks, and roughly tells them."""
    from transformers import DepthAnythingForDepthEstimation

    caster, eyes = Caster(mesh), cameras_around(mesh, 56)
    seen = [caster.render(camera, 1) for camera in eyes]
    pictures = np.stack([over(picture(view, "color", (0, 1)), (1, 1, 1)) for view in seen])
    near = np.stack([np.where(view.depth > 0, 1 / np.maximum(view.depth, 1e-6), 0) for view in seen])
    known, wanted = torch.tensor(near > 0), torch.tensor((near - near[near > 0].mean()) / near[near > 0].std())
    network = DepthAnythingForDepthEstimation.from_pretrained(depth_anything(folder)).train()
    values = (pictures / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    pixels = torch.tensor(values.transpose(0, 3, 1, 2), dtype=torch.float32)
    adam = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(60):
        adam.zero_grad()
        off = network(pixel_values=pixels).predicted_depth - 4 - wanted.float()
        off[known].square().mean().backward()
        adam.step()
    network.save_pretrained(folder)
    return folder


def dpt(folder: Path) -> Path:
    """DPT for pictures of 64 pixels, which does not tell how to prepare them."""
    from transformers import DPTConfig, DPTForDepthEstimation

    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=64, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, is_hybrid=False,
    )  # fmt: skip
    DPTForDepthEstimation(config).save_pretrained(folder)
    return folder


def controlled(folder: Path) -> Path:
    """Stable Diffusion with a ControlNet, for pictures of 32 pixels."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    from tests.core.guidance.networks import stable_diffusion

    model = stable_diffusion(folder)
    unet = UNet2DConditionModel.from_pretrained(model / "unet")
    network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32))
    with torch.no_grad():  # its last layers are all zeros at first, and what it sees would make no difference
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    network.save_pretrained(model / "controlnet")
    index = json.loads((model / "model_index.json").read_text())
    index |= {"_class_name": "StableDiffusionControlNetPipeline", "controlnet": ["diffusers", "ControlNetModel"]}
    (model / "model_index.json").write_text(json.dumps(index))
    return model
