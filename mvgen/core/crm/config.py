"""How CRM's networks are built.

Defaults are the published sizes. A checkpoint of another size says so (see `checkpoint`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

Shape = tuple[int, ...]

CAMERA = 16  # numbers that describe a camera: a camera-to-world matrix, row by row
LATENT = 4  # channels of the image autoencoder's latents
VIEWS = 6
TEXT_LENGTH = 77  # tokens of a prompt
MAPS = 12  # channels of pictures and coordinates that enter the triplane network


@dataclass(frozen=True)
class UNetConfig:
    """The multi-view diffusion network. width, multipliers: channels of the first level, and of each level in widths;
    blocks: residual blocks a level; head: channels of an attention head; context: channels of text and image tokens;
    image_tokens: tokens that the resampler makes; resampler_*: its layers, heads and the channels of a head."""

    width: int = 320
    multipliers: Shape = (1, 2, 4, 4)
    blocks: int = 2
    head: int = 64
    context: int = 1024
    image_tokens: int = 16
    resampler_layers: int = 4
    resampler_heads: int = 12
    resampler_head: int = 64


@dataclass(frozen=True)
class VaeConfig:
    """The image autoencoder: channels of its levels, residual blocks of a level of the encoder."""

    widths: Shape = (128, 256, 512, 512)
    blocks: int = 2


@dataclass(frozen=True)
class ClipConfig:
    """The encoders of text and image (OpenCLIP ViT-H-14). image, patch: pixels a side. The text encoder has the
    U-Net's context channels."""

    vision_width: int = 1280
    vision_layers: int = 32
    vision_heads: int = 16
    patch: int = 14
    image: int = 224
    text_layers: int = 24
    text_heads: int = 16
    vocabulary: int = 49408


@dataclass(frozen=True)
class TriplaneConfig:
    """The network from pictures to triplane and what reads it. attention: levels (from 0) with attention; features:
    channels of the triplane; learned: channels of the learned plane; hidden: width of the perceptrons; grid: cubes a
    side of the extraction grid."""

    widths: Shape = (64, 128, 128, 256, 256, 512, 512)
    attention: Shape = (3, 4, 5)
    blocks: int = 2
    features: int = 32
    learned: int = 20
    hidden: int = 512
    grid: int = 80


@dataclass(frozen=True)
class Config:
    """All of CRM. picture: pixels a side of views, coordinate maps and of each of the three planes."""

    picture: int = 256
    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VaeConfig = field(default_factory=VaeConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    triplane: TriplaneConfig = field(default_factory=TriplaneConfig)

    @property
    def latent_side(self) -> int:
        """Pixels a side of the latents."""
        return self.picture >> (len(self.vae.widths) - 1)


GROUPS = 32  # of every group norm
_MOST = 1 << 16  # of any number
_MOST_OF = {
    "blocks": 16,
    "resampler_layers": 64,
    "vision_layers": 128,
    "text_layers": 128,
    "grid": 512,
    "picture": 4096,
}
_LONGEST = 16  # numbers in a list


def config_from(values: Mapping[str, Any]) -> Config:
    """The configuration from nested plain values; what is not named is as published.

    Raises ValueError for unknown names and for what cannot be built.
    """
    config = _section(Config, values, "")
    for section, widths in (
        ("unet", tuple(config.unet.width * m for m in config.unet.multipliers)),
        ("vae", config.vae.widths),
        ("triplane", config.triplane.widths),
    ):
        if any(width % GROUPS for width in widths):
            raise ValueError(f"{section}: widths {widths} are no multiples of {GROUPS}")
        halvings = len(widths) - 1
        side = config.latent_side if section == "unet" else config.picture
        if side % (1 << halvings):
            raise ValueError(f"{section}: {side} pixels cannot be halved {halvings} times")
    for width, heads in (
        (config.clip.vision_width, config.clip.vision_heads),
        (config.unet.context, config.clip.text_heads),
    ):
        if width % heads:
            raise ValueError(f"clip: {heads} heads do not divide {width} channels")
    if config.clip.image % config.clip.patch:
        raise ValueError(f"clip: {config.clip.image} pixels do not divide into patches of {config.clip.patch}")
    if any(config.unet.width * m % config.unet.head for m in config.unet.multipliers):
        raise ValueError(f"unet: heads of {config.unet.head} channels do not divide its widths")
    return config


def config_values(config: Config) -> dict[str, Any]:
    """Nested plain values that `config_from` makes the same configuration of."""
    return asdict(config)


def _section(kind: type, values: Any, name: str) -> Any:
    """A dataclass of whole numbers, lists of them, and such dataclasses."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{name or 'the configuration'} is no object")
    default = kind()
    known = {f.name for f in fields(default)}
    found: dict[str, Any] = {}
    for key, value in values.items():
        full = f"{name}.{key}".lstrip(".")
        if key not in known:
            raise ValueError(f"{full} is unknown")
        expected = getattr(default, key)
        if is_dataclass(expected):
            found[key] = _section(type(expected), value, full)
        elif isinstance(expected, tuple):
            if not isinstance(value, list | tuple) or not 0 < len(value) <= _LONGEST:
                raise ValueError(f"{full} is {value!r}, expected 1 to {_LONGEST} whole numbers")
            found[key] = tuple(_whole(v, full, 0 if key == "attention" else 1, _MOST) for v in value)
        else:
            found[key] = _whole(value, full, 1, _MOST_OF.get(key, _MOST))
    return replace(default, **found)


def _whole(value: Any, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {str(value)[:40]}, expected a whole number from {low} to {high}")
    return value
