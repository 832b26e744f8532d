"""Depth maps by tiny networks of random weights."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mvgen.core.errors import WeightsError
from mvgen.core.progress import Silent
from mvgen.core.refine.estimator import depth_maps, preparation
from tests.core.refine import networks

PICTURE = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)


@pytest.mark.parametrize(("make", "shape"), [(networks.depth_anything, (56, 84)), (networks.dpt, (64, 64))])
def test_a_folder_s_network_sees_pictures(tmp_path, make, shape):
    folder = make(tmp_path / "model")
    one, two = depth_maps([PICTURE, PICTURE[:, ::-1]], folder, "cpu", Silent())
    assert one.shape == two.shape == shape and one.dtype == np.float32
    assert np.ptp(one) > 0 and not np.array_equal(one, two)
    assert np.array_equal(one, depth_maps([PICTURE], folder, "cpu", Silent())[0])


def test_how_pictures_are_prepared_is_told_by_the_folder(tmp_path):
    file, config = tmp_path / "preprocessor_config.json", SimpleNamespace(image_size=384, patch_size=16)
    plain = preparation(tmp_path, config)
    assert plain.size(640, 480) == (384, 384) and plain.mean[0] == 0.485
    file.write_text(json.dumps({"size": {"height": 384, "width": 512}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
                                "keep_aspect_ratio": True, "ensure_multiple_of": 32}))  # fmt: skip
    assert preparation(tmp_path, config).size(1600, 900) == (672, 384)
    assert preparation(tmp_path, config).mean == (0.5, 0.5, 0.5)
    file.write_text(json.dumps({"size_divisor": 32, "do_rescale": True}))
    assert preparation(tmp_path, config).mean == (0, 0, 0) and preparation(tmp_path, config).multiple == 32
    for told in (
        "nonsense",
        '{"size": 0.5}',
        '{"image_std": [0, 1, 1], "image_mean": [0, 0, 0]}',
        '{"size": {"a": "b"}, "image_mean": 1}',
    ):
        file.write_text(told)
        with pytest.raises(WeightsError, match="preprocessor_config"):
            preparation(tmp_path, config)


def test_what_is_no_such_network_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="does not load as AutoModelForDepthEstimation"):
        depth_maps([PICTURE], tmp_path / "empty", "cpu", Silent())
    folder = networks.dpt(tmp_path / "model")
    (folder / "preprocessor_config.json").write_text('{"size": {"height": 32, "width": 64}}')
    with pytest.raises(WeightsError, match="does not take pictures of 64 x 32"):
        depth_maps([PICTURE], folder, "cpu", Silent())
