"""``mvgen generate`` end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image

from mvgen.core.io.images import read_image
from mvgen.core.io.meshes import load_mesh
from tests.cli.test_reconstruct import Box, new_box
from tests.core.crm.tiny import write_files


def run(box: Box, *arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mvgen", "generate", *map(str, arguments)]
    done = subprocess.run(command, cwd=box.folder, env=box.environment({}), input=stdin, capture_output=True)
    box.check_clean()
    return done


@pytest.fixture
def box(tmp_path: Path) -> Box:
    box = new_box(tmp_path)
    for name, hole in (("ring", 30), ("ball", 0)):
        image = np.zeros((160, 200, 4), np.uint8)
        image[..., :3] = np.linspace(40, 220, 200).astype(np.uint8)[None, :, None]
        image[..., 1] = 90
        cv2.circle(alpha := np.zeros((160, 200), np.uint8), (100, 80), 60, 255, -1, cv2.LINE_AA)
        if hole:
            cv2.circle(alpha, (100, 80), hole, 0, -1, cv2.LINE_AA)
        image[..., 3] = alpha
        Image.fromarray(image).save(box.folder / f"{name}.png")
    return box


def closed(path: Path) -> trimesh.Trimesh:
    mesh = load_mesh(path)
    shape = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert shape.is_watertight and shape.volume > 0
    return shape


def test_a_picture_becomes_a_closed_textured_mesh(box: Box) -> None:
    done = run(box, "ring.png", "-o", "ring.glb", "--json")
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert (told["model"], told["foreground"]) == ("inflate", "alpha") and told["seconds"]["mesh"] > 0
    assert "model: inflate" in done.stderr.decode() and "invent" in done.stderr.decode()
    assert closed(box.folder / "ring.glb").euler_number == 0
    mesh = load_mesh(box.folder / "ring.glb")
    assert mesh.texture is not None and mesh.metadata["model"] == "inflate"
    assert run(box, "ring.png", "-o", "again.glb").returncode == 0
    assert (box.folder / "again.glb").read_bytes() == (box.folder / "ring.glb").read_bytes()


def white(path: Path, width: int, height: int) -> str:
    """A picture of a white ellipse with nothing, that is black, around it."""
    cv2.ellipse(alpha := np.zeros((200, 200), np.uint8), (100, 100), (width, height), 0, 0, 360, 255, -1, cv2.LINE_AA)
    colour = np.repeat(np.where(alpha[..., None] > 0, 255, 0), 3, axis=2)
    Image.fromarray(np.dstack([colour, alpha]).astype(np.uint8)).save(path)
    return path.name


@pytest.mark.slow
@pytest.mark.parametrize("model", ["inflate", "views"])
def test_no_seam_is_dark_from_afar(box: Box, model: str) -> None:
    """What is white is white in smaller copies of the texture, too, up to the borders of charts."""
    sizes = {"front": (80, 60), "right": (50, 60), "back": (80, 60), "left": (50, 60)}
    sides = [(f"--{side}", white(box.folder / f"{side}.png", *size)) for side, size in sizes.items()]
    done = run(box, *(sides[0][1:] if model == "inflate" else sum(sides, ())), "-o", "white.glb")
    assert done.returncode == 0, done.stderr.decode()
    mesh = load_mesh(box.folder / "white.glb")
    assert mesh.uv is not None and mesh.texture is not None
    corners = mesh.uv[mesh.faces]
    places = np.concatenate([corners, (corners + np.roll(corners, 1, axis=1)) / 2]).reshape(-1, 2)
    for level in range(4):
        size = [max(1, n >> level) for n in mesh.texture.shape[1::-1]]
        smaller = cv2.resize(mesh.texture, size, interpolation=cv2.INTER_AREA)
        at = (places * [1, -1] + [0, 1]) * size - 0.5
        for part in np.array_split(at.astype(np.float32), -(-len(at) // 10_000)):
            seen = cv2.remap(smaller, part[:, None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            assert seen.min() >= 250, (level, seen.min())


@pytest.mark.parametrize("suffix", ["obj", "ply", "stl", "off"])
def test_other_formats(box: Box, suffix: str) -> None:
    assert run(box, "ball.png", "-o", f"ball.{suffix}").returncode == 0
    mesh = load_mesh(box.folder / f"ball.{suffix}")
    assert len(mesh.faces) > 1000
    assert (mesh.texture is not None) == (suffix == "obj") and (mesh.colours is not None) == (suffix in ("ply", "off"))


def test_colours_of_vertices_and_smaller_textures(box: Box) -> None:
    assert run(box, "ball.png", "-o", "v.glb", "--colours", "vertices").returncode == 0
    mesh = load_mesh(box.folder / "v.glb")
    assert mesh.texture is None and mesh.colours is not None and np.ptp(mesh.colours[:, 0]) > 0.3
    assert run(box, "ball.png", "-o", "t.glb", "--texture-size", "64").returncode == 0
    texture = load_mesh(box.folder / "t.glb").texture
    assert texture is not None and max(texture.shape) == 64


def test_pipes(box: Box) -> None:
    made = run(box, "-", "-o", "-", "--format", "ply", stdin=(box.folder / "ball.png").read_bytes())
    assert made.returncode == 0 and made.stdout.startswith(b"ply")


def test_several_pictures_and_one_that_is_broken(box: Box) -> None:
    (box.folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = run(box, "ring.png", "bad.png", "ball.png", "-o", "out/")
    assert done.returncode == 3 and b"bad.png" in done.stderr
    assert sorted(p.name for p in (box.folder / "out").glob("*.glb")) == ["ball.glb", "ring.glb"]
    again = run(box, "ring.png", "-o", "out/", "--json")
    assert again.returncode == 0 and json.loads(again.stdout)["files"][0]["output"] == "ring.glb"


@pytest.mark.slow
def test_stages_stop_where_they_are_told(box: Box) -> None:
    assert run(box, "ring.png", "-o", "cut", "--stop-after", "prepare").returncode == 0
    assert (
        Image.open(box.folder / "cut" / "cutout.png").mode == "RGBA" and not (box.folder / "cut" / "mesh.glb").exists()
    )
    assert run(box, "ring.png", "-o", "shape", "--stop-after", "mesh").returncode == 0
    assert load_mesh(box.folder / "shape" / "mesh.glb").texture is None
    assert run(box, "cut", "-o", "on.glb", "--from", "prepare").returncode == 0
    assert closed(box.folder / "on.glb").euler_number == 0
    assert run(box, "ring.png", "-o", "whole.glb").returncode == 0
    assert (box.folder / "on.glb").read_bytes() == (box.folder / "whole.glb").read_bytes()


COARSE = ["--set", "views.resolution=48", "--texture-size", 128]


def test_views_of_known_sides_become_what_fits_them_all(box: Box) -> None:
    done = run(box, "--front", "ball.png", "--right", "ball.png", "--view", "0,90:ball.png", "-o", "b.glb", *COARSE,
               "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["model"] == "views" and b"model: views" in done.stderr
    shape = closed(box.folder / "b.glb")
    side = np.ptp(shape.vertices, axis=0)
    assert side == pytest.approx(side.mean(), rel=0.05)
    solid = 8 * (2 - np.sqrt(2)) * (side.mean() / 2) ** 3  # three crossed round bars of one width
    assert shape.volume == pytest.approx(solid, rel=0.05)
    assert load_mesh(box.folder / "b.glb").texture is not None


def test_views_stop_after_their_stages(box: Box) -> None:
    sides = ["--front", "ball.png", "--left", "ring.png", *COARSE]
    assert run(box, *sides, "-o", "cut", "--stop-after", "prepare").returncode == 0
    assert sorted(p.name for p in (box.folder / "cut").glob("*.png")) == ["cutout_1_ball.png", "cutout_2_ring.png"]
    assert run(box, *sides, "-o", "shape", "--stop-after", "mesh").returncode == 0
    assert load_mesh(box.folder / "shape" / "mesh.glb").texture is None


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("crm"))


@pytest.mark.slow
def test_networks_go_from_picture_to_mesh_in_one_go_or_stage_by_stage(box: Box, weights: Path) -> None:
    common = ["--model", "crm", "--weights", weights, "--steps", 2, "--texture-size", 64]
    done = run(box, "ball.png", "-o", "whole.glb", *common, "--json")
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["model"] == "crm" and told["steps"] == 2 and {"views", "triplane", "mesh"} <= told["seconds"].keys()
    mesh = load_mesh(box.folder / "whole.glb")
    assert mesh.texture is not None and mesh.texture.shape == (64, 64, 3) and len(mesh.faces) > 100
    assert run(box, "ball.png", "-o", "seen", *common, "--stop-after", "views").returncode == 0
    names = {p.name for p in (box.folder / "seen").iterdir()}
    assert {"cutout.png", "image.png", "view_front.png", "view_sheet.png"} <= names and "mesh.glb" not in names
    assert run(box, "seen", "-o", "mapped", *common, "--from", "views", "--stop-after", "coordinates").returncode == 0
    assert run(box, "mapped", "-o", "on.glb", *common, "--from", "coordinates").returncode == 0
    assert (box.folder / "on.glb").read_bytes() == (box.folder / "whole.glb").read_bytes()
    assert run(box, "ball.png", "-o", "other", *common, "--stop-after", "views", "--seed", 7).returncode == 0
    one, other = (read_image(box.folder / name / "view_front.png") for name in ("seen", "other"))
    assert not np.array_equal(one, other)
    (box.folder / "mapped" / "coordinates_left.png").unlink()
    done = run(box, "mapped", "-o", "x.glb", *common, "--from", "coordinates")
    assert done.returncode == 3 and b"coordinates_left.png: no such file" in done.stderr


@pytest.mark.slow
def test_what_cannot_be_is_refused_in_one_line(box: Box) -> None:
    Image.fromarray(np.full((90, 90, 3), 128, np.uint8)).save(box.folder / "grey.png")
    Image.fromarray(np.zeros((160, 200), np.uint8)).save(box.folder / "black.png")
    (box.folder / "bad.pth").write_bytes(b"no weights")
    for arguments, code, told in (
        (["none.png", "-o", "x.glb"], 3, "none.png: no such file"),
        (["grey.png", "-o", "x.glb"], 1, "grey.png"),
        (["ring.png", "-o", "x.glb", "--mask", "black.png"], 1, "keeps nothing"),
        (["ring.png", "-o", "x.bmp"], 2, "cannot be written"),
        (["ring.png", "-o", "x.glb", "--model", "magic"], 2, "magic"),
        (["ring.png", "-o", "x.glb", "--set", "inflate.thickness=0"], 2, "thickness"),
        (["ring.png", "ball.png", "-o", "x/", "--mask", "black.png"], 2, "--mask"),
        (["ring.png", "ring.png", "-o", "x/"], 2, "two pictures"),
        (["ring.png", "-o", "x.glb", "--model", "crm"], 4, "not on this machine"),
        (["ring.png", "-o", "x.glb", "--weights", "none.pth"], 3, "none.pth"),
        (["ring.png", "-o", "x.glb", "--model", "crm", "--weights", "bad.pth"], 4, "bad.pth"),
        (["ring.png", "-o", "x.glb", "--steps", "9"], 2, "--steps"),
        (["ring.png", "-o", "x", "--stop-after", "views"], 2, "no stage of inflate"),
        (["ring.png", "-o", "x.glb", "--from", "prepare"], 2, "is a file"),
        (["-o", "x.glb"], 2, "no picture"),
        (["-o", "x.glb", "--front", "ball.png"], 2, "at least two"),
        (["-o", "x.glb", "--front", "ball.png", "--view", "0,0:ring.png"], 2, "same direction"),
        (["-o", "x.glb", "--front", "ball.png", "--view", "up:ring.png"], 2, "is no view"),
        (["ring.png", "-o", "x.glb", "--model", "views"], 2, "--model views"),
        (["ring.png", "-o", "x.glb", "--front", "ball.png"], 2, "do not go together"),
        (["-o", "x.glb", "--front", "ball.png", "--right", "ball.png", "--model", "crm"], 2, "one picture"),
    ):
        done = run(box, *arguments)
        lines = [line for line in done.stderr.decode().splitlines() if not line.startswith(("model:", "warning:"))]
        assert done.returncode == code, (arguments, lines)
        assert lines[0].startswith("error: ") and told in lines[0], lines
        assert len(lines) <= 2 and not list(box.folder.glob("x*"))
