"""Known cameras find their photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mvgen.core.errors import InputError, UsageError
from mvgen.core.io.images import read_photos
from mvgen.core.sfm.known import known_cameras, parse_intrinsics
from mvgen.core.sfm.lens import Lens
from mvgen.core.sfm.pictures import Known, Picture, with_known
from tests.core.sfm import worlds


def camera_file(path: Path, names: list[str]) -> Path:
    cameras = worlds.sideways(len(names))
    views = [
        {
            "name": name,
            "width": c.width,
            "height": c.height,
            "intrinsics": c.intrinsics.tolist(),
            "world_to_camera": c.world_to_camera.tolist(),
        }
        for name, c in zip(names, cameras)
    ]
    path.write_text(json.dumps({"views": views}))
    return path


def test_by_name_then_by_stem(tmp_path: Path) -> None:
    image = worlds.texture(0, 60, 80)
    photos = read_photos([worlds.save_photo(image, tmp_path / f"{n}.jpg") for n in ("a", "b", "c")])
    path = camera_file(tmp_path / "cameras.json", ["b.png", "a.jpg"])
    known = known_cameras(photos, path, poses=True)
    assert sorted(known) == ["a.jpg", "b.jpg"]
    found = known["a.jpg"].pose
    assert found is not None and np.allclose(found, worlds.sideways(2)[1].world_to_camera)
    assert known_cameras(photos, path, poses=False)["a.jpg"].pose is None
    with pytest.raises(InputError, match="knows none of the photos"):
        known_cameras(photos, camera_file(tmp_path / "other.json", ["x.jpg", "y.jpg"]), poses=True)


def test_lenses_in_words(tmp_path: Path) -> None:
    photos = read_photos([worlds.save_photo(worlds.texture(0, 60, 80), tmp_path / "a.jpg")])
    assert parse_intrinsics("90", photos)["a.jpg"].lens == Lens.simple(80, 60, 90)
    assert parse_intrinsics("90,91,41,29", photos)["a.jpg"].lens == Lens(80, 60, (90, 91, 41, 29, 0, 0, 0, 0))
    lens = parse_intrinsics("90,91,41,29,-0.1,0.01,0.001,0", photos)["a.jpg"].lens
    assert lens is not None and lens.params[4:] == (-0.1, 0.01, 0.001, 0)
    for text in ("", "wide", "90,91", "0", "-5", "nan", "90,0,1,1", "90,91,1,2,3"):
        with pytest.raises(UsageError, match="--intrinsics"):
            parse_intrinsics(text, photos)


def test_a_lens_follows_the_size_of_the_picture_but_not_its_shape(tmp_path: Path) -> None:
    picture = Picture("a.jpg", tmp_path / "a.jpg", 40, 30, None, 0)
    found = with_known([picture], {"a.jpg": Known(Lens(80, 60, (90, 92, 42, 29, 0.1, 0, 0, 0)))})[0]
    assert found.lens == Lens(40, 30, (45, 46, 21, 14.5, 0.1, 0, 0, 0)) and found.focal == 45
    with pytest.raises(InputError, match="another shape"):
        with_known([picture], {"a.jpg": Known(Lens.simple(60, 80, 90))})
