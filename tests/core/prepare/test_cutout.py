"""One picture's foreground, in every way it can be told."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.prepare.cutout import bled, cropped, cut_out, squared


def disc(size=200, radius=60, centre=None):
    y, x = np.mgrid[:size, :size] + 0.5
    cx, cy = centre or (size / 2, size / 2)
    return (x - cx) ** 2 + (y - cy) ** 2 < radius**2


def photo(mask, ground, seed=0):
    """A red, textured object on a ground of "plain" or "cluttered" colours."""
    rng = np.random.default_rng(seed)
    height, width = mask.shape
    if ground == "plain":
        image = np.full((height, width, 3), (235, 238, 240), np.uint8)
    else:
        small = rng.integers(0, 200, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
        small[..., 0] //= 3
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    red = np.clip(rng.normal([190, 50, 40], 12, (height, width, 3)), 0, 255).astype(np.uint8)
    return np.where(mask[..., None], red, image)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize(("ground", "how", "least"), [("plain", "plain", 0.97), ("cluttered", "grabcut", 0.95)])
def test_colours_tell_the_object(tmp_path, ground, how, least):
    Image.fromarray(photo(disc(), ground)).save(tmp_path / "p.png")
    found = cut_out(tmp_path / "p.png")
    assert found.how == how and iou(found.alpha > 0.5, disc()) > least


def test_transparency_and_masks_come_first(tmp_path):
    image = photo(disc(), "plain")
    Image.fromarray(np.dstack([image, 255 * disc(radius=40).astype(np.uint8)])).save(tmp_path / "rgba.png")
    found = cut_out(tmp_path / "rgba.png")
    assert found.how == "alpha" and (found.alpha > 0.5).sum() == disc(radius=40).sum()
    Image.fromarray(255 * disc(radius=20).astype(np.uint8)).save(tmp_path / "m.png")
    masked = cut_out(tmp_path / "rgba.png", tmp_path / "m.png")
    assert masked.how == "mask" and (masked.alpha > 0.5).sum() == disc(radius=20).sum()


@pytest.mark.parametrize("mode", ["P", "CMYK", "L", "LA", "I;16", "1"])
def test_pictures_of_every_mode(tmp_path, mode):
    grey = np.where(disc(), 30, 230).astype(np.uint8)
    name = tmp_path / ("p.tif" if mode == "CMYK" else "p.png")
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(name)
    elif mode == "LA":
        Image.fromarray(np.dstack([grey, 255 * disc().astype(np.uint8)])).save(name)
    else:
        Image.fromarray(np.dstack([grey] * 3)).convert(mode).save(name)
    assert iou(cut_out(name).alpha > 0.5, disc()) > 0.97


def test_an_object_at_the_border_and_a_large_picture(tmp_path):
    mask = disc(3000, 900, (300, 1500))
    Image.fromarray(photo(mask, "plain")).save(tmp_path / "p.jpg")
    found = cut_out(tmp_path / "p.jpg")
    assert found.alpha.shape == (2048, 2048)
    small = cv2.resize(mask.astype(np.uint8), (2048, 2048), interpolation=cv2.INTER_AREA) > 0
    assert iou(found.alpha > 0.5, small) > 0.97
    part = cropped(found)
    assert found.alpha[:, 0].any() and (part.alpha[:, 0] == 0).all()  # beyond the picture there is nothing


def test_specks_and_pinholes_of_computed_masks_go(tmp_path):
    mask = disc()
    image = photo(mask, "plain")
    image[10:13, 10:13] = 0
    image[100, 100] = 255
    Image.fromarray(image).save(tmp_path / "p.png")
    found = cut_out(tmp_path / "p.png")
    assert not (found.alpha[:20, :20] > 0).any() and found.alpha[100, 100] == 1


def test_what_cannot_be_is_said(tmp_path):
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(CannotError, match=r"grey\.png: .*--mask|grey\.png: "):
        cut_out(tmp_path / "grey.png")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "black.png")
    Image.fromarray(photo(disc(64, 20), "plain")).save(tmp_path / "p.png")
    with pytest.raises(CannotError, match="keeps nothing"):
        cut_out(tmp_path / "p.png", tmp_path / "black.png")
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(tmp_path / "wide.png")
    with pytest.raises(InputError, match="another shape"):
        cut_out(tmp_path / "p.png", tmp_path / "wide.png")
    with pytest.raises(CannotError, match="no transparent parts"):
        cut_out(tmp_path / "p.png", way="alpha")
    with pytest.raises(UsageError, match="rembg"):
        cut_out(tmp_path / "p.png", way="rembg")
    Image.fromarray(np.dstack([np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)])).save(
        tmp_path / "no.png"
    )
    with pytest.raises(CannotError, match="no foreground"):
        cut_out(tmp_path / "no.png")


@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_squares_hold_the_object_in_the_middle(tmp_path, ratio):
    Image.fromarray(photo(disc(200, 30, (60, 140)), "plain")).save(tmp_path / "p.png")
    square = squared(cut_out(tmp_path / "p.png"), 256, ratio)
    assert square.shape == (256, 256, 3)
    rows, columns = np.nonzero(np.abs(square.astype(int) - 127).max(-1) > 20)
    for at in (rows, columns):
        assert (at.min() + at.max() + 1) / 2 == pytest.approx(128, abs=2)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(256 * ratio, abs=4)
    assert (square[0, 0] == 127).all()


def test_colours_bleed_without_dark_seams_at_any_level():
    image, known = photo(disc(), "plain"), disc()
    image[~known] = 0
    full = bled(image, known)
    assert (full[known] == image[known]).all()
    for level in range(4):
        size = 200 >> level
        small = cv2.resize(full, (size, size), interpolation=cv2.INTER_AREA).astype(float)
        touched = cv2.resize(known.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA) > 0
        assert small[touched][:, 0].min() > 120, level


def test_the_shared_photo_of_a_cup():
    path = Path(os.environ.get("MVGEN_DATA", "none")) / "single_image" / "skimage_photos" / "coffee.png"
    if not path.is_file():
        pytest.skip("needs MVGEN_DATA")
    found = cut_out(path)
    mask = found.alpha > 0.5
    assert found.how == "grabcut" and mask[60:380, 100:460].mean() > 0.8 and mask[:, 520:].mean() < 0.02
