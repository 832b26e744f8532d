"""SOG version 2 of PlayCanvas: the columns as lossless pictures beside a meta.json, or all in one zip file; read only.

Means are 16-bit steps on a logarithmic axis, rotations the three smaller components in bytes, scales and colours
entries of codebooks, harmonics rows of a palette. In the frame "rdf".
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.io.companions import Warn, ignore, read_companion, shown
from mvgen.core.io.pictures import MOST_PIXELS
from mvgen.core.splats.coding import EXPORT_AGAIN, from_three, joined, logits_from_bytes, sound
from mvgen.core.splats.harmonics import count
from mvgen.core.splats.model import Splats

_MOST_BYTES = 1 << 30  # of a file within the zip
_PALETTE_ROW = 64  # entries in a row of the palette's picture
_TAG = 252  # of a rotation whose largest component is w


def read_sog(data: bytes, path: Path, warn: Warn = ignore) -> Splats:
    """Of a .sog file, or of a meta.json whose pictures stand beside it. Raises InputError."""
    try:
        if data.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return _read(_member(archive, "meta.json", path), lambda n: _member(archive, n, path), path, warn)
        return _read(data, lambda name: read_companion(path, name), path, warn)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise InputError(f"{path}: cannot be unpacked ({shown(error)})", EXPORT_AGAIN) from error
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not sound SOG ({type(error).__name__}: {shown(error)})", EXPORT_AGAIN) from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    found = next((entry for entry in archive.infolist() if entry.filename in (name, f"./{name}")), None)
    if found is None:
        raise InputError(f"{path}: holds no {shown(name)}", EXPORT_AGAIN)
    if found.file_size > _MOST_BYTES:
        raise InputError(f"{path}: its {shown(name)} is too large", EXPORT_AGAIN)
    return archive.read(found)


def _read(text: bytes, file: Callable[[str], bytes], path: Path, warn: Warn) -> Splats:
    meta = json.loads(text)
    if meta.get("version") != 2:
        raise InputError(f"{path}: is SOG version {shown(meta.get('version', 1))}", "mvgen reads version 2")
    size = int(meta["count"])

    def picture(entry: dict[str, Any], index: int = 0) -> NDArray[np.uint8]:
        """[count, 4]: the pixels of the splats."""
        pixels = _pixels(file(entry["files"][index]), path)
        if not 0 < size <= pixels.shape[0] * pixels.shape[1]:
            raise InputError(f"{path}: a picture has no pixels for its {size} splats", EXPORT_AGAIN)
        return pixels.reshape(-1, 4)[:size]

    with np.errstate(all="ignore"):
        turn, colour = picture(meta["quats"]), picture(meta["sh0"])
        largest = np.clip(turn[:, 3].astype(np.int64) - _TAG, 0, 3)
        means = _means(picture(meta["means"]), picture(meta["means"], 1), meta["means"])
        constant = _codebook(meta["sh0"])[colour[:, :3]]
        rest = None
        if meta.get("shN"):
            rest = _rest(meta["shN"], picture(meta["shN"], 1), _pixels(file(meta["shN"]["files"][0]), path), path)
        return sound(
            str(path),
            warn,
            "rdf",
            means,
            from_three(largest, (turn[:, :3] / 127.5 - 1) * 0.5**0.5),
            _codebook(meta["scales"])[picture(meta["scales"])[:, :3]],
            logits_from_bytes(colour[:, 3]),
            joined(constant, rest),
            {"antialiased": True} if meta.get("antialias") is True else None,
        )


def _pixels(data: bytes, path: Path) -> NDArray[np.uint8]:
    """[H, W, 4]"""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("WEBP", "PNG")) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError("too large")
            return np.asarray(image.convert("RGBA"))
    except Exception as error:  # decoders raise many kinds on damaged data
        raise InputError(f"{path}: one of its pictures cannot be decoded", EXPORT_AGAIN) from error


def _means(low: NDArray[np.uint8], high: NDArray[np.uint8], entry: dict[str, Any]) -> NDArray[np.float64]:
    least, most = (np.asarray(entry[key], np.float64).reshape(3) for key in ("mins", "maxs"))
    share = (low[:, :3] + 256.0 * high[:, :3]) / 65535
    value = least + share * (most - least)
    return np.sign(value) * np.expm1(np.abs(value))


def _codebook(entry: dict[str, Any]) -> NDArray[np.float64]:
    """[256]"""
    book = np.asarray(entry["codebook"], np.float64).reshape(-1)[:256]
    return np.pad(book, (0, 256 - len(book)), constant_values=np.nan)


def _rest(
    entry: dict[str, Any], labels: NDArray[np.uint8], palette: NDArray[np.uint8], path: Path
) -> NDArray[np.float64] | None:
    """[N, K - 1, 3]"""
    if entry["bands"] not in (1, 2, 3):
        raise InputError(f"{path}: its harmonics have {shown(entry['bands'])} bands", EXPORT_AGAIN)
    width = count(entry["bands"]) - 1
    if palette.shape[1] != _PALETTE_ROW * width:
        raise InputError(f"{path}: the palette of its harmonics has another width", EXPORT_AGAIN)
    label = labels[:, 0] + 256 * labels[:, 1].astype(np.int64)
    rows = palette[..., :3].reshape(-1, width, 3)
    if label.max() >= len(rows):
        raise InputError(f"{path}: its harmonics name an entry that the palette does not have", EXPORT_AGAIN)
    return _codebook(entry)[rows][label]
