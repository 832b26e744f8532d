"""Points as text, one a line: x y z, and where known a normal and a colour (whole numbers from 0 to 255).

Written lines are ``x y z [r g b] [nx ny nz]``. In files of others the columns tell what they are: three whole
numbers up to 255 are a colour, three that make a unit vector a normal. Lines that begin with # or // are comments.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.geometry import PointCloud
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.io.ply import fits_float32

_HINT = "each line should be x y z, with three columns more for a colour or a normal, or six for both"


def read_xyz(data: bytes, name: str, warn: Warn = ignore) -> PointCloud:
    """Points of a text file. Raises InputError, naming the file ``name``."""
    table = _table(data, name)
    width = table.shape[1]
    if width not in (3, 4, 6, 7, 9):
        raise InputError(f"{name}: has {width} columns", _HINT)
    skip = 3 + (width in (4, 7))
    if skip == 4:
        warn(f"{name}: its fourth column is left out")
    normals = colours = None
    for start in range(skip, width, 3):
        part = table[:, start : start + 3]
        if normals is None and _are_unit(part):
            normals = part.astype(np.float32)
        elif colours is None and _are_eight_bit(part):
            colours = (part / 255).astype(np.float32)
        else:
            raise InputError(f"{name}: columns {start + 1} to {start + 3} are neither colours nor normals", _HINT)
    return PointCloud(table[:, :3].copy(), normals, colours)


def _table(data: bytes, name: str) -> NDArray[np.float64]:
    rows = []
    for line in data.decode("latin-1").replace(",", " ").replace(";", " ").splitlines():
        text = line.strip()
        if not text or text.startswith(("#", "//")):
            continue
        rows.append(text.split())
    if rows and len(rows) > 1 and (len(rows[0]) == 1 or not _is_number(rows[0][0])):
        rows = rows[1:]  # a count, or the names of the columns
    if not rows:
        raise InputError(f"{name}: holds no points", _HINT)
    if any(len(row) != len(rows[0]) for row in rows):
        raise InputError(f"{name}: its lines differ in length", _HINT)
    try:
        return np.array(rows, np.float64)
    except ValueError:
        raise InputError(f"{name}: a line is not made of numbers", _HINT) from None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _are_unit(values: NDArray[np.float64]) -> bool:
    return bool((np.abs(np.linalg.norm(values, axis=1) - 1) < 1e-3).all())


def _are_eight_bit(values: NDArray[np.float64]) -> bool:
    return bool(((values >= 0) & (values <= 255) & (values == np.rint(values))).all())


def xyz_bytes(cloud: PointCloud) -> bytes:
    """Points as text with their colours and normals."""
    place = "%.9g" if fits_float32(cloud.points) else "%.17g"
    columns, template = [cloud.points], [place] * 3
    if cloud.colours is not None:
        columns.append(np.rint(255 * np.clip(cloud.colours, 0, 1)))
        template += ["%d"] * 3
    if cloud.normals is not None:
        length = np.linalg.norm(cloud.normals, axis=1, keepdims=True)
        columns.append(np.where(length > 1e-12, cloud.normals / np.maximum(length, 1e-12), [0, 0, 1]))
        template += ["%.9g"] * 3
    line = " ".join(template)
    rows = [line % tuple(row) for row in np.concatenate(columns, axis=1).tolist()]
    return ("\n".join(rows) + "\n").encode("ascii")
