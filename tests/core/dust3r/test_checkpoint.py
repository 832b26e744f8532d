"""Checkpoints, published and hostile."""

import json
import math
import pickle
from argparse import Namespace

import pytest
import torch
from safetensors.torch import save_file

from mvgen.core.dust3r.checkpoint import NOTICE, load_network
from mvgen.core.dust3r.config import NetworkConfig, aliases, parse_config, tensor_shapes, unused_shapes
from mvgen.core.errors import WeightsError
from mvgen.core.progress import Silent
from tests.core.fill import fill

TINY = NetworkConfig(32, 1, 2, 32, 4, 2, "linear")
TEXT = (
    "AsymmetricCroCo3DStereo(pos_embed='RoPE100', patch_embed_cls='ManyAR_PatchEmbed', img_size=(512, 512), "
    "head_type='linear', output_mode='pts3d', depth_mode=('exp', -inf, inf), conf_mode=('exp', 1, inf), "
    "enc_embed_dim=32, enc_depth=1, enc_num_heads=2, dec_embed_dim=32, dec_depth=4, dec_num_heads=2)"
)


class Listener(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def tensors(config=TINY):
    out = {k: torch.from_numpy(fill(k, s)) for k, s in (tensor_shapes(config) | unused_shapes(config)).items()}
    return out | {alias: out[name] for alias, name in aliases(config).items()}


def save(path, model=None, text=TEXT, **more):
    torch.save({"args": Namespace(model=text), "model": tensors() if model is None else model} | more, path)
    return path


def refused(path):
    with pytest.raises(WeightsError) as caught:
        load_network(path, Silent())
    assert str(path.name) in caught.value.message and "\n" not in caught.value.message and caught.value.hint
    return caught.value.message


def test_the_text_of_a_published_checkpoint_is_understood():
    assert parse_config(TEXT) == TINY
    published = TEXT.replace("enc_embed_dim=32", "enc_embed_dim=1024").replace("'linear'", "'dpt'")
    assert parse_config(published).head == "dpt" and parse_config(published).depth_mode == ("exp", -math.inf, math.inf)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "AsymmetricCroCo3DStereo(enc_depth=__import__('os').getpid())",
        "AsymmetricCroCo3DStereo(**{'enc_depth': 1})",
        "AsymmetricCroCo3DStereo(enc_depth=1)()",
        "AsymmetricCroCo3DStereo(enc_depth=[x for x in range(3)])",
        "AsymmetricCroCo3DStereo(enc_depth=10**9)",
        "AsymmetricCroCo3DStereo(enc_depth=1000000)",
        "AsymmetricCroCo3DStereo(enc_embed_dim=33, enc_num_heads=2)",
        "AsymmetricCroCo3DStereo(enc_depth=True)",
        "AsymmetricCroCo3DStereo(head_type='catmlp+dpt')",
        "AsymmetricCroCo3DStereo(depth_mode='exp')",
        "AsymmetricCroCo3DStereo(pos_embed='cosine')",
        "CroCoNet(enc_depth=1)",
        "not python (",
        "(" * 5000,
        "",
    ],
)
def test_no_other_text_is_run_or_believed(text, tmp_path):
    with pytest.raises(ValueError, match=r"\w"):
        parse_config(text)
    refused(save(tmp_path / "bad.pth", text=text))


def test_a_torch_file_is_loaded_and_its_licence_told(tmp_path):
    listener = Listener()
    network = load_network(save(tmp_path / "net.pth", epoch=3), listener)
    assert network.config == TINY and set(network.weights) == set(tensor_shapes(TINY))
    assert listener.warnings == [NOTICE]


def test_a_safetensors_folder_is_loaded(tmp_path):
    save_file({k: v for k, v in tensors().items() if k != "mask_token"}, tmp_path / "model.safetensors")
    values = {"head_type": "linear", "depth_mode": ["exp", -math.inf, math.inf], "conf_mode": ["exp", 1, math.inf]}
    values |= {"enc_embed_dim": 32, "enc_depth": 1, "enc_num_heads": 2}
    values |= {"dec_embed_dim": 32, "dec_depth": 4, "dec_num_heads": 2, "img_size": [512, 512]}
    (tmp_path / "config.json").write_text(json.dumps(values))
    network = load_network(tmp_path, Silent())
    assert network.config == TINY
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json"):
        load_network(tmp_path, Silent())


@pytest.mark.parametrize("kept", ["both", "layer", "layer_rn"])
def test_either_of_two_names_is_enough(kept, tmp_path):
    config = NetworkConfig(32, 1, 2, 32, 4, 2, "dpt")
    pairs = aliases(config)
    dropped = {"both": (), "layer": pairs.keys(), "layer_rn": pairs.values()}[kept]
    model = {k: v for k, v in tensors(config).items() if k not in dropped}
    network = load_network(save(tmp_path / "net.pth", model, TEXT.replace("'linear'", "'dpt'")), Silent())
    assert set(network.weights) == set(tensor_shapes(config))


def test_what_is_not_read_is_named(tmp_path):
    listener = Listener()
    load_network(save(tmp_path / "net.pth", tensors() | {"prediction_head.weight": torch.zeros(2)}), listener)
    assert "prediction_head.weight" in listener.warnings[0]


def test_missing_and_misshapen_tensors_are_named(tmp_path):
    model = tensors()
    del model["enc_norm.bias"]
    assert "enc_norm.bias" in refused(save(tmp_path / "missing.pth", model))
    wide = tensors() | {"enc_norm.bias": torch.zeros(33)}
    assert "enc_norm.bias has shape (33,), expected (32,)" in refused(save(tmp_path / "wide.pth", wide))
    whole = tensors() | {"enc_norm.bias": torch.zeros(32, dtype=torch.int64)}
    assert "int64" in refused(save(tmp_path / "whole.pth", whole))


class Evil:
    def __reduce__(self):
        return (open, ("touched", "w"))


def test_a_file_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"args": Evil(), "model": tensors()}, tmp_path / "evil.pth")
    assert "is not run" in refused(tmp_path / "evil.pth")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    refused(tmp_path / "evil.pkl")
    assert not (tmp_path / "touched").exists()


def test_damaged_files_are_refused(tmp_path):
    data = save(tmp_path / "net.pth").read_bytes()
    for name, part in (("half.pth", data[: len(data) // 2]), ("empty.pth", b""), ("text.pth", b"weights?")):
        (tmp_path / name).write_bytes(part)
        refused(tmp_path / name)
    save_file(tensors(), tmp_path / "net.safetensors")
    data = (tmp_path / "net.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    (tmp_path / "long.safetensors").write_bytes(b"\xff" * 7 + b"\x7f" + data[8:])
    for name in ("cut.safetensors", "long.safetensors"):
        refused(tmp_path / name)
    refused(tmp_path / "none.pth")


def test_a_bare_list_of_tensors_is_no_network(tmp_path):
    torch.save(tensors(), tmp_path / "bare.pth")
    assert "description" in refused(tmp_path / "bare.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "list" in refused(tmp_path / "list.pth")
