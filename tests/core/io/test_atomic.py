"""Outputs appear whole or not at all, and nothing else in the folder changes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from mvgen.core.errors import CannotError, InputError
from mvgen.core.io.atomic import MANIFEST, atomic_file, atomic_folder, work_folder

STOPS = [ValueError, KeyboardInterrupt, SystemExit]


def _tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def test_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "scene.tar.glb"
    with atomic_file(target) as draft:
        assert draft.name == "scene.tar.glb"
        draft.write_bytes(b"new")
        assert not target.exists()
    assert _tree(tmp_path) == {"scene.tar.glb": b"new"}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("before", [None, b"old"])
def test_stopped_file_changes_nothing(tmp_path: Path, stop: type[BaseException], before: bytes | None) -> None:
    target = tmp_path / "scene.glb"
    if before is not None:
        target.write_bytes(before)
    was = _tree(tmp_path)
    with pytest.raises(stop), atomic_file(target) as draft:
        draft.write_bytes(b"half")
        raise stop
    assert _tree(tmp_path) == was


def test_suffix_is_for_the_saver_only(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "scene", ".glb") as draft:
        assert draft.suffix == ".glb"
        draft.write_bytes(b"x")
    with atomic_file(tmp_path / "b.GLB", ".glb") as draft:
        assert draft.name == "b.GLB"
        draft.write_bytes(b"y")
    assert _tree(tmp_path) == {"scene": b"x", "b.GLB": b"y"}


def test_companions_come_along(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a.obj") as draft:
        draft.write_text("mtllib a.mtl")
        draft.with_suffix(".mtl").write_text("newmtl m")
    assert sorted(_tree(tmp_path)) == ["a.mtl", "a.obj"]


def test_companion_is_not_replaced_without_leave(tmp_path: Path) -> None:
    (tmp_path / "a.mtl").write_text("mine")
    with (
        pytest.raises(InputError, match=r"a\.mtl: exists already"),
        atomic_file(tmp_path / "a.obj", replace=False) as draft,
    ):
        draft.write_text("obj")
        draft.with_suffix(".mtl").write_text("theirs")
    assert _tree(tmp_path) == {"a.mtl": b"mine"}


def test_link_is_followed_and_mode_kept(tmp_path: Path) -> None:
    real = tmp_path / "real.ply"
    real.write_bytes(b"old")
    real.chmod(0o640)
    (tmp_path / "link.ply").symlink_to(real)
    with atomic_file(tmp_path / "link.ply") as draft:
        draft.write_bytes(b"new")
    assert (tmp_path / "link.ply").is_symlink()
    assert real.read_bytes() == b"new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a.ply") as draft:
        draft.write_bytes(b"x")
    (tmp_path / "b.ply").write_bytes(b"x")
    assert (tmp_path / "a.ply").stat().st_mode == (tmp_path / "b.ply").stat().st_mode


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing/a.glb", "folder does not exist"), ("folder", "is a folder"), ("old.glb", "exists already")],
)
def test_impossible_target_is_refused_before_work(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "old.glb").touch()
    with pytest.raises(InputError, match=words) as caught, atomic_file(tmp_path / name, replace=False):
        pytest.fail("the work began")
    assert str(tmp_path / name) in caught.value.message
    assert caught.value.hint


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="nothing was written"), atomic_file(tmp_path / "a.ply"):
        pass
    assert _tree(tmp_path) == {}


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "disk is full")])
def test_full_disk_is_told(tmp_path: Path, code: int, words: str) -> None:
    with pytest.raises(CannotError, match=words), atomic_file(tmp_path / "a.ply"):
        raise OSError(code, os.strerror(code))
    assert _tree(tmp_path) == {}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_no_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="no permission"), atomic_file(tmp_path / "a.ply"):
            pytest.fail("the work began")
    finally:
        tmp_path.chmod(0o700)


def test_refused_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(InputError, match=r"a\.ply: no permission"), atomic_file(tmp_path / "a.ply"):
        pytest.fail("the work began")


def test_folder_is_replaced_as_a_whole_when_it_is_ours(tmp_path: Path) -> None:
    target = tmp_path / "frames"
    for names in (["a.png", "sub/b.png"], ["c.png"]):
        with atomic_folder(target) as draft:
            for name in names:
                (draft / name).parent.mkdir(exist_ok=True)
                (draft / name).write_text(name)
    assert sorted(_tree(target)) == [MANIFEST, "c.png"]
    assert [p.name for p in tmp_path.iterdir()] == ["frames"]


def test_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    with atomic_folder(tmp_path / "frames") as draft:
        (draft / "a.png").write_text("a")
    assert (tmp_path / "frames" / "a.png").is_file()


@pytest.mark.parametrize("ours_first", [False, True])
def test_folder_with_strangers_is_left_alone(tmp_path: Path, ours_first: bool) -> None:
    target = tmp_path / "frames"
    if ours_first:
        with atomic_folder(target) as draft:
            (draft / "a.png").write_text("a")
    target.mkdir(exist_ok=True)
    (target / "thesis.tex").write_text("precious")
    was = _tree(tmp_path)
    with pytest.raises(InputError, match=r"thesis\.tex"), atomic_folder(target):
        pytest.fail("the work began")
    assert _tree(tmp_path) == was


def test_strangers_make_way_when_the_caller_says_so(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "old.txt").touch()
    with atomic_folder(tmp_path / "frames", replace=True) as draft:
        (draft / "a.png").write_text("a")
    assert sorted(_tree(tmp_path / "frames")) == [MANIFEST, "a.png"]


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_folder_changes_nothing(tmp_path: Path, stop: type[BaseException]) -> None:
    with atomic_folder(tmp_path / "frames") as draft:
        (draft / "a.png").write_text("a")
    was = _tree(tmp_path)
    with pytest.raises(stop), atomic_folder(tmp_path / "frames") as draft:
        (draft / "b.png").write_text("b")
        raise stop
    assert _tree(tmp_path) == was


@pytest.mark.parametrize(("name", "words"), [("file", "is a file"), ("missing/frames", "folder does not exist")])
def test_impossible_folder_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=words), atomic_folder(tmp_path / name):
        pytest.fail("the work began")


@pytest.mark.parametrize("stop", STOPS)
def test_work_folder_vanishes(stop: type[BaseException]) -> None:
    with pytest.raises(stop), work_folder() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "data.bin").write_bytes(b"x")
        raise stop
    assert not folder.exists()


def test_work_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(CannotError, match="temporary folder") as caught, work_folder():
        pytest.fail("the work began")
    assert "TMPDIR" in str(caught.value.hint)
