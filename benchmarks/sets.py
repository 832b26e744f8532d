"""Sets of photos of a textured mesh with exact truth, as `mvgen eval` reads them.

    python -m benchmarks.sets orbit MESH -o DIR [--photos 60] [--size 1024x768] [--corrupt 5] [--seed 0]
    python -m benchmarks.sets turntable MESH -o DIR [--photos 18] [--plain] [--seed 0]

orbit: a walk around an object on flagstones, in three rings, with an unsteady hand. --corrupt K spoils K of the photos,
each in another way; they are named in meta.json and have no camera in cameras.json.
turntable: the object turns, the camera, the light, the table and the books behind it stand still; masks/ has the
object's exact outline in each photo, as NAME.jpg.png. The truth is in the object's frame, in which the camera goes
around. --plain: grey paper instead of table and books.

DIR receives images/*.jpg (with the focal length in their EXIF data), cameras.json, gt.ply, meta.json and sheet.jpg, a
picture of all photos. Objects need texture to be found: of plain ones (a banana, a toy duck) a turntable on paper shows
too few features. The same call writes the same files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks import studio
from benchmarks.studio import Array, Studio, Subject
from mvgen.core.camera import Camera, Similarity
from mvgen.core.geometry import Mesh
from mvgen.core.io.atomic import atomic_folder
from mvgen.core.io.meshes import load_mesh, save_mesh
from mvgen.core.render.orbit import look_at
from mvgen.core.render.pictures import sheet

RINGS = (14.0, 31.0, 52.0)  # elevations of an orbit, in degrees
TABLE_ELEVATION, TABLE_START = 24.0, 17.0
ORBIT_LENS, TABLE_LENS = 35, 50  # millimetres on 35 mm film
UP = {
    "y": np.eye(3),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "x": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "-y": np.diag([1.0, -1, -1]),
    "-z": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
}


@dataclass(frozen=True, eq=False)
class Shot:
    """A photo [H, W, 3], its camera in the object's frame, and the object's outline [H, W] where it is asked for."""

    pixels: NDArray[np.uint8]
    camera: Camera
    mask: NDArray[np.bool_] | None = None


def main() -> int:
    options = _arguments().parse_args()
    mesh = upright(load_mesh(options.mesh), options.up)
    take = orbit if options.kind == "orbit" else turntable
    with atomic_folder(options.output) as draft:
        about = write_set(draft, mesh, take(mesh, options), options)
    spoilt = f", {len(about['corrupt'])} of them spoilt" if about["corrupt"] else ""
    print(f"{options.output}: {options.photos} photos of {options.size[0]} x {options.size[1]}{spoilt}")
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, photos in (("orbit", 60), ("turntable", 18)):
        one = kinds.add_parser(kind)
        one.add_argument("mesh", type=Path, metavar="MESH", help="a mesh with a texture")
        one.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where to write")
        one.add_argument("--photos", type=int, default=photos, help=f"how many (default {photos})")
        one.add_argument("--size", type=_size, default=(1024, 768), help="pixels of a photo (default 1024x768)")
        one.add_argument("--up", choices=UP, default="y", help="the axis of the mesh that points up (default y)")
        one.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    kinds.choices["orbit"].add_argument("--corrupt", type=int, default=0, metavar="K", help="photos to spoil")
    kinds.choices["turntable"].add_argument("--plain", action="store_true", help="on grey paper")
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def upright(mesh: Mesh, up: str) -> Mesh:
    """The mesh with +Y up."""
    return mesh.moved(Similarity(1.0, UP[up], np.zeros(3)))


# ---- taking photos


def orbit(mesh: Mesh, options: argparse.Namespace) -> Iterator[Shot]:
    """Photos from rings around the mesh on a courtyard."""
    rng = np.random.default_rng(options.seed)
    subject, light = Subject(mesh), studio.daylight(-50, 48)
    place = Studio(subject, studio.courtyard(mesh, rng))
    lit, ground = subject.under(light), subject.ground_light(light)
    for camera in walk(mesh, options.photos, options.size, rng):
        yield Shot(studio.developed(place.view(camera, camera, lit, ground), rng), camera)


def walk(mesh: Mesh, count: int, size: tuple[int, int], rng: np.random.Generator) -> list[Camera]:
    """Cameras on rings, ring after ring, from an unsteady hand."""
    intrinsics = studio.intrinsics_of(ORBIT_LENS, size)
    distance = 0.54 * mesh.diagonal * intrinsics[0, 0] / (min(size) / 2)
    per_ring = np.bincount(np.arange(count) * len(RINGS) // count, minlength=len(RINGS))
    cameras = []
    for elevation, number in zip(RINGS, per_ring):
        for k in range(number):
            azimuth = 360 * (k + 0.5 * (elevation == RINGS[1])) / number + rng.normal(0, 1.5)
            direction = _direction(azimuth, elevation + rng.normal(0, 1.5))
            target = mesh.bounds.mean(0) + rng.normal(0, 0.02, 3) * mesh.diagonal
            eye = mesh.bounds.mean(0) + distance * (1 + rng.normal(0, 0.04)) * direction
            pose = look_at(eye, target, np.array([0.0, 1, 0]) + rng.normal(0, 0.02, 3))
            cameras.append(Camera(f"photo_{len(cameras) + 1:03d}.jpg", *size, intrinsics, pose))
    return cameras


def turntable(mesh: Mesh, options: argparse.Namespace) -> Iterator[Shot]:
    """Photos by one camera of the mesh turning about the vertical through its middle, all else standing still."""
    rng = np.random.default_rng(options.seed)
    subject, light = Subject(mesh), studio.daylight(-38, 50)
    place = Studio(subject, [] if options.plain else studio.study(mesh, rng), options.plain)
    intrinsics = studio.intrinsics_of(TABLE_LENS, options.size)
    middle = mesh.bounds.mean(0)
    distance = 0.56 * mesh.diagonal * intrinsics[0, 0] / (min(options.size) / 2)
    still = look_at(middle + distance * _direction(0, TABLE_ELEVATION), middle, np.array([0.0, 1, 0]))
    for k in range(options.photos):
        name, angle = f"photo_{k + 1:03d}.jpg", TABLE_START + 360 * k / options.photos
        room = Camera(name, *options.size, intrinsics, still)
        camera = replace(room, world_to_camera=still @ turn_about(middle, angle))
        lit, ground = subject.under(studio.turned(light, -angle)), subject.ground_light(light, angle)
        pixels = studio.developed(place.view(room, camera, lit, ground), rng)
        yield Shot(pixels, camera, subject.caster.render(camera).alpha >= 0.5)


def turn_about(middle: Array, degrees: float) -> Array:
    """[4, 4]: a turn about the vertical through a point [3]."""
    out = np.eye(4)
    out[:3, :3] = studio.about_vertical(degrees)
    out[:3, 3] = middle - out[:3, :3] @ middle
    return out


def _direction(azimuth: float, elevation: float) -> Array:
    a, e = np.radians([azimuth, elevation])
    return np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])


# ---- writing


def write_set(folder: Path, mesh: Mesh, shots: Iterator[Shot], options: argparse.Namespace) -> dict[str, Any]:
    """Fill a folder with a set; what meta.json says is returned."""
    (folder / "images").mkdir()
    lens = ORBIT_LENS if options.kind == "orbit" else TABLE_LENS
    cameras, small = [], []
    for shot in tqdm(shots, "photos", options.photos, disable=None):
        cameras.append(shot.camera)
        (folder / "images" / shot.camera.name).write_bytes(studio.jpeg(shot.pixels, lens))
        small.append(
            cv2.resize(shot.pixels, (shot.camera.width // 4, shot.camera.height // 4), interpolation=cv2.INTER_AREA)
        )
        if shot.mask is not None:
            (folder / "masks").mkdir(exist_ok=True)
            Image.fromarray(np.where(shot.mask, 255, 0).astype(np.uint8)).save(
                folder / "masks" / f"{shot.camera.name}.png"
            )
    Image.fromarray(sheet(small)).save(folder / "sheet.jpg", quality=85)
    spoilt = corrupt(folder / "images", getattr(options, "corrupt", 0), options.seed)
    write_cameras([c for c in cameras if c.name not in spoilt], folder / "cameras.json")
    save_mesh(replace(mesh, uv=None, texture=None, colours=None, metadata={}), folder / "gt.ply")
    about = {
        "kind": options.kind,
        "mesh": options.mesh.name,
        "up": "+Y",
        "ground_height": float(mesh.bounds[0, 1]),
        "bbox": mesh.bounds.tolist(),
        "diag": mesh.diagonal,
        "focal_35mm": lens,
        "views": options.photos,
        "seed": options.seed,
        "corrupt": spoilt,
    }
    (folder / "meta.json").write_text(json.dumps(about, indent=1) + "\n")
    return about


def write_cameras(cameras: list[Camera], path: Path) -> None:
    """cameras.json of cameras with pictures of one size."""
    views = [
        {"name": c.name, "intrinsics": c.intrinsics.tolist(), "world_to_camera": c.world_to_camera.tolist()}
        for c in cameras
    ]
    about = {"convention": "OpenCV, world_to_camera, pixel centre at +0.5"}
    size = {"width": cameras[0].width, "height": cameras[0].height}
    path.write_text(json.dumps({**about, **size, "views": views}, indent=1) + "\n")


# ---- spoiling photos


def corrupt(folder: Path, count: int, seed: int) -> dict[str, str]:
    """Spoil some photos of a folder, in the ways of SPOILERS by turns. Returns name: way."""
    photos = sorted(folder.iterdir())
    rng = np.random.default_rng([seed, 1])
    picked = sorted(rng.choice(len(photos), min(count, len(photos)), replace=False).tolist())
    spoilt = {}
    for number, k in enumerate(picked):
        way = list(SPOILERS)[number % len(SPOILERS)]
        SPOILERS[way](photos[k], rng)
        spoilt[photos[k].name] = way
    return spoilt


def _truncate(photo: Path, rng: np.random.Generator) -> None:
    data = photo.read_bytes()
    photo.write_bytes(data[: int(len(data) * rng.uniform(0.3, 0.8))])


def _empty(photo: Path, rng: np.random.Generator) -> None:
    photo.write_bytes(b"")


def _text(photo: Path, rng: np.random.Generator) -> None:
    photo.write_text("Copied the photos on Tuesday, see the other folder.\n" * 20)


def _break_header(photo: Path, rng: np.random.Generator) -> None:
    data = photo.read_bytes()
    photo.write_bytes(rng.bytes(64) + data[64:])


def _flip_png(photo: Path, rng: np.random.Generator) -> None:
    """The photo as PNG, as NAME.png, with some bytes of its pixels inverted."""
    target = photo.with_suffix(".png")
    with Image.open(photo) as image:
        image.save(target)
    photo.unlink()
    data = bytearray(target.read_bytes())
    for place in rng.integers(len(data) // 4, 3 * len(data) // 4, 40):
        data[place] ^= 0xFF
    target.write_bytes(data)


SPOILERS: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "truncated": _truncate,
    "empty": _empty,
    "text": _text,
    "broken header": _break_header,
    "flipped bytes (.png)": _flip_png,
}


if __name__ == "__main__":
    sys.exit(main())
