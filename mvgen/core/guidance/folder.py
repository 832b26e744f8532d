"""Folders of diffusion models, as diffusers lays them out: which there are, and what kind each is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mvgen.core.errors import WeightsError
from mvgen.core.models import default_weights, find_weights

METHOD = "guidance"  # in the list of known models
INDEX = "model_index.json"
_SAME = ("tokenizer", "text_encoder", "vae", "scheduler")
PARTS: Mapping[str, tuple[str, ...]] = {  # folders that each kind of pipeline has
    "StableDiffusionPipeline": (*_SAME, "unet"),
    "StableDiffusionXLPipeline": (*_SAME, "tokenizer_2", "text_encoder_2", "unet"),
    "PixArtAlphaPipeline": (*_SAME, "transformer"),
}


def weights_for(given: str | None) -> Path:
    """The folder of the model that is named, or of the best known one on this machine.

    Raises WeightsError where there is none or it is of no kind that is known here, InputError for a missing folder.
    """
    if given is None:
        found = default_weights(METHOD)
        if found is None:
            raise WeightsError(
                "--prompt: no diffusion model is on this machine",
                "mvgen models pull sd-2-1-base, or --weights FOLDER with a model_index.json",
            )
        return found[1]
    folder = find_weights(given)
    kind_of(folder)
    return folder


def kind_of(folder: Path) -> str:
    """The class of the pipeline that a folder holds: one of `PARTS`. Raises WeightsError."""
    kind = str(read_index(folder).get("_class_name"))
    if kind not in PARTS:
        raise WeightsError(f"{folder}: holds a {kind[:60]}", "known are " + ", ".join(PARTS))
    missing = [name for name in PARTS[kind] if not (folder / name).is_dir()]
    if missing:
        raise WeightsError(f"{folder}: has no folder {missing[0]}", "download the whole model")
    return kind


def read_index(folder: Path) -> dict[str, Any]:
    """What model_index.json says. Raises WeightsError."""
    path = folder / INDEX
    if not path.is_file():
        raise WeightsError(f"{folder}: has no {INDEX}", "give the folder of a diffusion model, as diffusers saves it")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: cannot be read ({str(error)[:100]})", "download it again") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path}: does not describe a model", "download it again")
    return found
