"""Photos at the network's size and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.dust3r.pictures import fit_mask, fit_photo, network_picture


@pytest.mark.parametrize(
    ("photo", "size"),
    [
        ((4000, 3000), (512, 384)),
        ((6000, 4000), (512, 336)),
        ((1920, 1080), (512, 288)),
        ((2000, 1000), (512, 256)),
        ((3000, 4000), (384, 512)),
        ((1000, 1000), (512, 384)),
        ((640, 480), (512, 384)),
        ((100, 75), (512, 384)),
    ],
)
def test_known_sizes(photo, size):
    assert fit_photo(*photo, 512).size == size
    assert fit_photo(*photo, 224).size == (224, 224)


def test_a_square_may_stay_square():
    assert fit_photo(1000, 1000, 512, keep_square=True).size == (512, 512)


@given(st.integers(20, 5000), st.integers(20, 5000), st.sampled_from([224, 512]))
def test_crops_lie_within_the_resized_photo_and_divide_into_patches(width, height, image_size):
    if max(width, height) > 16 * min(width, height):
        return
    fit = fit_photo(width, height, image_size)
    for k in (0, 1):
        assert fit.size[k] % 16 == 0 and fit.size[k] >= 16 and fit.corner[k] >= 0
        assert fit.corner[k] + fit.size[k] <= max(fit.resized[k], 16)


@given(st.integers(200, 5000), st.integers(200, 5000))
def test_intrinsics_go_there_and_back(width, height):
    fit = fit_photo(width, height, 512)
    k = np.array([[0.9 * width, 0, 0.45 * width], [0, 0.8 * width, 0.52 * height], [0, 0, 1]])
    assert np.allclose(fit.to_photo(fit.to_picture(k)), k)
    assert np.allclose(fit.to_picture(k)[2], [0, 0, 1])


def test_a_mark_is_where_the_fit_says():
    photo = np.zeros((600, 800, 3), np.uint8)
    photo[296:304, 196:204] = 255  # about (200, 300)
    fit = fit_photo(800, 600, 512)
    picture = network_picture(photo, fit)
    assert picture.shape == (3, 384, 512) and picture.min() >= -1 and picture.max() <= 1
    weight = picture[0] + 1
    y, x = np.mgrid[:384, :512] + 0.5
    found = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    assert np.allclose(found, (fit.matrix() @ [200, 300, 1])[:2], atol=0.05)
    mask = fit_mask(photo[..., 0] > 0, fit)
    assert mask.shape == (384, 512) and np.allclose([x[mask].mean(), y[mask].mean()], found, atol=0.3)
