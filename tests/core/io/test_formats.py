"""3MF, XYZ, OFF, Draco; hostile and missing companions; and every file of the data through every format."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial import cKDTree

from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io import draco, threemf
from mvgen.core.io.cameras import read_scene_folder
from mvgen.core.io.meshes import (
    MESH_FORMATS,
    POINT_FORMATS,
    load_any,
    load_mesh,
    load_points,
    not_kept,
    save_mesh,
    save_points,
    with_vertex_colours,
)
from mvgen.core.io.models import MODEL_FORMATS, find_model, read_model, write_model_folder
from mvgen.core.io.off import read_off
from mvgen.core.io.ply import fits_float32, read_ply
from mvgen.core.io.xyz import read_xyz, xyz_bytes

DATA = os.environ.get("MVGEN_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")
CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
TETRA = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)


def tetra(**more: object) -> Mesh:
    return Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), TETRA, **more)  # type: ignore[arg-type]


# ---------------------------------------------------------------- 3MF


def package(model: str, **files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("3D/3dmodel.model", model)
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def model_text(resources: str, build: str, head: str = "") -> str:
    return (
        f'<?xml version="1.0"?>\n<model unit="inch" xmlns="{CORE}" {head}><resources>{resources}</resources>'
        f"<build>{build}</build></model>"
    )


MESH_TEXT = (
    "<mesh><vertices>"
    '<vertex x="0" y="0" z="0"/><vertex x="1" y="0" z="0"/><vertex x="0" y="1" z="0"/>'
    '</vertices><triangles><triangle v1="0" v2="1" v3="2"/></triangles></mesh>'
)
WRONG_TEXT = MESH_TEXT.replace('v3="2"', 'v3="7"')
LOOP_TEXT = '<object id="1"><components>' + 2 * '<component objectid="1"/>' + "</components></object>"


def test_3mf_components_and_transforms() -> None:
    resources = (
        f'<object id="1" type="model">{MESH_TEXT}</object>'
        '<object id="2"><components><component objectid="1" transform="2 0 0 0 1 0 0 0 1 10 0 0"/>'
        '<component objectid="1"/></components></object>'
        f'<object id="3" type="support">{MESH_TEXT}</object>'
    )
    build = '<item objectid="2" transform="0 1 0 -1 0 0 0 0 1 0 0 5"/><item objectid="3"/>'
    told: list[str] = []
    mesh = threemf.read_3mf(package(model_text(resources, build)), "a.3mf", told.append)
    assert mesh.metadata == {"units": "in", "up": "+Z"} and any("supports" in text for text in told)
    # scaled twice along x, moved by 10, then turned by 90 degrees about z and raised by 5
    assert np.allclose(mesh.vertices[:3], [[0, 10, 5], [0, 12, 5], [-1, 10, 5]])
    assert np.allclose(mesh.vertices[3:], [[0, 0, 5], [0, 1, 5], [-1, 0, 5]])


def test_a_mirrored_3mf_item_stays_the_right_way_out() -> None:
    build = '<item objectid="1" transform="-1 0 0 0 1 0 0 0 1 0 0 0"/>'
    mesh = threemf.read_3mf(package(model_text(f'<object id="1">{MESH_TEXT}</object>', build)), "a.3mf")
    corners = mesh.vertices[mesh.faces[0]]
    assert np.cross(corners[1] - corners[0], corners[2] - corners[0])[2] > 0


def test_3mf_base_materials_and_colours_meet() -> None:
    resources = (
        '<basematerials id="5"><base name="red" displaycolor="#FF0000"/></basematerials>'
        f'<object id="1" pid="5" pindex="0">{MESH_TEXT}</object><object id="2">{MESH_TEXT}</object>'
    )
    mesh = threemf.read_3mf(package(model_text(resources, '<item objectid="1"/><item objectid="2"/>')), "a.3mf")
    assert mesh.colours is not None
    assert np.allclose(mesh.colours, [[1, 0, 0]] * 3 + [[1, 1, 1]] * 3)


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["plain", "colours", "texture"]))
@settings(max_examples=40)
def test_3mf_keeps_corners_colours_and_pictures(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 20))
    faces = np.array([rng.choice(count, 3, replace=False) for _ in range(12)], np.int32)
    mesh = Mesh(
        rng.normal(size=(count, 3)).astype(np.float32).astype(np.float64),
        faces,
        colours=(rng.integers(0, 256, (count, 3)) / 255).astype(np.float32) if kind == "colours" else None,
        uv=rng.normal(size=(count, 2)).astype(np.float32).astype(np.float64) if kind == "texture" else None,
        texture=rng.integers(0, 256, (5, 6, 3)).astype(np.uint8) if kind == "texture" else None,
    )
    back = threemf.read_3mf(threemf.mesh_3mf(mesh, "cm"), "a.3mf")
    assert (
        np.allclose(back.vertices[back.faces], mesh.vertices[mesh.faces], rtol=1e-8) and back.metadata["units"] == "cm"
    )
    if mesh.colours is not None and back.colours is not None:
        assert np.abs(back.colours[back.faces] - mesh.colours[mesh.faces]).max() < 1e-6
    if mesh.uv is not None and back.uv is not None:
        assert np.allclose(back.uv[back.faces], mesh.uv[mesh.faces], atol=1e-7)
        assert np.array_equal(back.texture, mesh.texture)


def test_3mf_is_welded_and_whole_triangles_alone(tmp_path: Path) -> None:
    mesh = tetra()
    loose = Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(12, dtype=np.int32).reshape(-1, 3))
    assert threemf.mesh_3mf(loose).count(b"PK\x03\x04") == threemf.mesh_3mf(mesh).count(b"PK\x03\x04")
    assert len(threemf.read_3mf(threemf.mesh_3mf(loose), "a").vertices) == 4
    extra = Mesh(mesh.vertices, np.concatenate([mesh.faces, [[0, 0, 1]]]).astype(np.int32))
    assert not_kept(extra, ".3mf") == ["1 triangles with two corners at one place are left out"]
    assert len(threemf.read_3mf(threemf.mesh_3mf(extra), "a").faces) == 4


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (package(model_text("", "")), "no faces"),
        (package(model_text("", '<item objectid="1"/>')), "not a sound 3MF"),
        (package("<model"), "not a sound 3MF"),
        (package('<!DOCTYPE a [<!ENTITY b "c">]><model/>'), "document type"),
        (package(model_text("", "", 'requiredextensions="s" xmlns:s="http://x/slice"')), "extension http://x/slice"),
        (package(model_text(LOOP_TEXT, '<item objectid="1"/>')), "too deeply"),
        (
            package(model_text(f'<object id="1">{WRONG_TEXT}</object>', '<item objectid="1"/>')),
            "names a vertex",
        ),
        (b"PK\x03\x04", "not a sound 3MF"),
    ],
)
def test_bad_3mf_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        threemf.read_3mf(data, "a.3mf")


# ---------------------------------------------------------------- XYZ, OFF, PLY


@given(seed=st.integers(0, 2**32 - 1), extras=st.tuples(st.booleans(), st.booleans()), far=st.booleans())
@settings(max_examples=40)
def test_xyz_round_trip(seed: int, extras: tuple[bool, bool], far: bool) -> None:
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(20, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = rng.normal(size=(20, 3)).astype(np.float32).astype(np.float64) + (1e7 if far else 0)
    colours = (rng.integers(0, 256, (20, 3)) / 255).astype(np.float32)
    cloud = PointCloud(points, normals if extras[0] else None, colours if extras[1] else None)
    back = read_xyz(xyz_bytes(cloud), "a.xyz")
    assert np.allclose(back.points, points, rtol=1e-8)
    for mine, other in ((cloud.normals, back.normals), (cloud.colours, back.colours)):
        assert (mine is None) == (other is None)
        assert mine is None or other is None or np.allclose(mine, other, atol=1e-6)


def test_xyz_of_others() -> None:
    cloud = read_xyz(b"// a scan\nX,Y,Z,R,G,B\n1,2,3,255,0,0\n4,5,6,0,255,0\n", "a.xyz")
    assert cloud.colours is not None and cloud.points.shape == (2, 3) and cloud.colours[0].tolist() == [1, 0, 0]
    told: list[str] = []
    assert len(read_xyz(b"3\n1 2 3 0.5\n1 2 3 0.5\n4 5 6 0.1\n", "a.xyz", told.append)) == 3
    assert "fourth column" in told[0]
    for text, complaint in ((b"1 2\n", "2 columns"), (b"1 2 3\n1 2\n", "differ"), (b"1 2 3\na b c\n", "numbers"),
                            (b"1 2 3 0.5 0.2 900\n", "neither"), (b"# nothing\n", "no points")):  # fmt: skip
        with pytest.raises(InputError, match=complaint):
            read_xyz(text, "a.xyz")


def test_off_colours_normals_polygons() -> None:
    text = b"# comment\nCNOFF\n4 1 0\n" + b"".join(
        b"%d %d 0 0 0 1 255 0 0 255\n" % p for p in ((0, 0), (1, 0), (1, 1), (0, 1))
    )
    mesh = read_off(text + b"4 0 1 2 3\n", "a.off")
    assert isinstance(mesh, Mesh) and mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.colours is not None and mesh.normals is not None
    assert mesh.colours[0].tolist() == [1, 0, 0] and mesh.normals[0].tolist() == [0, 0, 1]
    told: list[str] = []
    read_off(b"OFF 3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2 0.5 0.5 0.5\n", "a.off", told.append)
    assert "colours of faces" in told[0]
    with pytest.raises(InputError, match="4OFF"):
        read_off(b"4OFF\n1 0 0\n1 2 3 4\n", "a.off")


def test_ply_tells_what_it_leaves_out() -> None:
    head = b"ply\nformat ascii 1.0\nelement vertex 1\n" + b"".join(
        b"property float %s\n" % name for name in (b"x", b"y", b"z", b"quality")
    )
    told: list[str] = []
    read_ply(head + b"end_header\n1 2 3 4\n", "a.ply", told.append)
    assert told == ["a.ply: left out: quality"]


def test_splats_are_points_with_base_colours() -> None:
    names = [*"xyz", *(f"f_dc_{i}" for i in range(3)), "opacity", "scale_0", "rot_0"]
    head = "ply\nformat ascii 1.0\nelement vertex 1\n" + "".join(f"property float {n}\n" for n in names)
    told: list[str] = []
    cloud = read_ply((head + "end_header\n1 2 3 1.7724539 0 -9 0 0 0\n").encode(), "a.ply", told.append)
    assert isinstance(cloud, PointCloud) and cloud.colours is not None and "Gaussian splats" in told[0]
    assert np.allclose(cloud.colours, [[1, 0.5, 0]])


# ---------------------------------------------------------------- companions


@pytest.mark.parametrize(
    ("library", "complaint"),
    [
        ("../secret.mtl", "outside its folder"),
        ("/etc/passwd", "not a file beside"),
        ("http://example.com/a.mtl", "not a file beside"),
        ("C:\\a.mtl", "not a file beside"),
        ("link.mtl", "outside its folder"),
        ("gone.mtl", "is missing"),
        ("folder", "is missing"),
    ],
)
def test_material_files_elsewhere_are_not_read(tmp_path: Path, library: str, complaint: str) -> None:
    inside = tmp_path / "in"
    (inside / "folder").mkdir(parents=True)
    (tmp_path / "secret.mtl").write_text("newmtl m\nKd 1 0 0\n")
    (inside / "link.mtl").symlink_to(tmp_path / "secret.mtl")
    (inside / "a.obj").write_text(f"mtllib {library}\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl m\nf 1 2 3\n")
    told: list[str] = []
    mesh = load_mesh(inside / "a.obj", told.append)
    assert mesh.colours is None and len(told) == 1 and complaint in told[0]


@pytest.mark.parametrize("picture", ["../p.png", "gone.png", "/dev/zero", "-s 1 1 1 ../p.png", "http://x/p.png"])
def test_pictures_elsewhere_are_not_read(tmp_path: Path, picture: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "p.png")
    (inside / "a.mtl").write_text(f"newmtl m\nKd 0 0 1\nmap_Kd {picture}\nmap_Bump b.png\n")
    (inside / "a.obj").write_text(
        "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3\n"
    )
    told: list[str] = []
    mesh = load_mesh(inside / "a.obj", told.append)
    assert mesh.texture is None and any("going on without it" in text for text in told)
    assert any("map_bump" in text for text in told)
    (inside / "a.mtl").write_text("newmtl m\nmap_Kd -s 1 1 1 sub\\q.png\n")
    (inside / "sub").mkdir()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(inside / "sub/q.png")
    assert load_mesh(inside / "a.obj").texture is not None


@pytest.mark.parametrize("uri", ["../p.png", "gone.png", "http://x/p.png", "%2e%2e/p.png", "file:///etc/passwd"])
def test_gltf_pictures_elsewhere_are_left_out(tmp_path: Path, uri: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    tree = textured_gltf(tetra(uv=np.zeros((4, 2)), texture=np.zeros((4, 4, 3), np.uint8)), inside)
    tree["images"][0] = {"uri": uri}
    (inside / "a.gltf").write_text(json.dumps(tree))
    told: list[str] = []
    shape = load_any(inside / "a.gltf", told.append)
    assert isinstance(shape, Mesh) and shape.texture is None and "going on without it" in told[0]
    tree["buffers"][0]["uri"] = uri.replace("p.png", "b.bin")
    (tmp_path / "b.bin").write_bytes(b"\0" * 1000)
    (inside / "a.gltf").write_text(json.dumps(tree))
    with pytest.raises(InputError, match=r"refers to|is missing"):
        load_any(inside / "a.gltf")


def textured_gltf(mesh: Mesh, folder: Path) -> dict:
    save_mesh(mesh, folder / "a.glb")
    data = (folder / "a.glb").read_bytes()
    length = int.from_bytes(data[12:16], "little")
    (folder / "a.bin").write_bytes(data[28 + length :])
    tree = json.loads(data[20 : 20 + length])
    tree["buffers"][0]["uri"] = "a.bin"
    return tree


def test_draco_without_its_decoder_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draco, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="whose decoder is not installed") as caught:
        draco.need("a.glb")
    assert "mvgen[draco]" in str(caught.value.hint)


@needs_data
def test_a_draco_heart_is_where_it_should_be() -> None:
    mesh = load_mesh(Path(str(DATA)) / "glb_robustness/heart_draco/heart_draco.glb")
    assert len(mesh.faces) == 180 and mesh.normals is not None
    size = np.ptp(mesh.vertices, axis=0)
    assert size.max() / size.min() < 3 and np.allclose(mesh.vertices.mean(0)[[0]], 0, atol=0.01)


# ---------------------------------------------------------------- every file of the data


def shapes() -> list[Path]:
    if DATA is None:
        return []
    endings = (".glb", ".gltf", ".ply", ".obj", ".stl", ".off", ".3mf")
    return sorted(p for p in Path(DATA).rglob("*") if p.suffix.lower() in endings)


def named(path: Path) -> str:
    return str(path.relative_to(str(DATA)))


@pytest.mark.slow
@pytest.mark.parametrize("path", shapes(), ids=named)
def test_every_shape_through_every_format(path: Path, tmp_path: Path) -> None:
    try:
        shape = load_any(path)
    except InputError as error:
        assert str(path) in error.message and "\n" not in error.message and error.hint
        return
    if isinstance(shape, Mesh):
        for suffix in MESH_FORMATS:
            compare_meshes(shape, suffix, tmp_path)
    else:
        for suffix in POINT_FORMATS:
            compare_points(shape, suffix, tmp_path)


def compare_meshes(mesh: Mesh, suffix: str, folder: Path) -> None:
    """Corners to a millionth of the size, normals to 1e-5, colours to half a step of 8 bits, uv to 1e-5, pictures
    exactly."""
    save_mesh(mesh, folder / f"m{suffix}", jpeg_quality=None)
    back = load_mesh(folder / f"m{suffix}")
    size = np.abs(mesh.vertices - mesh.vertices.mean(0)).max() + 1e-300
    keep = np.ones(len(mesh.faces), bool)
    if suffix == ".3mf":
        _, place = np.unique(mesh.vertices + 0.0, axis=0, return_inverse=True)
        a, b, c = place.reshape(-1)[mesh.faces].T
        keep = (a != b) & (b != c) & (c != a)
    assert len(back.faces) == keep.sum()
    # readers may order faces anew; each of them is compared with the one of its place
    mine, other = mesh.faces[keep], back.faces
    want, got = mesh.vertices[mine].reshape(-1, 9), back.vertices[other].reshape(-1, 9)
    if not np.allclose(got, want, rtol=0, atol=2e-6 * size):
        _, index = cKDTree(got).query(want)
        other = other[index]
        got = got[index]
    tolerance = 2e-6 * size if fits_float32(mesh.vertices) or suffix != ".stl" else 1e-6 * np.abs(want).max()
    assert np.abs(got - want).max() <= tolerance
    textured = mesh.uv is not None and mesh.texture is not None
    if suffix in (".glb", ".obj", ".3mf") and textured:
        assert mesh.uv is not None and back.uv is not None
        assert np.array_equal(back.texture, mesh.texture)
        assert np.abs(back.uv[other] - mesh.uv[mine]).max() <= 1e-5 * max(1, np.abs(mesh.uv).max())
    colours = with_vertex_colours(mesh).colours if suffix in (".ply", ".off") else None if textured else mesh.colours
    if colours is not None and suffix != ".stl":
        assert back.colours is not None
        assert np.abs(back.colours[other] - colours[mine]).max() <= 0.5 / 255 + 1e-4
    if mesh.normals is not None and suffix in (".glb", ".ply", ".obj"):
        assert back.normals is not None
        length = np.linalg.norm(mesh.normals, axis=1, keepdims=True)
        unit = mesh.normals / np.where(length > 1e-12, length, 1)
        whole = (length[mine] > 1e-12).all((1, 2))
        found = back.normals / np.maximum(np.linalg.norm(back.normals, axis=1, keepdims=True), 1e-12)
        assert np.abs(found[other] - unit[mine])[whole].max(initial=0) <= 1e-5


def compare_points(cloud: PointCloud, suffix: str, folder: Path) -> None:
    save_points(cloud, folder / f"p{suffix}")
    back = load_points(folder / f"p{suffix}")
    assert np.allclose(back.points, cloud.points, rtol=0, atol=1e-6 * cloud.diagonal + 1e-12)
    if cloud.colours is not None:
        assert back.colours is not None and np.abs(back.colours - cloud.colours).max() <= 0.5 / 255 + 1e-4


def models() -> list[Path]:
    if DATA is None:
        return []
    return sorted(p for p in Path(DATA).rglob("*.json") if find_model(p) is not None)


@pytest.mark.slow
@pytest.mark.parametrize("path", models(), ids=named)
def test_every_scene_through_every_format(path: Path, tmp_path: Path) -> None:
    try:
        model = read_model(path)
    except InputError as error:
        assert str(path) in error.message and error.hint
        return
    assert all(p is not None for p in model.pictures)
    for target in MODEL_FORMATS:
        (tmp_path / target).mkdir()
        try:
            write_model_folder(model, tmp_path / target, target)
        except CannotError as error:
            assert "Bundler cannot hold" in error.message
            continue
        if target == "scene" and not all(b.is_pinhole for b in model.lenses):
            assert read_scene_folder(tmp_path / target).views
            continue
        back = read_model(tmp_path / target, path.parent / "images")
        assert [c.name for c in back.cameras] == [c.name for c in model.cameras]
        for got, want, bend, wanted in zip(back.cameras, model.cameras, back.lenses, model.lenses):
            want = want.resized(got.width, got.height)  # where the pictures are smaller than the cameras say
            scale = np.abs(want.world_to_camera).max()
            assert np.abs(got.world_to_camera - want.world_to_camera).max() <= 1e-9 * scale
            assert np.allclose(got.intrinsics, want.intrinsics, rtol=1e-9, atol=1e-9 * want.width)
            assert np.allclose(bend.values, wanted.values, rtol=1e-9)
        points = 1e-6 if target == "nerfstudio" else 1e-9
        assert np.allclose(back.points.points, model.points.points, rtol=points, atol=points * 10)
        if target != "nerfstudio":
            assert np.array_equal(back.sightings.tracks, model.sightings.tracks)
