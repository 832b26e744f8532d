"""Seconds of each stage of `mvgen reconstruct`, beside those of other tools in the same run.

    python -m benchmarks.reconstruct [--quick] [FOLDER...]

Sets are the demo's photos and those under $MVGEN_DATA; --quick: the demo's alone; or the folders of photos given.
Cameras are compared with pycolmap's own pipeline at its default options, depth with OpenCV's semi-global matching of
one rectified pair of the same size, both ways (it gets the cameras for nothing, and one other view instead of four).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.common import DEMO, ROOT, photo_sets, print_machine, print_table, reconstruct
from benchmarks.sgbm import disparities
from mvgen.core.camera import Camera
from mvgen.core.io.cameras import read_cameras
from mvgen.core.io.images import find_photos, read_image

CAMERA_STAGES = ("features", "matches", "cameras")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="folders of photos")
    parser.add_argument("--quick", action="store_true", help="the demo's photos alone")
    options = parser.parse_args()
    sets = {"demo": DEMO} | ({} if options.quick else photo_sets())
    if options.folders:
        sets = {folder.resolve().name: folder for folder in options.folders}
    print_machine()
    results = {}
    for name, folder in sets.items():
        print(f"{name} ...", file=sys.stderr)
        with tempfile.TemporaryDirectory() as work:
            results[name] = measure(folder, Path(work))
    print_stages(results)
    print_peers(results)
    return 0


def measure(images: Path, work: Path) -> dict[str, Any]:
    """The report of a reconstruction, with the seconds of the peers."""
    report = reconstruct(images, work / "scene.glb", f"--save-cameras={work / 'transforms.json'}")
    (work / "colmap").mkdir()
    command = [sys.executable, "-m", "benchmarks.peer_colmap", str(images.resolve()), str(work / "colmap")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    report["colmap"] = json.loads(run.stdout.splitlines()[-1]) if run.returncode == 0 else None
    long_side = report["options"]["stereo"]["size"]
    cameras = {c.name: c.fitted(long_side) for c in read_cameras(work / "transforms.json")}
    report["sgbm"] = sgbm_seconds(images, cameras)
    return report


def sgbm_seconds(images: Path, cameras: dict[str, Camera]) -> float:
    """Seconds for the depth of one view, from the pair of registered photos whose axes are nearest to each other."""
    files = [p for p in find_photos([images]) if p.name in cameras]
    axes = np.array([cameras[p.name].forward for p in files])
    likeness = axes @ axes.T - 2 * np.eye(len(files))
    a, b = np.unravel_index(likeness.argmax(), likeness.shape)
    left, right = rectified(*((cameras[files[i].name], read_image(files[i])) for i in (a, b)))
    levels = 16 * round(left.shape[1] / 4 / 16)  # a quarter of the width is a usual range
    start = time.perf_counter()
    disparities(left, right, levels)
    return time.perf_counter() - start


def rectified(
    one: tuple[Camera, NDArray[np.uint8]], other: tuple[Camera, NDArray[np.uint8]]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both pictures [H, W, 3] at the size of the first camera, turned so that rows correspond."""
    camera, second = one[0], other[0]
    size = (camera.width, camera.height)
    turn = second.rotation @ camera.rotation.T
    shift = (second.translation - turn @ camera.translation).reshape(3, 1)
    k_one, k_other, none = camera.intrinsics, second.intrinsics, np.zeros(5)
    turns = cv2.stereoRectify(k_one, none, k_other, none, size, turn, shift)[:4]
    pair = []
    for (view, image), rotation, projection in zip((one, other), turns[:2], turns[2:]):
        small = cv2.resize(image, (view.width, view.height), interpolation=cv2.INTER_AREA)
        maps = cv2.initUndistortRectifyMap(view.intrinsics, none, rotation, projection, size, cv2.CV_32FC1)
        pair.append(np.asarray(cv2.remap(small, *maps, cv2.INTER_LINEAR), np.uint8))
    return pair[0], pair[1]


def print_stages(results: dict[str, dict[str, Any]]) -> None:
    names = list(dict.fromkeys(stage for r in results.values() for stage in r["seconds"]))
    rows = []
    for name, report in results.items():
        photos = f"{report['registered']}/{len(report['photos'])}"
        seconds = [report["seconds"].get(stage) for stage in names]
        rows.append([name, photos, *seconds, round(report["peak_memory_mb"])])
    print_table("seconds of each stage", ("set", "photos", *names, "peak MB"), rows)


def print_peers(results: dict[str, dict[str, Any]]) -> None:
    rows = []
    for name, report in results.items():
        cameras = sum(report["seconds"].get(stage, 0.0) for stage in CAMERA_STAGES)
        depth = report["seconds"]["depth"] / report["registered"]
        colmap, sgbm = report["colmap"], report["sgbm"]
        theirs = colmap["seconds"] if colmap else None
        placed = f"{report['registered']}:{colmap['registered'] if colmap else '-'}"
        ratio = cameras / theirs if theirs else None
        rows.append([name, cameras, theirs, ratio, placed, depth, sgbm, depth / sgbm])
    header = ("set", "cameras", "pycolmap", "ratio", "placed", "depth/view", "SGBM/view", "ratio")
    print_table("seconds, mvgen : others", header, rows)


if __name__ == "__main__":
    sys.exit(main())
