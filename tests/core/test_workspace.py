"""Stages are finished or they are not, whatever happened in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvgen.core.errors import CannotError, InputError
from mvgen.core.workspace import HIDDEN, adopt, check_workspace, digest, files_digest, opened, publish


def test_a_finished_stage_is_remembered_with_its_facts(tmp_path: Path) -> None:
    with opened(tmp_path / "w") as workspace:
        assert workspace.key("sfm") is None and workspace.facts("sfm") == {}
        workspace.finish("sfm", "k1", {"seconds": 3})
    with opened(tmp_path / "w") as workspace:
        assert workspace.key("sfm") == "k1" and workspace.facts("sfm") == {"seconds": 3}
        workspace.forget(["sfm", "stereo"])
        assert workspace.key("sfm") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 3, "facts": {}}', '{"key": "a"}'])
def test_a_damaged_record_counts_as_not_finished(tmp_path: Path, text: str) -> None:
    with opened(tmp_path) as workspace:
        (workspace.hidden / "sfm.json").write_text(text)
        assert workspace.key("sfm") is None


def test_what_is_installed_replaces_what_was_there(tmp_path: Path) -> None:
    with opened(tmp_path / "w") as workspace:
        (workspace.folder / "depth").mkdir()
        (workspace.folder / "depth" / "old.npz").write_text("old")
        draft = workspace.fresh("draft")
        (draft / "depth").mkdir()
        (draft / "depth" / "new.npz").write_text("new")
        (draft / "points.ply").write_text("points")
        workspace.install(draft)
        assert [p.name for p in workspace.depth_files] == ["new.npz"]
        assert (workspace.folder / "points.ply").read_text() == "points"
        assert not draft.exists()


def test_kept_work_goes_when_it_is_asked_for_with_another_key(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        (workspace.kept("stereo", "a") / "state").write_text("x")
        assert (workspace.kept("stereo", "a") / "state").exists()
        assert not (workspace.kept("stereo", "b") / "state").exists()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path / "w"), pytest.raises(CannotError, match="another run"), opened(tmp_path / "w"):
        pass
    with opened(tmp_path / "w"):
        pass


def test_other_folders_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(InputError, match="did not write"), opened(tmp_path / "letters"):
        pass
    assert not (tmp_path / "letters" / HIDDEN).exists()
    (tmp_path / "scene" / "images").mkdir(parents=True)
    (tmp_path / "scene" / "sparse").mkdir()
    (tmp_path / "scene" / "images" / "a.jpg").write_text("mine")
    with pytest.raises(InputError, match="did not write"):
        check_workspace(tmp_path / "scene")


def test_photos_in_the_folder_are_not_written_over(tmp_path: Path) -> None:
    with opened(tmp_path / "w") as workspace:
        (workspace.folder / "images").mkdir()
        photo = workspace.folder / "images" / "a.jpg"
        photo.write_text("the only copy")
    check_workspace(tmp_path / "w", [tmp_path / "b.jpg"])
    with pytest.raises(InputError, match="written anew"):
        check_workspace(tmp_path / "w", [photo])


def test_adopted_files_are_those_of_the_source_and_change_with_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    (source / "images" / "a.jpg").write_text("one")
    (source / "transforms.json").write_text("{}")
    (source / "private.txt").write_text("no")
    before = files_digest(source, ["images", "transforms.json"])
    with opened(tmp_path / "w") as workspace:
        adopt(source, workspace, ["images", "transforms.json", "depth"])
        assert (workspace.folder / "images" / "a.jpg").read_text() == "one"
        assert not (workspace.folder / "private.txt").exists()
    (source / "images" / "b.jpg").write_text("two")
    assert files_digest(source, ["images", "transforms.json"]) != before
    (tmp_path / "out").mkdir()
    publish(tmp_path / "w", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["images", "transforms.json"]


def test_digests_tell_values_apart() -> None:
    values = ["a", ["a"], {"a": 1}, {"a": 2}, None, 1, 1.5, ("a", None)]
    assert len({digest(v) for v in values}) == len(values)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
