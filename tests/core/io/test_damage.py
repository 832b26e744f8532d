"""Files of every format, cut short or changed at random, are read or refused with InputError: nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import DracoPy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError, UsageError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.info.describe import describe
from mvgen.core.io.depth import save_depth
from mvgen.core.io.grids import Grid
from mvgen.core.io.meshes import load_any, save_mesh, save_points
from mvgen.core.io.model import Lens, Model, Sightings, lens
from mvgen.core.io.models import write_model_file, write_model_folder
from mvgen.core.region.carry import load_on
from mvgen.core.region.files import load_regions, save_region
from mvgen.core.region.interactive3d import OCCUPIED, save_parts
from mvgen.core.region.model import Region
from mvgen.core.region.things import Things, load_things
from mvgen.core.scene import DepthMap
from mvgen.core.splats.files import load_splats, save_splats
from mvgen.core.splats.spz import spz_bytes
from tests.core.splats import made

KINDS = [
    *("glb", "glb-colours", "glb-points", "draco", "gltf", "ply", "ply-text", "obj", "obj-texture", "stl", "stl-text"),
    *("off", "3mf", "3mf-texture", "xyz", "cameras.bin", "images.bin", "points3D.bin", "cameras.txt", "images.txt"),
    *("points3D.txt", "transforms.json", "reconstruction.json", "tracks.csv", "bundle.out", "list.txt"),
    *("depth.npz", "grid.npy", "photo.jpg", "photo.png", "mtl"),
    *("splats.ply", "splats.compressed.ply", "splats.splat", "splats.spz", "splats-raw.spz", "splats.ksplat"),
    *("region.npz", "region-labels.npz", "region-places.npz", "region.npy", "region-marks.npy", "region-parts"),
    "region-grid",
    *("splats-level0.ksplat", "splats.sog", "splats-sog.json", "splats-sog.webp", "splats.glb", "splats.pt"),
]
_CELLS = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), -1).reshape(-1, 3)
_TETRA = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)


def mesh(texture: bool = False, colours: bool = False) -> Mesh:
    rng = np.random.default_rng(0)
    return Mesh(
        rng.normal(size=(4, 3)).astype(np.float32).astype(np.float64),
        _TETRA,
        normals=np.tile([0.0, 0, 1], (4, 1)),
        colours=rng.random((4, 3)).astype(np.float32) if colours else None,
        uv=rng.random((4, 2)) if texture else None,
        texture=rng.integers(0, 256, (9, 7, 3)).astype(np.uint8) if texture else None,
    )


def model() -> Model:
    rng = np.random.default_rng(1)
    pose = np.eye(4)
    pose[2, 3] = 5
    matrix = np.array([[50.0, 0, 8], [0, 50, 6], [0, 0, 1]])
    cameras = tuple(Camera(f"{i}.png", 16, 12, matrix, pose) for i in range(2))
    cloud = PointCloud(rng.normal(size=(4, 3)), colours=rng.random((4, 3)).astype(np.float32))
    seen = Sightings(np.array([0, 1, 2, 3, 0], np.int32), np.array([0, 0, 0, 1, 1], np.int32), rng.random((5, 2)))
    none = (None, None)
    return Model(cameras, (lens("perspective", k1=0.1), Lens()), cloud, seen, None, none, none)


def draco_glb() -> bytes:
    shape = mesh()
    packed = DracoPy.encode(shape.vertices.astype(np.float32), faces=shape.faces)
    tree = {
        "asset": {"version": "2.0"},
        "extensionsRequired": ["KHR_draco_mesh_compression"],
        "extensionsUsed": ["KHR_draco_mesh_compression"],
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {
                "primitives": [
                    {
                        "attributes": {"POSITION": 0},
                        "indices": 1,
                        "extensions": {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}},
                    }
                ]
            }
        ],
        "accessors": [
            {"componentType": 5126, "count": 4, "type": "VEC3"},
            {"componentType": 5125, "count": 12, "type": "SCALAR"},
        ],
        "bufferViews": [{"buffer": 0, "byteLength": len(packed)}],
        "buffers": [{"byteLength": len(packed)}],
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    packed += b"\0" * (-len(packed) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(packed), len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(packed), 0x004E4942) + packed


def write(kind: str, folder: Path) -> tuple[Path, Path]:
    """A sound set of files; which of them to damage, and which to read."""
    if kind.startswith("splats"):
        return _write_splats(kind, folder)
    if kind.startswith("region"):
        return _write_region(kind, folder)
    special = {
        "gltf": (".gltf", None),
        "ply-text": (".ply", None),
        "stl-text": (".stl", None),
        "mtl": (".obj", "a.mtl"),
    }
    if kind in ("cameras.bin", "images.bin", "points3D.bin", "cameras.txt", "images.txt", "points3D.txt"):
        write_model_folder(model(), folder, "colmap" if kind.endswith("bin") else "colmap-text")
        return folder / kind, folder
    if kind in ("transforms.json", "reconstruction.json", "tracks.csv", "bundle.out", "list.txt"):
        target = {"t": "nerfstudio", "r": "opensfm", "b": "bundler", "l": "bundler"}[kind[0]]
        target = "opensfm" if kind == "tracks.csv" else target
        main = {"nerfstudio": "transforms.json", "opensfm": "reconstruction.json", "bundler": "bundle.out"}[target]
        for i in range(2):
            Image.new("RGB", (16, 12)).save(folder / f"{i}.png")
        whole = model()
        whole = whole if target != "bundler" else Model(
            whole.cameras, (Lens(), Lens()), whole.points, whole.sightings, None, whole.pictures, whole.masks
        )  # fmt: skip
        write_model_file(whole, folder / main, target)
        return folder / kind, folder / main
    if kind == "depth.npz":
        camera, flat = model().cameras[0], np.ones((12, 16), np.float32)
        save_depth(DepthMap(camera, flat, np.zeros((12, 16, 3), np.float32), flat), folder / kind)
    elif kind == "grid.npy":
        np.save(folder / kind, np.arange(24.0).reshape(2, 3, 4))
    elif kind.startswith("photo"):
        noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(noise).save(folder / kind, **({"exif": Image.Exif()} if kind.endswith("jpg") else {}))
    elif kind == "draco":
        (folder / "a.glb").write_bytes(draco_glb())
        return (folder / "a.glb",) * 2
    elif kind in ("glb-points", "xyz"):
        suffix = ".xyz" if kind == "xyz" else ".glb"
        shape = mesh(colours=True)
        save_points(PointCloud(shape.vertices, None, shape.colours), folder / f"a{suffix}")
        return (folder / f"a{suffix}",) * 2
    else:
        suffix, damaged = special.get(kind, ("." + kind.split("-")[0], None))
        _write_mesh(kind, folder / f"a{suffix}")
        return folder / (damaged or f"a{suffix}"), folder / f"a{suffix}"
    return (folder / kind,) * 2


def _write_splats(kind: str, folder: Path) -> tuple[Path, Path]:
    some = made.splats(20, 1)
    if kind in ("splats-sog.json", "splats-sog.webp"):
        for name, data in made.sog(some, 1).items():
            (folder / name).write_bytes(data)
        return folder / ("meta.json" if kind.endswith("json") else "quats.webp"), folder / "meta.json"
    path = folder / kind
    if kind in ("splats.ply", "splats.compressed.ply", "splats.splat", "splats.spz"):
        save_splats(some, path)
        return path, path
    makers: dict[str, Callable[[], bytes]] = {
        "splats-raw.spz": lambda: zlib.decompress(spz_bytes(some), 31),
        "splats.ksplat": lambda: made.ksplat(some, 2, 1),
        "splats-level0.ksplat": lambda: made.ksplat(some, 0),
        "splats.sog": lambda: made.zipped(made.sog(some, 1)),
        "splats.glb": lambda: made.gltf(some),
        "splats.pt": lambda: made.gsgen(some),
    }
    path.write_bytes(makers[kind]())
    return path, path


def _write_region(kind: str, folder: Path) -> tuple[Path, Path]:
    """Of the 27 cells of a grid."""
    marks = np.arange(27) % 3 == 0
    several = [Region("cells", marks, np.array([[-1.0] * 3, [1] * 3]), "one"), Region("cells", ~marks, None, "two")]
    if kind in ("region-parts", "region-grid"):
        grid = Grid(np.ones((3, 3, 3), bool), np.full(3, -0.8), np.full(3, 0.8), "occupancy", 0.5)
        save_parts(several, grid, folder)
        damaged = folder / ("occ_index_0_gs.npy" if kind == "region-parts" else OCCUPIED)
        return damaged, folder
    path = folder / kind
    if kind == "region.npz":
        save_region(several, path)
    elif kind == "region-places.npz":
        of = Things("a.ply", "points", PointCloud(_CELLS), 27)
        save_region([of.region(marks, "one"), of.region(~marks, "two")], path, of.told)
    elif kind == "region-labels.npz":
        np.savez(path, kind="cells", count=27, names=["one", "two"], labels=np.arange(27) % 3 - 1)
    elif kind == "region.npy":
        save_region(several[0], path)
    else:
        np.save(path, marks)
    return path, path


def _write_mesh(kind: str, path: Path) -> None:
    shape = mesh("texture" in kind or kind in ("glb", "mtl"), "colours" in kind or kind in ("ply", "off", "3mf"))
    if kind == "gltf":
        save_mesh(shape, path.with_suffix(".glb"))
        data = path.with_suffix(".glb").read_bytes()
        length = struct.unpack_from("<I", data, 12)[0]
        tree = json.loads(data[20 : 20 + length])
        tree["buffers"][0]["uri"] = "a.bin"
        path.with_name("a.bin").write_bytes(data[28 + length :])
        path.write_text(json.dumps(tree))
    elif kind == "ply-text":
        rows = "".join(f"{x} {y} {z}\n" for x, y, z in shape.vertices)
        faces = "".join(f"3 {a} {b} {c}\n" for a, b, c in shape.faces)
        head = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
        path.write_text(f"{head}element face 4\nproperty list uchar int vertex_indices\nend_header\n{rows}{faces}")
    elif kind == "stl-text":
        corner = "".join(f"vertex {x} {y} {z}\n" for x, y, z in shape.vertices[:3])
        path.write_text(f"solid a\nfacet normal 0 0 1\nouter loop\n{corner}endloop\nendfacet\nendsolid a\n")
    else:
        save_mesh(shape, path)


@cache
def _sound(kind: str, root: str) -> tuple[dict[str, bytes], str, str]:
    folder = Path(root) / kind.replace(".", "_")
    folder.mkdir()
    damaged, target = write(kind, folder)
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    return files, damaged.name, "" if target == folder else target.name


def read(path: Path) -> None:
    if path.name.startswith("region") or (path / OCCUPIED).exists():
        return _read_region(path)
    describe(path)
    if path.name.startswith("splats") or path.name == "meta.json":
        splats = load_splats(path)
        arrays = (splats.means, splats.quaternions, splats.log_scales, splats.logits, splats.harmonics)
        assert all(np.isfinite(a).all() and len(a) == len(splats) > 0 for a in arrays)
        assert splats.harmonics.shape[1] == (splats.degree + 1) ** 2
        assert np.allclose(np.linalg.norm(splats.quaternions, axis=1), 1, atol=1e-5)
    elif path.suffix in (".glb", ".gltf", ".ply", ".obj", ".stl", ".off", ".3mf", ".xyz"):
        shape = load_any(path)
        points = shape.vertices if isinstance(shape, Mesh) else shape.points
        assert np.isfinite(points).all()


def _read_region(path: Path) -> None:
    if path.is_dir():
        things = load_things(path, "a folder")
        assert 0 < len(things.places) <= things.count and np.isfinite(things.places).all()
    elif path.suffix == ".npz":
        describe(path)
    if "places" in path.name:
        splats = replace(made.splats(20, 1), means=np.float32(_CELLS[:20]))
        for of in (Things("a.ply", "splats", splats, 20), Things("b.ply", "points", PointCloud(_CELLS), 27)):
            with contextlib.suppress(UsageError):  # another name
                assert load_on(of, path, "one").shape == (of.count,)
        return
    regions = load_regions(path, "cells", 27)
    assert regions and all(r.mask.shape == (27,) and r.mask.dtype == bool for r in regions)
    assert all(r.bounds is None or np.isfinite(r.bounds).all() for r in regions)


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_are_read(kind: str, tmp_path: Path) -> None:
    _, target = write(kind, tmp_path)
    read(target)


damage = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(b"")),
    st.tuples(st.just("change"), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("remove"), st.floats(0, 1), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("change"), st.floats(0, 1), st.sampled_from([b"-1", b"1e999", b"nan", b"\xff" * 4, b"\xff" * 8])),
)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    _attack(kind, tmp_path_factory, 25)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files_are_read_or_refused(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    _attack(kind, tmp_path_factory, 600)


def _attack(kind: str, factory: pytest.TempPathFactory, examples: int) -> None:
    files, damaged, target = _sound(kind, str(factory.mktemp("sound")))
    folder = factory.mktemp("damaged")
    for name, data in files.items():
        (folder / name).write_bytes(data)

    @settings(max_examples=examples, database=None)
    @given(damage)
    def attack(how: tuple[str, float, bytes]) -> None:
        data, (what, share, new) = files[damaged], how
        at = int(share * len(data))
        after = {"cut": len(data), "change": at + len(new), "insert": at, "remove": at + len(new)}[what]
        with io.BytesIO() as out:
            out.write(data[:at])
            out.write(new if what in ("change", "insert") else b"")
            out.write(data[after:])
            (folder / damaged).write_bytes(out.getvalue())
        try:
            read(folder / target if target else folder)
        except InputError as error:
            assert "\n" not in error.message and len(error.message) < 1000

    attack()
