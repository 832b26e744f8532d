"""Parts of pictures by words (CLIPSeg) and by a click (SAM), through transformers.

Weights are folders as model hubs lay them out. Pictures are prepared by functions of our own: transformers' need
torchvision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import WeightsError
from mvgen.core.models import default_weights, find_weights
from mvgen.core.region.sight import Sight
from mvgen.core.region.things import Mask
from mvgen.core.weights import load_pretrained

if TYPE_CHECKING:
    from mvgen.core.camera import Camera

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LARGEST = 2048  # pixels of a side of a picture for CLIPSeg
LIKELY = 0.4  # from which share a word means a place
_KINDS = {"clipseg": "text", "sam": "sam"}  # model_type of a config.json, and the option that uses it


def weights_for(method: str, given: Sequence[str]) -> Path:
    """The folder of the weights of ``clipseg`` or ``sam``: of those given by name or path the one that is of this kind,
    else the known ones on this machine.

    Raises WeightsError where there are none, InputError where a given one does not exist.
    """
    for one in given:
        folder = find_weights(one)
        if _model_type(folder) == method:
            return folder
    found = default_weights(method)
    if found is None:
        raise WeightsError(
            f"--{_KINDS[method]}: the weights of {method} are not on this machine",
            f"mvgen models pull {method}, or --weights FOLDER with config.json and model.safetensors",
        )
    return found[1]


def _model_type(folder: Path) -> str:
    config = folder / "config.json"
    if not config.is_file():
        raise WeightsError(f"{folder}: has no config.json", "give the folder of a CLIPSeg or SAM model")
    try:
        return str(json.loads(config.read_text(encoding="utf-8")).get("model_type"))
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{config}: is no description of a network", "download it again") from error


def likely(pictures: Sequence[NDArray[np.uint8]], text: str, folder: Path, device: str) -> list[NDArray[np.float32]]:
    """[H, W] in [0, 1] for each picture [H, W, 3]: how likely a pixel is what the text says, by CLIPSeg."""
    import cv2
    import torch
    from transformers import CLIPSegForImageSegmentation, CLIPTokenizer

    network: Any = load_pretrained(CLIPSegForImageSegmentation, folder).to(device).eval()
    tokenizer: Any = load_pretrained(CLIPTokenizer, folder)
    side = _side(folder) or int(network.config.vision_config.image_size)
    words = tokenizer([text], padding="max_length", truncation=True, return_tensors="pt").to(device)
    out = []
    for picture in pictures:
        pixels = _normalised(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), device)
        with torch.no_grad():
            logits = network(**words, pixel_values=pixels).logits
        heat = torch.sigmoid(logits.float()).reshape(logits.shape[-2:]).cpu().numpy()
        out.append(np.asarray(cv2.resize(heat, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32))
    return out


def _side(folder: Path) -> int | None:
    """Pixels of a side of the pictures that CLIPSeg was trained on, which are more than its config.json tells; None
    where the folder does not say."""
    try:
        told = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))["size"]
        side = int(told["height"] if isinstance(told, dict) else told)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return side if 1 <= side <= _LARGEST else None


def clicked(picture: NDArray[np.uint8], x: float, y: float, folder: Path, device: str) -> NDArray[np.bool_]:
    """[H, W]: the object at a pixel of a picture [H, W, 3], by SAM: the mask that it rates best of three."""
    import cv2
    import torch
    from transformers import SamModel

    network: Any = load_pretrained(SamModel, folder).to(device).eval()
    side = int(network.config.vision_config.image_size)
    height, width = picture.shape[:2]
    ratio = side / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    pixels = torch.nn.functional.pad(_normalised(small, device), (0, side - size[0], 0, side - size[1]))
    place = torch.tensor([[[[x * ratio, y * ratio]]]], device=device, dtype=pixels.dtype)
    with torch.no_grad():
        inside = torch.ones((1, 1, 1), dtype=torch.int64, device=device)
        found = network(pixel_values=pixels, input_points=place, input_labels=inside)
    best = int(found.iou_scores[0, 0].argmax())
    mask = torch.nn.functional.interpolate(found.pred_masks[:, 0, best][:, None].float(), (side, side), mode="bilinear")
    part = mask[0, 0, : size[1], : size[0]].cpu().numpy()
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)) > 0


def by_votes(sight: Sight, cameras: Sequence[Camera], heats: Sequence[NDArray[np.float32]], least: float) -> Mask:
    """[N]: places that are at least this likely, on average over the cameras that see them."""
    count = len(sight.things.places)
    total, votes = np.zeros(count), np.zeros(count)
    for camera, heat in zip(cameras, heats):
        pixels, seen = sight.seen(camera)
        column, row = pixels[:, seen].astype(int)
        total[seen] += heat[row.clip(0, camera.height - 1), column.clip(0, camera.width - 1)]
        votes[seen] += 1
    return (votes > 0) & (total >= least * votes)


def _normalised(picture: Any, device: str) -> Any:
    import torch

    values = ((picture / 255 - MEAN) / DEVIATION).astype(np.float32)
    return torch.from_numpy(values.transpose(2, 0, 1)[None].copy()).to(device)
