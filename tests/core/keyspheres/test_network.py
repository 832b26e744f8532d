"""Networks of key spheres: features, folding, published files."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from mvgen.core.errors import InputError
from mvgen.core.io.meshes import load_mesh
from mvgen.core.keyspheres.network import Network, fresh_weights, own_inputs, published_sizes
from mvgen.core.keyspheres.published import read_published
from mvgen.core.keyspheres.spheres import Spheres
from mvgen.core.keyspheres.surface import surface_of
from mvgen.core.nearest import Nearest

BOX = np.array([[-1.0, -1, -1], [1, 1, 1]])
RNG = np.random.default_rng(1)


def random_spheres(count=9):
    return RNG.uniform(-0.7, 0.7, (count, 4)).astype(np.float32)


def published(net, points, spheres, features):
    """The published equations in float64: the mean of all features, then the layers of ``net``."""
    distance = np.linalg.norm(points[:, None] - spheres[None, :, :3], axis=2)
    x = np.concatenate([points, (distance / distance.sum(1, keepdims=True)) @ features], axis=1)
    layers = len(net) // 2
    for k in range(layers):
        x = x @ net[f"model.{2 * k}.weight"].double().numpy().T + net[f"model.{2 * k}.bias"].double().numpy()
        x = np.where(x > 0, x, 0.1 * x) if k < layers - 1 else np.tanh(x)
    return x[:, 0]


def random_net(width=8, hidden=2):
    sizes = [32, *[width] * hidden, 1]
    net = {}
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        net[f"model.{2 * k}.weight"] = torch.randn(n_out, n_in) * 0.3
        net[f"model.{2 * k}.bias"] = torch.randn(n_out) * 0.3
    return net


def direct_state(spheres):
    part = {"model.0.weight": torch.randn(29, 4), "model.0.bias": torch.randn(29)}
    return {"net": random_net(), "sphereNet": part, "sphere32": torch.from_numpy(spheres)}


def test_a_direct_file_is_the_published_function(tmp_path):
    spheres, points = random_spheres(), RNG.uniform(-1, 1, (50, 3))
    state = direct_state(spheres)
    torch.save(state, tmp_path / "a.pth")
    network = read_published(tmp_path / "a.pth")
    part = state["sphereNet"]
    features = spheres.astype(float) @ part["model.0.weight"].double().numpy().T + part["model.0.bias"].double().numpy()
    expected = published(state["net"], points, spheres, features)
    assert np.abs(network(points) - expected).max() < 1e-5
    folded = network.folded()
    assert len(folded.theta) < len(network.theta) and np.abs(folded(points) - expected).max() < 1e-5


def test_a_latent_file_takes_its_spheres_from_another(tmp_path):
    points, count = RNG.uniform(-1, 1, (40, 3)), 6
    state = {"net": random_net(), "spherelatent": torch.randn(count, 29)}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(InputError, match="another file"):
        read_published(tmp_path / "a.pth")
    places = Spheres(RNG.integers(20, 100, (count, 3)), np.full(count, 2.0), np.zeros(count, bool))
    network = read_published(tmp_path / "a.pth", spheres=places)
    spheres = np.concatenate([places.centres, np.zeros((count, 1))], axis=1)
    expected = published(state["net"], points, spheres, state["spherelatent"].double().numpy())
    assert np.abs(network(points) - expected).max() < 1e-5
    assert np.abs(network.folded()(points) - expected).max() < 1e-5


@pytest.mark.parametrize("latent", [False, True])
def test_fresh_networks_let_points_through(latent):
    spheres = random_spheres()
    sizes, kinds = published_sizes(len(spheres), 8, 2, latent)
    network = Network(fresh_weights(sizes, latent, RNG), sizes, kinds, spheres, latent)
    lead, shift = network.layers[0]
    assert np.array_equal(lead[:3, :3], np.eye(3)) and not lead[:3, 3:].any() and not lead[3:, :3].any()
    assert not shift[:3].any() and own_inputs(spheres, latent).shape == (len(spheres), sizes[0])


def _without(name):
    return lambda s: s.pop(name)


def _set(path, value):
    def change(state):
        *folders, last = path
        for folder in folders:
            state = state[folder]
        state[last] = value

    return change


@pytest.mark.parametrize(
    "damage",
    [
        _without("net"),
        _without("sphereNet"),
        _without("sphere32"),
        _set(["sphere32"], torch.zeros(0, 4)),
        _set(["sphere32"], torch.zeros(5000, 4)),
        _set(["sphere32"], torch.full((4, 4), float("nan"))),
        _set(["net", "model.0.weight"], torch.zeros(8, 31)),
        _set(["net", "model.2.weight"], "text"),
        _set(["net", "model.9.weight"], torch.zeros(1)),
        _set(["sphereNet"], torch.zeros(29, 4)),
    ],
)
def test_files_with_something_wrong_are_refused(tmp_path, damage):
    state = direct_state(random_spheres())
    damage(state)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth"):
        read_published(tmp_path / "a.pth")


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"net": Bomb()}, tmp_path / "a.pth")
    whole = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("a.pth", "cut.pth", "empty.pth"):
        with pytest.raises(InputError):
            read_published(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_the_published_network_gives_the_published_surface():
    folder = Path(os.environ.get("MVGEN_DATA", "/nowhere")) / "keyspheres"
    if not folder.is_dir():
        pytest.skip("needs MVGEN_DATA/keyspheres")
    network = read_published(folder / "128in_1064655.pth").folded()
    mesh, shipped = surface_of(network, BOX, 128, projections=0), load_mesh(folder / "1064655.obj")
    there, back = Nearest(shipped).query(mesh.vertices)[0], Nearest(mesh).query(shipped.vertices)[0]
    assert (there.mean() + back.mean()) / 2 / shipped.diagonal < 1e-4
