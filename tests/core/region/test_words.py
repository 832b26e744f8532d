"""Words and clicks to parts of pictures, with tiny networks of random weights."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.errors import InputError, WeightsError
from mvgen.core.geometry import PointCloud
from mvgen.core.region import sight, words
from tests.core.region import networks
from tests.core.region.made import on_sphere, things

PICTURE = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)


def test_words_give_a_share_for_each_pixel(tmp_path):
    folder = networks.clipseg(tmp_path)
    first, second = words.likely([PICTURE, PICTURE[:, ::-1]], "wings", folder, "cpu")
    assert first.shape == second.shape == (30, 40) and first.min() > 0 and first.max() < 1
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, words.likely([PICTURE], "tail", folder, "cpu")[0])


@pytest.mark.parametrize(
    ("told", "side"),
    [('{"size": {"height": 48, "width": 48}}', 48), ('{"size": 64}', 64), ("{}", 32), ("nonsense", 32)],
)
def test_pictures_are_as_large_as_the_network_was_trained_on(tmp_path, monkeypatch, told, side):
    folder = networks.clipseg(tmp_path)
    (folder / "preprocessor_config.json").write_text(told)
    seen, normalised = [], words._normalised
    monkeypatch.setattr(words, "_normalised", lambda picture, on: seen.append(picture.shape) or normalised(picture, on))
    (heat,) = words.likely([PICTURE], "wings", folder, "cpu")
    assert seen == [(side, side, 3)] and heat.shape == (30, 40)


def test_a_click_gives_a_mask(tmp_path):
    folder = networks.sam(tmp_path)
    for picture in (PICTURE, PICTURE.transpose(1, 0, 2)):
        mask = words.clicked(picture, 5, 6, folder, "cpu")
        assert mask.shape == picture.shape[:2] and mask.dtype == bool


def test_weights_are_told_apart_by_what_they_are(tmp_path, monkeypatch):
    given = [str(networks.clipseg(tmp_path / "one")), str(networks.sam(tmp_path / "two"))]
    assert words.weights_for("clipseg", given).name == "one" and words.weights_for("sam", given).name == "two"
    monkeypatch.setattr(words, "default_weights", lambda method: None)
    with pytest.raises(WeightsError, match="--sam: the weights of sam are not on this machine") as caught:
        words.weights_for("sam", given[:1])
    assert "mvgen models pull sam" in caught.value.hint
    with pytest.raises(InputError, match="no such file"):
        words.weights_for("sam", [str(tmp_path / "gone")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        words.weights_for("sam", [str(tmp_path / "empty")])


def test_damaged_weights_are_named(tmp_path):
    folder = networks.sam(tmp_path)
    (folder / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="does not load as SamModel"):
        words.clicked(PICTURE, 5, 6, folder, "cpu")


def test_votes_are_means_over_the_cameras_that_see_a_place():
    of = things(PointCloud(on_sphere(4000)))
    eye = sight.sight_of(of, False)
    cameras = sight.standard_cameras(of, 2)
    heats = [np.full((720, 960), v, np.float32) for v in (0.9, 0.2)]
    seen = [eye.seen(c)[1] for c in cameras]
    got = words.by_votes(eye, cameras, heats, 0.5)
    assert np.array_equal(got, seen[0])  # in both: 0.55
    assert np.array_equal(words.by_votes(eye, cameras, heats, 0.6), seen[0] & ~seen[1])
