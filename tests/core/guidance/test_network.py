"""Diffusion models from folders: what they say is what diffusers' own pipelines say."""

import json
import shutil

import numpy as np
import pytest
import torch

from mvgen.core.errors import InputError, WeightsError
from mvgen.core.guidance.folder import kind_of, weights_for
from mvgen.core.guidance.network import Guide, load_guide, noise_of_velocity, read_prompts
from mvgen.core.guidance.pieces import LENGTH, piece_tokenizer
from mvgen.core.progress import Silent
from tests import fuzz
from tests.core.guidance import networks
from tests.core.guidance.peers import PROMPT, expected, pipeline, texts


class Told(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


@pytest.mark.parametrize("name", ["sd", "sdxl", "pixart", "v"])
def test_noise_is_what_the_networks_of_diffusers_say(folders, name):
    guide, (prompt, negative) = load_guide(folders[name], "cpu"), texts(folders[name])
    draw = torch.Generator().manual_seed(3)
    noisy, steps = torch.randn(1, 4, 16, 16, generator=draw), torch.tensor([400])
    found = guide.noise(torch.cat([noisy, noisy]), torch.cat([steps, steps]), negative.beside(prompt)).chunk(2)
    wanted = expected(folders[name], noisy, steps)
    for a, b in zip(found, wanted):
        if name == "v":
            signal = pipeline(folders[name]).scheduler.alphas_cumprod[400]
            b = signal.sqrt() * b + (1 - signal).sqrt() * noisy
        assert a.shape == (1, 4, 16, 16) and torch.allclose(a, b, atol=1e-5)
    assert (found[0] - found[1]).abs().max() > 1e-3  # what is said makes a difference


def test_latents_are_those_of_the_autoencoder(folders):
    for name in ("sd", "pixart"):
        guide, pipe = load_guide(folders[name], "cpu"), pipeline(folders[name])
        assert guide.side == 32 and torch.allclose(guide.alphas, pipe.scheduler.alphas_cumprod)
        picture = torch.rand(2, 3, 32, 32, requires_grad=True)
        latents = guide.encode(picture)
        wanted = pipe.vae.encode(2 * picture - 1).latent_dist.mean * 0.5
        assert torch.allclose(latents, wanted, atol=1e-5)
        small = guide.encode(torch.rand(1, 3, 20, 20))
        assert small.shape == (1, 4, 16, 16)
        latents.sum().backward()
        assert picture.grad.abs().max() > 0


def test_velocity_becomes_noise():
    clean, noise, signal = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3), torch.tensor([0.9, 0.1])
    a = signal.view(-1, 1, 1, 1)
    noisy, velocity = a.sqrt() * clean + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * clean
    assert torch.allclose(noise_of_velocity(velocity, noisy, signal), noise, atol=1e-6)


def test_pixart_does_not_see_what_is_masked(folders):
    guide, (prompt, _) = load_guide(folders["pixart"], "cpu"), texts(folders["pixart"])
    assert prompt.tokens.shape == (1, LENGTH, 16) and 0 < prompt.mask.sum() < LENGTH
    noisy, steps = torch.randn(1, 4, 16, 16), torch.tensor([100])
    other = type(prompt)(torch.where(prompt.mask[..., None] > 0, prompt.tokens, 9.0), prompt.mask)
    seen = type(prompt)(other.tokens, torch.ones_like(prompt.mask))
    first = guide.noise(noisy, steps, prompt)
    assert torch.allclose(first, guide.noise(noisy, steps, other), atol=1e-5)
    assert (first - guide.noise(noisy, steps, seen)).abs().max() > 1e-3


def test_large_pixart_is_told_the_size(tmp_path):
    from diffusers import PixArtTransformer2DModel

    folder = networks.pixart(tmp_path, sample_size=128)
    guide = load_guide(folder, "cpu")
    assert guide.side == 256
    prompt = read_prompts(folder, [PROMPT], "cpu", Silent())[PROMPT]
    noisy, steps = torch.randn(1, 4, 32, 32), torch.tensor([100])
    network = PixArtTransformer2DModel.from_pretrained(folder / "transformer").eval()

    def call(height, width):
        more = {"resolution": torch.tensor([[height, width]]), "aspect_ratio": torch.tensor([[height / width]])}
        with torch.no_grad():
            return network(noisy, prompt.tokens, steps, more, encoder_attention_mask=prompt.mask).sample[:, :4]

    found = guide.noise(noisy, steps, prompt)
    assert torch.allclose(found, call(256, 256), atol=1e-5)
    assert (found - call(128, 256)).abs().max() > 1e-4


def test_sdxl_says_nothing_where_there_is_no_negative_prompt(folders):
    text = read_prompts(folders["sdxl"], [""], "cpu", Silent())[""]
    pipe = pipeline(folders["sdxl"])
    _, no, _, pooled = pipe.encode_prompt(PROMPT, device="cpu")
    assert torch.equal(text.tokens, no) and torch.equal(text.pooled, pooled)


@pytest.mark.parametrize("name", ["sd", "sdxl", "pixart"])
def test_long_prompts_are_told(folders, name):
    told = Told()
    (text,) = read_prompts(folders[name], ["hat " * 150], "cpu", told).values()
    assert text.tokens.shape[1] == (LENGTH if name == "pixart" else 24)
    assert told.warnings and all("tokens of the prompt: hat hat" in line for line in told.warnings)
    read_prompts(folders[name], ["hat"], "cpu", told := Told())
    assert not told.warnings


def test_models_of_sentencepiece_are_read_without_it(tmp_path):
    pieces, plain = networks.pixart(tmp_path / "a"), networks.pixart(tmp_path / "b", pieces=False)
    for text in ("a hat, front view", "", "zebra view", "unknown: é"):
        first, second = (piece_tokenizer(f / "tokenizer").encode(text) for f in (pieces, plain))
        assert first.ids == second.ids and first.attention_mask == second.attention_mask
        assert len(first.ids) == LENGTH and first.ids[sum(first.attention_mask) - 1] == 1
    words = piece_tokenizer(pieces / "tokenizer")
    assert words.encode(" zebra  view").ids == words.encode("zebra view").ids  # as sentencepiece has it
    path = pieces / "tokenizer" / "spiece.model"
    whole = path.read_bytes()
    for data in (b"", whole[:-9], whole[:50] + b"\xff" * 40, b"\x0a\x02\x08\x01"):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"spiece\.model: is no tokenizer"):
            piece_tokenizer(path.parent)
    rng = np.random.default_rng(0)
    for _ in range(300):
        path.write_bytes(fuzz.damage(whole, rng))
        try:
            assert len(piece_tokenizer(path.parent).encode("a hat").ids) == LENGTH
        except WeightsError as error:
            assert str(path) in error.message and "\n" not in error.message
    path.unlink()
    with pytest.raises(WeightsError, match="neither"):
        piece_tokenizer(path.parent)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["sd", "sdxl", "pixart", "v"])
def test_a_gpu_says_nearly_the_same(folders, name):
    found = []
    for device in ("cpu", "cuda"):
        guide = load_guide(folders[name], device)
        text = read_prompts(folders[name], [PROMPT], device, Silent())[PROMPT]
        draw = torch.Generator().manual_seed(3)
        pictures = torch.rand(1, 3, 32, 32, generator=draw).to(device)
        noisy, steps = torch.randn(1, 4, 16, 16, generator=draw).to(device), torch.tensor([400], device=device)
        found.append((guide.encode(pictures).cpu(), guide.noise(noisy, steps, text).cpu()))
    for first, second in zip(*found):
        assert torch.allclose(first, second, atol=0.02)


def damage(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_folders_that_are_no_models_are_told(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(WeightsError, match="no diffusion model is on this machine") as caught:
        weights_for(None)
    assert "mvgen models pull" in caught.value.hint
    with pytest.raises(InputError, match="no such file"):
        weights_for(str(tmp_path / "none"))
    with pytest.raises(WeightsError, match="has no model_index"):
        weights_for(str(tmp_path))
    assert weights_for(str(folders["sd"])) == folders["sd"]
    copy = damage(folders["sd"], tmp_path)
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"_class_name": "FluxPipeline"}))
    with pytest.raises(WeightsError, match="holds a FluxPipeline"):
        kind_of(copy)
    for text in ("{", "[]", "\0"):
        (copy / "model_index.json").write_text(text)
        with pytest.raises(WeightsError, match="model_index"):
            kind_of(copy)
    (copy / "model_index.json").write_text(json.dumps(index))
    shutil.rmtree(copy / "unet")
    with pytest.raises(WeightsError, match="has no folder unet"):
        kind_of(copy)


def test_damaged_networks_are_told(folders, tmp_path):
    copy = damage(folders["sd"], tmp_path)
    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="unet: does not load as UNet2DConditionModel"):
        load_guide(copy, "cpu")
    path.rename(path.with_suffix(".bin"))  # nothing but safetensors is read
    with pytest.raises(WeightsError, match="unet: does not load"):
        load_guide(copy, "cpu")
    config = json.loads((copy / "scheduler" / "scheduler_config.json").read_text())
    (copy / "scheduler" / "scheduler_config.json").write_text(json.dumps(config | {"prediction_type": "sample"}))
    with pytest.raises(WeightsError, match="its network predicts sample"):
        load_guide(copy, "cpu")


def test_half_precision_files_are_read_where_there_are_no_others(folders, tmp_path):
    copy = damage(folders["sd"], tmp_path)
    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert isinstance(load_guide(copy, "cpu"), Guide)
