"""Plain and static backgrounds of synthetic photos whose object's place is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mvgen.core.errors import CannotError
from mvgen.core.io.images import Photo, read_photos, write_image
from mvgen.core.prepare import fixed_background, plain_background, static_backgrounds

ROWS, COLUMNS = 240, 320


def noise(seed: int, rows: int = ROWS, columns: int = COLUMNS, sigma: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, (rows, columns, 3))


def texture(seed: int, grain: int = 8) -> np.ndarray:
    """[ROWS, COLUMNS, 3] 0..255: smooth coloured patches."""
    small = np.random.default_rng(seed).uniform(40, 215, (ROWS // grain, COLUMNS // grain, 3))
    return np.clip(cv2.resize(small, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC), 0, 255)


def blob(turn: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """[ROWS, COLUMNS] bool: a lobed shape in the middle."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    angle = np.arctan2(y - ROWS / 2, x - COLUMNS / 2)
    return np.hypot(y - ROWS / 2, x - COLUMNS / 2) < scale * (62 + 14 * np.cos(3 * angle + turn))


def finished(picture: np.ndarray, seed: int) -> np.ndarray:
    """With noise, and what JPEG leaves of it."""
    noisy = np.clip(picture + noise(seed), 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 85])[1], cv2.IMREAD_COLOR)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(("kind", "level"), [("white", 252), ("black", 4), ("border", 252), ("border", 215)])
def test_a_plain_background_is_found(kind: str, level: int) -> None:
    picture = np.where(blob()[..., None], texture(1) * 0.6 + 50, level)
    inner = blob(scale=0.3)
    picture[inner] = level  # the same colour inside the object
    background = plain_background(finished(picture, 2), kind)
    assert background is not None
    assert overlap(~background, blob()) > 0.95
    assert not background[inner].any()


def test_a_background_may_change_smoothly_and_have_two_colours() -> None:
    y, x = np.mgrid[:ROWS, :COLUMNS]
    wall = 225 - 0.0007 * (x - 160.0) ** 2 - 0.15 * y
    table = 110 + 0.1 * x
    room = np.where(y < 150, wall, table)[..., None] * [1.0, 0.97, 0.9]
    background = plain_background(finished(np.where(blob()[..., None], [150.0, 30, 40], room), 3), "border")
    assert overlap(~background, blob()) > 0.93


def test_what_is_not_plain_is_not_told_apart() -> None:
    assert plain_background(finished(texture(1, 4), 1), "border") is None
    for kind in ("white", "black"):
        assert plain_background(finished(np.full((ROWS, COLUMNS, 3), 128.0), 1), kind) is None


def turntable(folder: Path, plain: bool, count: int = 12, fixed: bool = True) -> list[Photo]:
    """Photos of a turning lobed object; its surface turns with it."""
    folder.mkdir(exist_ok=True)
    wall = np.full((ROWS, COLUMNS, 3), 170.0) if plain else texture(100)
    for k in range(count):
        coat = np.roll(texture(5), 17 * k, axis=1) * 0.7
        room = wall if fixed else np.roll(wall, 23 * k, axis=1)
        light = 1 + 0.04 * np.sin(k)
        picture = np.where(blob(0.5 * k)[..., None], coat, room) * light
        cv2.imwrite(str(folder / f"p{k:02}.jpg"), finished(picture, k), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return list(read_photos(sorted(folder.glob("*.jpg"))))


@pytest.mark.parametrize("plain", [True, False])
def test_the_background_of_a_turntable_is_found(tmp_path: Path, plain: bool) -> None:
    photos = turntable(tmp_path / "set", plain)
    masks = static_backgrounds(photos)
    assert set(masks) == {p.name for p in photos}
    scores = [overlap(~masks[p.name], blob(0.5 * k)) for k, p in enumerate(photos)]
    assert min(scores) > 0.85
    assert np.mean(scores) > 0.92


@pytest.mark.slow
def test_a_spotted_object_is_not_its_own_background(tmp_path: Path) -> None:
    """It hides the middle of the picture in most photos, so its main colour is what is seen there most often."""
    spots = texture(7, 40)[..., :1] > 150
    for k in range(12):
        coat = np.where(np.roll(spots, 31 * k, axis=1), [30.0, 35, 30], [225.0, 235, 240])
        picture = np.where(blob(0.5 * k)[..., None], coat, 0.5 * texture(100, 20))
        cv2.imwrite(str(tmp_path / f"p{k:02}.jpg"), finished(picture, k), [cv2.IMWRITE_JPEG_QUALITY, 85])
    photos = read_photos(sorted(tmp_path.glob("*.jpg")))
    masks = static_backgrounds(photos)
    scores = [overlap(~masks[p.name], blob(0.5 * k)) for k, p in enumerate(photos)]
    assert min(scores) > 0.85
    again = static_backgrounds(photos)
    assert all(np.array_equal(masks[name], again[name]) for name in masks)


def test_a_fixed_background_is_recognised(tmp_path: Path) -> None:
    from mvgen.core.io.images import load_photo

    for plain in (True, False):
        share, fixed = fixed_background([load_photo(p) for p in turntable(tmp_path / str(plain), plain)])
        assert fixed and share > 0.9
    moving = turntable(tmp_path / "moving", False, fixed=False)
    share, fixed = fixed_background([load_photo(p) for p in moving])
    assert not fixed and share < 0.3
    still = [load_photo(moving[0])] * 4
    assert fixed_background(still) == (1.0, False)  # nothing moves at all
    assert fixed_background(still[:2]) == (0.0, False)
    with pytest.raises(CannotError, match="no fixed background"):
        static_backgrounds(moving)


def test_photos_of_different_shapes_have_no_static_background(tmp_path: Path) -> None:
    turntable(tmp_path, True, 4)
    write_image(np.zeros((50, 40, 3), np.uint8), tmp_path / "q.jpg")
    with pytest.raises(CannotError, match="of one shape"):
        static_backgrounds(list(read_photos(sorted(tmp_path.glob("*.jpg")))))
