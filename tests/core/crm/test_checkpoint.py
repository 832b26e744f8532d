"""CRM's files: published, cut short, spread over several, and hostile."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mvgen.core.crm.checkpoint import (
    load_reconstruction,
    load_schedule,
    load_text,
    load_unet,
    load_vae,
    load_vision,
    open_stage,
)
from mvgen.core.crm.config import Config, config_from, config_values
from mvgen.core.crm.sampler import plain_alphas, zero_terminal
from mvgen.core.errors import ExitCode, WeightsError
from mvgen.core.progress import Silent
from tests.core.crm.tiny import TINY, reconstruction_tensors, stage_tensors, write_files

SIZES = json.dumps(config_values(TINY))


class Listener(Silent):
    def __init__(self):
        self.warnings, self.notes = [], []

    def warn(self, text):
        self.warnings.append(text)

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("crm"))


@pytest.fixture(scope="module")
def tensors():
    return stage_tensors(4)


def save(path, tensors, **extras):
    torch.save({"state_dict": tensors, "crm": SIZES} | extras, path)
    return path


def refused(call, name):
    with pytest.raises(WeightsError) as caught:
        call()
    error = caught.value
    assert error.exit_code == ExitCode.NO_WEIGHTS and error.hint
    assert name in error.message and "\n" not in error.message
    return f"{error.message} ({error.hint})"


def test_all_parts_of_all_files_are_loaded_and_nothing_is_left_over(folder):
    listener = Listener()
    for stage, channels in (("views", 4), ("coordinates", 8)):
        source = open_stage(folder, stage, listener, precision="bfloat16")
        unet = load_unet(source)
        assert source.config == TINY and unet.channels == channels and unet.dtype == torch.bfloat16
        assert load_vae(source).dtype == torch.bfloat16
        assert load_text(source)["ln_final.weight"].shape == (16,)
        assert load_vision(source)["visual.conv1.weight"].shape == (32, 3, 8, 8)
        assert np.allclose(load_schedule(source, listener), zero_terminal(plain_alphas()))
    network, plane, heads = load_reconstruction(open_stage(folder, "triplane", listener, precision="bfloat16"))
    assert plane.shape == (1, 2, 32, 96) and network.dtype == plane.dtype == torch.bfloat16
    assert heads["sdfMlp.fc1.weight"].dtype == torch.float32
    assert listener.warnings == listener.notes == []


def test_what_no_stage_reads_is_named(tmp_path, tensors):
    extra = {"model_ema.decay": torch.ones(()), "model.diffusion_model.new.weight": torch.zeros(1)}
    listener = Listener()
    load_unet(open_stage(save(tmp_path / "net.pth", tensors | extra), "views", listener))
    assert all(name in listener.warnings[0] for name in extra) and len(listener.warnings) == 1


def test_missing_and_misshapen_tensors_are_named(tmp_path, tensors):
    name = "model.diffusion_model.middle_block.1.proj_out.bias"
    for value, what in (
        (None, "has no"),
        (torch.zeros(3), "has shape (3,)"),
        (torch.zeros(64, dtype=torch.int8), "int8"),
    ):
        changed = {k: v for k, v in tensors.items() if k != name} | ({} if value is None else {name: value})
        source = open_stage(save(tmp_path / "net.pth", changed), "views", Silent())
        said = refused(lambda source=source: load_unet(source), "net.pth")
        assert name in said and what in said


def test_a_file_of_the_other_stage_is_refused(folder):
    source = open_stage(folder / "ccm-diffusion.pth", "views", Silent())
    assert "(32, 8, 3, 3)" in refused(lambda: load_unet(source), "ccm-diffusion.pth")
    source = open_stage(folder / "CRM.safetensors", "views", Silent())
    assert "not a CRM diffusion network" in refused(lambda: load_unet(source), "CRM.safetensors")
    source = open_stage(folder / "ccm-diffusion.pth", "triplane", Silent())
    assert "reconstruction" in refused(lambda: load_reconstruction(source), "ccm-diffusion.pth")


@pytest.mark.parametrize(
    ("prefix", "load", "what"),
    [
        ("vae_model.", load_vae, "v2-1_512-ema-pruned.safetensors"),
        ("clip_model.model.", load_text, "open_clip_pytorch_model.bin"),
        ("clip_model.model.", load_vision, "open_clip_pytorch_model.bin"),
    ],
)
def test_encoders_that_are_missing_are_asked_for_and_found_beside(prefix, load, what, tmp_path, tensors):
    rest = {name: value for name, value in tensors.items() if not name.startswith(prefix)}
    path = save(tmp_path / "net.pth", rest)
    source = open_stage(path, "views", Silent())
    load_unet(source)
    assert what in refused(lambda: load(source), "net.pth")
    other = {"x." + name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
    save_file(other | {"unrelated": torch.zeros(1)}, tmp_path / "other.safetensors")
    listener = Listener()
    assert load(open_stage(path, "views", listener, [tmp_path / "other.safetensors"])) is not None
    assert listener.warnings == []
    with pytest.raises(WeightsError, match=r"none\.pth"):
        load(open_stage(path, "views", Silent(), [tmp_path / "none.pth"]))


def test_a_schedule_in_the_file_counts_and_is_told(tmp_path, tensors):
    listener = Listener()
    path = save(tmp_path / "net.pth", tensors | {"alphas_cumprod": torch.from_numpy(plain_alphas()).float()})
    assert np.allclose(load_schedule(open_stage(path, "views", listener), listener), plain_alphas(), rtol=1e-5)
    assert "0.0047 of the signal" in listener.notes[0]
    bare = save(tmp_path / "net.pth", {name: v for name, v in tensors.items() if name != "alphas_cumprod"})
    assert load_schedule(open_stage(bare, "views", listener), listener)[-1] == 0 and len(listener.notes) == 1
    for wrong in (torch.zeros(1000), torch.linspace(0, 1, 1000), torch.ones(10), torch.full((1000,), torch.nan)):
        source = open_stage(save(tmp_path / "net.pth", tensors | {"alphas_cumprod": wrong}), "views", Silent())
        refused(lambda source=source: load_schedule(source, Silent()), "net.pth")


class Evil:
    def __reduce__(self):
        return (open, ("touched", "w"))


def test_files_that_would_run_code_or_are_damaged_are_refused(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = (folder / "pixel-diffusion.pth").read_bytes()
    save(tmp_path / "evil.pth", {"x": torch.zeros(1)}, args=Evil())
    (tmp_path / "half.pth").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("evil.pth", "half.pth", "empty.pth", "none.pth"):
        refused(lambda name=name: open_stage(tmp_path / name, "views", Silent()), name)
    refused(lambda: open_stage(tmp_path, "coordinates", Silent()), "ccm-diffusion.pth")
    assert not (tmp_path / "touched").exists()


# ---------------------------------------------------------------- sizes


def test_sizes_are_those_published_where_no_others_are_told(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "CRM.safetensors")
    assert open_stage(tmp_path, "triplane", Silent()).config == Config()
    (tmp_path / "config.json").write_text('{"model_type": "other"}')
    assert open_stage(tmp_path, "triplane", Silent()).config == Config()
    (tmp_path / "config.json").write_text('{"crm": {"triplane": {"grid": 40}}}')
    assert open_stage(tmp_path, "triplane", Silent()).config.triplane.grid == 40
    save_file(reconstruction_tensors(), tmp_path / "CRM.safetensors", {"crm": SIZES})
    assert open_stage(tmp_path, "triplane", Silent()).config == TINY


def test_sizes_survive_a_file():
    assert config_from(json.loads(SIZES)) == TINY and config_from({}) == Config()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"unet": 3}',
        '{"unet": {"depth": 3}}',
        '{"unet": {"width": "320"}}',
        '{"unet": {"width": true}}',
        '{"unet": {"width": 100000000000}}',
        '{"unet": {"multipliers": []}}',
        '{"unet": {"head": 60}}',
        '{"vae": {"widths": [33]}}',
        '{"clip": {"vision_layers": 1000000}}',
        '{"clip": {"patch": 15}}',
        '{"clip": {"vision_heads": 7}}',
        '{"triplane": {"grid": 100000}}',
        '{"triplane": {"widths": [32, 32, 32, 32, 32, 32, 32, 32, 32, 32]}}',
        '{"picture": 100}',
        "[" * 100000,
    ],
)
def test_sizes_that_cannot_be_are_refused(text, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "CRM.safetensors", {"crm": text})
    refused(lambda: open_stage(tmp_path, "triplane", Silent()), "CRM.safetensors")
