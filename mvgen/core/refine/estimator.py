"""Depth maps of pictures by a network of transformers: Depth Anything, DPT, ZoeDepth, GLPN and their like.

A network is a folder as model hubs lay it out. Pictures are prepared by a function of our own, as the folder's
preprocessor_config.json tells: transformers' need torchvision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import WeightsError
from mvgen.core.progress import Progress
from mvgen.core.weights import load_pretrained

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of networks that do not tell theirs
SIDE, MULTIPLE, LARGEST = 384, 32, 2048  # pixels


@dataclass(frozen=True)
class Preparation:
    """How a network wants its pictures: height, width in pixels, or the shorter side where the proportions stay, in
    multiples; mean and deviation of red, green and blue in [0, 1]."""

    height: int
    width: int
    keeps: bool
    multiple: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) for a picture of another size."""
        ratio = max(self.width / width, self.height / height)
        wide, high = (ratio * width, ratio * height) if self.keeps else (self.width, self.height)
        return self._rounded(wide), self._rounded(high)

    def _rounded(self, pixels: float) -> int:
        return self.multiple * max(1, min(round(pixels / self.multiple), LARGEST // self.multiple))


def depth_maps(
    pictures: Sequence[NDArray[np.uint8]], folder: Path, device: str, progress: Progress
) -> list[NDArray[np.float32]]:
    """[h, w] for each picture [H, W, 3], at the network's own resolution: depth or its inverse, but for a scale and a
    shift. Raises WeightsError for a folder that holds no such network."""
    import cv2
    import torch
    from transformers import AutoModelForDepthEstimation

    network: Any = load_pretrained(AutoModelForDepthEstimation, folder, use_safetensors=True, trust_remote_code=False)
    network = network.to(device).eval()
    how = preparation(folder, network.config)
    progress.say(f"estimator: {type(network).__name__} of {folder}, {len(pictures)} pictures")
    progress.stage("depth", len(pictures))
    out = []
    for picture in pictures:
        size = how.size(picture.shape[1], picture.shape[0])
        shrinks = size[0] < picture.shape[1]
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        values = ((small / 255 - how.mean) / how.deviation).astype(np.float32)
        pixels = torch.from_numpy(values.transpose(2, 0, 1)[None].copy()).to(device)
        try:
            with torch.no_grad():
                found = network(pixel_values=pixels).predicted_depth
        except (RuntimeError, ValueError, TypeError) as error:  # of a network that wants more, or other sizes
            told = str(error).strip().splitlines()[:1]
            raise WeightsError(
                f"{folder}: does not take pictures of {size[0]} x {size[1]} ({(told or [''])[0][:120]})",
                "give another network",
            ) from error
        out.append(np.asarray(found.float().reshape(found.shape[-2:]).cpu().numpy(), np.float32))
        progress.advance()
    return out


def preparation(folder: Path, config: Any) -> Preparation:
    """What the files of a folder tell, and what is usual where they do not. Raises WeightsError."""
    path = folder / "preprocessor_config.json"
    backbone = getattr(config, "backbone_config", None)
    patch = getattr(backbone, "patch_size", None) or getattr(config, "patch_size", None)
    usual = getattr(backbone, "image_size", None) or getattr(config, "image_size", None) or SIDE
    try:
        told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        given = told or {}
        size = given.get("size") or usual
        if isinstance(size, dict):
            edge = size.get("shortest_edge", usual)
            height, width = int(size.get("height", edge)), int(size.get("width", edge))
        else:
            height = width = int(size)
        normalises = told is None or "image_mean" in given or given.get("do_normalize", False)
        mean, deviation = given.get("image_mean", MEAN), given.get("image_std", DEVIATION)
        found = Preparation(
            height,
            width,
            bool(given.get("keep_aspect_ratio", False)),
            int(given.get("ensure_multiple_of") or given.get("size_divisor") or patch or MULTIPLE),
            tuple(float(v) for v in mean) if normalises else (0.0,) * 3,
            tuple(float(v) for v in deviation) if normalises else (1.0,) * 3,
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: cannot be read ({str(error)[:100]})", "download it again") from error
    sides = 1 <= found.height <= LARGEST and 1 <= found.width <= LARGEST and 1 <= found.multiple <= LARGEST
    if not sides or len(found.mean) != 3 or len(found.deviation) != 3 or min(found.deviation) <= 0:
        raise WeightsError(f"{path}: tells no way to prepare pictures", "download it again")
    return found
