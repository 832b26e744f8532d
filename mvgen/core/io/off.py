"""OFF: the shape, with colours (COFF) and normals (NOFF) at vertices. Source: Geomview's description of the format."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.companions import Warn, ignore
from mvgen.core.io.ply import fans, fits_float32

_EXPORT_AGAIN = "the file looks cut short or damaged; export or download it again"
_HEADER = re.compile(r"(ST)?(C)?(N)?(4)?(n)?OFF(\s+BINARY)?$")


def read_off(data: bytes, name: str, warn: Warn = ignore) -> Mesh | PointCloud:
    """A text OFF file; polygons become fans of triangles. Raises InputError, naming the file ``name``."""
    lines = [text for line in data.decode("latin-1").splitlines() if (text := line.partition("#")[0].strip())]
    head = re.match(r"[A-Za-z0-9]*OFF\b", lines[0]) if lines else None
    if head is None:
        raise InputError(f"{name}: not an OFF file", "give a file that begins with OFF")
    kind, rest = head[0], lines[0][head.end() :].strip()
    found = _HEADER.match(kind)
    if found is None or found[4] or found[5] or rest.upper().startswith("BINARY"):
        raise InputError(f"{name}: OFF files of kind {kind} {rest} are not read", "export it as plain OFF, or PLY")
    body = [rest, *lines[1:]] if rest else lines[1:]
    try:
        return _body(body, found, name, warn)
    except (ValueError, IndexError, OverflowError):
        raise InputError(f"{name}: is not a sound OFF file", _EXPORT_AGAIN) from None


def _body(lines: list[str], found: re.Match[str], name: str, warn: Warn) -> Mesh | PointCloud:
    vertex_count, face_count = (int(word) for word in lines[0].split()[:2])
    if min(vertex_count, face_count) < 0 or vertex_count + face_count > len(lines) - 1:
        raise InputError(f"{name}: ends before its {vertex_count} vertices and {face_count} faces", _EXPORT_AGAIN)
    rows = [line.split() for line in lines[1 : 1 + vertex_count]]
    shortest = min(map(len, rows), default=0)
    table = np.array([row[:shortest] for row in rows], np.float64).reshape(vertex_count, -1)
    after = 3
    normals = None
    if found[3]:
        normals, after = table[:, 3:6], 6
    colours = None
    if found[2] or table.shape[1] in (after + 3, after + 4):
        colours = _colours(rows, after)
        after = table.shape[1]
    if table.shape[1] < 3 or (normals is not None and normals.shape[1] != 3):
        raise ValueError
    faces, extra = _faces([line.split() for line in lines[1 + vertex_count : 1 + vertex_count + face_count]])
    if extra:
        warn(f"{name}: colours of faces are not kept")
    if found[1]:
        warn(f"{name}: texture coordinates of an OFF file are not kept")
    if not len(faces):
        unit = None if normals is None else normals.astype(np.float32)
        return PointCloud(table[:, :3], unit, colours)
    return Mesh(table[:, :3].copy(), faces, normals, colours)


def _colours(rows: list[list[str]], start: int) -> NDArray[np.float32]:
    """Whole numbers up to 255, or fractions up to 1."""
    words = [row[start : start + 3] for row in rows]
    values = np.array(words, np.float64).reshape(len(rows), 3)
    whole = all("." not in word and "e" not in word.lower() for row in words for word in row)
    return np.clip(values / 255 if whole or values.max(initial=0) > 1 else values, 0, 1).astype(np.float32)


def _faces(rows: list[list[str]]) -> tuple[NDArray[np.int32], bool]:
    """Triangles, and whether a face has more than its corners."""
    sizes = np.array([int(row[0]) for row in rows], np.int64)
    if any(n < 0 or len(row) < n + 1 for n, row in zip(sizes, rows)):
        raise ValueError
    extra = any(len(row) > n + 1 for n, row in zip(sizes, rows))
    if not len(rows) or sizes.max() < 3:
        return np.zeros((0, 3), np.int32), extra
    if (sizes == 3).all():
        return np.array([row[1:4] for row in rows], np.int64).astype(np.int32), extra
    parts = [fans(np.array([row[1 : n + 1]], np.int64)) for n, row in zip(sizes, rows) if n >= 3]
    return np.concatenate(parts).astype(np.int32), extra


def off_bytes(mesh: Mesh) -> bytes:
    """A mesh as OFF, or COFF where it has colours at its vertices."""
    template = "%.9g %.9g %.9g" if fits_float32(mesh.vertices) else "%.15g %.15g %.15g"
    rows = [template % tuple(row) for row in mesh.vertices.tolist()]
    if mesh.colours is not None:
        eight = np.rint(255 * np.clip(mesh.colours, 0, 1)).astype(int)
        rows = [f"{row} {r} {g} {b} 255" for row, (r, g, b) in zip(rows, eight.tolist())]
    lines = ["OFF" if mesh.colours is None else "COFF", f"{len(mesh.vertices)} {len(mesh.faces)} 0", *rows]
    lines += [f"3 {a} {b} {c}" for a, b, c in mesh.faces.tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")
