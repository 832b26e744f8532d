"""Schedule, steps and cameras against recorded numbers, and how they bend."""

import numpy as np
import pytest
import torch

from mvgen.core.crm.sampler import (
    FRAMES,
    add_noise,
    camera_vectors,
    ddim_step,
    guided,
    plain_alphas,
    sample,
    sampler_steps,
    start_noise,
    timesteps,
    zero_terminal,
)
from mvgen.core.errors import UsageError
from mvgen.core.progress import Silent
from tests.core.crm.tiny import close, golden

DATA = golden("sampler")
ALPHAS = zero_terminal(plain_alphas())


def test_the_schedule_is_the_recorded_one():
    for name, alphas in (("", ALPHAS), ("_without_rescale", plain_alphas())):
        assert close(alphas, DATA[f"alphas_cumprod{name}"]) < 1e-4
        betas = 1 - alphas / np.concatenate([[1], alphas[:-1]])
        assert close(betas, DATA[f"betas{name}"]) < 1e-4
    assert close(np.sqrt(ALPHAS), DATA["sqrt_alphas_cumprod"]) < 1e-4
    assert close(np.sqrt(1 - ALPHAS), DATA["sqrt_one_minus_alphas_cumprod"]) < 1e-4
    assert ALPHAS[-1] == 0 and ALPHAS[0] == plain_alphas()[0]


@pytest.mark.parametrize("count", [50, 20])
def test_steps_are_the_recorded_ones(count):
    steps = sampler_steps(ALPHAS, count)[::-1]
    assert [s.timestep for s in steps] == DATA[f"ddim{count}_timesteps"].tolist()
    assert close([s.alpha for s in steps], DATA[f"ddim{count}_alphas"]) < 1e-4
    assert close([s.alpha_after for s in steps], DATA[f"ddim{count}_alphas_prev"]) < 1e-4
    assert (DATA[f"ddim{count}_sigmas"] == 0).all()


def test_every_number_of_steps_stays_within_the_schedule_and_off_its_end():
    for count in range(1, 334):
        visited = timesteps(count)
        assert count <= len(visited) <= 2 * count and visited[0] == 1 and visited[-1] < 999
    assert len(timesteps(30)) == 31
    for count in (0, -1, 334):
        with pytest.raises(UsageError, match="steps"):
            timesteps(count)


def test_cameras_are_the_recorded_ones():
    assert np.abs(camera_vectors(True) - DATA["camera_stage1"]).max() < 1e-6
    assert np.abs(camera_vectors(False) - DATA["camera_stage2"]).max() < 1e-6
    assert np.abs(camera_vectors(False) - DATA["camera_all_views"][list(FRAMES)]).max() < 1e-6


def test_noising_and_guided_steps_are_the_recorded_ones():
    x, without, given = (torch.from_numpy(DATA[f"step_{k}"]) for k in ("x", "eps_uncond", "eps_cond"))
    steps = sampler_steps(ALPHAS, 50)[::-1]
    for i in (49, 48, 25, 1, 0):
        after, clean = ddim_step(steps[i], x, guided(without, given, 5.0))
        assert close(clean, DATA[f"step{i}_pred_x0"]) < 1e-4
        assert close(after, DATA[f"step{i}_x_prev"]) < 1e-4
    for k, t in enumerate(DATA["q_t"]):
        noised = add_noise(ALPHAS[t], torch.from_numpy(DATA["q_x0"][k]), torch.from_numpy(DATA["q_noise"][k]))
        assert close(noised, DATA["q_sample"][k]) < 1e-4


def test_sampling_start_holds_the_mean_colour_only_where_the_schedule_leaves_some():
    reference = torch.full((4, 8, 8), 100.0)
    found = [start_noise(alphas, reference, 6, torch.Generator().manual_seed(0)) for alphas in (ALPHAS, plain_alphas())]
    assert found[0].shape == (6, 4, 8, 8) and abs(found[0].mean()) < 0.1 and found[0].std() == pytest.approx(1, abs=0.1)
    assert found[1].mean() == pytest.approx(100 * plain_alphas()[-1] ** 0.5, abs=0.1)


def test_perfect_noise_leads_to_the_clean_latents():
    clean = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    calls = []

    def predict(x, timestep):
        calls.append(timestep)
        noise = (x - ALPHAS[timestep] ** 0.5 * clean) / (1 - ALPHAS[timestep]) ** 0.5
        return torch.zeros_like(x), noise / 3

    start = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    found = sample(predict, start, sampler_steps(ALPHAS, 10), 3.0, Silent())
    assert (found - clean).abs().mean() < 0.03 and calls == sorted(calls, reverse=True)
