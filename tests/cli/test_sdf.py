"""The codec sdf, end to end."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from mvgen.core.compress.container import Packed, pack, unpack
from mvgen.core.compress.file import read_mks
from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh, save_mesh
from mvgen.core.surface.topology import topology
from tests.cli.test_keyspheres import ok, run

DATA = os.environ.get("MVGEN_DATA")
SMALL = ("--codec", "sdf", "--effort", "1", "--samples", "6k", "--width", "8", "--layers", "2")


def paint(points: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of a ball of radius 2 around 0: soft bands, and from red to blue."""
    wave, along = 0.5 + 0.4 * np.sin(3 * points[:, 2]), (points[:, 0] + 2) / 4
    return np.stack([along, wave, 1 - along], axis=1).clip(0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ball far from the origin, the same with a hole, with colours, with both, and with one colour; and
    a sheet."""
    folder = tmp_path_factory.mktemp("sdf")
    ball = trimesh.creation.icosphere(3, 2.0)
    vertices, faces = np.asarray(ball.vertices) + np.array([10, 0, -5]), np.asarray(ball.faces, np.int32)
    save_mesh(Mesh(vertices, faces), folder / "ball.ply")
    save_mesh(Mesh(vertices, faces, colours=paint(vertices - [10, 0, -5])), folder / "painted.ply")
    below = faces[vertices[faces].mean(1)[:, 2] < -4]
    save_mesh(Mesh(vertices, below), folder / "open.ply")
    save_mesh(Mesh(vertices, below, colours=paint(vertices - [10, 0, -5])), folder / "both.ply")
    save_mesh(Mesh(np.eye(3), np.array([[0, 1, 2]], np.int32)), folder / "sheet.ply")
    save_mesh(Mesh(vertices, faces, colours=np.full((len(vertices), 3), 0.6, np.float32)), folder / "even.ply")
    return folder


@pytest.mark.slow
def test_a_mesh_comes_back_in_its_own_place_within_the_size(place: Path) -> None:
    report = ok(place, "compress", "ball.ply", "-o", "b.mks", "--target-size", "1500", *SMALL)
    assert report["codec"] == "sdf" and report["bytes"] <= 1500 and report["mean_error"] < 1e-3
    found = ok(place, "decompress", "b.mks", "-o", "b.ply", "--resolution", 40)
    mesh = load_mesh(place / "b.ply")
    assert np.allclose(mesh.bounds, [[8, -2, -7], [12, 2, -3]], atol=0.02) and found["faces"] == len(mesh.faces)
    radius = np.linalg.norm(mesh.vertices - [10, 0, -5], axis=1)
    assert np.abs(radius - 2).max() < 0.03
    listed = ok(place, "decompress", "b.mks", "--list")["files"][0]
    assert listed["codec"] == "sdf" and listed["resolution"] == 192 and listed["faces"] > found["faces"]


@pytest.mark.slow
def test_colours_survive_within_the_size(place: Path) -> None:
    report = ok(place, "compress", "painted.ply", "-o", "p.mks", "--target-size", "1500", *SMALL)
    assert 1200 < report["bytes"] <= 1500 and report["colours"] and report["mean_error"] < 2e-3
    ok(place, "decompress", "p.mks", "-o", "p.ply", "--resolution", 40)
    mesh = load_mesh(place / "p.ply")
    assert mesh.colours is not None
    assert np.abs(mesh.colours - paint(mesh.vertices - [10, 0, -5])).mean() < 0.03
    assert ok(place, "decompress", "p.mks", "--list")["files"][0]["colours"]
    assert ok(place, "decompress", "p.mks", "--test")["files"][0]["sound"]
    whole = (place / "p.mks").read_bytes()
    (place / "q.mks").write_bytes(whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:])
    done = run(place, "decompress", "q.mks", "-o", "q.ply")
    assert done.returncode == 3 and b"q.mks: is damaged" in done.stderr and b"section 3" in done.stderr
    assert not (place / "q.ply").exists()


@pytest.mark.slow
def test_one_colour_takes_a_few_bytes(place: Path) -> None:
    report = ok(place, "compress", "even.ply", "-o", "e.mks", "--target-size", "1000", *SMALL)
    packed = unpack((place / "e.mks").read_bytes(), "e.mks")
    assert packed.colours == bytes([153] * 3) and 900 < report["bytes"] <= 1000
    plain = pack(Packed(replace(packed.head, colours=False), packed.payload))
    assert report["bytes"] == len(plain) + 9
    with pytest.raises(InputError, match="what its head says"):
        read_mks(pack(replace(packed, colours=None)), "x")
    with pytest.raises(InputError, match="what its head says"):
        read_mks(pack(replace(packed, head=replace(packed.head, colours=False))), "x")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("open", 1800), ("both", 2400)])
def test_a_hole_stays_open_within_the_size(place: Path, name: str, size: int) -> None:
    done = run(place, "compress", f"{name}.ply", "-o", "o.mks", "--target-size", size, "--json=o.json", *SMALL)
    report = json.loads((place / "o.json").read_bytes())
    assert done.returncode == 0 and "holes are kept open, by a trim mask of" in done.stderr.decode()
    assert report["bytes"] <= size and report["mean_error"] < 2e-3 and report["max_error"] < 0.06
    ok(place, "decompress", "o.mks", "-o", "o.ply", "--resolution", 64)
    mesh = load_mesh(place / "o.ply")
    found = topology(mesh)
    assert found.holes >= 1 and found.components == 1 and (mesh.colours is not None) == (name == "both")
    source = load_mesh(place / f"{name}.ply")  # its border is a zigzag of whole faces about z = -4
    top = source.vertices[source.faces][..., 2].max()
    assert abs(mesh.bounds[1, 2] - top) < 0.1, "cut where the source ends"
    assert ok(place, "decompress", "o.mks", "--test")["files"][0]["sound"]
    packed = unpack((place / "o.mks").read_bytes(), "o.mks")
    assert packed.trim is not None and len(packed.trim) < 250
    with pytest.raises(InputError, match="what its head says"):
        read_mks(pack(replace(packed, trim=None)), "x")
    with pytest.raises(InputError, match="x: the trim mask is cut short"):
        read_mks(pack(replace(packed, trim=packed.trim[:3])), "x")


@pytest.mark.slow
def test_errors_that_are_asked_for_count_the_border(place: Path) -> None:
    report = ok(place, "compress", "open.ply", "-o", "m.mks", "--mean-error", "0.15%", *SMALL)
    assert report["mean_error"] <= 0.0015 and report["missed"] is None


def test_what_has_no_inside_is_refused_with_a_way_out(place: Path) -> None:
    done = run(place, "compress", "sheet.ply", "-o", "n.mks", *SMALL)
    text = done.stderr.decode()
    assert done.returncode == 1 and "no inside" in text and "--codec surface" in text
    assert not (place / "n.mks").exists()


@pytest.mark.parametrize("option", [("--spheres", "9"), ("--paper",), ("--latent",)])
def test_options_of_key_spheres_are_refused(place: Path, option: tuple[str, ...]) -> None:
    done = run(place, "compress", "ball.ply", "-o", "n.mks", "--codec", "sdf", *option)
    assert done.returncode == 2 and option[0] in done.stderr.decode() and not (place / "n.mks").exists()


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")
@pytest.mark.parametrize("name", ["fish/fish", "goathead/goathead", "skull/skull_low_resolution"])
def test_real_shapes_in_6000_bytes(tmp_path: Path, name: str) -> None:
    source = Path(str(DATA)) / "meshes" / f"oded_{name}.obj"
    report = ok(tmp_path, "compress", source, "-o", "x.mks", "--codec", "sdf", "--target-size", "6k")
    assert report["bytes"] <= 6000 and report["mean_error"] < 5e-4


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="MVGEN_DATA is not set")
def test_a_real_shape_with_a_hole_in_6000_bytes(tmp_path: Path) -> None:
    source = Path(str(DATA)) / "meshes" / "oded_hand" / "hand_lowres.obj"
    report = ok(tmp_path, "compress", source, "-o", "x.mks", "--codec", "sdf", "--target-size", "6k")
    assert report["bytes"] <= 6000 and report["mean_error"] < 3e-4 and report["max_error"] < 0.015
    ok(tmp_path, "decompress", "x.mks", "-o", "x.ply")
    assert topology(load_mesh(tmp_path / "x.ply")).holes == topology(load_mesh(source)).holes == 1
