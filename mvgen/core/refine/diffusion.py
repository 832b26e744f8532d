"""Normal maps sharpened by a diffusion model: Stable Diffusion 1.5 or 2 with a ControlNet, as picture to picture.

A model is a folder as diffusers lays it out; only safetensors are read, and nothing that a folder holds is run. All
views stand in one picture, so that the network's attention sees them together.
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
from mvgen.core.guidance.folder import INDEX, read_index
from mvgen.core.models import find_weights
from mvgen.core.progress import Progress
from mvgen.core.weights import load_pretrained

BASE = "sd-1-5"  # what a ControlNet alone belongs to
CONTROL = "controlnet"
PARTS = ("tokenizer", "text_encoder", "vae", "unet", "scheduler")
KINDS = ("StableDiffusionPipeline", "StableDiffusionControlNetPipeline", "StableDiffusionControlNetImg2ImgPipeline")
COLUMNS = 3  # of views in a picture
STEPS = 20  # of which a share is taken
SIGNS = np.array([1, -1, -1], np.float32)  # x right, y up, z to the eye as red, green, blue


@dataclass(frozen=True)
class Wish:
    """prompt: of what the pictures are; strength: how much is drawn anew, in 0..1; seed: of the noise."""

    prompt: str
    strength: float
    seed: int


def folders_of(given: str) -> tuple[Path, Path]:
    """The folders of the base model and of the ControlNet: of a pipeline with both, or of a ControlNet alone.

    Raises WeightsError where something is missing or of another kind, InputError for a missing folder.
    """
    folder = find_weights(given)
    if (folder / INDEX).is_file():
        base, control = folder, folder / CONTROL
    else:
        _check_control(folder)
        base, control = find_weights(BASE), folder
    kind = str(read_index(base).get("_class_name"))
    if kind not in KINDS:
        raise WeightsError(f"{base}: holds a {kind[:60]}", "known are " + ", ".join(KINDS))
    missing = [name for name in PARTS if not (base / name).is_dir()] + [CONTROL] * (not control.is_dir())
    if missing:
        raise WeightsError(f"{base}: has no folder {missing[0]}", f"give a {KINDS[1]} as diffusers saves it")
    return base, control


def _check_control(folder: Path) -> None:
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError, RecursionError):
        kind = None
    if kind != "ControlNetModel":
        raise WeightsError(
            f"{folder}: is neither a pipeline with a ControlNet nor a ControlNet",
            f"give a {KINDS[1]} as diffusers saves it",
        )


class Sharpener:
    """A model made ready. side: pixels of a view that it knows best."""

    def __init__(self, given: str, device: str):
        """Raises as `folders_of`."""
        from diffusers import (
            AutoencoderKL,
            ControlNetModel,
            DDIMScheduler,
            StableDiffusionControlNetImg2ImgPipeline,
            UNet2DConditionModel,
        )  # fmt: skip
        from transformers import CLIPTextModel, CLIPTokenizer

        from mvgen.core.guidance.network import half, load_network

        self.base, self.control = folders_of(given)
        kind = half(device)
        unet = load_network(UNet2DConditionModel, self.base / "unet", device, kind)
        self.device = device
        pipeline: Any = StableDiffusionControlNetImg2ImgPipeline
        self.pipeline = pipeline(
            vae=load_network(AutoencoderKL, self.base / "vae", device, kind),
            text_encoder=load_network(CLIPTextModel, self.base / "text_encoder", device, kind),
            tokenizer=load_pretrained(CLIPTokenizer, self.base / "tokenizer"),
            unet=unet,
            controlnet=load_network(ControlNetModel, self.control, device, kind),
            scheduler=load_pretrained(DDIMScheduler, self.base / "scheduler"),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )  # fmt: skip
        self.pipeline.set_progress_bar_config(disable=True)
        self.side = int(unet.config.sample_size) * int(self.pipeline.vae_scale_factor)

    def __call__(
        self, maps: Sequence[NDArray[np.float32]], wish: Wish, progress: Progress
    ) -> list[NDArray[np.float32]]:
        """Normal maps [side, side, 3], in camera axes and 0 where nothing is, drawn again with more detail."""
        import torch

        picture = _sheet([_colours(one) for one in maps])
        height, width = picture.shape[:2]
        progress.say(
            f"diffusion: {self.base}, ControlNet {self.control.name}: {len(maps)} normal maps in a picture of "
            f"{width} x {height}, strength {wish.strength:g}, {wish.prompt!r}"
        )
        progress.stage("diffusion", max(1, int(STEPS * wish.strength)))
        pixels = torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()).to(self.device)

        def step(*told: Any) -> dict[str, Any]:
            progress.advance()
            return dict(told[-1])

        drawn = self.pipeline(
            prompt=wish.prompt,
            image=pixels,
            control_image=pixels,
            strength=wish.strength,
            num_inference_steps=max(STEPS, int(np.ceil(1 / wish.strength))),
            generator=torch.Generator("cpu").manual_seed(wish.seed),
            callback_on_step_end=step,
            output_type="np",
        ).images[0]
        return [_normals(part, one) for part, one in zip(_tiles(np.asarray(drawn, np.float32), len(maps)), maps)]


def _colours(normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W, 3] in [0, 1]; what is not known looks at the eye."""
    known = normals.any(2, keepdims=True)
    return (np.where(known, normals * SIGNS, [0, 0, 1]) / 2 + 0.5).astype(np.float32)


def _normals(colours: NDArray[np.float32], old: NDArray[np.float32]) -> NDArray[np.float32]:
    """The reverse, where the old map knows one; 0 where a colour is no direction."""
    found = (2 * colours - 1) * SIGNS
    length = np.linalg.norm(found, axis=2, keepdims=True)
    known = old.any(2, keepdims=True) & (length > 0.5)
    return np.where(known, found / np.maximum(length, 1e-6), 0).astype(np.float32)


def _sheet(tiles: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Square tiles in rows of `COLUMNS`, as one picture."""
    side = tiles[0].shape[0]
    rows = -(-len(tiles) // COLUMNS)
    out = np.zeros((rows * side, COLUMNS * side, 3), np.float32)
    for k, tile in enumerate(tiles):
        y, x = k // COLUMNS * side, k % COLUMNS * side
        out[y : y + side, x : x + side] = tile
    return out


def _tiles(picture: NDArray[np.float32], count: int) -> list[NDArray[np.float32]]:
    side = picture.shape[1] // COLUMNS
    places = [(k // COLUMNS * side, k % COLUMNS * side) for k in range(count)]
    return [picture[y : y + side, x : x + side] for y, x in places]
