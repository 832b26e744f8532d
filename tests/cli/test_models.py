"""``mvgen models`` end to end, with a hub on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mvgen.core.dust3r.config import NetworkConfig, config_values, tensor_shapes
from mvgen.core.models import model_named
from tests.core.fill import fill
from tests.hub import serve

TINY = NetworkConfig(32, 1, 2, 32, 4, 2, "linear", image_size=64)
REPOSITORY = "naver/DUSt3R_ViTLarge_BaseDecoder_512_dpt"
NOWHERE = "http://127.0.0.1:9"  # nothing listens there


def tensors() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(fill(name, shape)) for name, shape in tensor_shapes(TINY).items()}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    config = json.dumps(config_values(TINY)).encode()
    return {f"{REPOSITORY}/model.safetensors": save(tensors()), f"{REPOSITORY}/config.json": config}


def run(folder: Path, *arguments: object, hub: str = NOWHERE) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HOME": str(folder / "home"), "HF_ENDPOINT": hub, "HF_HUB_DISABLE_XET": "1"}
    words = [sys.executable, "-m", "mvgen", "models", *map(str, arguments)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done


def test_the_list_tells_what_to_get_and_under_which_licence(tmp_path: Path) -> None:
    done = run(tmp_path, "list")
    assert done.returncode == 0 and done.stdout == ""
    assert "dust3r-512" in done.stderr and "CC BY-NC-SA 4.0" in done.stderr and "2.28 GB" in done.stderr
    assert len(done.stderr.splitlines()) < 24
    report = json.loads(run(tmp_path, "list", "--json").stdout)
    assert all(m["path"] is None and m["licence"] and m["bytes"] > 9 * 10**7 for m in report["models"])


def test_a_model_is_pulled_once_checked_and_found(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert run(tmp_path, "path", "dust3r-512").returncode == 4
    assert run(tmp_path, "pull", "dust3r-512", "--offline").returncode == 4
    with serve(files) as hub:
        done = run(tmp_path, "pull", "dust3r-512", hub=hub)
    assert done.returncode == 0, done.stderr
    checksum = hashlib.sha256(files[f"{REPOSITORY}/model.safetensors"]).hexdigest()
    assert "not for commercial use" in done.stderr and f"checksum {checksum}" in done.stderr
    assert run(tmp_path, "pull", "dust3r-512", "--offline").returncode == 0
    found = run(tmp_path, "path", REPOSITORY)
    assert found.returncode == 0 and found.stderr == ""
    weights = Path(found.stdout.strip()) / "model.safetensors"
    assert weights.read_bytes() == files[f"{REPOSITORY}/model.safetensors"]
    assert "dust3r-512: whole" in run(tmp_path, "verify").stderr
    weights.resolve().write_bytes(weights.read_bytes()[:-1] + b"\xff")
    damaged = run(tmp_path, "verify", "dust3r-512")
    assert damaged.returncode == 1 and "damaged: model.safetensors" in damaged.stderr


def test_a_model_of_several_folders_is_pulled_and_checked(tmp_path: Path) -> None:
    model = model_named("sd-2-1-base")
    held = {f"{model.repository}/{name}": name.encode() for name in model.files}
    with serve(held) as hub:
        done = run(tmp_path, "pull", "sd-2-1-base", hub=hub)
    assert done.returncode == 0, done.stderr
    folder = Path(run(tmp_path, "path", "sd-2-1-base").stdout.strip())
    assert all((folder / name).read_text() == name for name in model.files)
    assert "sd-2-1-base: whole" in run(tmp_path, "verify").stderr
    (folder / "unet" / "config.json").resolve().write_text("{}")
    damaged = run(tmp_path, "verify", "sd-2-1-base")
    assert damaged.returncode == 1 and "damaged: unet/config.json" in damaged.stderr


def test_a_file_that_is_not_what_was_announced_is_not_kept(tmp_path: Path, files: dict[str, bytes]) -> None:
    with serve(files, lie=True) as hub:
        done = run(tmp_path, "pull", "dust3r-512", hub=hub)
    assert done.returncode == 4 and "not what the hub announced" in done.stderr
    assert run(tmp_path, "path", "dust3r-512").returncode == 4


def test_a_torch_file_becomes_a_folder_with_the_same_numbers(tmp_path: Path) -> None:
    text = (
        "AsymmetricCroCo3DStereo(pos_embed='RoPE100', img_size=(64, 64), head_type='linear', output_mode='pts3d', "
        "depth_mode=('exp', -inf, inf), conf_mode=('exp', 1, inf), enc_embed_dim=32, enc_depth=1, enc_num_heads=2, "
        "dec_embed_dim=32, dec_depth=4, dec_num_heads=2)"
    )
    torch.save({"args": Namespace(model=text), "model": tensors()}, tmp_path / "tiny.pth")
    done = run(tmp_path, "convert", "tiny.pth", "-o", "tiny")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tiny" / "model.safetensors").read_bytes() == save(tensors())
    assert json.loads((tmp_path / "tiny" / "config.json").read_text()) == json.loads(json.dumps(config_values(TINY)))


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["pull"], 2, "takes a name"),
        (["list", "x"], 2, "takes no names"),
        (["pull", "nonsense"], 2, "nonsense: is no known model"),
        (["pull", "dust3r-512"], 1, "cannot be downloaded"),
        (["path", "none.pth"], 3, "no such file"),
        (["verify", "dust3r-224"], 4, "is not on this machine"),
        (["convert", "x.pth"], 2, "needs a folder"),
        (["convert", "bad.pth", "-o", "out"], 4, "bad.pth"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, arguments: list[str], code: int, told: str) -> None:
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    done = run(tmp_path, *arguments)
    lines = done.stderr.splitlines()
    assert done.returncode == code, lines
    assert lines[0].startswith("error: ") and told in lines[0] and lines[1].startswith("hint: ") and len(lines) == 2


def test_a_repository_without_such_files_is_told(tmp_path: Path, files: dict[str, bytes]) -> None:
    with serve({"someone/other/readme.md": b"x"}) as hub:
        assert "the hub has no" in run(tmp_path, "pull", "someone/other", hub=hub).stderr
        assert "the hub has no" in run(tmp_path, "pull", "someone/none", hub=hub).stderr
