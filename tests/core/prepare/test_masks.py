"""Masks are found by name, laid over their photos, and joined."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvgen.core.errors import InputError
from mvgen.core.io.images import Photo, load_photo, read_mask, read_photo_header, read_photos, write_image, write_mask
from mvgen.core.prepare import MaskOptions, find_masks, photo_mask
from mvgen.core.progress import Silent

WHOLE = MaskOptions(shrink=0)


class Warnings(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, text: str) -> None:
        self.lines.append(text)


def photos(folder: Path, *names: str) -> tuple[Photo, ...]:
    folder.mkdir(exist_ok=True)
    for name in names:
        write_image(np.full((30, 40, 3), 90, np.uint8), folder / name)
    return read_photos([folder / name for name in names])


def half(rows: int = 30, columns: int = 40) -> np.ndarray:
    mask = np.zeros((rows, columns), bool)
    mask[: rows // 2, : columns // 4] = True
    return mask


@pytest.mark.parametrize(
    "name", ["a.jpg.png", "a.png", "A_mask.PNG", "a.mask.png", "a-mask.png", "a.tif", "a_mask.webp"]
)
def test_masks_are_found_by_name(tmp_path: Path, name: str) -> None:
    (photo,) = photos(tmp_path / "p", "a.jpg")
    (tmp_path / "m").mkdir()
    Image.fromarray(half()).convert("L").save(tmp_path / "m" / name)
    found = find_masks([photo], tmp_path / "m")
    assert found == {"a.jpg": tmp_path / "m" / name}
    kept = photo_mask(photo, load_photo(photo), WHOLE, found["a.jpg"])
    assert np.array_equal(kept.keep, half()) and not kept.remarks


def test_photos_without_mask_are_named(tmp_path: Path) -> None:
    some = photos(tmp_path / "p", "a.jpg", "b.jpg")
    (tmp_path / "m").mkdir()
    write_mask(half(), tmp_path / "m" / "a.png")
    warnings = Warnings()
    assert set(find_masks(some, tmp_path / "m", warnings)) == {"a.jpg"}
    assert len(warnings.lines) == 1 and "b.jpg" in warnings.lines[0] and "a.jpg" not in warnings.lines[0]


def test_a_photo_is_not_its_own_mask(tmp_path: Path) -> None:
    some = photos(tmp_path, "a.png", "b.png")
    with pytest.raises(InputError, match="no masks"):
        find_masks(some, tmp_path)
    write_mask(half(), tmp_path / "a_mask.png")
    assert find_masks(some[:1], tmp_path) == {"a.png": tmp_path / "a_mask.png"}
    with pytest.raises(InputError, match="no such folder"):
        find_masks(some, tmp_path / "none")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_may_be_stored_like_their_photo(tmp_path: Path, orientation: int) -> None:
    from tests.core.io.test_images import STORED

    photo = replace(photos(tmp_path, "a.jpg")[0], orientation=orientation)
    image = np.zeros((30, 40, 3), np.uint8)
    for k, stored in enumerate((half(), STORED[orientation](half()[..., None])[..., 0])):
        if k and orientation in (2, 3, 4):
            continue  # of the same shape: such a mask is taken for upright
        write_mask(stored, tmp_path / "m.png")
        assert np.array_equal(photo_mask(photo, image, WHOLE, tmp_path / "m.png").keep, half())


@pytest.mark.parametrize("size", [(15, 20), (60, 80), (299, 400)])
def test_masks_of_another_size_are_resampled(tmp_path: Path, size: tuple[int, int]) -> None:
    (photo,) = photos(tmp_path, "a.jpg")
    write_mask(half(*size), tmp_path / "m.png")
    keep = photo_mask(photo, load_photo(photo), WHOLE, tmp_path / "m.png").keep
    assert (keep != half()).mean() < 0.03


def test_masks_of_another_shape_are_refused(tmp_path: Path) -> None:
    (photo,) = photos(tmp_path, "a.jpg")
    write_mask(half(300, 415), tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m\.png.*415x300.*a\.jpg.*40x30"):
        photo_mask(photo, load_photo(photo), WHOLE, tmp_path / "m.png")
    (tmp_path / "m.png").write_bytes(b"not a mask")
    with pytest.raises(InputError, match=r"m\.png"):
        photo_mask(photo, load_photo(photo), WHOLE, tmp_path / "m.png")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "labels", "cutout"])
def test_masks_of_many_kinds(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(half().astype(np.uint8) * 255)
    if mode == "labels":
        grey = Image.fromarray(half().astype(np.uint8))
    elif mode == "cutout":
        grey = Image.merge("RGBA", [Image.new("L", grey.size, 80)] * 3 + [grey])
    else:
        grey = grey.convert(mode)
    grey.save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), half())


def test_sources_are_joined_and_shrunk(tmp_path: Path) -> None:
    image = np.full((60, 80, 3), 255, np.uint8)
    image[10:50, 10:70] = (40, 90, 160)
    alpha = np.full((60, 80, 1), 255, np.uint8)
    alpha[:, :20] = 0
    Image.fromarray(np.concatenate([image, alpha], -1)).save(tmp_path / "a.png")
    drawn = np.ones((60, 80), bool)
    drawn[40:] = False
    write_mask(drawn, tmp_path / "m.png")
    photo = read_photo_header(tmp_path / "a.png")
    wanted = np.zeros((60, 80), bool)
    wanted[10:40, 20:70] = True
    keep = photo_mask(photo, image, MaskOptions("white", shrink=0), tmp_path / "m.png").keep
    assert (keep != wanted).sum() <= 8  # corners that the filter against noise rounds off
    smaller = photo_mask(photo, image, MaskOptions("white", shrink=3), tmp_path / "m.png").keep
    inner = np.zeros_like(wanted)
    inner[13:37, 23:67] = True
    assert np.array_equal(smaller & inner, inner) and (smaller & ~inner).sum() == 0


def test_masks_that_keep_nothing_or_all_are_remarked(tmp_path: Path) -> None:
    (photo,) = photos(tmp_path, "a.jpg")
    image = load_photo(photo)
    write_mask(np.zeros((30, 40), bool), tmp_path / "m.png")
    empty = photo_mask(photo, image, WHOLE, tmp_path / "m.png")
    assert not empty.keep.any() and "keeps nothing" in empty.remarks[0]
    write_mask(np.ones((30, 40), bool), tmp_path / "m.png")
    full = photo_mask(photo, image, WHOLE, tmp_path / "m.png")
    assert full.keep is None and "keeps all" in full.remarks[0]
    plain = photo_mask(photo, image, MaskOptions("border"))
    assert plain.keep is None and "would be all of it" in plain.remarks[0]
    missed = photo_mask(photo, image, MaskOptions("white"))
    assert missed.keep is None and "not told apart" in missed.remarks[0]
    assert photo_mask(photo, image, WHOLE).keep is None


def test_static_backgrounds_are_laid_over_their_photo(tmp_path: Path) -> None:
    (photo,) = photos(tmp_path, "a.jpg")
    options = MaskOptions("static", shrink=0)
    small = half()[::2, ::2]
    keep = photo_mask(photo, load_photo(photo), options, static={"a.jpg": small}).keep
    assert (keep == half()).mean() < 0.03
    assert photo_mask(photo, load_photo(photo), options).remarks


@pytest.mark.skipif("MVGEN_DATA" not in os.environ, reason="needs MVGEN_DATA")
def test_real_masks_lie_beside_their_photos() -> None:
    data = Path(os.environ["MVGEN_DATA"]) / "photos" / "opensfm_berlin"
    real = read_photos(sorted((data / "images").glob("*.jpg")))
    found = find_masks(real, data / "masks")
    assert len(found) == len(real)
    for photo in real[:2]:
        keep = photo_mask(photo, load_photo(photo, 800), WHOLE, found[photo.name]).keep
        assert 0.9 < keep.mean() < 1
