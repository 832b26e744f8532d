"""Writes that either happen whole or leave no trace.

A file or folder is first written under a hidden folder next to its target, so that the final step is a rename on the
same file system. Whatever goes wrong before that (an exception, an interrupt) removes the hidden folder.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mvgen.core.errors import CannotError, InputError

MANIFEST = ".mvgen-files"  # lists what mvgen wrote in a folder, so that it never deletes anything else


@contextmanager
def atomic_file(path: Path, suffix: str | None = None, replace: bool = True) -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` when the block ends well.

    The temporary file has the name of ``path`` (plus ``suffix`` where the name does not end with it), so savers that
    choose a format by extension, or that name companion files after it, do what they should. Companions written next
    to it (an OBJ's materials and pictures) are moved along, the file itself last. A link is followed.

    Raises InputError for a target that cannot be written or that exists while ``replace`` is false, CannotError when
    the disk is full or nothing was written.
    """
    target = path.resolve()
    check_target(path, replace)
    with _hidden_folder(path, target.parent) as hidden:
        draft = hidden / (target.name + missing_suffix(target, suffix))
        yield draft
        if not draft.is_file():
            raise CannotError(f"{path}: nothing was written")
        companions = [p for p in sorted(hidden.iterdir()) if p != draft]
        moves = [(p, target.parent / p.name) for p in companions] + [(draft, target)]
        for _, final in moves:
            check_target(final, replace)
        for source, final in moves:
            if final.exists():
                shutil.copymode(final, source)
            source.replace(final)


@contextmanager
def atomic_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """A temporary folder to fill, which becomes ``path`` when the block ends well.

    An empty folder is replaced, and so is one that holds nothing but files written here before. Any other folder is
    refused with InputError, unless ``replace`` is true: then all of it makes way. Other errors as ``atomic_file``.
    """
    target = path.resolve()
    check_folder_target(path, replace)
    with _hidden_folder(path, target.parent) as hidden:
        draft = hidden / target.name
        draft.mkdir()
        yield draft
        files = sorted(p.relative_to(draft).as_posix() for p in draft.rglob("*") if not p.is_dir())
        (draft / MANIFEST).write_text("".join(f"{name}\n" for name in files), encoding="utf-8")
        check_folder_target(path, replace)
        if target.exists():
            target.rename(hidden / "old")
            try:
                draft.rename(target)
            except BaseException:
                (hidden / "old").rename(target)
                raise
        else:
            draft.rename(target)


@contextmanager
def work_folder() -> Iterator[Path]:
    """An empty folder for scratch data, under TMPDIR, removed when the block ends in any way."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="mvgen-"))
    except OSError as error:
        raise CannotError(
            f"cannot make a temporary folder: {error.strerror}", "set TMPDIR to a folder with space"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_target(path: Path, replace: bool = True) -> None:
    """Refuse early a file that could not be written in the end. Raises InputError."""
    target = path.resolve()
    if target.is_dir():
        raise InputError(f"{path}: is a folder", "name a file")
    if target.exists() and not replace:
        raise InputError(f"{path}: exists already", "choose another name, or allow --overwrite")
    _check_parent(path, target)


def check_folder_target(path: Path, replace: bool = False) -> None:
    """Refuse early a folder that could not be written in the end. Raises InputError."""
    target = path.resolve()
    if target.is_dir():
        stranger = None if replace else _stranger(target)
        if stranger is not None:
            raise InputError(
                f"{path}: holds files that mvgen did not write ({stranger})", "choose a new or an empty folder"
            )
    elif target.exists():
        raise InputError(f"{path}: is a file, not a folder", "name a folder")
    _check_parent(path, target)


def missing_suffix(path: Path, suffix: str | None) -> str:
    """The ``suffix`` if the name of ``path`` does not end with it, else an empty string."""
    return suffix if suffix and not path.name.lower().endswith(suffix.lower()) else ""


def _check_parent(path: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise InputError(f"{path}: its folder does not exist", f"mkdir -p {path.parent}")


def _stranger(folder: Path) -> str | None:
    """A file below ``folder`` that its manifest does not list."""
    manifest = folder / MANIFEST
    listed = set(manifest.read_text(encoding="utf-8").splitlines()) if manifest.is_file() else set()
    for entry in sorted(folder.rglob("*")):
        name = entry.relative_to(folder).as_posix()
        if name != MANIFEST and name not in listed and (entry.is_symlink() or not entry.is_dir()):
            return name
    return None


@contextmanager
def _hidden_folder(path: Path, parent: Path) -> Iterator[Path]:
    """A hidden folder in ``parent``, removed at the end; a refusal or a full disk is told in the name of ``path``."""
    try:
        hidden = Path(tempfile.mkdtemp(prefix=".mvgen-", dir=parent))
    except OSError as error:
        raise _refused(path, error) from error
    try:
        yield hidden
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _refused(path, error) from error
        raise
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _refused(path: Path, error: OSError) -> InputError | CannotError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CannotError(f"{path}: the disk is full", "free some space, or write to another disk")
    if error.errno in (errno.EACCES, errno.EPERM):
        return InputError(f"{path}: no permission to write here", "choose another folder")
    if error.errno == errno.EROFS:
        return InputError(f"{path}: the disk is read-only", "choose another folder")
    return InputError(f"{path}: cannot be written: {error.strerror}", "choose another place")
