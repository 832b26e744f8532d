"""Photos are read as a person holds them, and broken ones are named."""

from __future__ import annotations

import math
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mvgen.core.errors import InputError
from mvgen.core.io.images import (
    check_photo,
    exif_focal,
    exif_gps,
    find_duplicates,
    find_photos,
    load_alpha,
    load_photo,
    read_image,
    read_photo_header,
    read_photos,
    split_bad,
    write_image,
)

ORIENTATION, EXIF, FOCAL, FOCAL_35 = 0x0112, 0x8769, 0x920A, 0xA405
PLANE_X, PLANE_UNIT, PIXELS_X, PIXELS_Y = 0xA20E, 0xA210, 0xA002, 0xA003
GPS, MAKE = 0x8825, 0x010F
STORED = {  # what a camera stores so that the given orientation makes it upright again
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    return small.repeat(16, 0).repeat(16, 1)


def save(path: Path, image: np.ndarray, orientation: int = 1, **exif_values: float) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for tag, value in exif_values.items():
        exif.get_ifd(EXIF)[int(tag[1:])] = value
    Image.fromarray(np.ascontiguousarray(image)).save(path, exif=exif, quality=97, lossless=True)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = picture()
    path = save(tmp_path / f"a.{suffix}", STORED[orientation](upright), orientation)
    header, image = read_photo_header(path), read_image(path)
    assert (header.height, header.width) == image.shape[:2] == upright.shape[:2]
    assert header.orientation == orientation
    assert np.abs(image.astype(int) - upright).mean() < 5
    half = load_photo(header, 32)
    assert half.shape == (24, 32, 3)
    assert np.abs(half.astype(int) - upright[::2, ::2]).mean() < 12


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [
        *[(mode, "png", 0) for mode in ("1", "L", "LA", "P", "RGBA")],
        *[("L", "jpg", 2), ("CMYK", "jpg", 4), ("RGBA", "webp", 0)],
        *[("I;16", "png", 1), ("I;16", "tif", 1), ("F", "tif", 1)],
    ],
)
def test_every_pixel_format_becomes_rgb(tmp_path: Path, mode: str, suffix: str, tolerance: int) -> None:
    grey = picture()[..., :1].repeat(3, -1)
    grey = np.where(grey > 127, 255, 0).astype(np.uint8) if mode == "1" else grey // 64 * 85
    if mode == "I;16":
        source = Image.fromarray(grey[..., 0].astype(np.uint16) * 257)
    elif mode == "F":
        source = Image.fromarray(grey[..., 0].astype(np.float32) / 255)
    else:
        source = Image.fromarray(grey).quantize(16) if mode == "P" else Image.fromarray(grey).convert(mode)
    if mode in ("LA", "RGBA"):
        source.putalpha(Image.fromarray(255 - grey[..., 0] // 2))
    source.save(tmp_path / f"a.{suffix}", quality=98, lossless=True)
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - grey).mean() <= tolerance


def test_other_colour_profiles_become_srgb(tmp_path: Path) -> None:
    from PIL import ImageCms

    flat = np.full((16, 16, 3), 128, np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(flat).save(tmp_path / "broken.png", icc_profile=profile[:100])
    assert np.array_equal(read_image(tmp_path / "broken.png"), flat)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(flat).save(tmp_path / "srgb.png", icc_profile=srgb)
    assert np.array_equal(read_image(tmp_path / "srgb.png"), flat)


def test_focal_length_from_35_mm_equivalent(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", picture(480, 640), 6, **{f"t{FOCAL_35}": 42})
    assert read_photo_header(path).focal_px == pytest.approx(42 / math.hypot(36, 24) * 800)


def test_focal_length_from_the_sensor() -> None:
    values = {FOCAL: 5.4, PLANE_X: 3100.0, PLANE_UNIT: 2, PIXELS_X: 1280, PIXELS_Y: 960}
    assert exif_focal(values, 640, 480) == pytest.approx(5.4 * 3100 / 25.4 / 2)
    assert exif_focal(values, 480, 640) == pytest.approx(5.4 * 3100 / 25.4 / 2)
    assert exif_focal({**values, PLANE_UNIT: 3, PLANE_X: 3100 / 2.54}, 640, 480) == pytest.approx(5.4 * 3100 / 25.4 / 2)
    assert exif_focal({FOCAL: 5.4}, 640, 480) is None


@given(st.dictionaries(st.sampled_from([FOCAL, FOCAL_35, PLANE_X, PLANE_UNIT, PIXELS_X]), st.floats() | st.text()))
def test_any_exif_value_is_survived(values: dict[int, object]) -> None:
    focal = exif_focal(values, 640, 480)
    assert focal is None or 0.2 * 640 < focal < 30 * 640


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("long_side", [None, 40])
def test_truncated_photos_are_named(tmp_path: Path, suffix: str, share: float, long_side: int | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    whole = save(tmp_path / f"whole.{suffix}", noise)
    broken = tmp_path / f"broken.{suffix}"
    broken.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(InputError, match=f"broken.{suffix}"):
        load_photo(read_photo_header(broken), long_side)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("not a picture")
    (tmp_path / "b.png").mkdir()
    for path in (tmp_path / "a.jpg", tmp_path / "b.png", tmp_path / "c.png"):
        with pytest.raises(InputError, match=path.name) as caught:
            read_image(path)
        assert caught.value.hint


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(InputError, match=r"bomb.png.*million"):
        read_photo_header(tmp_path / "bomb.png")


def test_photos_are_found_in_natural_order(tmp_path: Path) -> None:
    for name in ("p10.jpg", "p2.JPG", "p1.png", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "p3.jpg").touch()
    assert [p.name for p in find_photos([tmp_path])] == ["p1.png", "p2.JPG", "p10.jpg"]
    assert [p.name for p in find_photos([tmp_path / "p10.jpg", tmp_path])] == ["p1.png", "p2.JPG", "p10.jpg"]


def test_what_cannot_hold_photos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path / "notes.txt", tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match=path.name):
            find_photos([path])


def test_names_are_unique_and_copies_are_reported(tmp_path: Path) -> None:
    paths = []
    for folder in ("a", "b", "b/a"):
        (tmp_path / folder).mkdir()
        paths.append(save(tmp_path / folder / "p.png", picture()))
    paths.append(save(tmp_path / "a" / "P.jpg", picture()))
    photos = read_photos(paths)
    assert len({Path(p.name).stem.lower() for p in photos}) == 4
    assert photos[0].name == "p.png"
    assert find_duplicates(photos) == [tuple(p.name for p in photos[:3])]


def test_writing_keeps_pixels_and_leaves_nothing_behind(tmp_path: Path) -> None:
    image = picture()
    for suffix in (".png", ".webp", ".tif"):
        write_image(image, tmp_path / f"a{suffix}")
        assert np.array_equal(read_image(tmp_path / f"a{suffix}"), image)
    write_image(image, tmp_path / "a.jpg")
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - image).mean() < 3
    with pytest.raises(InputError, match=r"\.xyz"):
        write_image(image, tmp_path / "a.xyz")
    assert len(list(tmp_path.iterdir())) == 4


def test_places_are_read_from_gps(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(GPS).update({1: "S", 2: (33.0, 51.0, 30.0), 3: "E", 4: (151.0, 12.0, 36.0), 5: b"\1", 6: 12.5})
    Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=exif)
    latitude, longitude, altitude = read_photo_header(tmp_path / "a.jpg").gps
    assert latitude == pytest.approx(-(33 + 51 / 60 + 30 / 3600))
    assert longitude == pytest.approx(151.21)
    assert altitude == -12.5
    assert read_photo_header(save(tmp_path / "b.jpg", picture())).gps is None


@pytest.mark.parametrize("reference", [b"\1", 1, b"\0", 0, None])
def test_altitudes_below_the_sea(reference: object) -> None:
    gps = exif_gps({2: (1, 0, 0), 4: (1, 0, 0), 5: reference, 6: 7})
    assert gps == (1, 1, -7 if reference in (1, b"\1") else 7)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {2: (0, 0, 0), 4: (0, 0, 0)},  # no fix
        {2: (91, 0, 0), 4: (10, 0, 0)},
        {2: (10, 0, 0), 4: (181, 0, 0)},
        {2: (10, 0), 4: (10, 0, 0)},
        {2: (math.nan, 0, 0), 4: (10, 0, 0)},
        {2: "north", 4: (10, 0, 0)},
        {2: 48.5, 4: 9.2},
    ],
)
def test_places_that_make_no_sense_are_passed_over(tags: dict[int, object]) -> None:
    assert exif_gps(tags) is None


hostile = st.floats() | st.text(max_size=3) | st.integers() | st.none() | st.binary(max_size=3)


@given(st.dictionaries(st.integers(1, 6), hostile | st.tuples(hostile, hostile, hostile)))
def test_any_gps_value_is_survived(tags: dict[int, object]) -> None:
    gps = exif_gps(tags)
    assert gps is None or (abs(gps[0]) <= 90 and abs(gps[1]) <= 180)


@pytest.mark.parametrize("orientation", [1, 6])
def test_alpha_lies_over_the_picture(tmp_path: Path, orientation: int) -> None:
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:24, :16] = 255
    rgba = np.dstack([picture(), alpha])
    path = save(tmp_path / "a.png", STORED[orientation](rgba), orientation)
    photo = read_photo_header(path)
    assert np.array_equal(load_alpha(photo), alpha / np.float32(255))
    half = load_alpha(photo, 32)
    assert half.shape == load_photo(photo, 32).shape[:2]
    assert np.array_equal(half, alpha[::2, ::2] / np.float32(255))


def test_opaque_pictures_have_no_alpha(tmp_path: Path) -> None:
    opaque = save(tmp_path / "a.png", np.dstack([picture(), np.full((48, 64), 255, np.uint8)]))
    assert load_alpha(read_photo_header(opaque)) is None
    assert load_alpha(read_photo_header(save(tmp_path / "b.jpg", picture()))) is None


def test_a_transparent_palette_colour_is_alpha(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(48 * 64, dtype=np.uint8).reshape(48, 64) // 128).convert("P")
    image.save(tmp_path / "a.png", transparency=1)
    alpha = load_alpha(read_photo_header(tmp_path / "a.png"))
    assert np.array_equal(alpha == 0, np.asarray(image) == 1)


def test_bad_photos_are_set_apart(tmp_path: Path) -> None:
    good = save(tmp_path / "a.png", picture())
    (tmp_path / "b.png").write_bytes(good.read_bytes()[:20])
    cut = tmp_path / "c.png"
    cut.write_bytes(good.read_bytes()[:-40])
    photos, bad = split_bad([good, tmp_path / "b.png", cut])
    assert [p.name for p in photos] == ["a.png", "c.png"]
    assert [path.name for path, _ in bad] == ["b.png"]
    assert "b.png" in bad[0][1].message
    check_photo(photos[0])
    with pytest.raises(InputError, match=r"c\.png"):
        check_photo(photos[1])
    with pytest.raises(InputError, match=r"b\.png"):
        read_photos([good, tmp_path / "b.png"])


@pytest.mark.parametrize("suffix", ["heic", "avif"])
def test_photos_of_phones(tmp_path: Path, suffix: str) -> None:
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[MAKE] = "Maker"
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 30.0, 0.0), 3: "W", 4: (13.0, 24.0, 0.0)})
    exif.get_ifd(EXIF)[FOCAL_35] = 28
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture()).save(path, exif=exif, quality=95)
    photo = read_photo_header(path)
    assert (photo.width, photo.height, photo.gps, photo.alpha) == (64, 48, (52.5, -13.4, None), False)
    assert photo.focal_px == pytest.approx(28 / math.hypot(36, 24) * 80)
    assert np.abs(load_photo(photo).astype(int) - picture()).mean() < 12  # 4:2:0 chroma
    assert find_photos([tmp_path]) == [path]
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=path.name):
        check_photo(read_photo_header(path))


def test_the_plugin_for_heic_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(InputError, match="pillow-heif") as caught:
        read_photo_header(tmp_path / "a.heic")
    assert "pip install 'mvgen[heic]'" in caught.value.hint
