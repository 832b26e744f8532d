"""CRM's published files, as torch or safetensors files of the same tensors.

The files of the two diffusion stages hold the diffusion network (``model.diffusion_model.``), the image autoencoder
(``vae_model.``), the encoders of text and image (``clip_model.model.``) and the noise schedule. The last three may be
missing there; the autoencoder and the encoders are then looked for in other files, whatever their names begin with: the
original file of Stable Diffusion 2.1 and OpenCLIP's own will do.

Sizes other than the published ones are read from the value ``crm`` in a safetensors file's metadata, or from the object
``crm`` in a config.json beside the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mvgen.core.crm.config import Config, Shape, config_from
from mvgen.core.crm.sampler import STEPS, Floats, plain_alphas, zero_terminal
from mvgen.core.crm.shapes import (
    head_shapes,
    plane_shape,
    text_shapes,
    triplane_settings,
    unet_shapes,
    vae_shapes,
    vision_shapes,
)
from mvgen.core.errors import WeightsError
from mvgen.core.progress import Progress
from mvgen.core.weights import Checkpoint, open_checkpoint, pick

if TYPE_CHECKING:
    from torch import Tensor

    from mvgen.core.crm.network import UNet

Stage = Literal["views", "coordinates", "triplane"]
Precision = Literal["float32", "bfloat16", "float16"]

FILES: dict[Stage, str] = {"views": "pixel-diffusion", "coordinates": "ccm-diffusion", "triplane": "CRM"}
CHANNELS: dict[Stage, int] = {"views": 4, "coordinates": 8}
_OTHER = "give the weights of CRM"
_MOST_CONFIG = 1 << 20  # bytes
_SCHEDULE = {
    "betas",
    *(f"{root}alphas_cumprod{which}" for root in ("", "sqrt_") for which in ("", "_prev")),
    *(f"{what}_alphas_cumprod" for what in ("sqrt_one_minus", "log_one_minus", "sqrt_recip", "sqrt_recipm1")),
    *(f"posterior_{what}" for what in ("variance", "log_variance_clipped", "mean_coef1", "mean_coef2")),
}


@dataclass(frozen=True)
class _Group:
    """Tensors that belong together. prefix: of their names in the published files; anchor: the name of one of them,
    by which they are found elsewhere; elsewhere: a file of others that holds them too."""

    what: str
    prefix: str
    anchor: str
    elsewhere: str = ""


_UNET = _Group("a CRM diffusion network", "model.diffusion_model.", "camera_embed.0.weight")
_VAE = _Group(
    "the image autoencoder of Stable Diffusion",
    "vae_model.",
    "decoder.conv_in.weight",
    "v2-1_512-ema-pruned.safetensors",
)
_VISION = _Group(
    "the image encoder OpenCLIP ViT-H-14", "clip_model.model.", "visual.class_embedding", "open_clip_pytorch_model.bin"
)
_TEXT = _Group(
    "the text encoder OpenCLIP ViT-H-14", "clip_model.model.", "ln_final.weight", "open_clip_pytorch_model.bin"
)


@dataclass(frozen=True, eq=False)
class Source:
    """An opened file of a stage; beside: other files for what it does not hold; where and how networks shall run."""

    stage: Stage
    checkpoint: Checkpoint
    config: Config
    beside: Sequence[Path] = ()
    device: str = "cpu"
    precision: Precision = "float32"


def open_stage(
    path: Path,
    stage: Stage,
    progress: Progress,
    beside: Sequence[Path] = (),
    device: str = "cpu",
    precision: Precision = "float32",
) -> Source:
    """Open a stage's file, or that with the published name in a folder. Tensors that no stage reads are told.

    beside: files that may hold the encoders or the autoencoder where the stage's does not. Raises WeightsError for
    what is no file of tensors, or has a description that cannot be built.
    """
    file = _file(path, FILES[stage])
    checkpoint = open_checkpoint(file)
    try:
        config = _config(checkpoint)
    except ValueError as error:
        raise WeightsError(f"{file}: its description of CRM is wrong: {error}", _OTHER) from error
    source = Source(stage, checkpoint, config, tuple(beside), device, precision)
    _tell_unread(source, progress)
    return source


def load_unet(source: Source) -> UNet:
    """The diffusion network of a stage. Raises WeightsError where a tensor is missing or has another shape."""
    from mvgen.core.crm.network import UNet

    channels, config = CHANNELS[source.stage], source.config
    shapes = unet_shapes(config.unet, channels, config.clip.vision_width)
    return UNet(config.unet, channels, _load(source, _UNET, shapes))


def load_vae(source: Source) -> Any:
    """diffusers' ``AutoencoderKL``. Raises WeightsError as `load_unet`, and where no file has one."""
    from mvgen.core.crm.encoders import autoencoder

    return autoencoder(_load(source, _VAE, vae_shapes(source.config.vae)), source.config.vae)


def load_vision(source: Source) -> dict[str, Tensor]:
    """The image encoder. Raises WeightsError as `load_vae`."""
    return _load(source, _VISION, vision_shapes(source.config.clip))


def load_text(source: Source) -> dict[str, Tensor]:
    """The text encoder. Raises WeightsError as `load_vae`."""
    return _load(source, _TEXT, text_shapes(source.config.clip, source.config.unet.context))


def load_schedule(source: Source, progress: Progress) -> Floats:
    """The share of the signal (squared) that is left at each of 1000 steps [1000]. It is the file's where that holds
    one that is not as expected, for the published program uses it too; then it is told.

    Raises WeightsError for one that does not fall, or leaves [0, 1].
    """
    expected = zero_terminal(plain_alphas())
    held = source.checkpoint.tensors.get("alphas_cumprod")
    if held is None:
        return expected
    alphas = held.double().numpy()
    falls = alphas.shape == (STEPS,) and (np.diff(alphas) <= 0).all() and 0 < alphas[-2] <= alphas[0] < 1
    if not falls or alphas[-1] < 0:
        raise WeightsError(f"{source.checkpoint.path}: alphas_cumprod is no noise schedule of {STEPS} steps", _OTHER)
    if np.allclose(alphas, expected, rtol=1e-3, atol=1e-7):
        return expected
    progress.note(
        f"{source.checkpoint.path}: its own noise schedule is used, which leaves {alphas[-1]:.2g} of the signal "
        "at its end"
    )
    return alphas


def load_reconstruction(source: Source) -> tuple[Any, Tensor, dict[str, Tensor]]:
    """diffusers' ``UNet2DModel``, the learned plane, and the tensors of the perceptrons in float32.

    Raises WeightsError as `load_unet`.
    """
    import torch
    from diffusers import UNet2DModel

    from mvgen.core.crm.triplane import triplane_network

    config = source.config
    with torch.device("meta"):
        empty: Any = UNet2DModel(**triplane_settings(config))
    shapes: dict[str, Shape] = {f"unet2.unet.{name}": tuple(t.shape) for name, t in empty.state_dict().items()}
    shapes |= {"unet2.learned_plane": plane_shape(config)} | head_shapes(config.triplane)
    group = _Group("CRM's reconstruction network", "", "unet2.learned_plane")
    held = _load(source, group, shapes)
    inner = {n.removeprefix("unet2.unet."): tensor for n, tensor in held.items() if n.startswith("unet2.unet.")}
    heads = {name: held[name].float() for name in head_shapes(config.triplane)}
    return triplane_network(inner, config), held["unet2.learned_plane"], heads


# ---------------------------------------------------------------- parts


def _load(source: Source, group: _Group, shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """A group's tensors on the device, under their names without prefix."""
    import torch

    checkpoint, prefix = _holder(source, group)
    held, _ = pick(checkpoint, {prefix + name: shape for name, shape in shapes.items()}, {}, group.what)
    dtype = getattr(torch, source.precision)
    return {name: held[prefix + name].to(source.device, dtype) for name in shapes}


def _holder(source: Source, group: _Group) -> tuple[Checkpoint, str]:
    """The first file that holds a group, and what the group's names begin with there."""
    own = source.checkpoint
    prefix = _prefix(own, group)
    if prefix is not None:
        return own, prefix
    for path in source.beside if group.elsewhere else ():
        other = open_checkpoint(path)
        prefix = _prefix(other, group)
        if prefix is not None:
            return other, prefix
    if group.elsewhere:
        raise WeightsError(f"{own.path}: does not hold {group.what}", f"give a file that does too: {group.elsewhere}")
    raise WeightsError(f"{own.path}: has no {group.prefix}{group.anchor}, so it is not {group.what}", _OTHER)


def _prefix(checkpoint: Checkpoint, group: _Group) -> str | None:
    names, anchor = checkpoint.tensors, group.anchor
    if group.prefix + anchor in names:
        return group.prefix
    found = [name.removesuffix(anchor) for name in names if f".{name}".endswith(f".{anchor}")]
    return min(found, key=len, default=None)


def _tell_unread(source: Source, progress: Progress) -> None:
    config = source.config
    if source.stage == "triplane":
        prefixes: tuple[str, ...] = ("unet2.",)
        known = set(head_shapes(config.triplane))
    else:
        prefixes = (_VAE.prefix, _VISION.prefix)
        prefix = _prefix(source.checkpoint, _UNET) or ""
        shapes = unet_shapes(config.unet, CHANNELS[source.stage], config.clip.vision_width)
        known = {prefix + name for name in shapes} | _SCHEDULE
    extra = [name for name in source.checkpoint.tensors if name not in known and not name.startswith(prefixes)]
    if extra:
        more = f" and {len(extra) - 3} more" if len(extra) > 3 else ""
        progress.warn(f"{source.checkpoint.path}: not used: {', '.join(extra[:3])}{more}")


def _file(path: Path, name: str) -> Path:
    if not path.is_dir():
        return path
    found = (path / f"{name}{suffix}" for suffix in (".safetensors", ".pth"))
    return next((file for file in found if file.is_file()), path / f"{name}.pth")


def _config(checkpoint: Checkpoint) -> Config:
    """Raises ValueError."""
    described = checkpoint.extras.get("crm")
    if described is not None:
        return config_from(_json(str(described)))
    beside = checkpoint.path.parent / "config.json"
    if not beside.is_file() or beside.stat().st_size > _MOST_CONFIG:
        return Config()
    found = _json(beside.read_text(encoding="utf-8", errors="replace"))
    return config_from(found.get("crm", {}) if isinstance(found, dict) else {})


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
