"""Splats in files: PLY (plain and compressed), .splat, SPZ, .ksplat, SOG, glTF and gsgen checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.io import gltf as gltf_files
from mvgen.core.io import ply as ply_files
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.io.meshes import format_of
from mvgen.core.io.sniff import HEAD
from mvgen.core.splats import compressed, gltf, gsgen, ksplat, ply, sog, splat, spz
from mvgen.core.splats.model import Frame, Splats

READ_FORMATS = (".ply", ".splat", ".spz", ".ksplat", ".sog", ".glb", ".gltf", ".pt")
WRITE_FORMATS = (".ply", ".compressed.ply", ".splat", ".spz")
WRITTEN_FRAMES: dict[str, Frame] = {".ply": "rdf", ".compressed.ply": "rdf", ".splat": "rdf", ".spz": "rub"}


def load_splats(path: Path | str, warn: Warn = ignore, frame: Frame | None = "rdf") -> Splats:
    """The splats in a file, or in a folder of SOG, brought to a frame; where it is None, as the file has them.

    The first bytes tell the format where they can, else the extension. ``warn`` is told, in a line each, what is left
    out. Raises InputError when the file is missing, empty, damaged, of another kind, or holds no splats.
    """
    path = _file(Path(path))
    data, name = _bytes(path), str(path)
    kind = format_of(data, path)
    if kind == ".ply":
        splats = ply.read_ply(data, name, warn)
    elif kind == ".splat":
        splats = splat.read_splat(data, name, warn)
    elif kind == ".spz":
        splats = spz.read_spz(data, name, warn)
    elif kind == ".ksplat":
        splats = ksplat.read_ksplat(data, name, warn)
    elif kind == ".sog":
        splats = sog.read_sog(data, path, warn)
    elif kind in (".glb", ".gltf"):
        splats = gltf.read_gltf(data, path, warn)
    elif kind == ".pt":
        splats = gsgen.read_gsgen(data, name, warn)
    else:
        raise InputError(f"{path}: is not a file of splats", "give a file of kind " + ", ".join(READ_FORMATS))
    return splats if frame is None else splats.in_frame(frame)


def save_splats(splats: Splats, path: Path | str, format: str | None = None) -> None:
    """Write splats as 3DGS PLY, compressed PLY (NAME.compressed.ply), .splat or SPZ version 3, in the format's frame.

    format: one of WRITE_FORMATS, where the name does not tell it. Raises UsageError for another one, CannotError where
    there are no splats, or numbers that are not finite.
    """
    path = Path(path)
    kind = format or written_format(path.name)
    writers: dict[str | None, Callable[[Splats], bytes]] = {
        ".ply": ply.ply_bytes,
        ".compressed.ply": compressed.compressed_bytes,
        ".splat": splat.splat_bytes,
        ".spz": spz.spz_bytes,
    }
    if kind not in writers:
        raise UsageError(
            f"{path}: splats cannot be written as {path.suffix or 'this'}", "use " + ", ".join(WRITE_FORMATS)
        )
    if not len(splats):
        raise CannotError(f"{path}: there are no splats to write")
    if not all(np.isfinite(a).all() for a in (splats.means, splats.log_scales, splats.logits, splats.harmonics)):
        raise CannotError(f"{path}: has splats with numbers that are not finite")
    path.write_bytes(writers[kind](splats))


def written_format(name: str) -> str | None:
    """The one of WRITE_FORMATS that a file's name ends with; None where there is none."""
    return next((end for end in sorted(WRITE_FORMATS, key=len, reverse=True) if name.lower().endswith(end)), None)


def not_kept(splats: Splats, format: str) -> list[str]:
    """What one of WRITE_FORMATS does not hold of splats, a line for each."""
    if format != ".splat":
        return []
    out = ["colours that change with the direction are not kept"] if splats.degree else []
    return [*out, "metadata is not kept"] if splats.metadata else out


def holds_splats(path: Path) -> bool:
    """Whether a file or folder is one of splats, as far as its beginning tells; False where it cannot be read."""
    try:
        path = _file(path)
        with path.open("rb") as file:
            head = file.read(1 << 20)
        kind = format_of(head, path, path.stat().st_size)
        if kind == ".ply":
            return ply.holds_splats(ply_files.header_facts(head, str(path))[1])
        if kind in (".glb", ".gltf"):
            return _named_in(head, path) and gltf_files.holds_splats(path.read_bytes(), path)
    except (OSError, InputError):
        return False
    return kind in (".splat", ".spz", ".ksplat", ".sog") or (kind == ".pt" and b"svec" in head[:HEAD])


def _named_in(head: bytes, path: Path) -> bool:
    """Whether the text of a glTF file names the extension of splats; its binary part is not looked at."""
    size = path.stat().st_size
    if head.startswith(b"glTF"):
        size = min(20 + int.from_bytes(head[12:16], "little"), size)  # memory is taken for what is asked for
    with path.open("rb") as file:
        text = file.read(size)
    return gltf_files.EXTENSION_SPLATS.encode() in text


def _file(path: Path) -> Path:
    return path / "meta.json" if path.is_dir() else path


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "check the name and the current folder") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", "name a file of splats") from error
    if not data:
        raise InputError(f"{path}: is empty", "was it copied or downloaded completely?")
    return data
