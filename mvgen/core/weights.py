"""Files of network weights, opened without running anything that they hold."""

from __future__ import annotations

import argparse
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvgen.core.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]
_LARGEST_HEADER = 100 << 20  # bytes of a safetensors file's list of tensors, as its own library allows
_AGAIN = "download it again"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds: tensors by name, and the plain values beside them (``args``, ``epoch``, metadata)."""

    path: Path
    tensors: dict[str, Tensor]
    extras: dict[str, Any]


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a safetensors file or a torch file (plain tensors and plain values only).

    Tensors stay on disk until they are used, where the format allows it. Of a torch file with a ``model`` or
    ``state_dict`` inside, those are the tensors. Raises WeightsError naming the file.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there are no weights", "give the file with --weights")
    with path.open("rb") as file:
        head = file.read(9)
    if len(head) == 9 and head[8:] == b"{":
        return _open_safetensors(path)
    if zipfile.is_zipfile(path):
        return _open_torch(path)
    raise WeightsError(f"{path}: is neither a safetensors nor a torch file, or is cut short", _AGAIN)


def weights_file(path: Path) -> Path:
    """The file itself, or that in a folder as model hubs lay it out."""
    return path / "model.safetensors" if path.is_dir() else path


def weights_size(path: Path | None) -> int:
    """Bytes of the file; 0 where there is none."""
    file = None if path is None else weights_file(path)
    return file.stat().st_size if file is not None and file.is_file() else 0


def load_pretrained(kind: Any, folder: Path, **options: Any) -> Any:
    """A network, tokenizer or schedule of transformers or diffusers from a folder alone, without running anything that
    it holds. Raises WeightsError naming the folder."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    of_diffusers.set_verbosity_error()  # it remarks on settings that other classes read
    of_transformers.disable_progress_bar()
    if hasattr(kind, "eval"):
        options = {"use_safetensors": True} | options
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:  # both libraries raise many kinds for files that are missing or damaged
        raise WeightsError(
            f"{folder}: does not load as {kind.__name__} ({_first_line(error)[:160]})", "download it again"
        ) from error


def _open_safetensors(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(_LARGEST_HEADER, path.stat().st_size - 8):
            raise WeightsError(f"{path}: is damaged (its list of tensors is longer than the file)", _AGAIN)
        try:
            metadata = json.loads(file.read(length)).get("__metadata__", {})
        except (ValueError, AttributeError, RecursionError) as error:
            raise WeightsError(f"{path}: is damaged (its list of tensors cannot be read)", _AGAIN) from error
    try:
        with safe_open(path, framework="pt") as data:
            return Checkpoint(path, {name: data.get_tensor(name) for name in data.keys()}, dict(metadata))  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: is damaged ({_first_line(error)})", _AGAIN) from error


def _open_torch(path: Path) -> Checkpoint:
    import pickle

    import torch

    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: holds more than tensors and plain values, and is not run", "use a file from its authors"
        ) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError, ValueError, ... for damaged files
        raise WeightsError(f"{path}: is damaged ({_first_line(error)})", _AGAIN) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path}: holds a {type(found).__name__}, not named tensors", "use a file from its authors")
    inner = next((found[key] for key in ("model", "state_dict") if isinstance(found.get(key), dict)), found)
    tensors = {str(name): value for name, value in inner.items() if isinstance(value, torch.Tensor)}
    extras = {str(name): value for name, value in found.items() if not isinstance(value, torch.Tensor | dict)}
    if not tensors:
        raise WeightsError(f"{path}: holds no tensors", "use a file from its authors")
    return Checkpoint(path, tensors, extras)


def pick(
    checkpoint: Checkpoint, needed: Mapping[str, Shape], aliases: Mapping[str, str], what: str
) -> tuple[dict[str, Tensor], list[str]]:
    """The needed tensors, each with its shape, and the names of those that nobody asked for.

    aliases: second names under which a tensor may stand. Raises WeightsError for the first that is missing, has
    another shape, or is no floating-point tensor.
    """
    held = dict(checkpoint.tensors)
    for alias, name in aliases.items():
        if alias in held:
            held.setdefault(name, held[alias])
            del held[alias]
    missing = [name for name in needed if name not in held]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise WeightsError(
            f"{checkpoint.path}: has no {missing[0]}{more}, so it is not {what}", f"give the weights of {what}"
        )
    for name, shape in needed.items():
        tensor = held[name]
        if tuple(tensor.shape) != tuple(shape):
            raise WeightsError(
                f"{checkpoint.path}: {name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}",
                f"give the weights of {what}",
            )
        if not tensor.is_floating_point():
            raise WeightsError(f"{checkpoint.path}: {name} holds {tensor.dtype}, not floating-point numbers", _AGAIN)
    return {name: held[name] for name in needed}, [name for name in held if name not in needed]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
