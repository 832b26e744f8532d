"""3MF: meshes with a unit, colours and pictures, both ways.

3MF is right-handed with +Z up; vertices are taken as they stand, in the file's unit, which goes into the mesh's
metadata. Transforms multiply row vectors from the right. Its v runs up the picture, as ours. Colours are sRGB.
Source: 3MF Consortium, 3D Manufacturing Format Core Specification 1.3, Materials and Properties Extension 1.2 and
Production Extension 1.1.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

import mvgen
from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh
from mvgen.core.io.companions import Warn, ignore, shown
from mvgen.core.io.parts import Part, merge_parts
from mvgen.core.io.pictures import decode_picture, encode_picture
from mvgen.core.io.ply import fits_float32

UNITS = {"micron": "um", "millimeter": "mm", "centimeter": "cm", "meter": "m", "inch": "in", "foot": "ft"}
_NAMES = {short: name for name, short in UNITS.items()}
_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_MATERIAL = "http://schemas.microsoft.com/3dmanufacturing/material/2015/02"
_RELATION = "http://schemas.microsoft.com/3dmanufacturing/2013/01"
_PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
_READABLE = {_CORE, _MATERIAL, _PRODUCTION}
_LARGEST = 1 << 30  # bytes of one file in the package, unpacked
_MOST_FACES = 50_000_000  # of all instances together
_DEEPEST = 16  # components in components
_EXPORT_AGAIN = "the file looks cut short or damaged; export or download it again"


@dataclass
class _Object:
    """A mesh, or components of other objects."""

    kind: str = "model"
    default: tuple[str | None, int] = (None, 0)  # property group and index of triangles that name none
    vertices: list[tuple[float, float, float]] = field(default_factory=list)
    triangles: list[tuple[int, int, int]] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)  # of each triangle
    entries: list[tuple[int, int, int]] = field(default_factory=list)  # of each corner, in its group
    components: list[tuple[str, str, NDArray[np.float64]]] = field(default_factory=list)  # model file, id, transform


@dataclass
class _Group:
    """Colours (sRGB, [0, 1]) or places in a texture that corners of triangles refer to."""

    texture: str | None
    values: list[tuple[float, ...]] = field(default_factory=list)


@dataclass
class _Model:
    """One model file of the package."""

    unit: str = "millimeter"
    objects: dict[str, _Object] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)
    textures: dict[str, str] = field(default_factory=dict)  # id: path in the package
    items: list[tuple[str, str, NDArray[np.float64]]] = field(default_factory=list)
    unused: set[str] = field(default_factory=set)


def read_3mf(data: bytes, name: str, warn: Warn = ignore) -> Mesh:
    """All items of a 3MF file's build, joined; metadata has its ``units`` (``mm``) and ``up``.

    Raises InputError, naming the file ``name``, when the content is not sound or needs an unknown extension.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            return _Reader(package, name, warn).mesh()
    except (
        *(zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, OSError, NotImplementedError, RuntimeError),
        *(KeyError, ValueError, IndexError, OverflowError, UnicodeError, TypeError),
    ) as error:
        what = f"{type(error).__name__}: {shown(error)}"
        raise InputError(f"{name}: is not a sound 3MF file ({what})", _EXPORT_AGAIN) from error


class _Reader:
    """Resolves the cross references of one package."""

    def __init__(self, package: zipfile.ZipFile, name: str, warn: Warn):
        self.package, self.name, self.warn = package, name, warn
        self.models: dict[str, _Model] = {}
        self.pictures: dict[str, NDArray[np.uint8] | None] = {}
        self.faces = 0

    def mesh(self) -> Mesh:
        root = self.model(self.root())
        parts: list[Part] = []
        for path, key, matrix in root.items:
            parts += self.parts(path, key, matrix, 0)
        for text in sorted(set().union(*(m.unused for m in self.models.values()))):
            self.warn(f"{self.name}: {text}")
        if not sum(len(p.faces) for p in parts):
            raise InputError(f"{self.name}: has no faces in its build", "give a 3MF file with a mesh")
        return merge_parts(parts, {"units": UNITS[root.unit], "up": "+Z"})

    def root(self) -> str:
        """The path of the root model, by the package's relations."""
        found: list[str] = []

        def start(tag: str, attributes: dict[str, str]) -> None:
            if tag.endswith("Relationship") and attributes.get("Type", "").endswith("/3dmodel"):
                found.append(attributes["Target"])

        if "_rels/.rels" in self.package.namelist():
            _parse(self.read("_rels/.rels"), start)
        return found[0] if found else "/3D/3dmodel.model"

    def read(self, path: str) -> bytes:
        entry = self.package.getinfo(path.lstrip("/"))
        if entry.file_size > _LARGEST:
            raise InputError(f"{self.name}: {path} in it is larger than {_LARGEST >> 30} GiB", "reduce the mesh")
        return self.package.read(entry)

    def model(self, path: str) -> _Model:
        path = posixpath.normpath("/" + path.lstrip("/"))
        if path not in self.models:
            self.models[path] = _ModelParser(path, self.name).parse(self.read(path))
        return self.models[path]

    def parts(self, path: str, key: str, matrix: NDArray[np.float64], depth: int) -> list[Part]:
        """An object and its components in world coordinates."""
        model = self.model(path)
        found = model.objects[key]
        if depth > _DEEPEST:
            raise InputError(f"{self.name}: components lie in each other too deeply", _EXPORT_AGAIN)
        if found.kind in ("support", "solidsupport"):
            model.unused.add("objects that are supports are left out")
            return []
        self.faces += len(found.triangles) + 1
        if self.faces > _MOST_FACES:
            raise InputError(f"{self.name}: has more than {_MOST_FACES // 10**6} million faces", "reduce the mesh")
        out = [_placed(part, matrix) for part in self.own_parts(model, found)]
        for inner_path, inner_key, inner in found.components:
            out += self.parts(inner_path, inner_key, inner @ matrix, depth + 1)
        return out

    def own_parts(self, model: _Model, found: _Object) -> list[Part]:
        """The triangles of an object, one part for each texture, one for all colours, one for those without."""
        if not found.triangles:
            return []
        vertices = np.array(found.vertices, np.float64).reshape(-1, 3)
        faces = np.array(found.triangles, np.int64)
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise InputError(f"{self.name}: a triangle names a vertex that does not exist", _EXPORT_AGAIN)
        entries = np.array(found.entries, np.int64)
        parts = []
        numbers = {key: i for i, key in enumerate(dict.fromkeys(found.groups))}
        which = np.array([numbers[g] for g in found.groups])
        if len(numbers) > 1000:
            raise InputError(f"{self.name}: an object has {len(numbers)} groups of properties", _EXPORT_AGAIN)
        for key, number in numbers.items():
            mine = which == number
            group = None if key is None else model.groups.get(key)
            if group is None:
                if key is not None:
                    model.unused.add("properties other than colours and pictures are left out")
                parts.append(_used(Part(vertices, faces[mine])))
                continue
            parts.append(self.coloured(model, group, vertices, faces[mine], entries[mine]))
        return parts

    def coloured(
        self,
        model: _Model,
        group: _Group,
        vertices: NDArray[np.float64],
        faces: NDArray[np.int64],
        entries: NDArray[np.int64],
    ) -> Part:
        """Triangles whose corners refer to entries of a group; vertices are doubled where the entries differ."""
        values = np.array(group.values, np.float64).reshape(len(group.values), -1)
        if entries.min() < 0 or entries.max() >= len(values):
            raise InputError(f"{self.name}: a triangle names a property that does not exist", _EXPORT_AGAIN)
        pairs, index = np.unique(
            np.stack([faces.reshape(-1), entries.reshape(-1)], axis=1), axis=0, return_inverse=True
        )
        place, value = vertices[pairs[:, 0]], values[pairs[:, 1]]
        corners = index.reshape(-1, 3).astype(np.int64)
        if group.texture is None:
            return Part(place, corners, colours=value.astype(np.float32))
        picture = self.picture(model.textures[group.texture])
        return Part(place, corners) if picture is None else Part(place, corners, uv=value, texture=picture)

    def picture(self, path: str) -> NDArray[np.uint8] | None:
        if path not in self.pictures:
            try:
                self.pictures[path] = decode_picture(self.read(path), f"{self.name}: picture {shown(path)}")
            except KeyError:
                self.warn(f"{self.name}: its picture {shown(path)} is missing; going on without it")
                self.pictures[path] = None
        return self.pictures[path]


class _ModelParser:
    """Reads one model file, element by element."""

    def __init__(self, path: str, name: str):
        self.path, self.name, self.model = path, name, _Model()
        self.object: _Object | None = None
        self.group: _Group | None = None
        self.spaces: dict[str, str] = {}
        self.actions: dict[str, Callable[[dict[str, str]], None]] = {
            "model": self.on_model,
            "object": self.on_object,
            "vertex": self.on_vertex,
            "triangle": self.on_triangle,
            "component": self.on_component,
            "item": self.on_item,
            "basematerials": self.on_colours,
            "base": self.on_base,
            "colorgroup": self.on_colours,
            "color": self.on_color,
            "texture2d": self.on_texture,
            "texture2dgroup": self.on_texture_group,
            "tex2coord": self.on_coordinates,
        }

    def parse(self, data: bytes) -> _Model:
        _parse(data, self.start, self.spaces)
        return self.model

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, local = tag.rpartition(" ")
        action = self.actions.get(local) if space in _READABLE or not space else None
        if action is not None:
            action(attributes)
        elif space not in _READABLE and local not in ("metadata",):
            self.model.unused.add(f"elements of {shown(space)} are left out")

    def on_model(self, attributes: dict[str, str]) -> None:
        self.model.unit = attributes.get("unit", "millimeter")
        if self.model.unit not in UNITS:
            raise InputError(f"{self.name}: its unit {shown(self.model.unit)} is unknown", "export it in millimetres")
        for prefix in attributes.get("requiredextensions", "").split():
            space = self.spaces.get(prefix, prefix)
            if space not in _READABLE:
                raise InputError(f"{self.name}: needs the 3MF extension {shown(space)}", "export it as a plain mesh")

    def on_object(self, attributes: dict[str, str]) -> None:
        self.object = _Object(attributes.get("type", "model"))
        self.object.default = (attributes.get("pid"), int(attributes.get("pindex", "0")))
        self.model.objects[attributes["id"]] = self.object

    def on_vertex(self, attributes: dict[str, str]) -> None:
        assert self.object is not None
        self.object.vertices.append((float(attributes["x"]), float(attributes["y"]), float(attributes["z"])))

    def on_triangle(self, attributes: dict[str, str]) -> None:
        assert self.object is not None
        self.object.triangles.append((int(attributes["v1"]), int(attributes["v2"]), int(attributes["v3"])))
        group, first = self.object.default
        group = attributes.get("pid", group)
        first = int(attributes.get("p1", first))
        self.object.groups.append(group)
        self.object.entries.append((first, int(attributes.get("p2", first)), int(attributes.get("p3", first))))

    def on_component(self, attributes: dict[str, str]) -> None:
        assert self.object is not None
        self.object.components.append(self.reference(attributes))

    def on_item(self, attributes: dict[str, str]) -> None:
        self.model.items.append(self.reference(attributes))

    def reference(self, attributes: dict[str, str]) -> tuple[str, str, NDArray[np.float64]]:
        """Model file, object and transform; the production extension may name another model file."""
        path = attributes.get(f"{_PRODUCTION} path", self.path)
        return path, attributes["objectid"], _transform(attributes.get("transform"))

    def on_colours(self, attributes: dict[str, str]) -> None:
        self.group = self.model.groups[attributes["id"]] = _Group(None)

    def on_base(self, attributes: dict[str, str]) -> None:
        assert self.group is not None
        self.group.values.append(_colour(attributes["displaycolor"]))

    def on_color(self, attributes: dict[str, str]) -> None:
        assert self.group is not None
        self.group.values.append(_colour(attributes["color"]))

    def on_texture(self, attributes: dict[str, str]) -> None:
        self.model.textures[attributes["id"]] = attributes["path"]

    def on_texture_group(self, attributes: dict[str, str]) -> None:
        self.group = self.model.groups[attributes["id"]] = _Group(attributes["texid"])

    def on_coordinates(self, attributes: dict[str, str]) -> None:
        assert self.group is not None
        self.group.values.append((float(attributes["u"]), float(attributes["v"])))


def _parse(data: bytes, start: Callable[[str, dict[str, str]], None], spaces: dict[str, str] | None = None) -> None:
    """Call ``start`` for every element. Definitions of entities, which can grow without bounds, are refused."""
    parser = expat.ParserCreate(namespace_separator=" ")

    def refuse(*_: Any) -> None:
        raise ValueError("a document type definition, which 3MF forbids")

    def space(prefix: str | None, uri: str | None) -> None:
        if spaces is not None and prefix and uri:
            spaces[prefix] = uri

    parser.StartElementHandler = start
    parser.StartNamespaceDeclHandler = space
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except AssertionError:
        raise ValueError("an element stands where none may") from None


def _transform(text: str | None) -> NDArray[np.float64]:
    """[4, 4], for row vectors."""
    out = np.eye(4)
    if text is not None:
        out[:, :3] = np.array(text.split(), np.float64).reshape(4, 3)
    return out


def _colour(text: str) -> tuple[float, ...]:
    digits = text.strip().removeprefix("#")
    if len(digits) not in (6, 8):
        raise ValueError(f"{shown(text)} is not a colour")
    return tuple(int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))


def _used(part: Part) -> Part:
    """The part without vertices that no face uses."""
    used, index = np.unique(part.faces, return_inverse=True)
    return Part(part.vertices[used], index.reshape(-1, 3).astype(np.int64))


def _placed(part: Part, matrix: NDArray[np.float64]) -> Part:
    if (matrix == np.eye(4)).all():
        return part
    mirrored = np.linalg.det(matrix[:3, :3]) < 0
    vertices = part.vertices @ matrix[:3, :3] + matrix[3, :3]
    return Part(
        vertices, part.faces[:, ::-1] if mirrored else part.faces, None, part.colours, part.uv, part.texture, part.tint
    )


# ---- writing


def mesh_3mf(mesh: Mesh, unit: str = "mm", jpeg_quality: int | None = 92) -> bytes:
    """A mesh as a 3MF file in ``unit``: one object, with its colours or its picture. The same mesh, the same bytes.

    Vertices at one place become one, so that what is closed is closed for a slicer, too; triangles with two corners at
    one place, which 3MF forbids, are left out. Normals are not kept.
    """
    vertices, place = _welded(mesh.vertices)
    faces = place[mesh.faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    resources, entries, files = _appearance(mesh, jpeg_quality)
    number = "%.9g" if fits_float32(vertices) else "%.17g"
    vertex = f'<vertex x="{number}" y="{number}" z="{number}"/>'
    corners = faces[whole]
    if entries is None:
        template = '<triangle v1="%d" v2="%d" v3="%d"/>'
        rows = [template % tuple(row) for row in corners.tolist()]
    else:
        template = '<triangle v1="%d" v2="%d" v3="%d" pid="2" p1="%d" p2="%d" p3="%d"/>'
        both = np.concatenate([corners, entries[mesh.faces[whole]]], axis=1)
        rows = [template % tuple(row) for row in both.tolist()]
    model = "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<model unit="{_NAMES[unit]}" xml:lang="en-US" xmlns="{_CORE}" xmlns:m="{_MATERIAL}">',
            f'<metadata name="Application">mvgen {mvgen.__version__}</metadata>',
            "<resources>",
            *resources,
            '<object id="3" type="model"' + (' pid="2" pindex="0">' if entries is not None else ">"),
            "<mesh>",
            "<vertices>",
            *(vertex % tuple(row) for row in vertices.tolist()),
            "</vertices>",
            "<triangles>",
            *rows,
            "</triangles>",
            "</mesh>",
            "</object>",
            "</resources>",
            '<build><item objectid="3"/></build>',
            "</model>",
            "",
        ]
    )
    return _package({**_frame(files), "3D/3dmodel.model": model.encode("ascii"), **files})


def degenerate_3mf(mesh: Mesh) -> int:
    """How many faces `mesh_3mf` leaves out."""
    faces = _welded(mesh.vertices)[1][mesh.faces]
    return int(((faces[:, 0] == faces[:, 1]) | (faces[:, 1] == faces[:, 2]) | (faces[:, 2] == faces[:, 0])).sum())


def _welded(vertices: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The different places in the order of their first use, and each vertex's place among them."""
    _, first, inverse = np.unique(vertices + 0.0, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return vertices[first[order]], rank[inverse.reshape(-1)]


def _appearance(mesh: Mesh, jpeg_quality: int | None) -> tuple[list[str], NDArray[np.int64] | None, dict[str, bytes]]:
    """Lines of resources, each vertex's entry in group 2, and picture files."""
    if mesh.uv is not None and mesh.texture is not None:
        data, mime = encode_picture(mesh.texture, jpeg_quality)
        path = "3D/Textures/surface." + ("png" if mime == "image/png" else "jpg")
        head = f'<m:texture2d id="1" path="/{path}" contenttype="{mime}" tilestyleu="wrap" tilestylev="wrap"/>'
        template = '<m:tex2coord u="%.9g" v="%.9g"/>'
        rows = [template % tuple(row) for row in mesh.uv.tolist()]
        lines = [head, '<m:texture2dgroup id="2" texid="1">', *rows, "</m:texture2dgroup>"]
        return lines, np.arange(len(mesh.uv)), {path: data}
    if mesh.colours is not None:
        eight = np.rint(255 * np.clip(mesh.colours, 0, 1)).astype(np.int64)
        colours, entry = np.unique(eight, axis=0, return_inverse=True)
        template = '<m:color color="#%02X%02X%02XFF"/>'
        rows = [template % tuple(row) for row in colours.tolist()]
        return ['<m:colorgroup id="2">', *rows, "</m:colorgroup>"], entry.reshape(-1), {}
    return [], None, {}


def _frame(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files that make a package of a model and its pictures."""
    start = '<?xml version="1.0" encoding="UTF-8"?>\n'
    rels = "http://schemas.openxmlformats.org/package/2006/relationships"
    kinds = "http://schemas.openxmlformats.org/package/2006/content-types"
    defaults = [
        ("rels", "application/vnd.openxmlformats-package.relationships+xml"),
        ("model", "application/vnd.ms-package.3dmanufacturing-3dmodel+xml"),
        *(("png", "image/png") if p.endswith("png") else ("jpg", "image/jpeg") for p in files),
    ]
    types = "".join(f'<Default Extension="{e}" ContentType="{t}"/>' for e, t in defaults)
    out = {
        "[Content_Types].xml": f'{start}<Types xmlns="{kinds}">{types}</Types>\n',
        "_rels/.rels": f'{start}<Relationships xmlns="{rels}"><Relationship Target="/3D/3dmodel.model" Id="rel0" '
        f'Type="{_RELATION}/3dmodel"/></Relationships>\n',
    }
    for path in files:
        out["3D/_rels/3dmodel.model.rels"] = (
            f'{start}<Relationships xmlns="{rels}"><Relationship Target="/{path}" Id="rel0" '
            f'Type="{_RELATION}/3dtexture"/></Relationships>\n'
        )
    return {path: text.encode("ascii") for path, text in out.items()}


def _package(files: dict[str, bytes]) -> bytes:
    """A zip file without dates of its own."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as package:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            package.writestr(entry, data)
    return out.getvalue()
