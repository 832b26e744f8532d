"""How a DUSt3R network is built: read from its checkpoint, and the tensors that follow from it."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

PATCH = 16  # pixels a side
HEAD_WIDTHS = (96, 192, 384, 768)  # channels of the dense head's four scales
HEAD_FEATURES = 256
LAST_FEATURES = 128
HOOKS = (0.0, 0.5, 0.75, 1.0)  # depths of the decoder that the dense head reads, 0 being the encoder's output
CLASS = "AsymmetricCroCo3DStereo"

Mode = tuple[str, float, float]


@dataclass(frozen=True)
class NetworkConfig:
    """Widths, depths and attention heads of encoder and decoder; the kind of head; how its numbers become points
    (`depth_mode`) and confidence (`conf_mode`): a function's name and the range of its values; image_size: longer side
    in pixels of the pictures it was trained on."""

    encoder_width: int = 1024
    encoder_depth: int = 24
    encoder_heads: int = 16
    decoder_width: int = 768
    decoder_depth: int = 12
    decoder_heads: int = 12
    head: Literal["dpt", "linear"] = "dpt"
    depth_mode: Mode = ("exp", -math.inf, math.inf)
    conf_mode: Mode = ("exp", 1.0, math.inf)
    image_size: int = 512


_NAMES = {
    "enc_embed_dim": "encoder_width",
    "enc_depth": "encoder_depth",
    "enc_num_heads": "encoder_heads",
    "dec_embed_dim": "decoder_width",
    "dec_depth": "decoder_depth",
    "dec_num_heads": "decoder_heads",
    "head_type": "head",
    "depth_mode": "depth_mode",
    "conf_mode": "conf_mode",
}
_FIXED: dict[str, tuple[Any, ...]] = {  # what this implementation takes for granted
    "pos_embed": ("RoPE100",),
    "output_mode": ("pts3d",),
    "patch_size": (PATCH,),
    "mlp_ratio": (4,),
    "norm_im2_in_dec": (True,),
}
_LIMITS = {"width": (16, 8192), "depth": (1, 128), "heads": (1, 128)}


def parse_config(text: str) -> NetworkConfig:
    """The configuration that a checkpoint keeps as the text of a constructor call. The text is parsed, never run.

    Raises ValueError for anything but one call of the known class with plain values, and for what `config_from` does.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise ValueError("the description of the network is not a constructor call") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise ValueError("the description of the network is not a constructor call")
    if call.func.id != CLASS:
        raise ValueError(f"the network is a {call.func.id}, not a {CLASS}")
    if any(k.arg is None for k in call.keywords):
        raise ValueError("the description of the network is not plain")
    return config_from({str(k.arg): _plain(k.value) for k in call.keywords})


def config_from(values: Mapping[str, Any]) -> NetworkConfig:
    """The configuration from a constructor's keywords. Raises ValueError for what cannot be built."""
    for name, allowed in _FIXED.items():
        if name in values and values[name] not in allowed:
            raise ValueError(f"{name} is {values[name]!r}, supported is {allowed[0]!r}")
    known = {_NAMES[name]: value for name, value in values.items() if name in _NAMES}
    for name in ("depth_mode", "conf_mode"):
        if name in known:
            known[name] = _mode(name, known[name])
    if "img_size" in values:
        known["image_size"] = max(_whole(s, "img_size", 16, 8192) for s in _pair(values["img_size"]))
    for name, value in known.items():
        kind = name.partition("_")[2]
        if kind in _LIMITS:
            _whole(value, name, *_LIMITS[kind])
    config = NetworkConfig(**known)
    if config.head not in ("dpt", "linear"):
        raise ValueError(f"the head is {config.head!r}, supported are 'dpt' and 'linear'")
    for width, heads in (
        (config.encoder_width, config.encoder_heads),
        (config.decoder_width, config.decoder_heads),
    ):
        if width % (4 * heads):
            raise ValueError(f"{heads} attention heads do not divide a width of {width} into parts of a multiple of 4")
    return config


def config_values(config: NetworkConfig) -> dict[str, Any]:
    """The constructor's keywords that `config_from` makes the same configuration of."""
    values = {name: getattr(config, field) for name, field in _NAMES.items()}
    fixed = {name: allowed[0] for name, allowed in _FIXED.items()}
    return {**fixed, **values, "img_size": (config.image_size, config.image_size)}


def _plain(node: ast.expr) -> Any:
    """A literal; ``inf`` and ``-inf`` too. Raises ValueError for anything that would have to be run."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float, str, type(None))):
        return node.value
    if isinstance(node, ast.Name) and node.id == "inf":
        return math.inf
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _plain(node.operand)
        if isinstance(value, (int, float)):
            return -value
    if isinstance(node, (ast.Tuple, ast.List)):
        return tuple(_plain(e) for e in node.elts)
    raise ValueError("the description of the network holds more than plain values")


def _mode(name: str, value: Any) -> Mode:
    functions = {"depth_mode": ("exp", "linear", "square"), "conf_mode": ("exp", "sigmoid")}[name]
    if not isinstance(value, (tuple, list)) or len(value) != 3 or value[0] not in functions:
        raise ValueError(f"{name} is {value!r}, supported are {', '.join(functions)} with two limits")
    return str(value[0]), float(value[1]), float(value[2])


def _pair(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) and value else (value,)


def _whole(value: Any, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}, expected a whole number from {low} to {high}")
    return value


# ---------------------------------------------------------------- tensors

Shape = tuple[int, ...]


def tensor_shapes(config: NetworkConfig) -> dict[str, Shape]:
    """Every tensor that the network reads, by its name in a checkpoint."""
    enc, dec = config.encoder_width, config.decoder_width
    shapes: dict[str, Shape] = {"patch_embed.proj.weight": (enc, 3, PATCH, PATCH), "patch_embed.proj.bias": (enc,)}
    for i in range(config.encoder_depth):
        block = f"enc_blocks.{i}"
        shapes |= _norm(f"{block}.norm1", enc) | _norm(f"{block}.norm2", enc)
        shapes |= _self_attention(f"{block}.attn", enc) | _mlp(f"{block}.mlp", enc)
    shapes |= _norm("enc_norm", enc) | _linear("decoder_embed", enc, dec)
    for stream in ("dec_blocks", "dec_blocks2"):
        for i in range(config.decoder_depth):
            block = f"{stream}.{i}"
            for norm in ("norm1", "norm2", "norm3", "norm_y"):
                shapes |= _norm(f"{block}.{norm}", dec)
            shapes |= _self_attention(f"{block}.attn", dec) | _mlp(f"{block}.mlp", dec)
            for part in ("projq", "projk", "projv", "proj"):
                shapes |= _linear(f"{block}.cross_attn.{part}", dec, dec)
    shapes |= _norm("dec_norm", dec)
    for k in (1, 2):
        head = f"downstream_head{k}"
        shapes |= _dense_head(f"{head}.dpt", enc, dec) if config.head == "dpt" else _linear_head(head, dec)
    return shapes


def aliases(config: NetworkConfig) -> dict[str, str]:
    """Second names that a checkpoint may hold for the same tensors, to the first ones."""
    if config.head != "dpt":
        return {}
    scratch = [f"downstream_head{k}.dpt.scratch" for k in (1, 2)]
    return {f"{s}.layer_rn.{n - 1}.weight": f"{s}.layer{n}_rn.weight" for s in scratch for n in range(1, 5)}


def unused_shapes(config: NetworkConfig) -> dict[str, Shape]:
    """Tensors that checkpoints hold for training and that are not read."""
    return {"mask_token": (1, 1, config.decoder_width)}


def _linear(name: str, inside: int, outside: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)}


def _conv(name: str, inside: int, outside: int, side: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outside, inside, side, side), f"{name}.bias": (outside,)}


def _norm(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _self_attention(name: str, width: int) -> dict[str, Shape]:
    return _linear(f"{name}.qkv", width, 3 * width) | _linear(f"{name}.proj", width, width)


def _mlp(name: str, width: int) -> dict[str, Shape]:
    return _linear(f"{name}.fc1", width, 4 * width) | _linear(f"{name}.fc2", 4 * width, width)


def _linear_head(name: str, width: int) -> dict[str, Shape]:
    return _linear(f"{name}.proj", width, 4 * PATCH * PATCH)


def _dense_head(name: str, encoder: int, decoder: int) -> dict[str, Shape]:
    """The dense prediction head (Ranftl et al., "Vision Transformers for Dense Prediction", 2021)."""
    one, two, three, four = HEAD_WIDTHS
    act = f"{name}.act_postprocess"
    shapes = _conv(f"{act}.0.0", encoder, one, 1) | _conv(f"{act}.0.1", one, one, 4)
    shapes |= _conv(f"{act}.1.0", decoder, two, 1) | _conv(f"{act}.1.1", two, two, 2)
    shapes |= _conv(f"{act}.2.0", decoder, three, 1)
    shapes |= _conv(f"{act}.3.0", decoder, four, 1) | _conv(f"{act}.3.1", four, four, 3)
    for n, width in enumerate(HEAD_WIDTHS, 1):
        shapes[f"{name}.scratch.layer{n}_rn.weight"] = (HEAD_FEATURES, width, 3, 3)
        refine = f"{name}.scratch.refinenet{n}"
        shapes |= _conv(f"{refine}.out_conv", HEAD_FEATURES, HEAD_FEATURES, 1)
        for unit in (1, 2):
            for conv in (1, 2):
                shapes |= _conv(f"{refine}.resConfUnit{unit}.conv{conv}", HEAD_FEATURES, HEAD_FEATURES, 3)
    shapes |= _conv(f"{name}.head.0", HEAD_FEATURES, HEAD_FEATURES // 2, 3)
    shapes |= _conv(f"{name}.head.2", HEAD_FEATURES // 2, LAST_FEATURES, 3)
    return shapes | _conv(f"{name}.head.4", LAST_FEATURES, 4, 1)
