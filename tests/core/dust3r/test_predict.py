"""Files of pairs: each photo encoded once, half precision, and what others may have written."""

import numpy as np
import pytest
import torch

from mvgen.core.dust3r import network as net
from mvgen.core.dust3r.config import NetworkConfig, tensor_shapes
from mvgen.core.dust3r.network import Network, decode, encode
from mvgen.core.dust3r.pairs import both_ways, pair_graph
from mvgen.core.dust3r.predict import find_pairs, load_pair, pair_name, predict_pairs, save_pair
from mvgen.core.errors import CannotError, InputError
from mvgen.core.progress import Silent
from tests.core.fill import fill

TINY = NetworkConfig(32, 1, 2, 32, 4, 2, "linear")


@pytest.fixture(scope="module")
def network():
    return Network.of(TINY, {k: torch.from_numpy(fill(k, s)) for k, s in tensor_shapes(TINY).items()})


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, (3, *s)).astype(np.float32) for s in ((32, 48), (48, 32), (32, 48), (32, 48))]


def test_each_photo_is_encoded_once_and_says_the_same(network, pictures, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(net, "encode", lambda n, x: calls.append(x) or encode(n, x))
    pairs = both_ways(pair_graph(4, "complete"))
    predict_pairs(network, pictures, pairs, tmp_path, Silent(), batch=3)
    assert len(calls) == 4
    assert [pair for pair, _ in find_pairs(tmp_path)] == sorted(pairs)
    for (i, j), path in find_pairs(tmp_path):
        one, two = (torch.from_numpy(pictures[k])[None] for k in (i, j))
        grids = tuple((p.shape[-2] // 16, p.shape[-1] // 16) for p in (one, two))
        with torch.inference_mode():
            first, second = decode(network, encode(network, one), encode(network, two), grids)
        found = load_pair((i, j), path, (tuple(one.shape[-2:]), tuple(two.shape[-2:])))
        assert np.allclose(found.points_i, first.points[0], rtol=2e-3, atol=1e-3)
        assert np.allclose(found.points_j, second.points[0], rtol=2e-3, atol=1e-3)
        assert np.allclose(found.confidence_j, second.confidence[0], rtol=2e-3)


def test_half_precision_says_about_the_same(network, pictures, tmp_path):
    for precision in ("float32", "bfloat16"):
        predict_pairs(network, pictures, [(0, 2)], tmp_path / precision, Silent(), precision=precision)
    whole, half = (load_pair((0, 2), tmp_path / p / pair_name((0, 2))) for p in ("float32", "bfloat16"))
    apart = np.linalg.norm(whole.points_j.astype(float) - half.points_j.astype(float), axis=-1)
    assert 0 < np.median(apart) < 0.05 * np.median(np.linalg.norm(whole.points_j.astype(float), axis=-1))
    with pytest.raises(CannotError, match="float16"):
        predict_pairs(network, pictures, [(0, 2)], tmp_path / "x", Silent(), precision="float16")


def test_finished_pairs_stay(network, pictures, tmp_path):
    kept = tmp_path / pair_name((0, 1))
    kept.write_bytes(b"mine")
    predict_pairs(network, pictures, [(0, 1), (1, 0)], tmp_path, Silent())
    assert kept.read_bytes() == b"mine" and (tmp_path / pair_name((1, 0))).stat().st_size > 1000


def maps(height=4, width=6):
    points = np.ones((height, width, 3), np.float32)
    return points, points, points[..., 0], points[..., 0]


def test_what_is_no_prediction_is_named(tmp_path):
    path = tmp_path / "pair_0000_0001.npz"
    save_pair(path, *maps())
    assert load_pair((0, 1), path).points_i.dtype == np.float16
    with pytest.raises(InputError, match="expected"):
        load_pair((0, 1), path, ((4, 6), (5, 6)))
    data = path.read_bytes()
    for wrong in (data[: len(data) // 2], b"", b"PK text"):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="pair_0000_0001"):
            load_pair((0, 1), path)
    np.savez(path, pts3d_i=np.array([object()]), pts3d_j=1, conf_i=1, conf_j=1)
    with pytest.raises(InputError, match="pair_0000_0001"):
        load_pair((0, 1), path)
    np.savez(path, pts3d_i=maps()[0])
    with pytest.raises(InputError, match="pair_0000_0001"):
        load_pair((0, 1), path)


def test_a_folder_without_predictions_is_named(tmp_path):
    (tmp_path / "pair_1_1.npz").write_bytes(b"")
    (tmp_path / "other.npz").write_bytes(b"")
    with pytest.raises(InputError, match="holds no predictions"):
        find_pairs(tmp_path)
