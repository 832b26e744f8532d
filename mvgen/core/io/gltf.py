"""glTF 2.0: GLB and .gltf in, GLB out.

glTF is +Y up with OpenGL-like axes; vertices are taken as they stand. Its v runs down the picture, ours up. Colours at
vertices and material factors are linear in a file and sRGB in memory.
Source: Khronos Group, glTF 2.0 Specification (version 2.0.1, 2021).
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mvgen
from mvgen.core.colour import linear_from_srgb, srgb_from_linear
from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io import draco
from mvgen.core.io.companions import Warn, ignore, read_companion, shown
from mvgen.core.io.parts import Part, repeats
from mvgen.core.io.pictures import decode_picture, encode_picture
from mvgen.core.io.ply import fits_float32

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "i2", 5123: "u2", 5125: "u4", 5126: "f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_DRACO = "KHR_draco_mesh_compression"
EXTENSION_SPLATS = "KHR_gaussian_splatting"
_READABLE = {
    "EXT_texture_webp",
    EXTENSION_SPLATS,
    "KHR_mesh_quantization",
    "KHR_texture_transform",
    "KHR_lights_punctual",
    _DRACO,
}
_POINTS, _TRIANGLES, _STRIP, _FAN = 0, 4, 5, 6
_MOST_UNBACKED = 10_000_000  # entries of an accessor that no bytes stand behind
_EXPORT_AGAIN = "the file looks cut short or damaged; export or download it again"
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942


@dataclass(frozen=True, eq=False)
class Contents:
    """What a glTF file holds, in world coordinates: triangle parts, points, and the scene's extras."""

    parts: list[Part]
    clouds: list[PointCloud]
    metadata: dict[str, Any]


# ---- reading


def read_gltf(data: bytes, path: Path, warn: Warn = ignore) -> Contents:
    """The default scene of a .glb or .gltf file with all transforms applied; ``path`` is for messages and companions.

    ``warn`` is told what is left out: animations, lights, further pictures, missing pictures and the like. Raises
    InputError when the file is damaged or needs an extension that mvgen cannot decode.
    """
    try:
        return _Reader(data, path, warn).contents()
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not sound glTF ({type(error).__name__}: {shown(error)})", _EXPORT_AGAIN) from error


class _Reader:
    """Resolves the cross references of one glTF file."""

    def __init__(self, data: bytes, path: Path, warn: Warn = ignore):
        self.path, self.warn = path, warn
        if not data.startswith(b"glTF") and not data.lstrip()[:1] == b"{":
            raise InputError(f"{path}: is not a glTF file", "give a .glb or .gltf file")
        text, self.binary = _chunks(data, path)
        try:
            self.tree = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: its JSON part cannot be read ({error})", _EXPORT_AGAIN) from None
        if not isinstance(self.tree, dict) or "asset" not in self.tree:
            raise InputError(f"{path}: not a glTF file (no asset entry)", "give a .glb or .gltf file")
        self._check_required()
        self._buffers: dict[int, bytes] = {}
        self._pictures: dict[int, NDArray[np.uint8] | None] = {}

    def _check_required(self) -> None:
        for name in self.tree.get("extensionsRequired", []):
            if name == _DRACO:
                draco.need(str(self.path))
            if name not in _READABLE and not str(name).startswith("KHR_materials_"):
                kind = "compressed geometry" if "compression" in str(name) else "content"
                raise InputError(
                    f"{self.path}: needs the glTF extension {name}, which is not supported",
                    f"export it again without {kind} of this kind, for example with `gltf-transform copy IN OUT`",
                )

    def contents(self) -> Contents:
        parts: list[Part] = []
        clouds: list[PointCloud] = []
        for node, matrix in self._nodes():
            if "mesh" not in node:
                continue
            for primitive in self.tree["meshes"][node["mesh"]]["primitives"]:
                mode = primitive.get("mode", _TRIANGLES)
                if mode == _POINTS:
                    clouds.append(_placed_points(self._points(primitive), matrix))
                elif mode in (_TRIANGLES, _STRIP, _FAN) and "POSITION" in primitive["attributes"]:
                    parts.append(_placed_part(self._part(primitive, mode), matrix))
        if parts and clouds:
            self.warn(f"{self.path}: its {sum(map(len, clouds))} loose points are left out beside the faces")
        for text in left_out(self.tree):
            self.warn(f"{self.path}: {text}")
        return Contents(parts, clouds, self._metadata())

    def _metadata(self) -> dict[str, Any]:
        scenes = self.tree.get("scenes") or [{}]
        extras = scenes[self.tree.get("scene", 0)].get("extras")
        return extras if isinstance(extras, dict) else {}

    def _nodes(self) -> list[tuple[dict[str, Any], NDArray[np.float64]]]:
        """Every node of the scene, in depth-first order, with its matrix to the world."""
        nodes = self.tree.get("nodes", [])
        children = {c for n in nodes for c in n.get("children", [])}
        if self.tree.get("scenes"):
            roots = self.tree["scenes"][self.tree.get("scene", 0)].get("nodes", [])
        else:
            roots = [i for i in range(len(nodes)) if i not in children]
        out, seen = [], set()
        stack = [(i, np.eye(4)) for i in reversed(roots)]
        while stack:
            index, parent = stack.pop()
            if index in seen:
                raise InputError(f"{self.path}: node {index} hangs in the scene more than once", _EXPORT_AGAIN)
            seen.add(index)
            matrix = parent @ _local_matrix(nodes[index])
            out.append((nodes[index], matrix))
            stack += [(i, matrix) for i in reversed(nodes[index].get("children", []))]
        return out

    def splats(self) -> list[tuple[dict[str, NDArray[Any]], dict[str, Any], NDArray[np.float64]]]:
        out = []
        for node, matrix in self._nodes():
            for primitive in self.tree["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
                extension = primitive.get("extensions", {}).get(EXTENSION_SPLATS)
                if extension is not None:
                    packed = [str(key) for key in extension.get("extensions", {})]
                    if packed:
                        raise InputError(
                            f"{self.path}: its splats are packed by {shown(packed[0])}, which is not supported",
                            "export it again without compression, or as .spz or .ply",
                        )
                    attributes = {key: self._accessor(index) for key, index in primitive["attributes"].items()}
                    out.append((attributes, extension, matrix))
        return out

    def _part(self, primitive: dict[str, Any], mode: int) -> Part:
        attributes = primitive["attributes"]
        packed = primitive.get("extensions", {}).get(_DRACO)
        if packed is not None and (_DRACO in self.tree.get("extensionsRequired", []) or draco.is_there()):
            attributes = self._unpacked(packed, attributes)
        vertices = self._accessor(attributes["POSITION"]).astype(np.float64)
        if "indices" in attributes:
            index = self._accessor(attributes["indices"]).reshape(-1).astype(np.int64)
        elif "indices" in primitive:
            index = self._accessor(primitive["indices"]).reshape(-1).astype(np.int64)
        else:
            index = np.arange(len(vertices))
        uv, texture, tint = self._material(primitive, attributes, len(vertices))
        return Part(
            vertices=vertices,
            faces=_triangles(index, mode),
            normals=self._per_vertex(attributes, "NORMAL", len(vertices)),
            colours=self._colours(attributes, len(vertices)),
            uv=uv,
            texture=texture,
            tint=tint,
        )

    def _points(self, primitive: dict[str, Any]) -> PointCloud:
        attributes = primitive["attributes"]
        points = self._accessor(attributes["POSITION"]).astype(np.float64)
        normals = self._per_vertex(attributes, "NORMAL", len(points))
        confidence = self._per_vertex(attributes, "_CONFIDENCE", len(points))
        return PointCloud(
            points,
            None if normals is None else normals.astype(np.float32),
            self._colours(attributes, len(points)),
            None if confidence is None else confidence.reshape(-1).astype(np.float32),
        )

    def _per_vertex(self, attributes: dict[str, Any], key: str, count: int) -> NDArray[Any] | None:
        if key not in attributes:
            return None
        values = self._accessor(attributes[key])
        if len(values) != count:
            raise InputError(f"{self.path}: {key} has {len(values)} entries for {count} vertices", _EXPORT_AGAIN)
        return values.astype(np.float64)

    def _colours(self, attributes: dict[str, Any], count: int) -> NDArray[np.float32] | None:
        linear = self._per_vertex(attributes, "COLOR_0", count)
        return None if linear is None else srgb_from_linear(linear[:, :3]).astype(np.float32)

    def _material(
        self, primitive: dict[str, Any], attributes: dict[str, Any], count: int
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.uint8] | None, NDArray[np.float64] | None]:
        """uv, picture and tint."""
        if "material" not in primitive:
            return None, None, None
        material = self.tree["materials"][primitive["material"]]
        old = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
        pbr = material.get("pbrMetallicRoughness", {})
        factor = np.asarray(pbr.get("baseColorFactor", old.get("diffuseFactor", [1, 1, 1, 1])), np.float64)[:3]
        tint = None if (factor == 1).all() else srgb_from_linear(factor)
        info = pbr.get("baseColorTexture", old.get("diffuseTexture"))
        if info is None:
            return None, None, tint
        change = info.get("extensions", {}).get("KHR_texture_transform", {})
        uv = self._per_vertex(attributes, f"TEXCOORD_{change.get('texCoord', info.get('texCoord', 0))}", count)
        texture = self._texture(info["index"])
        if uv is None or texture is None:
            return None, None, tint
        uv = _transformed(uv, change)
        return np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1), texture, tint

    def _texture(self, index: int) -> NDArray[np.uint8] | None:
        texture = self.tree["textures"][index]
        source = texture.get("extensions", {}).get("EXT_texture_webp", {}).get("source", texture.get("source"))
        if source is None:
            return None
        if source not in self._pictures:
            data = self._picture_bytes(self.tree["images"][source])
            name = f"{self.path}: texture picture {source}"
            self._pictures[source] = None if data is None else decode_picture(data, name)
        return self._pictures[source]

    def _picture_bytes(self, entry: dict[str, Any]) -> bytes | None:
        """None, with a warning, where the picture is not at hand: the shape is worth having without it."""
        if "bufferView" in entry:
            return bytes(self._view(entry["bufferView"]))
        try:
            return self._uri(entry["uri"])
        except InputError as error:
            self.warn(f"{error.message}; going on without it")
            return None

    def _unpacked(self, packed: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
        """Decoded arrays in place of the accessors of a Draco primitive."""
        arrays = draco.decode(bytes(self._view(packed["bufferView"])), packed["attributes"], str(self.path))
        out: dict[str, Any] = {**attributes, **arrays}
        for key, values in arrays.items():
            entry = self.tree["accessors"][attributes[key]] if key in attributes else {}
            if entry.get("normalized") and values.dtype.kind in "iu":
                out[key] = np.maximum(values.astype(np.float64) / np.iinfo(values.dtype).max, -1)
        return out

    def _accessor(self, index: int | NDArray[Any]) -> NDArray[Any]:
        """[count, width]; normalised integers become floats. Arrays that are decoded already pass through."""
        if isinstance(index, np.ndarray):
            return index
        if not isinstance(index, int) or index < 0:
            raise InputError(f"{self.path}: accessor {index} does not exist", _EXPORT_AGAIN)
        entry = self.tree["accessors"][index]
        kind, width, count = np.dtype("<" + _COMPONENTS[entry["componentType"]]), _WIDTHS[entry["type"]], entry["count"]
        if "bufferView" in entry:
            values = self._strided(entry["bufferView"], entry.get("byteOffset", 0), kind, width, count)
        elif 0 <= count <= _MOST_UNBACKED:
            values = np.zeros((count, width), kind)
        else:
            raise InputError(f"{self.path}: accessor {index} claims {count} entries", _EXPORT_AGAIN)
        if "sparse" in entry:
            values = self._sparse(values, entry["sparse"], kind, width)
        if entry.get("normalized") and kind.kind in "iu":
            return np.maximum(values.astype(np.float64) / np.iinfo(kind).max, -1)
        return values

    def _sparse(self, values: NDArray[Any], sparse: dict[str, Any], kind: np.dtype[Any], width: int) -> NDArray[Any]:
        where, what = sparse["indices"], sparse["values"]
        index_kind = np.dtype("<" + _COMPONENTS[where["componentType"]])
        rows = self._strided(where["bufferView"], where.get("byteOffset", 0), index_kind, 1, sparse["count"])
        values = values.copy()
        values[rows[:, 0]] = self._strided(what["bufferView"], what.get("byteOffset", 0), kind, width, sparse["count"])
        return values

    def _strided(self, view: int, offset: int, kind: np.dtype[Any], width: int, count: int) -> NDArray[Any]:
        data = self._view(view)
        stride = self.tree["bufferViews"][view].get("byteStride") or kind.itemsize * width
        last = offset + stride * (count - 1) + kind.itemsize * width
        if min(offset, count) < 0 or stride < kind.itemsize * width or (count and last > len(data)):
            raise InputError(f"{self.path}: ends before its {count} entries", _EXPORT_AGAIN)
        if not count:
            return np.zeros((0, width), kind)
        return np.ndarray((count, width), kind, data, offset, (stride, kind.itemsize))

    def _view(self, index: int) -> memoryview:
        view = self.tree["bufferViews"][index]
        data = self._buffer(view["buffer"])
        start, length = view.get("byteOffset", 0), view["byteLength"]
        if start < 0 or length < 0 or start + length > len(data):
            raise InputError(f"{self.path}: buffer view {index} leaves its buffer", _EXPORT_AGAIN)
        return memoryview(data)[start : start + length]

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            entry = self.tree["buffers"][index]
            self._buffers[index] = self._uri(entry["uri"]) if "uri" in entry else self.binary
        return self._buffers[index]

    def _uri(self, uri: str) -> bytes:
        """Bytes of a data URI, or of a file named relative to this one."""
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except binascii.Error:
                raise InputError(f"{self.path}: embedded data cannot be decoded", _EXPORT_AGAIN) from None
        return read_companion(self.path, uri, quoted=True)


def splat_primitives(
    data: bytes, path: Path
) -> list[tuple[dict[str, NDArray[Any]], dict[str, Any], NDArray[np.float64]]]:
    """Of every primitive with KHR_gaussian_splatting: its attributes [N, width], the extension's entry, and the matrix
    [4, 4] to the world. Raises InputError."""
    try:
        return _Reader(data, path).splats()
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not sound glTF ({type(error).__name__}: {shown(error)})", _EXPORT_AGAIN) from error


def holds_splats(data: bytes, path: Path) -> bool:
    """Whether a glTF file has splats, and no faces. Raises InputError."""
    try:
        primitives = [p for m in _Reader(data, path).tree["meshes"] for p in m["primitives"]]
        faces = any(p.get("mode", _TRIANGLES) in (_TRIANGLES, _STRIP, _FAN) for p in primitives)
        return not faces and any(EXTENSION_SPLATS in p.get("extensions", {}) for p in primitives)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not sound glTF ({type(error).__name__}: {shown(error)})", _EXPORT_AGAIN) from error


def facts(data: bytes, path: Path) -> dict[str, Any]:
    """What a glTF file says of itself: who wrote it, how many of each thing it has, its extensions."""
    tree = _Reader(data, path).tree
    keys = ("nodes", "meshes", "materials", "images", "animations", "skins")
    counts = {key: len(tree[key]) for key in keys if isinstance(tree.get(key), list) and tree[key]}
    asset = tree["asset"] if isinstance(tree["asset"], dict) else {}
    out: dict[str, Any] = {"generator": asset.get("generator"), "version": asset.get("version"), "parts": counts}
    return out | {"extensions": [str(name) for name in tree.get("extensionsUsed", [])]}


def left_out(tree: dict[str, Any]) -> list[str]:
    """What a glTF file has that a `Mesh` or `PointCloud` does not keep, a line for each."""
    out = []
    for key in ("animations", "skins", "cameras"):
        if tree.get(key):
            out.append(f"its {key} are left out")
    if tree.get("extensions", {}).get("KHR_lights_punctual", {}).get("lights"):
        out.append("its lights are left out")
    if len(tree.get("scenes", [])) > 1:
        out.append("its scenes but the first shown are left out")
    primitives = [p for m in tree.get("meshes", []) for p in m.get("primitives", [])]
    if any(p.get("targets") for p in primitives):
        out.append("its morph targets are left out")
    if any(p.get("mode", _TRIANGLES) in (1, 2, 3) for p in primitives):
        out.append("its lines are left out")
    if any(str(key).startswith("KHR_gaussian_splatting") for p in primitives for key in p.get("extensions", {})):
        out.append("its Gaussian splats are taken as points; scales, rotations, opacities and colours are left out")
    more, see_through = set(), False
    for material in tree.get("materials", []):
        pbr = material.get("pbrMetallicRoughness", {})
        more |= {key for key in ("normalTexture", "occlusionTexture", "emissiveTexture") if key in material}
        more |= {key for key in ("metallicRoughnessTexture",) if key in pbr}
        see_through |= material.get("alphaMode", "OPAQUE") != "OPAQUE"
    if more:
        out.append(f"of its pictures the base colour alone is kept, not {', '.join(sorted(more))}")
    if see_through:
        out.append("its transparency is left out")
    return out


def _chunks(data: bytes, path: Path) -> tuple[bytes, bytes]:
    """The JSON text and the binary chunk of a file."""
    if not data.startswith(b"glTF"):
        return data, b""
    if len(data) < 20:
        raise InputError(f"{path}: ends inside its header", _EXPORT_AGAIN)
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise InputError(f"{path}: is glTF version {version}", "export it again as glTF 2.0")
    if length > len(data):
        raise InputError(f"{path}: has {len(data)} of the {length} bytes it should have", _EXPORT_AGAIN)
    found: dict[int, bytes] = {}
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<II", data, at)
        if at + 8 + size > length:
            raise InputError(f"{path}: a chunk leaves the file", _EXPORT_AGAIN)
        found.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + size
    if _JSON_CHUNK not in found:
        raise InputError(f"{path}: has no JSON chunk", _EXPORT_AGAIN)
    return found[_JSON_CHUNK], found.get(_BINARY_CHUNK, b"")


def _local_matrix(node: dict[str, Any]) -> NDArray[np.float64]:
    if "matrix" in node:
        return np.asarray(node["matrix"], np.float64).reshape(4, 4).T
    out = np.eye(4)
    x, y, z, w = np.asarray(node.get("rotation", [0, 0, 0, 1]), np.float64)
    norm = x * x + y * y + z * z + w * w
    if norm > 0:
        s = 2 / norm
        out[:3, :3] = [
            [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
            [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
            [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
        ]
    out[:3, :3] *= np.asarray(node.get("scale", [1, 1, 1]), np.float64)
    out[:3, 3] = np.asarray(node.get("translation", [0, 0, 0]), np.float64)
    return out


def _triangles(index: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    if mode == _TRIANGLES:
        return index[: len(index) // 3 * 3].reshape(-1, 3)
    n = max(len(index) - 2, 0)
    step = np.arange(n)
    if mode == _FAN:
        return np.stack([np.broadcast_to(index[:1], n), index[1:][:n], index[2:][:n]], axis=1)
    odd = step % 2
    return np.stack([index[step], index[step + 1 + odd], index[step + 2 - odd]], axis=1)


def _transformed(uv: NDArray[np.float64], change: dict[str, Any]) -> NDArray[np.float64]:
    """KHR_texture_transform, in the file's uv."""
    turn = float(change.get("rotation", 0))
    scaled = uv * np.asarray(change.get("scale", [1, 1]), np.float64)
    c, s = np.cos(turn), np.sin(turn)
    return scaled @ np.array([[c, -s], [s, c]]) + np.asarray(change.get("offset", [0, 0]), np.float64)


def _moved(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return points if (matrix == np.eye(4)).all() else points @ matrix[:3, :3].T + matrix[:3, 3]


def _turned(normals: NDArray[Any] | None, matrix: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if normals is None or (matrix[:3, :3] == np.eye(3)).all():
        return normals
    cofactor = np.linalg.det(matrix[:3, :3]) * np.linalg.pinv(matrix[:3, :3])
    out = normals @ cofactor
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-300)


def _placed_part(part: Part, matrix: NDArray[np.float64]) -> Part:
    from dataclasses import replace

    mirrored = np.linalg.det(matrix[:3, :3]) < 0
    normals = _turned(part.normals, matrix)
    return replace(
        part,
        vertices=_moved(part.vertices, matrix),
        faces=part.faces[:, ::-1] if mirrored else part.faces,
        normals=-normals if mirrored and normals is not None else normals,
    )


def _placed_points(cloud: PointCloud, matrix: NDArray[np.float64]) -> PointCloud:
    from dataclasses import replace

    normals = _turned(cloud.normals, matrix)
    return replace(
        cloud,
        points=_moved(cloud.points, matrix),
        normals=None if normals is None else normals.astype(np.float32),
    )


# ---- writing


class _Writer:
    """Collects aligned buffer views and the accessors on them."""

    def __init__(self) -> None:
        self.blob = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, target: int | None = None) -> int:
        self.blob += b"\0" * (-len(self.blob) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(data)}
        self.views.append(entry if target is None else entry | {"target": target})
        self.blob += data
        return len(self.views) - 1

    def accessor(
        self, values: NDArray[Any], kind: str, index: bool = False, normalized: bool = False, bounds: bool = False
    ) -> int:
        component = next(code for code, name in _COMPONENTS.items() if np.dtype("<" + name) == values.dtype)
        view = self.view(np.ascontiguousarray(values).tobytes(), 34963 if index else 34962)
        entry: dict[str, Any] = {"bufferView": view, "componentType": component, "count": len(values), "type": kind}
        if normalized:
            entry["normalized"] = True
        if bounds:
            entry["min"] = [float(x) for x in values.min(0)]
            entry["max"] = [float(x) for x in values.max(0)]
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def glb(self, tree: dict[str, Any]) -> bytes:
        self.blob += b"\0" * (-len(self.blob) % 4)
        tree["bufferViews"], tree["accessors"] = self.views, self.accessors
        tree["buffers"] = [{"byteLength": len(self.blob)}]
        text = json.dumps(tree, separators=(",", ":"), sort_keys=True, allow_nan=False).encode("ascii")
        text += b" " * (-len(text) % 4)
        total = 28 + len(text) + len(self.blob)
        if total >= 1 << 32:
            raise CannotError("the mesh does not fit into a GLB file (4 GB)", "reduce it, or write PLY")
        head = struct.pack("<4sIIII", b"glTF", 2, total, len(text), _JSON_CHUNK)
        return head + text + struct.pack("<II", len(self.blob), _BINARY_CHUNK) + bytes(self.blob)


def mesh_bytes(mesh: Mesh, jpeg_quality: int | None = 92, unlit: bool = False) -> bytes:
    """A mesh as a GLB file: one node, one primitive, a matt double-sided material with the picture.

    Large pictures are JPEG (PNG where ``jpeg_quality`` is None), those of up to 256 x 256 pixels PNG. unlit: colours
    are to be shown as they are (KHR_materials_unlit). The same mesh gives the same bytes.
    """
    writer = _Writer()
    attributes, shift = _attributes(writer, mesh.vertices, mesh.normals, None if _textured(mesh) else mesh.colours)
    material: dict[str, Any] = {
        "doubleSided": True,
        "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
    }
    tree: dict[str, Any] = {"materials": [material]}
    if unlit:
        material["extensions"] = {"KHR_materials_unlit": {}}
        tree["extensionsUsed"] = ["KHR_materials_unlit"]
    if _textured(mesh):
        assert mesh.uv is not None and mesh.texture is not None
        uv = np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], axis=1).astype("<f4")
        attributes["TEXCOORD_0"] = writer.accessor(uv, "VEC2")
        wrap = 10497 if repeats(uv) else 33071
        data, mime = encode_picture(mesh.texture, jpeg_quality)
        tree["images"] = [{"bufferView": writer.view(data), "mimeType": mime}]
        tree["samplers"] = [{"magFilter": 9729, "minFilter": 9987, "wrapS": wrap, "wrapT": wrap}]
        tree["textures"] = [{"sampler": 0, "source": 0}]
        material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
    small = len(mesh.vertices) < 65535
    indices = writer.accessor(mesh.faces.reshape(-1).astype("<u2" if small else "<u4"), "SCALAR", index=True)
    primitive = {"attributes": attributes, "indices": indices, "material": 0, "mode": _TRIANGLES}
    return writer.glb(tree | _scene(primitive, shift, mesh.metadata))


def points_bytes(cloud: PointCloud) -> bytes:
    """A point cloud as a GLB file with one POINTS primitive; confidence becomes the attribute _CONFIDENCE."""
    writer = _Writer()
    attributes, shift = _attributes(writer, cloud.points, cloud.normals, cloud.colours)
    if cloud.confidence is not None:
        attributes["_CONFIDENCE"] = writer.accessor(cloud.confidence.astype("<f4"), "SCALAR")
    return writer.glb(_scene({"attributes": attributes, "mode": _POINTS}, shift, cloud.metadata))


def _textured(mesh: Mesh) -> bool:
    return mesh.uv is not None and mesh.texture is not None


def _attributes(
    writer: _Writer,
    points: NDArray[np.floating],
    normals: NDArray[np.floating] | None,
    colours: NDArray[np.floating] | None,
) -> tuple[dict[str, int], NDArray[np.float64] | None]:
    """Accessors of the points, and the shift that keeps coordinates far from the origin exact in float32."""
    shift = None if fits_float32(points) else points.min(0) / 2 + points.max(0) / 2
    local = (points if shift is None else points - shift).astype("<f4")
    attributes = {"POSITION": writer.accessor(local, "VEC3", bounds=True)}
    if normals is not None:
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        unit = np.where(length > 1e-12, normals / np.maximum(length, 1e-12), [0, 0, 1])
        attributes["NORMAL"] = writer.accessor(unit.astype("<f4"), "VEC3")
    if colours is not None:
        wide = np.full((len(points), 4), 65535, "<u2")
        wide[:, :3] = np.rint(65535 * linear_from_srgb(np.clip(colours, 0, 1)))
        attributes["COLOR_0"] = writer.accessor(wide, "VEC4", normalized=True)
    return attributes, shift


def _scene(primitive: dict[str, Any], shift: NDArray[np.float64] | None, metadata: dict[str, Any]) -> dict[str, Any]:
    node: dict[str, Any] = {"mesh": 0}
    if shift is not None:
        node["translation"] = [float(x) for x in shift]
    scene: dict[str, Any] = {"nodes": [0]}
    if metadata:
        scene["extras"] = metadata
    return {
        "asset": {"version": "2.0", "generator": f"mvgen {mvgen.__version__}"},
        "scene": 0,
        "scenes": [scene],
        "nodes": [node],
        "meshes": [{"primitives": [primitive]}],
    }
