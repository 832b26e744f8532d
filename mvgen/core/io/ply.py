"""PLY, ASCII and binary: meshes and points with normals, colours and confidence.

Written files are binary little endian with colours as uchar. Coordinates are float where float32 holds them to a
millionth of the size, else double. What a file says of its sizes is checked against its length before
anything is allocated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mvgen
from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.companions import Warn, ignore, shown

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_USED = {
    *("x", "y", "z", "nx", "ny", "nz", "red", "green", "blue", "diffuse_red", "diffuse_green", "diffuse_blue"),
    *("confidence", "alpha", "diffuse_alpha"),
}
_DEGREE_ZERO = 0.28209479177387814  # the constant spherical harmonic, sqrt(1 / (4 pi))
_METADATA = "mvgen-metadata "
_EXPORT_AGAIN = "the file looks cut short or damaged; export or download it again"


@dataclass(frozen=True)
class _Property:
    name: str
    kind: str  # numpy type code without byte order
    count_kind: str | None = None  # of a list's length


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


def read_ply(data: bytes, name: str, warn: Warn = ignore) -> Mesh | PointCloud:
    """A PLY file's mesh, or its points when it has no faces; polygons become fans of triangles.

    Of Gaussian splats the centres and base colours are taken. ``warn`` is told what is left out. Raises InputError,
    naming the file ``name``, when the content is not sound.
    """
    elements, order, comments, start = _header(data, name)
    _refuse_packed(elements, name)
    body = _body(data, elements, order, start, name)
    vertex = body.get("vertex", {})
    if not {"x", "y", "z"} <= vertex.keys():
        raise InputError(f"{name}: no vertices with x, y and z", "give a PLY file with a mesh or points")
    points = _columns(vertex, "x", "y", "z")
    assert points is not None
    _tell_unused(elements, name, warn)
    metadata = next((m for m in map(_parse_metadata, comments) if m is not None), {})
    normals = _columns(vertex, "nx", "ny", "nz")
    if normals is not None and not normals.any():  # a column that its writer did not fill
        normals = None
    colours = _splat_colours(vertex) if is_splat(vertex) else _colours(vertex)
    faces = _triangles(body.get("face", {}))
    if faces is None or not len(faces):
        confidence = vertex.get("confidence")
        return PointCloud(
            points,
            None if normals is None else normals.astype(np.float32),
            colours,
            None if confidence is None else confidence.astype(np.float32),
            metadata,
        )
    return Mesh(points, _int32(faces, name), normals, colours, metadata=metadata)


def read_elements(data: bytes, name: str) -> tuple[dict[str, dict[str, Any]], list[str], dict[str, Any]]:
    """The columns of every element, by name: arrays, or lists of arrays. With the comments, and our own metadata.

    Raises InputError for a file that is not sound.
    """
    elements, order, comments, start = _header(data, name)
    metadata = next((m for m in map(_parse_metadata, comments) if m is not None), {})
    return _body(data, elements, order, start, name), comments, metadata


def _body(data: bytes, elements: list[_Element], order: str, start: int, name: str) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for element in elements:
        if order == "ascii":
            out[element.name], start = _ascii_element(data, start, element, name)
        else:
            out[element.name], start = _binary_element(data, start, element, order, name)
    return out


def is_splat(names: Iterable[str]) -> bool:
    """Whether the columns of a PLY file's vertices are those of Gaussian splats."""
    return {"f_dc_0", "scale_0", "rot_0", "opacity"} <= set(names)


def header_facts(data: bytes, name: str) -> tuple[dict[str, int], list[str], str, list[str]]:
    """What the header says: counts of elements, columns of the vertices, the encoding, the comments.

    Raises InputError for a header that makes no sense.
    """
    elements, order, comments, _ = _header(data, name)
    columns = [p.name for e in elements if e.name == "vertex" for p in e.properties]
    encoding = {"ascii": "text", "<": "binary", ">": "binary, big endian"}[order]
    return {e.name: e.count for e in elements}, columns, encoding, comments


def _refuse_packed(elements: list[_Element], name: str) -> None:
    if any(p.name == "packed_position" for e in elements for p in e.properties):
        raise InputError(
            f"{name}: holds compressed Gaussian splats, not a mesh or points",
            "`mvgen convert IN.ply -o OUT.ply` writes them as plain ones",
        )


def _tell_unused(elements: list[_Element], name: str, warn: Warn) -> None:
    columns = [p.name for e in elements if e.name == "vertex" for p in e.properties]
    if is_splat(columns):
        warn(f"{name}: holds Gaussian splats; their centres and base colours alone are taken, as points")
        return
    unused = [c for c in columns if c not in _USED]
    unused += [
        f"{e.name} {p.name}"
        for e in elements
        if e.name != "vertex" and e.count
        for p in e.properties
        if not (e.name == "face" and p.name in ("vertex_indices", "vertex_index"))
    ]
    if {"alpha", "diffuse_alpha"} & set(columns):
        unused.append("alpha")
    if unused:
        more = f" and {len(unused) - 8} more" if len(unused) > 8 else ""
        warn(f"{name}: left out: {', '.join(map(shown, unused[:8]))}{more}")


def mesh_bytes(mesh: Mesh) -> bytes:
    """A mesh as a binary PLY file. Texture and uv are not kept."""
    vertex = _vertex_table(mesh.vertices, mesh.normals, mesh.colours)
    face = np.empty(len(mesh.faces), np.dtype([("n", "u1"), ("i", "<i4", 3)]))
    face["n"], face["i"] = 3, mesh.faces
    lines = [f"element face {len(face)}", "property list uchar int vertex_indices"]
    return head_bytes(vertex, lines, mesh.metadata) + vertex.tobytes() + face.tobytes()


def points_bytes(cloud: PointCloud) -> bytes:
    """A point cloud as a binary PLY file, with the optional column ``confidence``."""
    vertex = _vertex_table(cloud.points, cloud.normals, cloud.colours, cloud.confidence)
    return head_bytes(vertex, [], cloud.metadata) + vertex.tobytes()


def fits_float32(points: NDArray[np.floating]) -> bool:
    """Whether float32 holds the points [N, 3] to a millionth of their extent."""
    if not len(points):
        return True
    extent = float(np.ptp(points, axis=0).max())
    return bool(np.abs(points).max() <= 8 * max(extent, 1e-300) and np.abs(points).max() < 1e37)


def _vertex_table(
    points: NDArray[np.floating],
    normals: NDArray[np.floating] | None,
    colours: NDArray[np.floating] | None,
    confidence: NDArray[np.floating] | None = None,
) -> NDArray[Any]:
    kind = "<f4" if fits_float32(points) else "<f8"
    columns = [(k, kind, points[:, i]) for i, k in enumerate("xyz")]
    if normals is not None:
        columns += [(k, "<f4", normals[:, i]) for i, k in enumerate(("nx", "ny", "nz"))]
    if colours is not None:
        eight = np.rint(255 * np.clip(colours, 0, 1))
        columns += [(k, "u1", eight[:, i]) for i, k in enumerate(("red", "green", "blue"))]
    if confidence is not None:
        columns.append(("confidence", "<f4", confidence))
    table = np.empty(len(points), np.dtype([(k, t) for k, t, _ in columns]))
    for key, _, values in columns:
        table[key] = values
    return table


def head_bytes(vertex: NDArray[Any], more: list[str], metadata: dict[str, Any]) -> bytes:
    """The header of a binary file with a structured array of vertices; ``more``: lines after theirs."""
    words = {"<f4": "float", "<f8": "double", "|u1": "uchar", "<u4": "uint"}
    lines = ["ply", "format binary_little_endian 1.0", f"comment mvgen {mvgen.__version__}"]
    if metadata:
        lines.append("comment " + _METADATA + json.dumps(metadata, sort_keys=True))
    lines.append(f"element vertex {len(vertex)}")
    fields: Any = vertex.dtype.fields or {}
    lines += [f"property {words[fields[key][0].str]} {key}" for key in vertex.dtype.names or ()]
    return "\n".join([*lines, *more, "end_header\n"]).encode("ascii")


def _header(data: bytes, name: str) -> tuple[list[_Element], str, list[str], int]:
    """Elements, byte order ("<", ">" or "ascii"), comments, and where the body starts."""
    found = re.search(rb"end_header[ \t]*(\r\n|\n|\r)", data[: 1 << 20])
    if not data.startswith(b"ply") or found is None:
        raise InputError(f"{name}: not a complete PLY file (no header)", _EXPORT_AGAIN)
    elements: list[_Element] = []
    order, comments = "", []
    try:
        for line in data[: found.start()].decode("latin-1").splitlines()[1:]:
            words = line.split()
            if not words:
                continue
            if words[0] == "format":
                order = {"ascii": "ascii", "binary_little_endian": "<", "binary_big_endian": ">"}[words[1]]
            elif words[0] == "comment":
                comments.append(line.split(maxsplit=1)[1] if len(words) > 1 else "")
            elif words[0] == "element":
                elements.append(_Element(words[1], int(words[2]), ()))
            elif words[0] == "property":
                last = elements.pop()
                elements.append(_Element(last.name, last.count, (*last.properties, _parse_property(words))))
    except (KeyError, IndexError, ValueError):
        raise InputError(f"{name}: a line of the PLY header makes no sense", _EXPORT_AGAIN) from None
    if not order or any(e.count < 0 for e in elements):
        raise InputError(f"{name}: the PLY header names no usable format or count", _EXPORT_AGAIN)
    return elements, order, comments, found.end()


def _parse_property(words: list[str]) -> _Property:
    if words[1] == "list":
        return _Property(words[4], _TYPES[words[3]], _TYPES[words[2]])
    return _Property(words[2], _TYPES[words[1]])


def _parse_metadata(comment: str) -> dict[str, Any] | None:
    if not comment.startswith(_METADATA):
        return None
    try:
        value = json.loads(comment[len(_METADATA) :])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _cut_short(element: _Element, name: str) -> InputError:
    return InputError(f"{name}: ends before its {element.count} {element.name} entries", _EXPORT_AGAIN)


def _binary_element(data: bytes, start: int, element: _Element, order: str, name: str) -> tuple[dict[str, Any], int]:
    """One element's columns (arrays; lists of arrays where lengths differ) and where the next one starts."""
    least = sum(np.dtype(p.count_kind or p.kind).itemsize for p in element.properties)
    if element.count * max(least, 1) > len(data) - start:
        raise _cut_short(element, name)
    lengths = _first_lengths(data, start, element, order)
    if lengths is not None:
        fields: list[Any] = []
        for i, (p, n) in enumerate(zip(element.properties, lengths)):
            if p.count_kind is not None:
                fields += [(f"{i}n", order + p.count_kind), (f"{i}", order + p.kind, (n,))]
            else:
                fields.append((f"{i}", order + p.kind))
        row: np.dtype[Any] = np.dtype(fields)
        if element.count * row.itemsize <= len(data) - start:
            table = np.frombuffer(data, row, element.count, start)
            same = [
                (table[f"{i}n"] == n).all() for i, (p, n) in enumerate(zip(element.properties, lengths)) if p.count_kind
            ]
            if all(same):
                columns = {p.name: table[f"{i}"] for i, p in enumerate(element.properties)}
                return columns, start + element.count * row.itemsize
    return _binary_rows(data, start, element, order, name)


def _first_lengths(data: bytes, start: int, element: _Element, order: str) -> list[int] | None:
    """List lengths in the first entry (0 for scalars), or None when there is none to read."""
    if not element.count:
        return [0] * len(element.properties)
    lengths, at = [], start
    for p in element.properties:
        n = 0
        if p.count_kind is not None:
            kind = np.dtype(order + p.count_kind)
            if at + kind.itemsize > len(data):
                return None
            n = int(np.frombuffer(data, kind, 1, at)[0])
            at += kind.itemsize + n * np.dtype(p.kind).itemsize
        else:
            at += np.dtype(p.kind).itemsize
        if n < 0 or at > len(data):
            return None
        lengths.append(n)
    return lengths


def _binary_rows(data: bytes, start: int, element: _Element, order: str, name: str) -> tuple[dict[str, Any], int]:
    """Row by row, where lists differ in length."""
    columns: dict[str, Any] = {p.name: [] for p in element.properties}
    kinds = [
        (columns[p.name], np.dtype(order + p.kind), None if p.count_kind is None else np.dtype(order + p.count_kind))
        for p in element.properties
    ]
    at = start
    for _ in range(element.count):
        for column, kind, count_kind in kinds:
            n = 1
            if count_kind is not None:
                if at + count_kind.itemsize > len(data):
                    raise _cut_short(element, name)
                n = int(np.frombuffer(data, count_kind, 1, at)[0])
                at += count_kind.itemsize
            if n < 0 or at + n * kind.itemsize > len(data):
                raise _cut_short(element, name)
            values = np.frombuffer(data, kind, n, at)
            at += n * kind.itemsize
            column.append(values if count_kind is not None else values[0])
    for p in element.properties:
        if p.count_kind is None:
            columns[p.name] = np.array(columns[p.name])
    return columns, at


def _ascii_element(data: bytes, start: int, element: _Element, name: str) -> tuple[dict[str, Any], int]:
    """As `_binary_element`, for one line per entry."""
    if element.count > len(data) - start + 1:
        raise _cut_short(element, name)
    lines = data[start:].split(b"\n", element.count)
    rest = len(data) - (len(lines[element.count]) if len(lines) > element.count else 0)
    rows = [line.split() for line in lines[: element.count]]
    columns: dict[str, Any] = {p.name: [] for p in element.properties}
    try:
        if len(rows) < element.count:
            raise IndexError
        at = [0] * len(rows)
        for p in element.properties:
            if p.count_kind is None:
                columns[p.name] = np.array([float(row[k]) for row, k in zip(rows, at)])
                at = [k + 1 for k in at]
            else:
                sizes = [int(row[k]) for row, k in zip(rows, at)]
                if any(n < 0 or k + 1 + n > len(row) for row, k, n in zip(rows, at, sizes)):
                    raise IndexError
                columns[p.name] = [np.array(row[k + 1 : k + 1 + n], float) for row, k, n in zip(rows, at, sizes)]
                at = [k + 1 + n for k, n in zip(at, sizes)]
    except IndexError:
        raise _cut_short(element, name) from None
    except ValueError:
        raise InputError(f"{name}: a {element.name} entry is not a number", _EXPORT_AGAIN) from None
    return columns, rest


def _columns(vertex: dict[str, Any], *names: str) -> NDArray[np.float64] | None:
    if not all(n in vertex for n in names):
        return None
    return np.stack([np.asarray(vertex[n], np.float64) for n in names], axis=1)


def _splat_colours(vertex: dict[str, Any]) -> NDArray[np.float32] | None:
    values = _columns(vertex, "f_dc_0", "f_dc_1", "f_dc_2")
    return None if values is None else np.clip(0.5 + _DEGREE_ZERO * values, 0, 1).astype(np.float32)


def _colours(vertex: dict[str, Any]) -> NDArray[np.float32] | None:
    for prefix in ("", "diffuse_"):
        names = [prefix + c for c in ("red", "green", "blue")]
        values = _columns(vertex, *names)
        if values is None:
            continue
        kind = np.asarray(vertex[names[0]]).dtype
        whole = kind.kind in "iu" or (values.max(initial=0) > 1 and (values == np.rint(values)).all())
        top = 65535 if kind.itemsize == 2 and kind.kind == "u" else 255
        return np.clip(values / (top if whole else 1), 0, 1).astype(np.float32)
    return None


def _triangles(face: dict[str, Any]) -> NDArray[np.int64] | None:
    """[F, 3] from polygons of any size; those with fewer than three corners are left out."""
    lists = face.get("vertex_indices", face.get("vertex_index"))
    if lists is None:
        return None
    if isinstance(lists, np.ndarray) and lists.ndim == 2:
        return fans(lists.astype(np.int64))
    if not len(lists):
        return np.zeros((0, 3), np.int64)
    sizes = np.array([len(p) for p in lists])
    first = np.concatenate([[0], np.cumsum(np.maximum(sizes - 2, 0))])
    out = np.empty((first[-1], 3), np.int64)
    for n in np.unique(sizes[sizes > 2]):
        pick = np.flatnonzero(sizes == n)
        triangles = fans(np.stack([lists[i] for i in pick]).astype(np.int64))
        rows = first[pick][:, None] + np.arange(n - 2)
        out[rows.reshape(-1)] = triangles
    return out


def fans(polygons: NDArray[np.int64]) -> NDArray[np.int64]:
    """[P, n] to [P * (n - 2), 3]"""
    n = polygons.shape[1]
    if n < 3:
        return np.zeros((0, 3), np.int64)
    corners = [np.stack([polygons[:, 0], polygons[:, k], polygons[:, k + 1]], axis=1) for k in range(1, n - 1)]
    return np.stack(corners, axis=1).reshape(-1, 3)


def _int32(faces: NDArray[np.int64], name: str) -> NDArray[np.int32]:
    if faces.max(initial=0) > np.iinfo(np.int32).max or faces.min(initial=0) < 0:
        raise InputError(f"{name}: a face names a vertex that does not exist", _EXPORT_AGAIN)
    return faces.astype(np.int32)
