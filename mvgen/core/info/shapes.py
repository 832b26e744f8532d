"""Facts about meshes and points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.info.describe import Facts
from mvgen.core.io import gltf, ply
from mvgen.core.io.companions import shown
from mvgen.core.io.meshes import format_of, load_any

_SAMPLES = 20_000  # points whose nearest neighbour is looked for


def describe_shape(path: Path) -> Facts:
    """Raises InputError."""
    data = path.read_bytes()
    kind = format_of(data, path)
    notes: list[str] = []
    shape = load_any(path, notes.append)
    notes = [text.removeprefix(f"{path}: ") for text in notes]
    values = _mesh_values(shape) if isinstance(shape, Mesh) else _point_values(shape)
    values |= _file_values(data, kind, path)
    values |= {"units": _units(shape, kind), "up": _up(shape, kind)}
    if shape.metadata:
        values["metadata"] = shape.metadata
    name = kind.lstrip(".").upper()
    if isinstance(shape, Mesh):
        closed = "closed" if values["watertight"] else "open"
        summary = f"{len(shape.vertices)} vertices, {len(shape.faces)} faces, {closed}"
        if shape.texture is not None:
            summary += f", texture {values['texture']}"
        return Facts("mesh", name, summary, values, tuple(notes))
    return Facts("points", name, f"{len(shape)} points", values, tuple(notes))


def _bounds_values(shape: Mesh | PointCloud) -> dict[str, Any]:
    low, high = shape.bounds
    return {"lowest": low, "highest": high, "size": high - low, "diagonal": shape.diagonal}


def _mesh_values(mesh: Mesh) -> dict[str, Any]:
    values: dict[str, Any] = {"vertices": len(mesh.vertices), "faces": len(mesh.faces)}
    values |= _bounds_values(mesh) | surface_values(mesh)
    values |= {"normals": mesh.normals is not None, "colours": mesh.colours is not None}
    if mesh.texture is not None:
        values["texture"] = f"{mesh.texture.shape[1]}x{mesh.texture.shape[0]}"
    return values


def surface_values(mesh: Mesh) -> dict[str, Any]:
    """What a mesh is as a surface, vertices at one place being one, and faces without area left out of the counts."""
    import trimesh

    places, index = np.unique(mesh.vertices + 0.0, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    proper = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    used, index = np.unique(faces[proper], return_inverse=True)
    whole = trimesh.Trimesh(places[used], index.reshape(-1, 3), process=False)
    counts = np.bincount(whole.edges_unique_inverse) if len(whole.faces) else np.zeros(0, int)
    boundary, crowded = int((counts == 1).sum()), int((counts > 2).sum())
    watertight = bool(len(counts)) and not boundary and not crowded
    consistent = bool(whole.is_winding_consistent) if len(counts) else True
    components = int(whole.body_count) if len(counts) else 0
    euler = int(len(used) - len(counts) + len(whole.faces))
    values = {
        "places": len(used),
        "watertight": watertight,
        "boundary_edges": boundary,
        "non_manifold_edges": crowded,
        "winding_consistent": consistent,
        "components": components,
        "euler": euler,
        "degenerate_faces": int((~proper).sum()),
        "duplicate_faces": len(whole.faces) - len(np.unique(np.sort(whole.faces, axis=1), axis=0)),
        "unused_vertices": len(mesh.vertices) - len(np.unique(mesh.faces)),
        "area": _area(mesh.vertices[mesh.faces]),
    }
    if watertight and consistent:
        fans, sheets = _fans(whole)
        values["pinched_vertices"] = fans - len(used)
        values |= {"genus": sheets - (euler + fans - len(used)) // 2, "volume": _volume(mesh.vertices[mesh.faces])}
        values["inside_out"] = values["volume"] < 0
    return values


def _fans(whole: Any) -> tuple[int, int]:
    """Of a closed trimesh: fans of faces around its vertices (more than vertices where surfaces touch), and parts that
    hang together by edges."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs, ends, size = whole.face_adjacency, whole.face_adjacency_edges, len(whole.faces) * 3
    corners = [3 * f + (whole.faces[f] == ends[:, k, None]).argmax(1) for f in pairs.T for k in (0, 1)]
    rows, columns = np.concatenate(corners[:2]), np.concatenate(corners[2:])
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), (size, size))
    fans = int(connected_components(graph, directed=False)[0])
    faces = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), (size // 3, size // 3))
    return fans, int(connected_components(faces, directed=False)[0])


def _area(corners: NDArray[np.float64]) -> float:
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(normal, axis=1).sum() / 2)


def _volume(corners: NDArray[np.float64]) -> float:
    local = corners - corners.reshape(-1, 3).mean(0)
    return float(np.einsum("ij,ij->", local[:, 0], np.cross(local[:, 1], local[:, 2])) / 6)


def _point_values(cloud: PointCloud) -> dict[str, Any]:
    values: dict[str, Any] = {"points": len(cloud), **_bounds_values(cloud), "spacing": _spacing(cloud.points)}
    values |= {"normals": cloud.normals is not None, "colours": cloud.colours is not None}
    values["confidence"] = None
    if cloud.confidence is not None:
        values["confidence"] = [float(f(cloud.confidence)) for f in (np.min, np.median, np.max)]
    return values


def _spacing(points: NDArray[np.float64]) -> float | None:
    """The median distance to the nearest other point."""
    from scipy.spatial import cKDTree

    if len(points) < 2:
        return None
    some = points[:: max(1, len(points) // _SAMPLES)]
    distance, _ = cKDTree(points).query(some, k=2)
    return float(np.median(distance[:, 1]))


def _file_values(data: bytes, kind: str, path: Path) -> dict[str, Any]:
    """What a format says of itself beside the shape."""
    if kind in (".glb", ".gltf"):
        return gltf.facts(data, path)
    if kind == ".ply":
        counts, columns, encoding, comments = ply.header_facts(data, str(path))
        return {"encoding": encoding, "elements": counts, "columns": len(columns), "comments": comments[:5]}
    if kind == ".mks":
        return _mks_values(data, path)
    if kind == ".stl":
        binary = len(data) >= 84 and len(data) == 84 + 50 * int.from_bytes(data[80:84], "little")
        return {"encoding": "binary" if binary else "text"}
    if kind == ".obj":
        named = {line.strip() for line in data.splitlines() if line.startswith(b"usemtl ")}
        out: dict[str, Any] = {"materials": len(named)}
        files = [row[7:].strip().decode("utf-8", "replace") for row in data.splitlines() if row.startswith(b"mtllib ")]
        if files:
            out["material_file"] = shown(files[0])
        return out
    return {}


def _mks_values(data: bytes, path: Path) -> dict[str, Any]:
    from mvgen.core.compress.container import unpack_head
    from mvgen.core.compress.file import codec_name

    head = unpack_head(data, str(path))
    most = "proved" if head.proved else "estimated"
    return {
        "codec": codec_name(head),
        "mean_error": head.mean,
        "max_error": head.maximum,
        "max_error_is": most,
        "keeps_faces": head.kept,
    }


def _units(shape: Mesh | PointCloud, kind: str) -> str | None:
    stated = shape.metadata.get("units")
    return str(stated) if stated else "m (by the standard of glTF)" if kind in (".glb", ".gltf") else None


def _up(shape: Mesh | PointCloud, kind: str) -> str | None:
    stated = shape.metadata.get("up")
    return str(stated) if stated else "+Y (by the standard of glTF)" if kind in (".glb", ".gltf") else None
