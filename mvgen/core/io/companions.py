"""Files that another file names as its own: materials, pictures, buffers, points.

A name is followed only into the folder of the file that gives it, or below. What lies elsewhere (``../``, absolute
paths, links that lead out, network addresses) is never opened, since a file from a stranger must not choose what is
read from this machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

from mvgen.core.errors import InputError

Warn = Callable[[str], None]
LARGEST = 1 << 31  # bytes of a companion
_TOGETHER = "keep the files together, or use a self-contained .glb"


def ignore(text: str) -> None:
    """A listener for warnings that hears nothing."""


def companion(path: Path, name: str, quoted: bool = False) -> Path:
    """The file that ``path`` calls ``name``, which stands beside or below it; ``quoted``: the name is a URI.

    Raises InputError where it lies elsewhere, is missing, or is no ordinary file.
    """
    clean = (unquote(name) if quoted else name).strip().replace("\\", "/")
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:", clean):
        raise InputError(f"{path}: refers to {shown(name)}, which is not a file beside it", _TOGETHER)
    if not clean or "\0" in clean:
        raise InputError(f"{path}: refers to a file without a name", _TOGETHER)
    if PurePosixPath(clean).is_absolute() or PureWindowsPath(clean).drive:
        raise InputError(f"{path}: refers to {shown(name)}, which is not a file beside it", _TOGETHER)
    folder = path.resolve().parent
    try:
        found = (folder / clean).resolve()
        if not found.is_relative_to(folder):
            raise InputError(f"{path}: refers to {shown(name)}, outside its folder", _TOGETHER)
        if not found.is_file():
            raise InputError(f"{path}: its companion {shown(name)} is missing", _TOGETHER)
        if found.stat().st_size > LARGEST:
            raise InputError(f"{path}: its companion {shown(name)} is larger than {LARGEST >> 30} GiB", _TOGETHER)
    except (OSError, ValueError, RuntimeError):
        raise InputError(f"{path}: its companion {shown(name)} cannot be found", _TOGETHER) from None
    return found


def read_companion(path: Path, name: str, quoted: bool = False) -> bytes:
    """The bytes of a companion. Raises InputError as `companion`."""
    found = companion(path, name, quoted)
    try:
        return found.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: its companion {shown(name)} cannot be read: {error.strerror}", _TOGETHER) from error


def shown(name: object) -> str:
    """A name or an error of a library as one short line."""
    text = "".join(c if c.isprintable() else "?" for c in " ".join(str(name).split()))
    return text if len(text) <= 120 else text[:117] + "..."


class Companions:
    """What trimesh asks for the companions of an OBJ file: ``get`` and ``[]``.

    A missing or forbidden one is told to ``warn`` and raises FileNotFoundError, so that loading goes on without it.
    """

    def __init__(self, path: Path, warn: Warn):
        self.path, self.warn, self.file_name = path, warn, path.name

    def get(self, name: str) -> bytes:
        name = re.sub(r"^(-\w+(\s+([-+.\d]\S*|on|off))*\s+)+", "", name.strip())  # options of a map_Kd
        try:
            data = read_companion(self.path, name)
        except InputError as error:
            self.warn(f"{error.message}; going on without it")
            raise FileNotFoundError(name) from None
        if name.lower().endswith(".mtl"):
            self._tell_unused(data)
        return data

    __getitem__ = get

    def _tell_unused(self, materials: bytes) -> None:
        keys = {w[0].lower() for line in materials.splitlines() if (w := line.split())}
        maps = sorted(k.decode("latin-1") for k in keys if k in _UNUSED_MAPS)
        if maps:
            self.warn(f"{self.path}: of its materials only the colour and map_Kd are used, not {', '.join(maps)}")


_UNUSED_MAPS = {
    *(b"map_ks", b"map_ns", b"map_d", b"map_ke", b"map_ka", b"map_bump", b"bump", b"norm", b"disp", b"decal"),
    *(b"refl", b"map_pr", b"map_pm", b"map_ps"),
}
