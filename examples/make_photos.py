"""Photos of a still life that exists only as formulas, with the truth about it: cameras, shape, a textured scene.

    python examples/make_photos.py photos/

writes photos/images/*.jpg (with the focal length in their EXIF data, as a camera does), and beside them what
`mvgen eval RESULT photos/` measures a result against: cameras.json, gt.ply, meta.json. The whole scene is in gt.glb.
The same call writes the same photos.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from still_life import THINGS, Surface, assemble, lit

from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import save_mesh
from mvgen.core.render.orbit import look_at
from mvgen.core.render.pictures import over, picture
from mvgen.core.render.raycast import Caster

FOCAL_35MM = 38  # of the camera, in millimetres on 35 mm film
FILM_DIAGONAL = 43.2666  # millimetres
MIDDLE = np.array([0.0, 0.4, 0.06])  # what the photographer looks at
DISTANCE, ELEVATION = 3.0, 28.0
SKY = (0.74, 0.82, 0.92)
QUALITY = 88  # of the JPEG files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("--views", type=int, default=12, help="photos on the way around (default 12)")
    parser.add_argument("--arc", type=float, default=360.0, help="how far the way goes, in degrees (default 360)")
    parser.add_argument("--size", default="960x720", help="pixels of a photo (default 960x720)")
    parser.add_argument("--seed", type=int, default=0, help="of the photographer's hand (default 0)")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))

    surfaces = lit([thing() for thing in THINGS])
    scene = assemble(surfaces)
    cameras = walk(options.views, options.arc, (width, height), np.random.default_rng(options.seed))
    (options.folder / "images").mkdir(parents=True, exist_ok=True)
    take_photos(scene, cameras, options.folder / "images", np.random.default_rng(options.seed + 1))
    write_truth(surfaces, cameras, options.folder)
    save_mesh(scene, options.folder / "gt.glb")
    print(f"{options.folder}: {len(cameras)} photos of {width} x {height}")


def walk(count: int, arc: float, size: tuple[int, int], rng: np.random.Generator) -> list[Camera]:
    """Cameras on a walk around the scene, from a hand that is not quite steady."""
    width, height = size
    focal = FOCAL_35MM / FILM_DIAGONAL * np.hypot(width, height)
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    closed = abs(arc) >= 360
    cameras = []
    for i in range(count):
        share = i / (count if closed else max(count - 1, 1))
        azimuth = np.radians(20 + arc * share + rng.normal(0, 2))
        elevation = np.radians(ELEVATION + 9 * np.sin(4 * np.pi * share) + rng.normal(0, 1.5))
        along = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
        eye = MIDDLE + DISTANCE * (1 + rng.normal(0, 0.04)) * along
        up = np.array([0.0, 1, 0]) + rng.normal(0, 0.02, 3)
        pose = look_at(eye, MIDDLE + rng.normal(0, 0.03, 3), up)
        cameras.append(Camera(f"photo_{i + 1:02d}.jpg", width, height, intrinsics, pose))
    return cameras


def take_photos(scene: Mesh, cameras: list[Camera], folder: Path, rng: np.random.Generator) -> None:
    """Render the views and write them as a camera would: exposure a little uneven, some noise, JPEG with EXIF."""
    caster = Caster(scene)
    for camera in cameras:
        seen = over(picture(caster.render(camera), "color", (0, 1)), SKY).astype(np.float32)
        seen *= 1 + rng.normal(0, 0.01)
        seen += rng.normal(0, 1.2, seen.shape).astype(np.float32)
        pixels = np.rint(np.clip(seen, 0, 255)).astype(np.uint8)
        (folder / camera.name).write_bytes(jpeg(pixels))


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """A JPEG file of [H, W, 3] that names its focal length."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "mvgen", "still life"  # maker and model
    exif.get_ifd(0x8769)[0xA405] = FOCAL_35MM
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=QUALITY, optimize=True, exif=exif)
    return out.getvalue()


def write_truth(surfaces: list[Surface], cameras: list[Camera], folder: Path) -> None:
    """cameras.json, and the shape of the things on the floor: gt.ply and its bounds in meta.json."""
    views = [
        {"name": c.name, "intrinsics": c.intrinsics.tolist(), "world_to_camera": c.world_to_camera.tolist()}
        for c in cameras
    ]
    about = {"convention": "OpenCV, world_to_camera, pixel centre at +0.5"}
    size = {"width": cameras[0].width, "height": cameras[0].height}
    (folder / "cameras.json").write_text(json.dumps({**about, **size, "views": views}, indent=1) + "\n")
    shape = replace(assemble([s for s in surfaces if not s.is_ground]), uv=None, texture=None)
    save_mesh(shape, folder / "gt.ply")
    meta = {
        "up": "+Y",
        "ground_height": 0.0,
        "bbox": shape.bounds.tolist(),
        "diag": shape.diagonal,
        "focal_35mm": FOCAL_35MM,
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


if __name__ == "__main__":
    main()
