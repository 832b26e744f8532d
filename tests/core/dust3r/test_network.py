"""The network against recorded outputs of small networks, and what must hold of any of them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mvgen.core.dust3r.config import NetworkConfig, aliases, config_from, tensor_shapes, unused_shapes
from mvgen.core.dust3r.network import Network, decode, encode, rotate, rotation
from tests.core.fill import fill

GOLDEN = Path(__file__).parent / "golden"
MANIFESTS = json.loads((GOLDEN / "manifests.json").read_text())


def config_of(name):
    values = MANIFESTS[name]["config"]
    modes = {k: tuple(float(x) if i else x for i, x in enumerate(values[k])) for k in ("depth_mode", "conf_mode")}
    return config_from(values | modes)


def small(config, seed):
    first = {new: old for old, new in aliases(config).items()}  # the last name that was filled stays
    shapes = tensor_shapes(config)
    return Network.of(config, {k: torch.from_numpy(fill(first.get(k, k), s, seed)) for k, s in shapes.items()})


def predict(network, one, two):
    grids = tuple((image.shape[-2] // 16, image.shape[-1] // 16) for image in (one, two))
    with torch.inference_mode():
        return decode(network, encode(network, one), encode(network, two), grids)


@pytest.fixture(scope="module", params=["dust3r_small_dpt", "dust3r_small_linear"])
def recorded(request):
    data = dict(np.load(GOLDEN / f"{request.param}.npz"))
    return small(config_of(request.param), int(data["seed"])), data


def close(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_outputs_are_the_recorded_ones(recorded):
    network, data = recorded
    images = torch.from_numpy(data["images"])
    first, second = predict(network, images[0], images[1])
    for found, points, conf in ((first, "pts3d", "conf"), (second, "pts3d_in_other_view", "conf_other")):
        length, true_length = (np.linalg.norm(p, axis=-1) for p in (found.points.numpy(), data[points]))
        assert close(np.log1p(length), np.log1p(true_length)) < 1e-4
        directions = found.points.numpy() / length[..., None], data[points] / true_length[..., None]
        assert close(*directions) < 1e-3
        above, true_above = found.confidence.numpy() - 1, data[conf] - 1
        rounding = 2e-7 / true_above  # of float32 numbers little over 1
        scale = np.abs(np.log(true_above)).max()
        assert (np.abs(np.log(above / true_above)) < 1e-4 * scale + rounding).all()


@pytest.mark.parametrize("name", MANIFESTS)
def test_tensors_are_those_of_the_published_lists(name):
    listed = {k: tuple(s) for k, s in MANIFESTS[name]["keys"].items()}
    config = NetworkConfig() if name == "dust3r_vitl_512_dpt" else config_of(name)
    shapes = tensor_shapes(config)
    found = shapes | unused_shapes(config) | {alias: shapes[k] for alias, k in aliases(config).items()}
    assert found == listed


def test_published_networks_have_the_published_numbers_of_parameters():
    for head, tensors, parameters in (("dpt", 1009, 571_171_208), ("linear", 877, 532_342_784)):
        config = NetworkConfig(head=head)
        shapes = tensor_shapes(config) | unused_shapes(config)
        assert len(shapes) + len(aliases(config)) == tensors
        assert sum(math.prod(s) for s in shapes.values()) == parameters


def test_exchanged_streams_exchange_the_predictions(recorded):
    network, data = recorded
    swap = {"dec_blocks.": "dec_blocks2.", "dec_blocks2.": "dec_blocks."}
    swap |= {"downstream_head1.": "downstream_head2.", "downstream_head2.": "downstream_head1."}
    turned = {k: network.weights[swap.get(p := k.split(".")[0] + ".", p) + k[len(p) :]] for k in network.weights}
    one, two = torch.from_numpy(data["images"])
    here, there = predict(network, one, two), predict(Network(network.config, turned), two, one)
    assert torch.allclose(here[0].confidence, there[1].confidence, rtol=1e-4)
    assert torch.allclose(here[1].confidence, there[0].confidence, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(48, 32), (32, 48), (32, 32), (80, 48)])
def test_portrait_square_and_odd_grids(recorded, height, width):
    network, _ = recorded
    image = torch.rand(1, 3, height, width) * 2 - 1
    for found in predict(network, image, image.flip(-1)):
        assert found.points.shape == (1, height, width, 3) and found.confidence.shape == (1, height, width)
        assert torch.isfinite(found.points).all() and (found.confidence >= 1).all()


def test_pictures_of_a_pair_may_differ_in_shape(recorded):
    network, _ = recorded
    wide, tall = torch.rand(1, 3, 32, 64) * 2 - 1, torch.rand(1, 3, 48, 32) * 2 - 1
    first, second = predict(network, wide, tall)
    assert first.confidence.shape == (1, 32, 64) and second.confidence.shape == (1, 48, 32)


def test_sizes_that_are_no_multiples_of_a_patch_are_refused(recorded):
    with pytest.raises(ValueError, match="16 pixels"):
        encode(recorded[0], torch.zeros(1, 3, 30, 32))


def test_rotation_tells_only_how_far_apart_tokens_are():
    turn = rotation((5, 7), 16, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    query, key = (x.repeat(1, 35, 1, 1) for x in torch.randn(2, 16, generator=generator))
    likeness = rotate(query, turn)[0, :, 0] @ rotate(key, turn)[0, :, 0].T
    likeness = likeness.reshape(5, 7, 5, 7)
    assert torch.allclose(likeness[0, 0, 2, 3], likeness[2, 3, 4, 6], atol=1e-5)
    assert torch.allclose(likeness[3, 1, 1, 2], likeness[4, 2, 2, 3], atol=1e-5)


def test_rotation_in_half_precision_is_that_of_single():
    turn = rotation((3, 4), 16, torch.device("cpu"))
    heads = torch.randn(2, 12, 3, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    expected = rotate(heads.float(), turn)
    assert torch.allclose(rotate(heads, turn).float(), expected, rtol=2**-8, atol=1e-3)


def test_decoding_leaves_the_tokens_as_they_are(recorded):
    network, data = recorded
    with torch.inference_mode():
        tokens = encode(network, torch.from_numpy(data["images"])[0])
        before = tokens.clone()
        decode(network, tokens, tokens, ((data["images"].shape[-2] // 16, data["images"].shape[-1] // 16),) * 2)
    assert torch.equal(tokens, before)
