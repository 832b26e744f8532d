"""Meshes and point clouds in files: GLB and glTF, PLY, OBJ with its materials, STL, OFF, 3MF and XYZ.

Vertices keep their order and are not merged; all nodes of a scene are brought into world coordinates and joined into
one mesh. Savers write to the path they are given, whole or not being the caller's concern (`atomic`).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mvgen
from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io import gltf, ply, threemf
from mvgen.core.io.companions import Companions, Warn, ignore, shown
from mvgen.core.io.off import off_bytes, read_off
from mvgen.core.io.parts import Part, merge_parts, repeats
from mvgen.core.io.pictures import MOST_PIXELS, encode_picture
from mvgen.core.io.sniff import HEAD, sniff
from mvgen.core.io.xyz import read_xyz, xyz_bytes

MESH_FORMATS = (".glb", ".ply", ".obj", ".stl", ".off", ".3mf")
POINT_FORMATS = (".ply", ".glb", ".xyz")
READ_FORMATS = (*MESH_FORMATS, ".gltf", ".xyz", ".mks")
_KEPT = {  # what each format holds beside the shape
    ".glb": {"normals", "colours", "texture", "confidence", "metadata"},
    ".ply": {"normals", "colours", "confidence", "metadata"},
    ".obj": {"normals", "colours", "texture"},
    ".stl": set(),
    ".off": {"colours"},
    ".3mf": {"colours", "texture"},
    ".xyz": {"normals", "colours"},
}
_EXPORT_AGAIN = "the file looks cut short or damaged; export or download it again"


def load_any(path: Path | str, warn: Warn = ignore) -> Mesh | PointCloud:
    """The mesh in a file, or its points when it has no faces.

    The first bytes tell the format where they can, else the extension. ``warn`` is told, in a line each, what the file
    has that is not kept, and which of its companions are missing. Raises InputError when the file is missing, empty,
    damaged, of another kind, or holds coordinates that are not finite or faces that name missing vertices.
    """
    path = Path(path)
    data = _read(path)
    kind = format_of(data, path)
    if kind in (".glb", ".gltf"):
        shape = _from_gltf(data, path, warn)
    elif kind == ".ply":
        shape = ply.read_ply(data, str(path), warn)
    elif kind == ".off":
        shape = read_off(data, str(path), warn)
    elif kind == ".3mf":
        shape = threemf.read_3mf(data, str(path), warn)
    elif kind == ".xyz":
        shape = read_xyz(data, str(path), warn)
    elif kind == ".mks":
        shape = _from_mks(data, path)
    elif kind in (".obj", ".stl"):
        shape = _from_trimesh(data, kind, path, warn)
    else:
        raise InputError(f"{path}: {_what_it_is(data, path)}", "give a file of kind " + ", ".join(READ_FORMATS))
    return _checked(shape, path)


def format_of(data: bytes, path: Path, size: int | None = None) -> str:
    """The extension that names the format of a file's content: by its first bytes, else by its name.

    size: of the file, where ``data`` is its beginning alone.
    """
    kind = sniff(data[:HEAD], len(data) if size is None else size)
    given = path.suffix.lower()
    if kind in (None, ".json") or (kind == ".zip" and given == ".3mf") or (kind == ".xyz" and given == ".txt"):
        return given
    return kind


def _what_it_is(data: bytes, path: Path) -> str:
    """Why a file is neither a mesh nor points."""
    if data[:2] == b"\x1f\x8b" or data[:4] == b"NGSP" or path.suffix.lower() in (".spz", ".splat", ".ksplat"):
        return "holds Gaussian splats, or compressed data, not a mesh or points"
    return "is not a mesh or point file"


def not_kept(shape: Mesh | PointCloud, suffix: str) -> list[str]:
    """What a file of the extension ``suffix`` does not hold of a shape, a line for each."""
    kept = _KEPT[suffix]
    textured = isinstance(shape, Mesh) and shape.uv is not None and shape.texture is not None
    out = []
    if textured and "texture" not in kept:
        out.append("the texture becomes colours at vertices" if "colours" in kept else "the texture is not kept")
    if shape.colours is not None and (textured or "colours" not in kept):
        out.append("colours are not kept")
    if shape.normals is not None and "normals" not in kept:
        out.append("normals are not kept")
    if isinstance(shape, PointCloud) and shape.confidence is not None and "confidence" not in kept:
        out.append("confidence is not kept")
    if shape.metadata and "metadata" not in kept and set(shape.metadata) - {"units", "up"}:
        out.append("metadata is not kept")
    if isinstance(shape, Mesh) and suffix == ".3mf" and (count := threemf.degenerate_3mf(shape)):
        out.append(f"{count} triangles with two corners at one place are left out")
    return out


def load_mesh(path: Path | str, warn: Warn = ignore) -> Mesh:
    """The mesh in a file. Raises InputError as `load_any`, and when there are no faces."""
    shape = load_any(path, warn)
    if isinstance(shape, PointCloud):
        raise InputError(f"{path}: holds {len(shape)} points but no faces", "give a mesh")
    return shape


def load_points(path: Path | str, warn: Warn = ignore) -> PointCloud:
    """The points in a file; of a mesh, its vertices. Raises InputError as `load_any`."""
    shape = load_any(path, warn)
    if isinstance(shape, PointCloud):
        return shape
    normals = None if shape.normals is None else shape.normals.astype(np.float32)
    return PointCloud(shape.vertices, normals, with_vertex_colours(shape).colours, metadata=shape.metadata)


def save_mesh(mesh: Mesh, path: Path | str, jpeg_quality: int | None = 92, unit: str = "mm") -> None:
    """Write a mesh in the format of the extension.

    GLB keeps everything; OBJ keeps the picture in NAME.jpg or NAME.png and NAME.mtl beside it; 3MF keeps colours or the
    picture and says its ``unit``; PLY keeps metadata and, as OFF, gets the texture as colours of the vertices; STL
    keeps the shape alone. Pictures are PNG where ``jpeg_quality`` is None. The same mesh gives the same bytes.
    Raises UsageError for another extension, CannotError for a mesh that is empty or not finite.
    """
    path = Path(path)
    writers: dict[str, Callable[[], bytes]] = {
        ".glb": lambda: gltf.mesh_bytes(mesh, jpeg_quality),
        ".ply": lambda: ply.mesh_bytes(with_vertex_colours(mesh)),
        ".obj": lambda: _obj_bytes(mesh, path, jpeg_quality),
        ".stl": lambda: _stl_bytes(mesh),
        ".off": lambda: off_bytes(with_vertex_colours(mesh)),
        ".3mf": lambda: threemf.mesh_3mf(mesh, unit, jpeg_quality),
    }
    writer = _chosen(writers, path, "mesh")
    if not len(mesh.faces):
        raise CannotError(f"{path}: there are no faces to write")
    _refuse_not_finite(mesh.vertices, path)
    path.write_bytes(writer())


def save_points(points: PointCloud, path: Path | str) -> None:
    """Write points as .ply (binary), .glb or .xyz (text). Raises UsageError and CannotError as `save_mesh`."""
    path = Path(path)
    writers: dict[str, Callable[[], bytes]] = {
        ".ply": lambda: ply.points_bytes(points),
        ".glb": lambda: gltf.points_bytes(points),
        ".xyz": lambda: xyz_bytes(points),
    }
    writer = _chosen(writers, path, "points")
    if not len(points):
        raise CannotError(f"{path}: there are no points to write")
    _refuse_not_finite(points.points, path)
    path.write_bytes(writer())


def with_vertex_colours(mesh: Mesh) -> Mesh:
    """The mesh with the texture (bilinear, at each vertex) as colours instead; others stay as they are."""
    if mesh.uv is None or mesh.texture is None:
        return mesh
    height, width = mesh.texture.shape[:2]
    place = mesh.uv * [width, height] - 0.5
    first = np.floor(place).astype(np.int64)
    part = (place - first).astype(np.float32)
    x, y = np.stack([first[:, 0], first[:, 0] + 1]), np.stack([first[:, 1], first[:, 1] + 1])
    x, y = (x % width, y % height) if repeats(mesh.uv) else (np.clip(x, 0, width - 1), np.clip(y, 0, height - 1))
    y = height - 1 - y
    across = [mesh.texture[y[k], x[0]] * (1 - part[:, :1]) + mesh.texture[y[k], x[1]] * part[:, :1] for k in (0, 1)]
    colours = across[0] * (1 - part[:, 1:]) + across[1] * part[:, 1:]
    return replace(mesh, colours=(colours / 255).astype(np.float32), uv=None, texture=None)


# ---- reading


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "check the name and the current folder") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, not a mesh", "name a file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", "name a mesh or point file") from error
    if not data:
        raise InputError(f"{path}: is empty", "was it copied or downloaded completely?")
    return data


def _from_gltf(data: bytes, path: Path, warn: Warn) -> Mesh | PointCloud:
    contents = gltf.read_gltf(data, path, warn)
    if contents.parts:
        return merge_parts(contents.parts, contents.metadata)
    if not contents.clouds:
        raise InputError(f"{path}: has neither faces nor points", "give a file with a mesh in its scene")
    clouds = contents.clouds
    return PointCloud(
        np.concatenate([c.points for c in clouds]),
        _joined([c.normals for c in clouds]),
        _joined([c.colours for c in clouds]),
        _joined([c.confidence for c in clouds]),
        contents.metadata,
    )


def _from_mks(data: bytes, path: Path) -> Mesh:
    from mvgen.core.compress.file import read_mks

    return read_mks(data, str(path))


def _joined(columns: list[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    found = [c for c in columns if c is not None]
    return np.concatenate(found) if len(found) == len(columns) else None


def _from_trimesh(data: bytes, kind: str, path: Path, warn: Warn) -> Mesh | PointCloud:
    import trimesh

    options: dict[str, Any] = {} if kind != ".obj" or b"\nvt " in data else {"maintain_order": True}
    resolver: Any = Companions(path, warn) if kind == ".obj" else None
    try:
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            scene = trimesh.load_scene(
                io.BytesIO(data), file_type=kind[1:], resolver=resolver, process=False, **options
            )
            parts, loose = _shapes_of(scene, path)
    except InputError:
        raise
    except Exception as error:  # trimesh raises whatever its parsers meet
        raise InputError(f"{path}: is not a sound {kind[1:].upper()} file ({shown(error)})", _EXPORT_AGAIN) from error
    _tell_unused(data, kind, path, warn)
    if parts:
        return merge_parts(parts)
    points = np.concatenate(loose) if loose else _loose_obj_vertices(data) if kind == ".obj" else np.zeros((0, 3))
    return PointCloud(points)


def _shapes_of(scene: Any, path: Path) -> tuple[list[Part], list[NDArray[np.float64]]]:
    """The faces and the loose points of a trimesh scene."""
    import trimesh

    parts, loose = [], []
    for node in scene.graph.nodes_geometry:
        _, name = scene.graph[node]
        shape = scene.geometry[name]
        if np.shape(getattr(shape, "vertices", np.zeros((0, 3))))[1:] != (3,):
            raise ValueError("vertices without three coordinates")
        if isinstance(shape, trimesh.Trimesh) and len(shape.faces):
            parts.append(_part(shape, path))
        elif len(getattr(shape, "vertices", ())):
            loose.append(np.asarray(shape.vertices, np.float64))
    return parts, loose


def _tell_unused(data: bytes, kind: str, path: Path, warn: Warn) -> None:
    """Say what an OBJ or STL file has that is not read."""
    if kind == ".obj":
        found = {key for line in data.splitlines() if (key := line.partition(b" ")[0]) in _UNUSED_OBJ}
        if found:
            warn(f"{path}: left out: {', '.join(sorted(_UNUSED_OBJ[key] for key in found))}")
    elif len(data) >= 84 and len(data) == 84 + 50 * int.from_bytes(data[80:84], "little"):
        spare = np.frombuffer(data, np.dtype([("shape", "V48"), ("spare", "<u2")]), offset=84)["spare"]
        if spare.any() or b"COLOR=" in data[:80]:
            warn(f"{path}: the colours of an STL file are left out")


_UNUSED_OBJ = {b"l": "lines", b"p": "point elements", b"curv": "curves", b"surf": "surfaces", b"curv2": "curves"}


def _loose_obj_vertices(data: bytes) -> NDArray[np.float64]:
    rows = [line.split()[1:4] for line in data.splitlines() if line.startswith(b"v ")]
    try:
        return np.array([[float(x) for x in row] for row in rows if len(row) == 3], np.float64).reshape(-1, 3)
    except ValueError:
        return np.zeros((0, 3))


def _part(shape: Any, path: Path) -> Part:
    """One trimesh geometry. Raises InputError for a picture that is too large or damaged."""
    from trimesh.visual.material import PBRMaterial

    visual = shape.visual
    uv, texture, tint, colours = None, None, None, None
    material = getattr(visual, "material", None)
    if material is not None:
        image = material.baseColorTexture if isinstance(material, PBRMaterial) else getattr(material, "image", None)
        if image is not None and visual.uv is not None and max(image.size) > 2:  # 2 x 2 stands for a missing picture
            texture = _pixels(image, path)
            uv = np.asarray(visual.uv, np.float64)[:, :2]
        else:
            tint = np.asarray(material.main_color, np.float64)[:3] / 255
            tint = None if np.allclose(tint, 102 / 255) else tint  # trimesh's grey for "not said"
    elif visual.kind == "vertex":
        colours = np.asarray(visual.vertex_colors[:, :3], np.float32) / np.float32(255)
    return Part(
        vertices=np.asarray(shape.vertices, np.float64),
        faces=np.asarray(shape.faces, np.int64),
        normals=_own_normals(shape),
        colours=colours,
        uv=uv,
        texture=texture,
        tint=tint,
    )


def _pixels(image: Any, path: Path) -> NDArray[np.uint8]:
    name = shown(str(image.info.get("file_path", "")))
    if image.width * image.height > MOST_PIXELS:
        raise InputError(f"{path}: its picture {name} has too many pixels", "reduce it to 8192 a side")
    try:
        return np.asarray(image.convert("RGBA" if image.mode == "P" else image.mode).convert("RGB"))
    except Exception as error:  # decoders raise many kinds on damaged data
        raise InputError(f"{path}: its picture {name} cannot be decoded", _EXPORT_AGAIN) from error


def _own_normals(shape: Any) -> NDArray[np.float64] | None:
    """Normals that the file had, not those that trimesh would compute."""
    if "vertex_normals" not in shape._cache.cache:
        return None
    return np.asarray(shape.vertex_normals, np.float64)


def _checked(shape: Mesh | PointCloud, path: Path) -> Mesh | PointCloud:
    points = shape.vertices if isinstance(shape, Mesh) else shape.points
    if not len(points):
        raise InputError(f"{path}: has no points and no faces", "give a file with a mesh or points")
    bad = int((~np.isfinite(points).all(1)).sum())
    if bad:
        raise InputError(f"{path}: {bad} of {len(points)} points are not finite numbers", "repair or export it again")
    if isinstance(shape, Mesh):
        low, high = int(shape.faces.min()), int(shape.faces.max())
        if low < 0 or high >= len(points):
            raise InputError(f"{path}: a face names vertex {high if low >= 0 else low} of {len(points)}", _EXPORT_AGAIN)
        if shape.uv is not None and not np.isfinite(shape.uv).all():
            shape = replace(shape, uv=np.nan_to_num(shape.uv, posinf=0.0, neginf=0.0))
    return shape


# ---- writing


def _chosen(writers: dict[str, Callable[[], bytes]], path: Path, what: str) -> Callable[[], bytes]:
    if path.suffix.lower() not in writers:
        raise UsageError(f"{path}: {what} cannot be written as {path.suffix or 'this'}", "use " + ", ".join(writers))
    return writers[path.suffix.lower()]


def _refuse_not_finite(points: NDArray[np.floating], path: Path) -> None:
    if not np.isfinite(points).all():
        raise CannotError(f"{path}: coordinates that are not finite cannot be written")


def _obj_bytes(mesh: Mesh, path: Path, jpeg_quality: int | None) -> bytes:
    """The OBJ text; writes materials and picture beside ``path``."""
    lines = [f"# mvgen {mvgen.__version__}"]
    textured = mesh.uv is not None and mesh.texture is not None
    if textured:
        assert mesh.uv is not None and mesh.texture is not None
        data, mime = encode_picture(mesh.texture, jpeg_quality)
        picture = path.with_suffix(".png" if mime == "image/png" else ".jpg")
        picture.write_bytes(data)
        material = f"newmtl surface\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {picture.name}\n"
        path.with_suffix(".mtl").write_text(material, encoding="utf-8", newline="\n")
        lines += [f"mtllib {path.with_suffix('.mtl').name}", "usemtl surface"]
    columns = mesh.vertices
    if mesh.colours is not None and not textured:
        columns = np.concatenate([mesh.vertices, np.rint(mesh.colours * 255) / 255], axis=1)
    lines += _rows("v", columns)
    if textured and mesh.uv is not None:
        lines += _rows("vt", mesh.uv)
    if mesh.normals is not None:
        lines += _rows("vn", mesh.normals)
    corner = {(False, False): "%d", (True, False): "%d/%d", (False, True): "%d//%d", (True, True): "%d/%d/%d"}
    has_normals = mesh.normals is not None
    one = corner[textured, has_normals]
    index = np.repeat(mesh.faces + 1, 1 + textured + has_normals, axis=1)
    template = f"f {one} {one} {one}"
    lines += [template % tuple(row) for row in index.tolist()]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _rows(key: str, values: NDArray[np.floating]) -> list[str]:
    template = key + " %.9g" * values.shape[1]
    if key == "v" and not ply.fits_float32(values[:, :3]):
        template = key + " %.15g" * values.shape[1]
    return [template % tuple(row) for row in values.tolist()]


def _stl_bytes(mesh: Mesh) -> bytes:
    triangles = mesh.vertices[mesh.faces]
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    table = np.zeros(len(triangles), np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("spare", "<u2")]))
    table["normal"], table["corners"] = normal, triangles
    head = f"mvgen {mvgen.__version__}".encode().ljust(80, b"\0")
    return head + np.uint32(len(table)).astype("<u4").tobytes() + table.tobytes()
