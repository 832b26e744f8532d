"""Scenes that files name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvgen.core.errors import InputError
from mvgen.core.io.origin import carried, noted, scene_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """a/b/scene, a/out and a current folder a."""
    for name in ("a/b/scene", "a/out", "far"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    return tmp_path / "a"


def test_a_scene_is_named_as_the_file_sees_it(here: Path) -> None:
    scene = Path("b/scene")
    assert noted({"up": "+Y"}, scene, "x.glb") == {"up": "+Y", "scene": "b/scene"} == noted({"up": "+Y"}, scene, "-")
    assert noted({}, Path("b"), str(here / "out/x.glb")) == {"scene": "../b"}
    assert noted({}, here / "b", "b/x.glb") == {"scene": "."}
    assert noted({"scene": "old"}, None, "x.glb") == {}


def test_what_lies_elsewhere_is_not_named(here: Path) -> None:
    assert noted({}, here.parent / "far" / "b", "out/x.glb") == {} == noted({}, Path("b/scene"), "out/x.glb")
    assert noted({}, here.parent, "x.glb") == {}


def test_it_is_found_again(here: Path) -> None:
    assert scene_of({"scene": "b/scene"}, "x.glb") == Path("b/scene") == scene_of({"scene": "b/scene"}, "-")
    assert scene_of({"scene": "../b"}, "out/x.glb") == Path("out/../b")
    assert scene_of({"up": "+Y"}, "x.glb") is None
    assert carried({"scene": "../b"}, "out/x.glb", "y.glb") == {"scene": "b"}
    assert carried({"scene": "b/scene"}, "x.glb", "out/y.glb") == {} == carried({"scene": ["b"]}, "x.glb", "y.glb")


@pytest.mark.parametrize("name", ["../../far", "../far/../..", "/etc", "link", "c\0d", 7, {"a": 1}, "..", "../.."])
def test_what_climbs_is_not_followed(here: Path, name: object) -> None:
    (here / "link").symlink_to(here.parent / "far" / "..")
    with pytest.raises(InputError, match="neither below its folder nor beside it"):
        scene_of({"scene": name}, "x.glb")


def test_a_missing_one_is_told(here: Path) -> None:
    with pytest.raises(InputError, match=r"x\.glb: names a scene gone that is not there"):
        scene_of({"scene": "gone"}, "x.glb")
