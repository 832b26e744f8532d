"""Diffusion models of text and pictures, for score distillation: Stable Diffusion, SDXL and PixArt-alpha by diffusers.

A model is a folder as `folder` describes it; only safetensors are read, and nothing that a folder holds is run. Prompts
are read first, and their encoders freed before the denoiser is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mvgen.core.errors import WeightsError
from mvgen.core.guidance.folder import kind_of, read_index
from mvgen.core.guidance.pieces import LENGTH, piece_tokenizer
from mvgen.core.progress import Progress
from mvgen.core.weights import load_pretrained

MICRO = 128  # sample_size of the PixArt networks that are told the size and aspect ratio of the picture


@dataclass(frozen=True, eq=False)
class Text:
    """What a denoiser is told of B prompts: tokens [B, L, C]; mask [B, L] of those that count, for PixArt; pooled
    [B, P], for SDXL."""

    tokens: Tensor
    mask: Tensor | None = None
    pooled: Tensor | None = None

    def times(self, count: int) -> Text:
        """One prompt for ``count`` pictures; as many as these already stay."""
        if len(self.tokens) == count:
            return self
        return self._each(lambda t: t.expand(count, *t.shape[1:]))

    def beside(self, other: Text) -> Text:
        """These prompts, then the others."""

        def join(a: Tensor | None, b: Tensor | None) -> Tensor | None:
            return None if a is None or b is None else torch.cat([a, b])

        return Text(
            torch.cat([self.tokens, other.tokens]), join(self.mask, other.mask), join(self.pooled, other.pooled)
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> Text:
        mask, pooled = (None if t is None else change(t) for t in (self.mask, self.pooled))
        return Text(change(self.tokens), mask, pooled)


@dataclass(frozen=True, eq=False)
class Guide:
    """encode: pictures [B, 3, H, W] in [0, 1] to latents [B, C, h, w], with gradients; noise: the noise that the model
    sees in noisy latents at timesteps [B], given B prompts; alphas [T]: the signal share of each timestep; side: pixels
    along a side of the pictures that the model knows, to which others are resized."""

    encode: Callable[[Tensor], Tensor]
    noise: Callable[[Tensor, Tensor, Text], Tensor]
    alphas: Tensor
    side: int


# ---------------------------------------------------------------- prompts


def read_prompts(folder: Path, prompts: Iterable[str], device: str, progress: Progress) -> dict[str, Text]:
    """What the model in a folder is told of each prompt. Raises WeightsError."""
    read = _READERS[kind_of(folder)](folder, device, progress)
    with torch.no_grad():
        return {prompt: read(prompt) for prompt in dict.fromkeys(prompts)}


def _clip_reader(folder: Path, device: str, progress: Progress) -> Callable[[str], Text]:
    from transformers import CLIPTextModel

    words = _clip_words(folder / "tokenizer", device, progress)
    network = load_network(CLIPTextModel, folder / "text_encoder", device)
    return lambda prompt: Text(network(words(prompt)).last_hidden_state)


def _double_reader(folder: Path, device: str, progress: Progress) -> Callable[[str], Text]:
    """SDXL's: the last states but one of two encoders, and the projection of the second; nothing is said of no prompt
    where the model was trained so."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    first_words = _clip_words(folder / "tokenizer", device, progress)
    second_words = _clip_words(folder / "tokenizer_2", device, progress)
    first = load_network(CLIPTextModel, folder / "text_encoder", device)
    second = load_network(CLIPTextModelWithProjection, folder / "text_encoder_2", device)
    zeros = bool(read_index(folder).get("force_zeros_for_empty_prompt", True))

    def read(prompt: str) -> Text:
        one = first(first_words(prompt), output_hidden_states=True)
        two = second(second_words(prompt), output_hidden_states=True)
        tokens = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], -1)
        text = Text(tokens, pooled=two.text_embeds)
        return text._each(torch.zeros_like) if zeros and not prompt else text

    return read


def _t5_reader(folder: Path, device: str, progress: Progress) -> Callable[[str], Text]:
    from transformers import T5EncoderModel

    tokenizer = piece_tokenizer(folder / "tokenizer")
    network = load_network(T5EncoderModel, folder / "text_encoder", device, half(device, torch.bfloat16))

    def read(prompt: str) -> Text:
        told = tokenizer.encode(prompt.lower().strip())
        _warn_if_cut(prompt, LENGTH + sum(len(part.ids) for part in told.overflowing), LENGTH, progress)
        ids, mask = (torch.tensor([values], device=device) for values in (told.ids, told.attention_mask))
        return Text(network(ids, attention_mask=mask).last_hidden_state.float(), mask)

    return read


def _clip_words(folder: Path, device: str, progress: Progress) -> Callable[[str], Tensor]:
    """From a prompt to the numbers of its words, [1, L]."""
    from transformers import CLIPTokenizer

    tokenizer: Any = load_pretrained(CLIPTokenizer, folder)
    length = min(int(tokenizer.model_max_length), 77)

    def read(prompt: str) -> Tensor:
        _warn_if_cut(prompt, len(tokenizer(prompt).input_ids), length, progress)
        told = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return told.input_ids.to(device)

    return read


def _warn_if_cut(prompt: str, count: int, length: int, progress: Progress) -> None:
    if count > length:
        progress.warn(f"the model reads {length} of {count} tokens of the prompt: {prompt[:40]}...")


_READERS: Mapping[str, Callable[[Path, str, Progress], Callable[[str], Text]]] = {
    "StableDiffusionPipeline": _clip_reader,
    "StableDiffusionXLPipeline": _double_reader,
    "PixArtAlphaPipeline": _t5_reader,
}


# ---------------------------------------------------------------- denoisers


def load_guide(folder: Path, device: str) -> Guide:
    """The model in a folder, without what reads prompts. On a GPU the denoiser works in half precision.

    Raises WeightsError where something is missing, damaged, or of a kind that is not known here.
    """
    from diffusers import AutoencoderKL, DDIMScheduler

    kind = kind_of(folder)
    schedule = load_pretrained(DDIMScheduler, folder / "scheduler")
    predicts, alphas = str(schedule.config.prediction_type), schedule.alphas_cumprod.to(device, torch.float32)
    if predicts not in ("epsilon", "v_prediction"):
        raise WeightsError(f"{folder}: its network predicts {predicts[:40]}", "give one of noise or of velocity")
    autoencoder = load_network(AutoencoderKL, folder / "vae", device)
    denoiser, call = _DENOISERS[kind](folder, device)
    side = int(denoiser.config.sample_size) * 2 ** (len(autoencoder.config.block_out_channels) - 1)
    kept = next(denoiser.parameters()).dtype

    def encode(pictures: Tensor) -> Tensor:
        if pictures.shape[-2:] != (side, side):
            pictures = torch.nn.functional.interpolate(pictures, (side, side), mode="bilinear", align_corners=False)
        latents = autoencoder.encode(2 * pictures - 1).latent_dist.mode()
        return (latents - (autoencoder.config.shift_factor or 0)) * autoencoder.config.scaling_factor

    def noise(latents: Tensor, steps: Tensor, text: Text) -> Tensor:
        told = text._each(lambda t: t.to(kept) if t.is_floating_point() else t)
        found = call(latents.to(kept), steps, told, side)[:, : latents.shape[1]].float()
        return found if predicts == "epsilon" else noise_of_velocity(found, latents, alphas[steps])

    return Guide(encode, noise, alphas, side)


def noise_of_velocity(velocity: Tensor, noisy: Tensor, signal: Tensor) -> Tensor:
    """The noise in noisy latents [B, C, h, w] from v = sqrt(a) e - sqrt(1 - a) z (Salimans and Ho, 2022); signal: a
    [B]."""
    share = signal.view(-1, 1, 1, 1)
    return share.sqrt() * velocity + (1 - share).sqrt() * noisy


Call = Callable[[Tensor, Tensor, Text, int], Tensor]


def _unet(folder: Path, device: str) -> tuple[Any, Call]:
    from diffusers import UNet2DConditionModel

    network = load_network(UNet2DConditionModel, folder / "unet", device, half(device))
    return network, lambda latents, steps, text, side: network(latents, steps, text.tokens).sample


def _unet_xl(folder: Path, device: str) -> tuple[Any, Call]:
    """SDXL's is also told the size of the picture, where it was cut (nowhere), and the size that is wanted."""
    from diffusers import UNet2DConditionModel

    network = load_network(UNet2DConditionModel, folder / "unet", device, half(device))

    def call(latents: Tensor, steps: Tensor, text: Text, side: int) -> Tensor:
        sizes = latents.new_tensor([[side, side, 0, 0, side, side]]).expand(len(latents), 6)
        more = {"text_embeds": text.pooled, "time_ids": sizes}
        return network(latents, steps, text.tokens, added_cond_kwargs=more).sample

    return network, call


def _pixart(folder: Path, device: str) -> tuple[Any, Call]:
    """The first half of its channels is the noise, the other its variance."""
    from diffusers import PixArtTransformer2DModel

    network = load_network(PixArtTransformer2DModel, folder / "transformer", device, half(device))

    def call(latents: Tensor, steps: Tensor, text: Text, side: int) -> Tensor:
        more: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
        if network.config.sample_size == MICRO:
            more["resolution"] = latents.new_tensor([[side, side]]).expand(len(latents), 2)
            more["aspect_ratio"] = latents.new_ones(len(latents), 1)
        return network(
            latents,
            encoder_hidden_states=text.tokens,
            encoder_attention_mask=text.mask,
            timestep=steps,
            added_cond_kwargs=more,
        ).sample

    return network, call


_DENOISERS: Mapping[str, Callable[[Path, str], tuple[Any, Call]]] = {
    "StableDiffusionPipeline": _unet,
    "StableDiffusionXLPipeline": _unet_xl,
    "PixArtAlphaPipeline": _pixart,
}


# ---------------------------------------------------------------- files


def load_network(kind: Any, folder: Path, device: str, dtype: torch.dtype = torch.float32) -> Any:
    """A network of fixed weights."""
    names = [path.name for path in folder.glob("*.safetensors")]
    options = {"variant": "fp16"} if names and all(".fp16" in name for name in names) else {}
    return load_pretrained(kind, folder, **options).to(device=device, dtype=dtype).eval().requires_grad_(False)


def half(device: str, dtype: torch.dtype = torch.float16) -> torch.dtype:
    return torch.float32 if device == "cpu" else dtype
