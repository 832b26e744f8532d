"""DUSt3R checkpoints: `.pth` with a description of the network as text, or safetensors beside a config.json."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvgen.core.dust3r.config import (
    NetworkConfig,
    aliases,
    config_from,
    config_values,
    parse_config,
    tensor_shapes,
    unused_shapes,
)
from mvgen.core.errors import WeightsError
from mvgen.core.progress import Progress
from mvgen.core.weights import Checkpoint, open_checkpoint, pick, weights_file

if TYPE_CHECKING:
    from torch import Tensor

    from mvgen.core.dust3r.network import Network

NOTICE = "DUSt3R weights are for non-commercial use (CC BY-NC-SA 4.0)"
_MOST_CONFIG = 1 << 20  # bytes


def load_network(path: Path, progress: Progress, device: str = "cpu") -> Network:
    """The network in a file, or in a folder with ``model.safetensors`` and ``config.json``, in float32.

    Tensors that are not read are named in a warning. Raises WeightsError for anything but a DUSt3R network whose every
    tensor is there and has its shape.
    """
    from mvgen.core.dust3r.network import Network

    config, tensors = _read(weights_file(path), progress)
    return Network.of(config, {name: tensor.to(device) for name, tensor in tensors.items()})


def save_network(path: Path, folder: Path, progress: Progress) -> None:
    """Write a checkpoint's needed tensors, in float32, as ``model.safetensors`` and ``config.json``.

    Raises what `load_network` does.
    """
    from safetensors.torch import save_file

    config, tensors = _read(path, progress)
    folder.joinpath("config.json").write_text(json.dumps(config_values(config), indent=2) + "\n", encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")


def _read(file: Path, progress: Progress) -> tuple[NetworkConfig, dict[str, Tensor]]:
    """The configuration and the needed tensors in float32; the licence and what is not used are told."""
    checkpoint = open_checkpoint(file)
    try:
        config = _config(checkpoint)
    except ValueError as error:
        raise WeightsError(f"{file}: {error}", "give the weights of a DUSt3R network") from error
    tensors, extra = pick(checkpoint, tensor_shapes(config), aliases(config), "a DUSt3R network")
    extra = [name for name in extra if name not in unused_shapes(config)]
    if extra:
        more = f" and {len(extra) - 3} more" if len(extra) > 3 else ""
        progress.warn(f"{file}: not used: {', '.join(extra[:3])}{more}")
    progress.warn(NOTICE)
    return config, {name: tensor.float() for name, tensor in tensors.items()}


def _config(checkpoint: Checkpoint) -> NetworkConfig:
    """Raises ValueError."""
    beside = checkpoint.path.parent / "config.json"
    described = checkpoint.extras.get("args")
    if isinstance(described, Namespace):
        described = getattr(described, "model", None)
    if isinstance(described, str):
        return parse_config(described)
    if beside.is_file() and beside.stat().st_size < _MOST_CONFIG:
        return config_from(_json(beside))
    raise ValueError("holds no description of the network, and no config.json lies beside it")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError("its config.json cannot be read") from error
    if not isinstance(found, dict):
        raise ValueError("its config.json is no object")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
