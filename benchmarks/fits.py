"""Gaussian splats fitted to rendered sets, with photos held out, and the surfaces that come of them.

    MVGEN_DATA=... python -m benchmarks.fits [SET...] [--splats 20000] [--iterations 800] [--size 480] [--set NAME=V]

For each set of $MVGEN_DATA/rendered (those named, else all): the surface is reconstructed from all photos but every
sixth, at their known cameras; splats are fitted to the same photos and compared with the sixth ones; `mvgen mesh` makes
a surface of them, which is compared with the truth. So nothing of what is compared with has been seen. --sheet FILE: a
picture with a row for each set: a photo that was held out, the splats from there, and the surface.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import print_machine, print_table, rendered_sets, report
from mvgen.core.io.cameras import read_cameras
from mvgen.core.io.images import encode_image, find_photos, read_image
from mvgen.core.io.meshes import load_mesh
from mvgen.core.progress import Silent
from mvgen.core.render.frames import Look, frames
from mvgen.core.splats.files import load_splats
from mvgen.core.splats.seen import in_scene

HOLD_OUT = 6
SHEET = 400  # pixels of a picture's longer side


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET")
    parser.add_argument("--splats", default="20000")
    parser.add_argument("--iterations", default="800")
    parser.add_argument("--size", default="480")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="for mvgen splat")
    parser.add_argument("--sheet", type=Path, metavar="FILE.jpg")
    options = parser.parse_args()
    print_machine()
    rows, tiles = [], []
    for folder in rendered_sets(options.names):
        print(f"{folder.name} ...", file=sys.stderr)
        with tempfile.TemporaryDirectory() as work:
            rows.append([folder.name, *measure(folder, Path(work), options)])
            if options.sheet:
                tiles.append(pictures(folder, Path(work)))
    if options.sheet:
        options.sheet.write_bytes(encode_image(np.vstack(tiles), ".jpg"))
    title = f"{options.splats} splats, {options.iterations} iterations, photos of {options.size} pixels"
    header = ["set", "fitted, dB", "held out, dB", "held out, SSIM", "fit, s", "GB", "surface F at 1 %", "mesh, s"]
    print_table(title, header, rows)
    return 0


def measure(folder: Path, work: Path, options: argparse.Namespace) -> list[Any]:
    """The row of a set, but for its name."""
    seen = work / "photos"
    seen.mkdir()
    for i, photo in enumerate(find_photos([folder / "images"])):
        if i % HOLD_OUT:
            shutil.copy(photo, seen)
    report("reconstruct", seen, "-o", work / "scene", "--cameras", folder / "cameras.json", "--as", "scene",
           "--stop-after", "surface")  # fmt: skip
    settings = [word for value in options.set for word in ("--set", value)]
    fit = report("splat", folder, "-o", work / "a.ply", "--depths", work / "scene", "--surface",
                 work / "scene" / "surface.ply", "--hold-out", HOLD_OUT, "--splats", options.splats, "--iterations",
                 options.iterations, "--size", options.size, *settings)  # fmt: skip
    mesh = report("mesh", work / "a.ply", "-o", work / "a.glb")
    truth = report("eval", work / "a.glb", folder, "--align", "none")
    return [
        fit["fitted"]["psnr"], fit["held_out"]["psnr"], fit["held_out"]["ssim"], fit["seconds"]["fit"],
        fit["peak_memory_mb"] / 1000, truth["metrics"]["f_score@1%"], mesh["seconds"]["total"],
    ]  # fmt: skip


def pictures(folder: Path, work: Path) -> NDArray[np.uint8]:
    """[H, 3 W, 3]: the first photo, the splats and the surface as its camera sees them."""
    camera = read_cameras(folder / "cameras.json")[0].fitted(SHEET)
    photo = Image.fromarray(read_image(folder / "images" / camera.name)).resize((camera.width, camera.height))
    shapes = in_scene(load_splats(work / "a.ply", frame=None)), load_mesh(work / "a.glb")
    views = [next(frames(shape, [camera], Look("color", (1.0, 1.0, 1.0)), Silent())) for shape in shapes]
    return np.hstack([np.asarray(photo), *views])


if __name__ == "__main__":
    sys.exit(main())
