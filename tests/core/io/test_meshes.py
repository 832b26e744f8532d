"""Round trips of every format, and files that must be refused."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mvgen.core.camera import Similarity
from mvgen.core.errors import CannotError, InputError, UsageError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io import gltf, ply
from mvgen.core.io.meshes import MESH_FORMATS, load_any, load_mesh, load_points, save_mesh, save_points
from mvgen.core.io.parts import Part, merge_parts, pack

DATA = os.environ.get("MVGEN_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")


@st.composite
def meshes(draw: st.DrawFn) -> Mesh:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, faces = draw(st.integers(3, 30)), draw(st.integers(1, 40))
    scale = 10.0 ** draw(st.integers(-3, 4))
    vertices = (rng.normal(size=(count, 3)) * scale).astype(np.float32).astype(np.float64)
    kind = draw(st.sampled_from(["plain", "colours", "texture"]))
    normals = rng.normal(size=(count, 3)) + 1e-3
    corners = np.array([rng.choice(count, 3, replace=False) for _ in range(faces)])
    return Mesh(
        vertices,
        corners.astype(np.int32),
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True) if draw(st.booleans()) else None,
        colours=(rng.integers(0, 256, (count, 3)) / 255).astype(np.float32) if kind == "colours" else None,
        uv=rng.random((count, 2)) if kind == "texture" else None,
        texture=rng.integers(0, 256, (7, 5, 3)).astype(np.uint8) if kind == "texture" else None,
        metadata={"mvgen": {"up": "+Y", "scale": 0.25}} if draw(st.booleans()) else {},
    )


def corners_of(mesh: Mesh) -> np.ndarray:
    return mesh.vertices[mesh.faces]


@given(mesh=meshes(), suffix=st.sampled_from(MESH_FORMATS))
@settings(max_examples=120, deadline=None)
def test_shape_survives_every_format(mesh: Mesh, suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("mesh") / f"a b{suffix}"
    save_mesh(mesh, path)
    back = load_mesh(path)
    assert np.abs(corners_of(back) - corners_of(mesh)).max() <= 2e-6 * np.abs(mesh.vertices).max()
    if suffix in (".glb", ".ply", ".off"):
        assert np.array_equal(back.faces, mesh.faces)


@given(mesh=meshes())
@settings(max_examples=60, deadline=None)
def test_glb_keeps_everything(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("glb") / "a.glb"
    save_mesh(mesh, path)
    back = load_mesh(path)
    assert np.array_equal(back.vertices, mesh.vertices)
    assert back.metadata == mesh.metadata
    for mine, other, tolerance in (
        (mesh.normals, back.normals, 1e-6),
        (mesh.colours, back.colours, 1e-3),
        (mesh.uv, back.uv, 1e-6),
        (mesh.texture, back.texture, 0),
    ):
        assert (mine is None) == (other is None)
        if mine is not None and other is not None:
            assert np.abs(mine.astype(float) - other).max() <= tolerance


@given(mesh=meshes())
@settings(max_examples=40, deadline=None)
def test_ply_keeps_colours_normals_and_metadata(mesh: Mesh) -> None:
    back = ply.read_ply(ply.mesh_bytes(mesh), "a.ply")
    assert isinstance(back, Mesh) and back.metadata == mesh.metadata
    assert (back.colours is None) == (mesh.colours is None)
    if mesh.colours is not None and back.colours is not None:
        assert np.abs(back.colours - mesh.colours).max() < 1e-6
    if mesh.normals is not None and back.normals is not None:
        assert np.abs(back.normals - mesh.normals).max() < 1e-6


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 50),
    extras=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    suffix=st.sampled_from([".ply", ".glb"]),
)
@settings(max_examples=60, deadline=None)
def test_points_round_trip(
    seed: int, count: int, extras: tuple[bool, bool, bool], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(count, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    cloud = PointCloud(
        rng.normal(size=(count, 3)).astype(np.float32).astype(np.float64),
        normals if extras[0] else None,
        (rng.integers(0, 256, (count, 3)) / 255).astype(np.float32) if extras[1] else None,
        rng.random(count).astype(np.float32) if extras[2] else None,
        {"mvgen": {"up": "+Z"}},
    )
    path = tmp_path_factory.mktemp("points") / f"a{suffix}"
    save_points(cloud, path)
    back = load_points(path)
    if ply.fits_float32(cloud.points):
        assert np.array_equal(back.points, cloud.points)
    assert back.metadata == cloud.metadata
    for mine, other in zip(
        (cloud.normals, cloud.colours, cloud.confidence), (back.normals, back.colours, back.confidence)
    ):
        assert (mine is None) == (other is None)
        if mine is not None and other is not None:
            assert np.abs(mine - other).max() < 1e-3


@given(
    data=st.binary(max_size=300),
    head=st.sampled_from([b"", b"ply\n", b"glTF", b"OFF\n", b"solid a\nfacet ", b"v 0 0 0\n"]),
)
@settings(max_examples=200, deadline=None)
def test_noise_is_refused_or_read_but_never_crashes(
    data: bytes, head: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("noise") / "a.obj"
    path.write_bytes(head + data)
    try:
        load_any(path)
    except InputError as error:
        assert str(path) in error.message


@given(cut=st.floats(0, 0.999), suffix=st.sampled_from([".glb", ".ply"]))
@settings(max_examples=60, deadline=None)
def test_a_truncated_file_is_refused(cut: float, suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cut")
    save_mesh(textured_quad(), folder / f"a{suffix}")
    data = (folder / f"a{suffix}").read_bytes()
    (folder / f"b{suffix}").write_bytes(data[: int(cut * len(data))])
    with pytest.raises(InputError, match=r"b\."):
        load_any(folder / f"b{suffix}")


def textured_quad(size: int = 8) -> Mesh:
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)
    return Mesh(
        np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]),
        np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        uv=np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]),
        texture=picture,
    )


def test_glb_is_sound_gltf(tmp_path: Path) -> None:
    mesh = textured_quad(300)
    save_mesh(mesh, tmp_path / "a.glb")
    data = (tmp_path / "a.glb").read_bytes()
    magic, version, length, text_length, kind = struct.unpack_from("<4sIIII", data)
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), 0x4E4F534A) and text_length % 4 == 0
    tree = json.loads(data[20 : 20 + text_length])
    assert tree["asset"]["version"] == "2.0" and tree["asset"]["generator"].startswith("mvgen ")
    for view in tree["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= tree["buffers"][0]["byteLength"]
    position = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    assert position["min"] == [0, 0, 0] and position["max"] == [1, 1, 0]
    assert tree["images"][0]["mimeType"] == "image/jpeg"
    material = tree["materials"][0]
    assert material["doubleSided"] and material["pbrMetallicRoughness"]["metallicFactor"] == 0
    other = next(iter(trimesh.load_scene(tmp_path / "a.glb", process=False).geometry.values()))
    assert np.allclose(other.vertices, mesh.vertices) and np.array_equal(other.faces, mesh.faces)
    assert np.allclose(other.visual.uv, mesh.uv)
    assert other.visual.material.baseColorTexture.size == (300, 300)
    assert gltf.mesh_bytes(mesh) == gltf.mesh_bytes(mesh)


def test_obj_comes_with_its_companions(tmp_path: Path) -> None:
    save_mesh(textured_quad(), tmp_path / "my scene.obj")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my scene.mtl", "my scene.obj", "my scene.png"]
    back = load_mesh(tmp_path / "my scene.obj")
    assert back.texture is not None and np.array_equal(back.texture, textured_quad().texture)
    assert back.uv is not None and np.allclose(back.uv, textured_quad().uv)


def test_texture_becomes_colours_in_ply(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2] = 255  # the upper half, where v is high
    mesh = Mesh(
        np.eye(3), np.array([[0, 1, 2]], np.int32), uv=np.array([[0.5, 0.9], [0.5, 0.1], [0.5, 0.5]]), texture=picture
    )
    save_mesh(mesh, tmp_path / "a.ply")
    back = load_mesh(tmp_path / "a.ply")
    assert back.colours is not None and np.allclose(back.colours[:, 0], [1, 0, 0.5], atol=0.01)


def test_far_coordinates_stay_exact(tmp_path: Path) -> None:
    far = np.array([[500_000.25, 5_000_000.5, 100.125]])
    mesh = Mesh(far + np.eye(3), np.array([[0, 1, 2]], np.int32))
    for suffix in (".glb", ".ply", ".obj", ".off"):
        save_mesh(mesh, tmp_path / f"a{suffix}")
        assert np.abs(load_mesh(tmp_path / f"a{suffix}").vertices - mesh.vertices).max() < 1e-6, suffix


def test_nodes_are_baked_and_mirrored_faces_turned(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    box = trimesh.creation.box()
    mirror = np.diag([-1.0, 2, 1, 1])
    mirror[:3, 3] = [5, 0, 0]
    scene.add_geometry(box, transform=np.eye(4))
    scene.add_geometry(box, transform=mirror)
    scene.export(tmp_path / "a.glb")
    mesh = load_mesh(tmp_path / "a.glb")
    assert np.allclose(mesh.bounds, [[-0.5, -1, -0.5], [5.5, 1, 0.5]])
    whole = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert whole.is_watertight and np.isclose(whole.volume, 3)  # a part turned inside out would count as -2


def test_strips_fans_sparse_and_normalised_accessors(tmp_path: Path) -> None:
    points = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [2, 2, 0]], "<f4")
    blob = points.tobytes() + np.array([3], "<u2").tobytes() + b"\0\0" + np.array([[4, 4, 0]], "<f4").tobytes()
    blob += np.array([[255, 0, 0, 255]] * 4, "u1").tobytes()
    sparse = {"count": 1, "indices": {"bufferView": 1, "componentType": 5123}, "values": {"bufferView": 2}}
    tree = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": len(blob)}],
        "bufferViews": [
            {"buffer": 0, "byteLength": 48},
            {"buffer": 0, "byteOffset": 48, "byteLength": 2},
            {"buffer": 0, "byteOffset": 52, "byteLength": 12},
            {"buffer": 0, "byteOffset": 64, "byteLength": 16},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3", "sparse": sparse},
            {"bufferView": 3, "componentType": 5121, "count": 4, "type": "VEC4", "normalized": True},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "mode": m} for m in (5, 6)]}],
        "nodes": [{"mesh": 0}],
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(blob), len(text), 0x4E4F534A)
    (tmp_path / "a.glb").write_bytes(head + text + struct.pack("<II", len(blob), 0x004E4942) + blob)
    mesh = load_mesh(tmp_path / "a.glb")
    assert mesh.faces.tolist() == [[0, 1, 2], [1, 3, 2], [4, 5, 6], [4, 6, 7]]
    assert mesh.vertices[3].tolist() == [4, 4, 0]
    assert mesh.colours is not None and mesh.colours[0].tolist() == [1, 0, 0]


def test_several_pictures_become_one_atlas() -> None:
    def part(colour: list[int], uv: list[list[float]]) -> Part:
        picture = np.full((16, 16, 3), colour, np.uint8)
        return Part(np.eye(3), np.array([[0, 1, 2]]), uv=np.array(uv), texture=picture)

    inside = [[0.2, 0.2], [0.8, 0.2], [0.5, 0.8]]
    parts = [part([255, 0, 0], inside), part([0, 255, 0], [[u + 3, v - 2] for u, v in inside])]
    parts.append(Part(np.eye(3), np.array([[0, 1, 2]]), tint=np.array([0.0, 0, 1])))
    mesh = merge_parts(parts)
    assert mesh.texture is not None and mesh.uv is not None and len(mesh.vertices) == 9
    height, width = mesh.texture.shape[:2]
    middle = mesh.uv.reshape(3, 3, 2).mean(1)
    pixels = mesh.texture[((1 - middle[:, 1]) * height).astype(int), (middle[:, 0] * width).astype(int)]
    assert pixels.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_repeats_within_an_atlas_show_the_same_pixels() -> None:
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, 8:] = 200
    wide = Part(np.eye(3), np.array([[0, 1, 2]]), uv=np.array([[0.25, 0.5], [1.75, 0.5], [2.25, 0.5]]), texture=stripes)
    other = Part(np.eye(3), np.array([[0, 1, 2]]), uv=np.full((3, 2), 0.5), texture=np.full((4, 4, 3), 77, np.uint8))
    mesh = merge_parts([wide, other])
    assert mesh.texture is not None and mesh.uv is not None
    height, width = mesh.texture.shape[:2]
    pixels = mesh.texture[((1 - mesh.uv[:, 1]) * height).astype(int), (mesh.uv[:, 0] * width).astype(int), 0]
    assert pixels.tolist() == [0, 200, 0, 77, 77, 77]


def test_an_atlas_holds_each_picture_unharmed() -> None:
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (int(h), int(w), 3)).astype(np.uint8) for h, w in rng.integers(1, 60, (12, 2))]
    atlas, boxes = pack(pictures)
    for picture, (x, y, w, h) in zip(pictures, boxes):
        assert np.array_equal(atlas[y : y + h, x : x + w], picture)


def ascii_ply(vertices: str, faces: str = "", count: int | None = None) -> bytes:
    rows, polygons = vertices.strip().splitlines(), faces.strip().splitlines()
    head = ["ply", "format ascii 1.0", f"element vertex {len(rows) if count is None else count}"]
    head += ["property float x", "property float y", "property float z", f"element face {len(polygons)}"]
    head += ["property list uchar int vertex_indices", "end_header"]
    return "\n".join([*head, *rows, *polygons, ""]).encode()


def test_polygons_of_mixed_size(tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(ascii_ply("0 0 0\n1 0 0\n1 1 0\n0 1 0", "3 0 1 2\n4 0 1 2 3\n2 0 1"))
    assert load_mesh(tmp_path / "a.ply").faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3]]


SQUARE = "0 0 0\n1 0 0\n1 1 0"


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("empty.glb", b"", "is empty"),
        ("short.glb", b"glTF\x02\0\0\0", "ends inside"),
        ("old.glb", struct.pack("<4sIIII", b"glTF", 1, 20, 0, 0), "version 1"),
        ("nan.ply", ascii_ply("0 0 nan\n1 0 0\n1 1 0", "3 0 1 2"), "not finite"),
        ("index.ply", ascii_ply(SQUARE, "3 0 1 7"), "vertex 7 of 3"),
        ("negative.ply", ascii_ply(SQUARE, "3 0 1 -2"), "does not exist"),
        ("lying.ply", ascii_ply(SQUARE, "3 0 1 2", count=10**12), "ends before"),
        ("text.ply", ascii_ply("0 0 zero\n1 0 0\n1 1 0"), "not a number"),
        ("none.ply", ascii_ply(""), "no points"),
        ("lying.off", b"OFF\n100000000 1 0\n0 0 0\n", "ends before"),
        ("index.obj", b"v 0 0 0\nv 1 0 0\nv 1 1 0\nf 1 2 9\n", "not a sound OBJ"),
        ("page.glb", b"<!DOCTYPE html><html>", "is not a glTF"),
        ("image.obj", b"\x89PNG\r\n\x1a\n", "is not a mesh"),
        ("words.txt", b"hello", "is not a mesh"),
        ("lying.stl", b"\0" * 80 + b"\xff\xff\xff\x7f" + b"\0" * 100, "no points"),
    ],
)
def test_bad_files_are_named(name: str, data: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=complaint) as caught:
        load_any(tmp_path / name)
    assert name in caught.value.message and caught.value.hint


def glb_of(tree: dict[str, object]) -> bytes:
    text = json.dumps({"asset": {"version": "2.0"}} | tree).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text


@pytest.mark.parametrize(
    ("tree", "complaint"),
    [
        ({"extensionsRequired": ["EXT_meshopt_compression"]}, "EXT_meshopt_compression"),
        ({"nodes": [{"children": [0]}], "scenes": [{"nodes": [0]}]}, "more than once"),
        ({"nodes": [{"mesh": 3}], "meshes": []}, "not sound"),
        ({"scenes": [{}], "scene": 7}, "not sound"),
        ({"nodes": 5}, "not sound"),
        (
            {
                "nodes": [{"mesh": 0}],
                "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
                "accessors": [{"componentType": 5126, "type": "VEC3", "count": 10**13}],
            },
            "claims",
        ),
        (
            {
                "nodes": [{"mesh": 0}],
                "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
                "accessors": [{"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3}],
                "bufferViews": [{"buffer": 0, "byteLength": 36}],
                "buffers": [{"byteLength": 36, "uri": "/etc/hostname"}],
            },
            "not a file beside",
        ),
        ({}, "neither faces nor points"),
    ],
)
def test_bad_gltf_is_refused(tree: dict[str, object], complaint: str, tmp_path: Path) -> None:
    (tmp_path / "a.glb").write_bytes(glb_of(tree))
    with pytest.raises(InputError, match=complaint):
        load_any(tmp_path / "a.glb")


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    data = bytearray(out.getvalue())
    data[16:24] = struct.pack(">II", 14_000, 14_000)  # the size in the header, and its checksum
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(InputError, match="too many pixels"):
        gltf.decode_picture(bytes(data), "a.glb: texture picture 0")


def test_kinds_that_do_not_fit(tmp_path: Path) -> None:
    cloud = PointCloud(np.eye(3))
    save_points(cloud, tmp_path / "p.ply")
    with pytest.raises(InputError, match="3 points but no faces"):
        load_mesh(tmp_path / "p.ply")
    with pytest.raises(UsageError, match=r"\.stl"):
        save_points(cloud, tmp_path / "p.stl")
    with pytest.raises(CannotError, match="no faces"):
        save_mesh(Mesh(np.eye(3), np.zeros((0, 3), np.int32)), tmp_path / "m.glb")
    with pytest.raises(CannotError, match="finite"):
        save_mesh(Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]], np.int32)), tmp_path / "m.glb")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.ply"]


def test_a_moved_mesh_keeps_its_normals_unit(tmp_path: Path) -> None:
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]], np.int32), normals=np.eye(3))
    save_mesh(mesh.moved(Similarity(5.0, np.eye(3), np.zeros(3))), tmp_path / "a.glb")
    normals = load_mesh(tmp_path / "a.glb").normals
    assert normals is not None and np.allclose(np.linalg.norm(normals, axis=1), 1)


@needs_data
def test_real_files() -> None:
    folder = Path(str(DATA))
    truck = load_mesh(folder / "textured_meshes/cesium_milk_truck/CesiumMilkTruck.glb")
    assert len(truck.faces) == 3624 and truck.texture is not None and truck.diagonal > 1
    with pytest.raises(InputError, match="EXT_meshopt_compression"):
        load_any(folder / "glb_robustness/box_meshopt/BoxMeshopt.glb")
    with pytest.raises(InputError, match="no points"):
        load_any(folder / "meshes_defective/trimesh_broken/empty.ply")
    for path in sorted((folder / "meshes_defective").glob("*/*.*")):
        if path.suffix.lower() in MESH_FORMATS and path.name != "empty.ply":
            assert len(load_mesh(path).faces) > 0


@needs_data
def test_real_files_as_trimesh_sees_them() -> None:
    for name in ("duck/Duck.glb", "exploding_barrel/ExplodingBarrel.glb", "spot/spot_triangulated.obj"):
        path = Path(str(DATA)) / "textured_meshes" / name
        mine = load_mesh(path)
        other = trimesh.load_scene(path, process=False).to_geometry()
        assert np.allclose(mine.bounds, other.bounds, rtol=1e-5)
        assert np.isclose(trimesh.Trimesh(mine.vertices, mine.faces, process=False).area, other.area, rtol=1e-5)
