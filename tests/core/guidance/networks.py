"""Tiny diffusion models of random weights, as diffusers saves them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch

WORDS = "abcdefghijklmnopqrstuvwxyz,"
SCHEDULE: Any = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULE |= {"clip_sample": False, "steps_offset": 1}
PIECES = ["<pad>", "</s>", "<unk>", *(f"▁{c}" for c in WORDS), *WORDS, "▁view", "▁front", "▁hat"]


def stable_diffusion(folder: Path, predicts: str = "epsilon") -> Path:
    """Stable Diffusion for pictures of 32 pixels."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    torch.manual_seed(0)
    scheduler = DDIMScheduler(**SCHEDULE, prediction_type=predicts)
    pipeline = StableDiffusionPipeline(
        vae=_autoencoder(),
        text_encoder=_clip(),
        tokenizer=_words(folder / "words"),
        unet=_unet(cross_attention_dim=16),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "model")
    return folder / "model"


def stable_diffusion_xl(folder: Path) -> Path:
    """SDXL for pictures of 32 pixels."""
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline

    torch.manual_seed(1)
    pipeline = StableDiffusionXLPipeline(
        vae=_autoencoder(),
        text_encoder=_clip(),
        text_encoder_2=_clip(projected=True),
        tokenizer=_words(folder / "words"),
        tokenizer_2=_words(folder / "words"),
        unet=_unet(
            cross_attention_dim=32,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
        ),
        scheduler=DDIMScheduler(**SCHEDULE),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder / "model")
    return folder / "model"


def pixart(folder: Path, sample_size: int = 16, pieces: bool = True) -> Path:
    """PixArt-alpha for pictures of twice ``sample_size`` pixels; pieces: its tokenizer is a model of sentencepiece."""
    from diffusers import DPMSolverMultistepScheduler, PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(2)
    config = T5Config(
        vocab_size=len(PIECES), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu",
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=12, num_layers=2, cross_attention_dim=24, caption_channels=16,
        sample_size=sample_size, attention_bias=True,
    )  # fmt: skip
    with torch.no_grad():  # its last layers are all zeros at first, and the text would make no difference
        for parameter in transformer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    scheduler = DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
    model = folder / "model"
    pipeline: Any = {"vae": _autoencoder(), "text_encoder": T5EncoderModel(config), "transformer": transformer}
    for name, part in (pipeline | {"scheduler": scheduler}).items():
        part.save_pretrained(model / name)
    index = {"_class_name": "PixArtAlphaPipeline", "scheduler": ["diffusers", "DPMSolverMultistepScheduler"]}
    (model / "model_index.json").write_text(json.dumps(index))
    (model / "tokenizer").mkdir()
    if pieces:
        (model / "tokenizer" / "spiece.model").write_bytes(sentencepiece())
    else:
        unigram().save(str(model / "tokenizer" / "tokenizer.json"))
    return model


def unigram() -> Any:
    """A tokenizer of T5's kind."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.Unigram([(piece, _score(i)) for i, piece in enumerate(PIECES)], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    return tokenizer


def sentencepiece() -> bytes:
    """The same as a model of sentencepiece, with fields that nobody needs."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2]) + _varint(len(data)) + data

    out = b""
    for i, piece in enumerate(PIECES):
        score = bytes([2 << 3 | 5]) + struct.pack("<f", _score(i))
        out += field(1, field(1, piece.encode()) + score + bytes([3 << 3, 1 if i > 2 else 3]))
    return out + field(2, field(1, b"made") + bytes([4 << 3, 200, 1])) + field(3, field(1, b"identity"))


def _score(i: int) -> float:
    return 0.0 if i < 3 else -1.0 - 0.01 * i if len(PIECES[i]) > 2 else -5.0 - 0.01 * i


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def _autoencoder() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=4, norm_num_groups=4, sample_size=32, scaling_factor=0.5,
    )  # fmt: skip


def _unet(**more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16, layers_per_block=1, block_out_channels=(8, 16), norm_num_groups=4, attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **more,
    )  # fmt: skip


def _clip(projected: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=80, hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=24, projection_dim=16, bos_token_id=78, eos_token_id=79, pad_token_id=79,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _words(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    words = [*WORDS, *(f"{c}</w>" for c in WORDS)]
    vocabulary = {word: i for i, word in enumerate(words)} | {"<|startoftext|>": 78, "<|endoftext|>": 79}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 24})
    )
    return CLIPTokenizer.from_pretrained(folder)
