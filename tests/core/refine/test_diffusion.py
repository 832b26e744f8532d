"""Normal maps drawn anew by a tiny diffusion model of random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.errors import InputError, WeightsError
from mvgen.core.progress import Silent
from mvgen.core.refine import diffusion
from mvgen.core.refine.diffusion import Sharpener, Wish, folders_of
from mvgen.core.refine.relative import own_normals, views_by_normals
from mvgen.core.refine.views import cameras_around
from tests.core.refine import networks
from tests.core.refine.made import ball


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.controlled(tmp_path_factory.mktemp("controlled"))


def test_a_picture_of_all_views_is_drawn_and_taken_apart() -> None:
    maps = own_normals(ball(3, True), cameras_around(ball(3, True), 32)[:5])
    sheet = diffusion._sheet([diffusion._colours(one) for one in maps])
    assert sheet.shape == (64, 96, 3) and sheet.min() >= 0 and sheet.max() <= 1
    assert np.allclose(sheet[0, 0], [0.5, 0.5, 1])  # beside the ball
    for tile, one in zip(diffusion._tiles(sheet, 5), maps):
        assert np.abs(diffusion._normals(tile, one) - one).max() < 1e-5


def test_the_same_seed_draws_the_same(model: Path) -> None:
    sharpener = Sharpener(str(model), "cpu")
    assert sharpener.side == 32
    eyes = cameras_around(ball(3, True), 32)[:6]
    own = own_normals(ball(3, True), eyes)

    def drawn(prompt: str = "a", strength: float = 0.4, seed: int = 0) -> np.ndarray:
        return np.stack(sharpener(own, Wish(prompt, strength, seed), Silent()))

    first = drawn()
    assert first.shape == (6, 32, 32, 3) and not first[~np.stack(own).any(3)].any()
    assert np.array_equal(first, drawn())
    assert not np.array_equal(first, drawn(seed=1)) and not np.array_equal(first, drawn(prompt="b"))
    views = views_by_normals(eyes, own, list(first))
    length = np.linalg.norm(views[0].normals, axis=2)
    assert views[0].outline is None and (np.isclose(length, 1, atol=1e-5) | (length == 0)).all()


def test_what_is_missing_is_named(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(model, whole)
    assert folders_of(str(whole)) == (whole, whole / "controlnet")
    known, found = diffusion.find_weights, []

    def base(given: str) -> Path:
        found.append(given)
        return model if given == "sd-1-5" else known(given)

    monkeypatch.setattr(diffusion, "find_weights", base)
    assert folders_of(str(whole / "controlnet")) == (model, whole / "controlnet") and "sd-1-5" in found
    shutil.rmtree(whole / "controlnet")
    with pytest.raises(WeightsError, match="has no folder controlnet"):
        folders_of(str(whole))
    index = json.loads((whole / "model_index.json").read_text())
    (whole / "model_index.json").write_text(json.dumps(index | {"_class_name": "FluxPipeline"}))
    with pytest.raises(WeightsError, match="holds a FluxPipeline"):
        folders_of(str(whole))
    with pytest.raises(WeightsError, match="neither a pipeline with a ControlNet nor a ControlNet"):
        folders_of(str(model / "unet"))
    with pytest.raises(InputError, match="no such file"):
        folders_of(str(tmp_path / "gone"))
    monkeypatch.setattr(diffusion, "find_weights", known)
    with pytest.raises(WeightsError, match="is not on this machine yet"):
        folders_of("controlnet-tile")
