"""Checkpoints of gsgen (.pt): raw parameters of a text-to-splats run; read only, in the frame "rfu".

Source: Chen et al., "Text-to-3D using Gaussian Splatting" (2024), its files.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.splats.coding import EXPORT_AGAIN, constant_from_colours, joined, sound
from mvgen.core.splats.model import Splats

_SHAPES: dict[str, tuple[int, ...]] = {"mean": (3,), "qvec": (4,), "svec": (3,), "color": (3,), "alpha": ()}


def read_gsgen(data: bytes, name: str, warn: Warn = ignore) -> Splats:
    """Of a whole checkpoint, or its renderer's part. Nothing but tensors and plain values is loaded from it.

    Raises InputError for anything else.
    """
    found = _loaded(data, name)
    inner = found.get("params", found)
    if not isinstance(inner, dict):
        inner = {}
    mean, turn, scale, colour, alpha = (_array(inner, key, len(data), name) for key in _SHAPES)
    if len({len(values) for values in (mean, turn, scale, colour, alpha)}) > 1:
        raise InputError(f"{name}: its tensors differ in length", EXPORT_AGAIN)
    prompt = found.get("cfg", {}).get("prompt", {}) if isinstance(found.get("cfg"), dict) else {}
    text = prompt.get("prompt") if isinstance(prompt, dict) else None
    with np.errstate(all="ignore"):
        constant = constant_from_colours(0.5 + 0.5 * np.tanh(0.5 * colour.astype(np.float64)))
    metadata = {"prompt": text} if isinstance(text, str) else None
    return sound(name, warn, "rfu", mean, turn, scale, alpha, joined(constant), metadata)


def _loaded(data: bytes, name: str) -> dict[str, Any]:
    import torch

    try:
        if data.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > len(data):
                    raise ValueError("packed more tightly than torch does")
        with warnings.catch_warnings(action="ignore"):
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files, and for those with more than tensors
        raise InputError(f"{name}: is no sound checkpoint of tensors and plain values", EXPORT_AGAIN) from error
    if not isinstance(found, dict):
        raise InputError(f"{name}: holds no named tensors", "give a checkpoint of gsgen")
    return found


def _array(tensors: dict[str, Any], key: str, most: int, name: str) -> NDArray[np.float32]:
    """A tensor of the shape [N, ...] that its name asks for, and no more numbers than the file has bytes."""
    import torch

    tensor = tensors.get(key)
    if not isinstance(tensor, torch.Tensor) or tuple(tensor.shape[1:]) != _SHAPES[key] or tensor.ndim == 0:
        raise InputError(f"{name}: holds no splats of gsgen (no proper tensor {key})", "give a checkpoint of gsgen")
    if tensor.numel() > most or tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
        raise InputError(f"{name}: its tensor {key} is not a plain one", EXPORT_AGAIN)
    if tensor.device.type != "cpu":
        raise InputError(f"{name}: its tensor {key} has no values", EXPORT_AGAIN)
    return np.asarray(tensor.detach().float().contiguous().numpy())
