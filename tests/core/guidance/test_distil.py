"""Score distillation: its gradient, its schedule, and the optimum that it reaches."""

from dataclasses import replace

import pytest
import torch

from mvgen.core.errors import CannotError
from mvgen.core.guidance.distil import Distillation, direction, distilled, timesteps, weight
from mvgen.core.guidance.folder import kind_of
from mvgen.core.guidance.network import Guide, Text, load_guide
from tests.core.guidance.analytic import nothing, towards
from tests.core.guidance.peers import expected, pipeline, texts

OPTIONS = Distillation(scale=7.5)


@pytest.mark.parametrize("weighting", ["sds", "uniform", "fantasia3d"])
@pytest.mark.parametrize("name", ["sd", "sdxl", "pixart", "v"])
def test_the_gradient_is_that_of_the_formula(folders, name, weighting):
    """By networks that diffusers has loaded and called, by latents and by pictures."""
    folder, options = folders[name], replace(OPTIONS, weighting=weighting)
    guide, (prompt, negative) = load_guide(folder, "cpu"), texts(folder)
    pictures = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss = distilled(guide, pictures, prompt, negative, options, 0.3, torch.Generator().manual_seed(5))
    (found,) = torch.autograd.grad(loss, pictures)

    pipe, draw = pipeline(folder), torch.Generator().manual_seed(5)
    latents = pipe.vae.encode(2 * pictures - 1).latent_dist.mean * 0.5
    most = 0.98 + (0.5 - 0.98) * 0.3
    steps = torch.randint(round(0.02 * 999), round(most * 999) + 1, (1,), generator=draw)
    noise = torch.randn(1, 4, 16, 16, generator=draw)
    signal = pipe.scheduler.alphas_cumprod[steps].item()
    noisy = signal**0.5 * latents.detach() + (1 - signal) ** 0.5 * noise
    without, given = expected(folder, noisy, steps)
    if name == "v":
        without, given = (signal**0.5 * e + (1 - signal) ** 0.5 * noisy for e in (without, given))
    size = {"sds": 1 - signal, "uniform": 1, "fantasia3d": signal**0.5 * (1 - signal)}[weighting]
    wanted = size * (without + 7.5 * (given - without) - noise)
    assert torch.allclose(
        direction(guide, latents.detach(), steps, noise, prompt, negative, options), wanted, atol=1e-5
    )
    (through,) = torch.autograd.grad(latents, pictures, wanted)
    assert torch.allclose(found, through, atol=1e-5 * float(through.abs().max()) + 1e-7)


def test_pictures_count_as_their_mean(folders):
    guide, (prompt, negative) = load_guide(folders["sd"], "cpu"), texts(folders["sd"])
    guide = replace(guide, encode=lambda latents: latents)
    latents = torch.randn(3, 4, 16, 16, requires_grad=True)
    distilled(guide, latents, prompt, negative, OPTIONS, 0, torch.Generator().manual_seed(2)).backward()
    draw = torch.Generator().manual_seed(2)
    steps = timesteps(OPTIONS, 0, 1000, 3, draw)
    noise = torch.randn(latents.shape, generator=draw)
    for i in range(3):
        one = direction(
            guide, latents[i : i + 1].detach(), steps[i : i + 1], noise[i : i + 1], prompt, negative, OPTIONS
        )
        assert torch.allclose(latents.grad[i], one[0] / 3, atol=1e-5)


def test_a_scale_of_one_leaves_the_negative_prompt_out(folders):
    guide, (prompt, negative) = load_guide(folders["sd"], "cpu"), texts(folders["sd"])
    given = torch.randn(1, 4, 16, 16), torch.tensor([300]), torch.randn(1, 4, 16, 16)
    one = replace(OPTIONS, scale=1.0)
    plain = direction(guide, *given, prompt, negative, one)
    assert torch.allclose(plain, direction(guide, *given, prompt, prompt, one), atol=1e-4)
    assert (direction(guide, *given, prompt, negative, OPTIONS) - plain).abs().max() > 1e-3


def test_timesteps_keep_to_their_range():
    draw = torch.Generator().manual_seed(0)
    options = Distillation(least=0.1, most=0.9, last=0.3)
    for share, high in ((0.0, 899), (0.5, 599), (1.0, 300)):
        steps = timesteps(options, share, 1000, 20000, draw)
        assert steps.min() == 100 and steps.max() == high
    steps = timesteps(replace(options, most=0.05, last=0.05), 0, 1000, 100, draw)  # a most below the least
    assert (steps == 50).all()
    again = timesteps(options, 0, 1000, 5, torch.Generator().manual_seed(9))
    assert torch.equal(again, timesteps(options, 0, 1000, 5, torch.Generator().manual_seed(9)))


def test_weights_of_timesteps():
    signal = torch.tensor([0.25, 1.0])
    assert torch.equal(weight("sds", signal), torch.tensor([0.75, 0.0]))
    assert torch.equal(weight("uniform", signal), torch.ones(2))
    assert torch.equal(weight("fantasia3d", signal), torch.tensor([0.375, 0.0]))


def test_numbers_that_are_not_finite():
    def noise(latents: torch.Tensor, steps: torch.Tensor, text: Text) -> torch.Tensor:
        out = torch.zeros_like(latents)
        out[..., 0], out[..., 1] = torch.nan, torch.inf
        return out

    guide = Guide(lambda x: x, noise, torch.tensor([0.9, 0.1]), 4)
    given = torch.zeros(1, 3, 4, 4), torch.tensor([1]), torch.ones(1, 3, 4, 4)
    way = direction(guide, *given, nothing(), nothing(), OPTIONS)
    assert not way[..., :2].any() and torch.allclose(way[..., 2:], torch.tensor(-0.9))
    broken = replace(guide, noise=lambda z, t, text: z + torch.nan)
    with pytest.raises(CannotError, match="no finite number"):
        direction(broken, *given, nothing(), nothing(), OPTIONS)


def test_a_known_optimum_is_reached():
    goal = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(4))
    guide, picture = towards(goal), torch.zeros(1, 3, 8, 8, requires_grad=True)
    optimiser = torch.optim.Adam([picture], 0.05)
    draw = torch.Generator().manual_seed(0)
    for i in range(200):
        optimiser.zero_grad()
        distilled(guide, picture, nothing(), nothing(), Distillation(scale=1.0), i / 200, draw).backward()
        optimiser.step()
    assert (picture[0] - goal).abs().max() < 0.01


def test_kinds_are_told_apart(folders):
    assert [kind_of(folders[name]) for name in ("sd", "sdxl", "pixart")] == [
        "StableDiffusionPipeline",
        "StableDiffusionXLPipeline",
        "PixArtAlphaPipeline",
    ]
