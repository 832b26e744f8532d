"""The networks against recorded outputs, the published lists of tensors, and other libraries' classes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mvgen.core.crm import network as net
from mvgen.core.crm.config import ClipConfig, Config, UNetConfig, VaeConfig
from mvgen.core.crm.encoders import (
    NEGATIVE_PROMPT,
    PROMPT,
    autoencoder,
    decode_pictures,
    diffusers_name,
    encode_image,
    encode_pictures,
    encode_texts,
    resized,
)
from mvgen.core.crm.network import (
    UNet,
    embed_cameras,
    embed_image,
    embed_time,
    predict_noise,
    text_tokens,
    vision_tokens,
)
from mvgen.core.crm.sampler import ddim_step, guided, plain_alphas, predictor, sampler_steps, zero_terminal
from mvgen.core.crm.shapes import head_shapes, plane_shape, text_shapes, unet_shapes, vae_shapes, vision_shapes
from tests.core.crm.tiny import KEYS, TINY, close, filled, golden, triplane_shapes

SMALL = UNetConfig(width=32, head=16, context=48)


@pytest.fixture(scope="module", params=[1, 2])
def recorded(request):
    """A small network of a stage, its recorded numbers, and the inputs of both objects."""
    data = golden(f"multiview_unet_stage{request.param}")
    channels = 4 * request.param
    unet = UNet(SMALL, channels, filled(unet_shapes(SMALL, channels, 1280), int(data["seed"])))
    return unet, {k: torch.from_numpy(v) if v.ndim else v for k, v in data.items()}


def test_outputs_are_the_recorded_ones(recorded, monkeypatch):
    unet, data = recorded
    frames, seen = len(data["camera"]), {}
    run = net._run_block
    monkeypatch.setattr(net, "_run_block", lambda w, name, *a: seen.setdefault(name, run(w, name, *a)))
    latents = data["latents"].unflatten(0, (2, frames)).clone()
    if "ip_img" in data:
        latents[:, -1] = data["ip_img"]
    else:
        latents = torch.cat([latents, data["pixel_images"].unflatten(0, (2, frames))], dim=2)
    times = data["timesteps"][::frames]
    with torch.inference_mode():
        image = embed_image(unet, data["image_embeddings"])
        noise = predict_noise(unet, latents, times, data["camera"], data["context"], image)
        assert close(embed_time(unet, times), data["time_emb"]) < 1e-4
        assert close(embed_cameras(unet, data["camera"]), data["camera_emb"]) < 1e-4
    assert close(image, data["ip_tokens"]) < 1e-4
    assert close(seen["input_blocks.1"][:1], data["input_block_1_view0"]) < 1e-4
    assert close(seen["middle_block"][:frames], data["middle_block"]) < 1e-4
    assert close(noise.flatten(0, 1), data["output"]) < 1e-4


def test_guided_steps_are_the_recorded_ones(recorded):
    unet, data = recorded
    frames = len(data["camera"])
    steps = sampler_steps(zero_terminal(plain_alphas()), 50)[::-1]
    text = torch.cat([data["context_uncond"], data["context"][:1]])
    features = data["image_embeddings"][:1]
    with torch.inference_mode():
        image = embed_image(unet, torch.cat([torch.zeros_like(features), features]))
        reference = data["ip_img"][:1] if "ip_img" in data else None
        seen = data["pixel_images"][:frames] if "pixel_images" in data else None
        predict = predictor(unet, data["camera"], text, image, reference, seen)
        for i in data["ddim_indices"].tolist():
            x = data["latents"][:frames]
            after, clean = ddim_step(steps[i], x, guided(*predict(x, steps[i].timestep), 5.0))
            assert close(clean, data[f"ddim_step{i}_pred_x0"]) < 1e-4
            assert close(after, data[f"ddim_step{i}_x_prev"]) < 1e-4


def listed(name):
    return {key: tuple(shape) for key, shape in KEYS[name].items()}


def test_tensors_are_those_of_the_published_lists():
    config = Config()
    assert unet_shapes(config.unet, 4, 1280) == listed("multiview_unet_stage1")
    assert unet_shapes(config.unet, 8, 1280) == listed("multiview_unet_stage2")
    assert vae_shapes(config.vae) == listed("vae")
    assert head_shapes(config.triplane) == listed("decoders")
    unet = {f"unet.{name}": shape for name, shape in triplane_shapes(config).items()}
    assert unet | {"learned_plane": plane_shape(config)} == listed("triplane_unet")
    assert sum(math.prod(s) for s in unet_shapes(config.unet, 4, 1280).values()) == pytest.approx(941.67e6, rel=1e-5)


def test_all_of_the_encoders_is_read_but_what_comes_after_the_last_block_but_one():
    read = vision_shapes(ClipConfig()) | text_shapes(ClipConfig(), 1024)
    rest = {key: shape for key, shape in listed("clip").items() if read.get(key) != shape}
    assert len(read) + len(rest) == len(listed("clip"))
    after = ("visual.transformer.resblocks.31.", "transformer.resblocks.23.", "visual.ln_post.")
    assert all(key.startswith((*after, "visual.proj", "text_projection", "logit_scale")) for key in rest)


# ---------------------------------------------------------------- encoders


def huggingface(name):
    """A tensor's name in transformers, of those that OpenCLIP does not fuse."""
    for old, new in (
        ("visual.class_embedding", "embeddings.class_embedding"),
        ("visual.positional_embedding", "embeddings.position_embedding.weight"),
        ("visual.conv1.", "embeddings.patch_embedding."),
        ("visual.ln_pre.", "pre_layrnorm."),
        ("visual.transformer.resblocks.", "encoder.layers."),
        ("transformer.resblocks.", "encoder.layers."),
        ("token_embedding.", "embeddings.token_embedding."),
        ("positional_embedding", "embeddings.position_embedding.weight"),
        ("ln_final.", "final_layer_norm."),
    ):
        if name.startswith(old):
            name = new + name.removeprefix(old)
            break
    for old, new in ((".ln_", ".layer_norm"), (".attn.", ".self_attn."), ("c_fc", "fc1"), ("c_proj", "fc2")):
        name = name.replace(old, new)
    return name


def fill_class(model, weights):
    """Load OpenCLIP's tensors into a class of transformers; what is not read stays as it is."""
    state = {}
    for name, tensor in weights.items():
        if "in_proj_" in name:
            for part, values in zip("qkv", tensor.chunk(3)):
                state[huggingface(name.replace("in_proj_", f"{part}_proj."))] = values
        else:
            state[huggingface(name)] = tensor
    own = model.state_dict()
    prefix = next(key.removesuffix(end) for key in own if key.endswith(end := "encoder.layers.0.layer_norm1.weight"))
    missing, unexpected = model.load_state_dict({prefix + k: v for k, v in state.items()}, strict=False)
    assert not unexpected and len(missing) + len(state) == len(own)
    return model.eval()


def test_the_image_encoder_is_that_of_transformers():
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = TINY.clip
    weights = filled(vision_shapes(config))
    model = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=config.vision_width,
            intermediate_size=4 * config.vision_width,
            num_hidden_layers=config.vision_layers,
            num_attention_heads=config.vision_heads,
            image_size=config.image,
            patch_size=config.patch,
            hidden_act="gelu",
        )
    )
    images = torch.randn(2, 3, config.image, config.image, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = fill_class(model, weights)(images, output_hidden_states=True).hidden_states[-2]
        assert close(vision_tokens(weights, config, images), expected) < 1e-5


def test_the_text_encoder_is_that_of_transformers():
    from transformers import CLIPTextConfig, CLIPTextModel

    config, width = replace(TINY.clip, vocabulary=99), TINY.unet.context
    weights = filled(text_shapes(config, width))
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=config.vocabulary,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=config.text_layers,
            num_attention_heads=config.text_heads,
            hidden_act="gelu",
        )
    )
    ids = torch.randint(0, 99, (2, 77), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        hidden = fill_class(model, weights)(ids, output_hidden_states=True).hidden_states[-2]
        norm = weights["ln_final.weight"], weights["ln_final.bias"]
        expected = torch.nn.functional.layer_norm(hidden, (width,), *norm)
        assert close(text_tokens(weights, config, ids), expected) < 1e-5


def test_both_texts_are_encoded_with_zeros_after_their_end():
    config = TINY.clip
    weights = filled(text_shapes(config, TINY.unet.context))
    with torch.inference_mode():
        tokens = encode_texts(weights, config)
        ids = torch.zeros((1, 77), dtype=torch.int64)
        ids[0, : len(PROMPT)] = torch.tensor(PROMPT)
        assert torch.allclose(tokens[1:], text_tokens(weights, config, ids), atol=1e-6)
    assert tokens.shape == (2, 77, TINY.unet.context)
    for text in (PROMPT, NEGATIVE_PROMPT):
        assert (text[0], text[-1]) == (49406, 49407) and max(text[:-1]) == 49406 and len(text) <= 77


def test_pictures_reach_the_image_encoder_normalised(monkeypatch):
    weights = filled(vision_shapes(TINY.clip))
    seen = []
    monkeypatch.setattr(net, "vision_tokens", lambda w, c, x: seen.append(x))
    encode_image(weights, TINY.clip, np.full((40, 40, 3), 255, np.uint8))
    assert seen[0].shape == (1, 3, 16, 16)
    assert torch.allclose(seen[0][0, :, 3, 5], torch.tensor([1.9303, 2.0749, 2.1459]), atol=1e-4)


def test_a_mark_stays_where_it_is_when_a_picture_is_resized():
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:20, 40:44] = 255
    for how in ("bilinear", "bicubic"):
        small = resized(image, 32, how)[..., 0].astype(float)
        y, x = np.mgrid[:32, :32] + 0.5
        assert np.allclose([(small * x).sum() / small.sum(), (small * y).sum() / small.sum()], [21, 9], atol=0.05)
    assert resized(image, 64, "bicubic") is image


def test_names_of_the_autoencoder_are_those_of_diffusers():
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    names = {name: (i, len(shape)) for i, (name, shape) in enumerate(vae_shapes(VaeConfig()).items())}
    marked = {f"first_stage_model.{name}": torch.full((1,) * rank, float(i)) for name, (i, rank) in names.items()}
    settings = {"down_block_types": [""] * 4, "up_block_types": [""] * 4}
    reference = convert_ldm_vae_checkpoint(marked, settings)
    assert {diffusers_name(name, 4): i for name, (i, _) in names.items()} == {k: int(v) for k, v in reference.items()}


def test_the_autoencoder_gives_back_sizes_and_its_seed_decides():
    vae = autoencoder(filled(vae_shapes(TINY.vae)), TINY.vae)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        one, same, other = (encode_pictures(vae, pictures, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
        decoded = decode_pictures(vae, one)
    assert one.shape == (2, 4, 16, 16) and torch.equal(one, same) and not torch.equal(one, other)
    assert decoded.shape == pictures.shape and decoded.dtype == np.uint8


def test_half_precision_says_about_the_same():
    shapes = unet_shapes(TINY.unet, 4, TINY.clip.vision_width)
    weights = filled(shapes)
    generator = torch.Generator().manual_seed(0)
    x, text, image = (torch.randn(s, generator=generator) for s in ((1, 7, 4, 8, 8), (1, 5, 16), (1, 4, 16)))
    out = []
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            unet = UNet(TINY.unet, 4, {name: tensor.to(dtype) for name, tensor in weights.items()})
            out.append(predict_noise(unet, x, torch.tensor([500]), torch.zeros(7, 16), text, image).float())
    assert 0 < close(out[1], out[0]) < 0.1
