"""Two-view depth against ground truth, beside OpenCV's semi-global matching.

    MVGEN_DATA=... python -m benchmarks.stereo

The Middlebury motorcycle pair at 741 x 500, its geometry known ($MVGEN_DATA/stereo/motorcycle). Density is the share of
the pixels with ground truth that a method keeps; bad-Npx is the share of these that are wrong by more than N pixels of
disparity. To compare at equal density, each method keeps the pixels it is surest of: mvgen by the cost of the match,
SGBM by the agreement of the left and the right picture's disparities.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import data_folder, print_machine, print_table
from benchmarks.sgbm import disparities
from mvgen.core.camera import Camera
from mvgen.core.geometry import PointCloud
from mvgen.core.io.images import read_image
from mvgen.core.progress import Silent
from mvgen.core.scene import Scene, View
from mvgen.core.stereo.confirm import believed, confirm_view
from mvgen.core.stereo.depth import ConfirmOptions, StereoOptions, estimate_depths

REACH = (8.0, 60.0)  # disparities, about those of the scene; the search goes beyond them
LEVELS = 80  # disparities that SGBM tries


def main() -> int:
    data = data_folder()
    folder = None if data is None else data / "stereo" / "motorcycle"
    if folder is None or not folder.is_dir():
        print("stereo: set MVGEN_DATA to a folder with stereo/motorcycle to run this", file=sys.stderr)
        return 0
    print_machine()
    calibration = json.loads((folder / "calib.json").read_text())
    truth = np.load(folder / "motorcycle_disp.npz", allow_pickle=False)["arr_0"]
    with tempfile.TemporaryDirectory() as work:
        start = time.process_time()
        found, cost = our_disparity(folder, calibration, Path(work))
        ours = time.process_time() - start
    pair = [read_image(folder / f"motorcycle_{side}.png") for side in ("left", "right")]
    start = time.process_time()
    theirs, residual = disparities(pair[0], pair[1], LEVELS)
    peer = time.process_time() - start

    known = np.isfinite(truth) & (truth > 0)
    rows: list[list[Any]] = [
        ["mvgen, both views", *scores(found, truth, known), ours],
        ["SGBM, left-right checked to 1 px", *scores(np.where(residual <= 1, theirs, np.inf), truth, known), peer],
    ]
    for share in (rows[0][1] / 100, 0.75):
        for name, values, doubt in (("mvgen", found, cost), ("SGBM", theirs, residual)):
            kept = thinned(values, doubt, known, share)
            rows.append([f"{name}, the surest {100 * share:.1f} %", *scores(kept, truth, known), None])
    header = ("motorcycle, 741 x 500", "density %", "bad-2px %", "bad-0.5px %", "median px", "CPU s")
    print_table("two-view depth with known geometry", header, rows)
    return 0


def our_disparity(
    folder: Path, calibration: dict[str, float], work: Path
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Disparity [H, W] of the left picture (inf: not kept) and its cost [H, W]: as `mvgen reconstruct` finds them."""
    scene = pair_scene(folder, calibration)
    stereo = estimate_depths(scene, work, StereoOptions(), 0, Silent())
    options = ConfirmOptions()
    kept = confirm_view(stereo, lambda i: believed(stereo, i, options.max_cost), 0, options)
    found = calibration["focal_px"] * calibration["baseline_mm"] * kept.rho - calibration["doffs"]
    return np.where(kept.rho > 0, found, np.inf).astype(np.float32), stereo.planes(0).cost


def pair_scene(folder: Path, calibration: dict[str, float]) -> Scene:
    """The two cameras, in millimetres, and points that tell the range of depths as sparse points would."""
    focal, baseline = calibration["focal_px"], calibration["baseline_mm"]
    views = []
    for side, shift, place in (("left", 0.0, 0.0), ("right", calibration["doffs"], baseline)):
        path = folder / f"motorcycle_{side}.png"
        height, width = read_image(path).shape[:2]
        intrinsics = np.array([[focal, 0, calibration["cx"] + shift], [0, focal, calibration["cy"]], [0, 0, 1]])
        intrinsics[:2, 2] += 0.5
        pose = np.eye(4)
        pose[0, 3] = -place
        views.append(View(Camera(path.name, width, height, intrinsics, pose), path))
    camera = views[0].camera
    x, y = np.meshgrid(np.linspace(0.2, 0.8, 8) * camera.width, np.linspace(0.2, 0.8, 8) * camera.height)
    rays = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ np.linalg.inv(camera.intrinsics).T
    depths = [focal * baseline / (d + calibration["doffs"]) for d in REACH]
    points = np.concatenate([rays * depth for depth in depths])
    tracks = np.array([(p, v) for v in (0, 1) for p in range(len(points))], np.int32)
    return Scene(tuple(views), PointCloud(points), tracks)


def thinned(
    found: NDArray[np.float32], doubt: NDArray[np.float32], known: NDArray[np.bool_], density: float
) -> NDArray[np.float32]:
    """The disparities of least doubt, as many as are `density` of the known pixels; inf elsewhere."""
    ranked = np.where(np.isfinite(found) & known, doubt, np.inf).ravel()
    order = np.argsort(ranked, kind="stable")[: round(density * known.sum())]
    out = np.full(found.size, np.inf, np.float32)
    out[order] = found.ravel()[order]
    return out.reshape(found.shape)


def scores(found: NDArray[np.float32], truth: NDArray[np.float32], known: NDArray[np.bool_]) -> list[float]:
    """Density, bad-2px, bad-0.5px in percent, and the median error in pixels."""
    kept = known & np.isfinite(found)
    error = np.abs(found[kept] - truth[kept])
    bad = [100 * float((error > limit).mean()) for limit in (2, 0.5)]
    return [100 * float(kept.sum() / known.sum()), *bad, float(np.median(error))]


if __name__ == "__main__":
    sys.exit(main())
