"""More contrast, more sharpness, nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mvgen.core.prepare import EnhanceOptions, enhance


def dull(seed: int = 0) -> np.ndarray:
    """A soft picture [96, 128, 3] of little contrast."""
    small = np.random.default_rng(seed).uniform(100, 140, (12, 16, 3))
    return np.clip(cv2.resize(small, (128, 96), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def light(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0].astype(float)


def test_off_by_default() -> None:
    image = dull()
    assert enhance(image, EnhanceOptions()) is image


def test_contrast_grows_with_the_option() -> None:
    spread = [light(enhance(dull(), EnhanceOptions(contrast=c))).std() for c in (0, 1, 3)]
    assert spread[0] < spread[1] < spread[2]


def test_sharpness_grows_with_the_option_where_there_is_detail() -> None:
    image = dull()
    image[40:60, 40:80] = 160
    edge = [cv2.Laplacian(light(enhance(image, EnhanceOptions(sharpness=s))), cv2.CV_64F).var() for s in (0, 0.5, 2)]
    assert edge[0] < edge[1] < edge[2]
    flat = np.full((40, 40, 3), 77, np.uint8)
    assert np.abs(enhance(flat, EnhanceOptions(sharpness=2)).astype(int) - flat).max() <= 1


@pytest.mark.parametrize("options", [EnhanceOptions(contrast=2), EnhanceOptions(sharpness=1), EnhanceOptions(3, 2)])
def test_hue_and_input_are_kept(options: EnhanceOptions) -> None:
    image = dull(1)
    before = image.copy()
    out = enhance(image, options)
    assert out.shape == image.shape and out.dtype == np.uint8
    assert np.array_equal(image, before)
    assert np.array_equal(out, enhance(image, options))
    shift = np.abs(cv2.cvtColor(out, cv2.COLOR_RGB2LAB).astype(int) - cv2.cvtColor(image, cv2.COLOR_RGB2LAB))[..., 1:]
    assert np.median(shift) <= 1
