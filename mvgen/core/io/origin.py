"""Where the photos of a result lie: its metadata name the scene folder, relative to the file.

Only a folder below that of the file, or right beside it, is named, and none other is followed: so a file tells nothing
of the machine that made it, and does not choose what is read on another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mvgen.core.errors import InputError
from mvgen.core.io.companions import shown

SCENE = "scene"  # in the metadata


def noted(metadata: dict[str, Any], scene: Path | None, file: str) -> dict[str, Any]:
    """Metadata for a file that name a scene folder, and no other; none where it is None or lies elsewhere.

    file: ``-`` is a stream, as if it lay in the current folder.
    """
    rest = {key: value for key, value in metadata.items() if key != SCENE}
    name = None if scene is None else _name(scene.resolve(), _home(file))
    return rest if name is None else rest | {SCENE: name}


def carried(metadata: dict[str, Any], source: str, file: str) -> dict[str, Any]:
    """Metadata of a file ``source`` for another one that is in the same scene."""
    name = metadata.get(SCENE)
    return noted(metadata, _home(source) / name if isinstance(name, str) and "\0" not in name else None, file)


def scene_of(metadata: dict[str, Any], file: str) -> Path | None:
    """The scene folder that the metadata of a file name, or None where they name none.

    Raises InputError where it lies elsewhere or is missing.
    """
    name = metadata.get(SCENE)
    if name is None:
        return None
    told = f"{file}: names a scene {shown(name)}"
    if not isinstance(name, str) or "\0" in name or _name((_home(file) / name).resolve(), _home(file)) is None:
        raise InputError(f"{told} that is neither below its folder nor beside it", "name the scene with --images")
    path = Path(name) if file == "-" else Path(file).parent / name
    if not path.is_dir():
        raise InputError(f"{told} that is not there", "name the scene with --images")
    return path


def _home(file: str) -> Path:
    return Path.cwd() if file == "-" else Path(file).resolve().parent


def _name(scene: Path, home: Path) -> str | None:
    """A resolved folder as seen from another."""
    if scene.is_relative_to(home):
        return scene.relative_to(home).as_posix()
    return f"../{scene.name}" if scene.parent == home.parent and scene.name else None
