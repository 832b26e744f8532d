"""A scene folder that stages fill one after the other, so that an interrupted run can go on where it was.

Everything that a stage hands to the next lies in files that other tools read: images/, masks/, sparse/0/,
transforms.json, scene.json, depth/NAME.npz, points.ply, surface.ply. A hidden folder inside keeps which stages are
finished, and the work of those that are not.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvgen.core.errors import CannotError, InputError
from mvgen.core.io.atomic import check_folder_target

HIDDEN = ".mvgen"
PUBLIC = ("images", "masks", "pairs", "sparse", "transforms.json", "scene.json", "depth", "points.ply", "surface.ply")


@dataclass(frozen=True)
class Workspace:
    """A folder and what is finished in it."""

    folder: Path

    @property
    def hidden(self) -> Path:
        return self.folder / HIDDEN

    @property
    def depth_files(self) -> list[Path]:
        return sorted((self.folder / "depth").glob("*.npz"))

    def key(self, stage: str) -> str | None:
        """The key under which a stage was finished, or None."""
        record = self._record(stage)
        return None if record is None else record["key"]

    def facts(self, stage: str) -> dict[str, Any]:
        """What a finished stage has noted; empty for others."""
        return (self._record(stage) or {}).get("facts", {})

    def forget(self, stages: Iterable[str]) -> None:
        """These stages are not finished any more."""
        for stage in stages:
            self._file(stage).unlink(missing_ok=True)

    def finish(self, stage: str, key: str, facts: dict[str, Any]) -> None:
        """A stage's files are all in place. A kill at any moment leaves the stage either finished or not."""
        draft = self._file(stage).with_suffix(".draft")
        draft.write_text(json.dumps({"key": key, "facts": facts}, indent=1), encoding="utf-8")
        draft.replace(self._file(stage))

    def fresh(self, name: str) -> Path:
        """An empty hidden folder of this name."""
        folder = self.hidden / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def kept(self, name: str, key: str) -> Path:
        """A hidden folder of this name that outlives interruptions as long as it is asked for with the same key."""
        folder = self.hidden / name
        mark = folder / "key"
        if not mark.exists() or mark.read_text() != key:
            self.fresh(name)
            mark.write_text(key)
        return folder

    def install(self, draft: Path) -> None:
        """Move the entries of a hidden folder into the scene folder, in place of what has their names."""
        for entry in sorted(draft.iterdir()):
            self.remove([entry.name])
            entry.replace(self.folder / entry.name)
        shutil.rmtree(draft)

    def remove(self, names: Iterable[str]) -> None:
        """Delete entries of the scene folder."""
        for name in names:
            target = self.folder / name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    def discard(self, name: str) -> None:
        """A hidden folder is not needed any more."""
        shutil.rmtree(self.hidden / name, ignore_errors=True)

    def _file(self, stage: str) -> Path:
        return self.hidden / f"{stage}.json"

    def _record(self, stage: str) -> dict[str, Any] | None:
        try:
            record = json.loads(self._file(stage).read_text(encoding="utf-8"))
            return record if isinstance(record["key"], str) and isinstance(record["facts"], dict) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def check_workspace(folder: Path, photos: Iterable[Path] = ()) -> None:
    """Refuse a folder for checkpoints that holds something else, or some of the photos: its pictures are written anew.

    Raises InputError.
    """
    if not (folder / HIDDEN).is_dir():
        check_folder_target(folder)
    inside = folder.resolve()
    for photo in photos:
        if photo.resolve().is_relative_to(inside):
            raise InputError(f"{photo}: lies in {folder}, whose pictures are written anew", "use another --checkpoint")


@contextmanager
def opened(folder: Path) -> Iterator[Workspace]:
    """The workspace in a folder, which is made where it is missing, for this process alone.

    Raises InputError for a folder that holds other things, CannotError while another process works in it.
    """
    check_workspace(folder)
    try:
        (folder / HIDDEN).mkdir(parents=True, exist_ok=True)
        lock = (folder / HIDDEN / "lock").open("w")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}", "choose another folder") from error
    with lock:
        _lock(lock, folder)
        for left in (folder / HIDDEN).glob(".mvgen-*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        yield Workspace(folder)


def _lock(file: Any, folder: Path) -> None:
    """The lock goes with the process, however that ends."""
    try:
        import fcntl
    except ImportError:  # not on this system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CannotError(
            f"{folder}: another run is working in this folder", "wait for it, or use another --checkpoint"
        ) from error


def adopt(source: Path, workspace: Workspace, names: Iterable[str]) -> None:
    """Bring what another scene folder holds under these names into a workspace; by links, as no file is changed."""
    if source.resolve() == workspace.folder.resolve():
        return
    names = list(names)
    workspace.remove(names)
    draft = workspace.fresh("adopted")
    for name in names:
        given = source / name
        if given.is_dir():
            shutil.copytree(given, draft / name, copy_function=link)
        elif given.exists():
            link(given, draft / name)
    workspace.install(draft)


def publish(scene: Path, target: Path, names: Iterable[str] = PUBLIC) -> None:
    """Copy the scene in a folder, or some of it, to a folder that has none of it."""
    for name in names:
        given = scene / name
        if given.is_dir():
            shutil.copytree(given, target / name, copy_function=shutil.copyfile)
        elif given.exists():
            shutil.copyfile(given, target / name)


def link(source: str | Path, target: str | Path) -> None:
    """A second name for a file, or a copy where the disk knows no such thing."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def digest(*parts: Any) -> str:
    """A short text that tells plain values apart from others."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def files_digest(folder: Path, names: Iterable[str]) -> str:
    """The same for the files below a folder, by their names, sizes and times."""
    found = []
    for name in names:
        for path in sorted([folder / name, *(folder / name).rglob("*")]):
            if path.is_file():
                info = path.stat()
                found.append((path.relative_to(folder).as_posix(), info.st_size, info.st_mtime_ns))
    return digest(found)
