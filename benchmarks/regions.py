"""What selecting, moving and dragging splats takes, beside the time that it may take.

    python -m benchmarks.regions [--splats 1000000] [--only click,inside]

Splats with harmonics of degree 3 on a large ball and 40 small ones around it, in memory: files are neither read nor
written. Seconds are the best of three runs, after one that loads libraries and compiles; CPU seconds are those of all
threads in that run. Exit code 1 where something takes longer than its bar.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from benchmarks.common import print_machine, print_table
from mvgen.core.edit.drag import dragged
from mvgen.core.edit.operations import begun, moved
from mvgen.core.edit.recipe import Handle, Mirror, Rotate, Shear, Stretch, Translate
from mvgen.core.geometry import Mesh
from mvgen.core.io.images import write_image
from mvgen.core.io.meshes import save_mesh
from mvgen.core.progress import Silent
from mvgen.core.region.language import Ball, Cone, Lasso, Length, Pixel, Range, Shade
from mvgen.core.region.query import Eyes, Query, Steps, selected, stepped
from mvgen.core.region.sight import sight_of, standard_cameras
from mvgen.core.region.things import Things
from mvgen.core.splats.harmonics import spread
from mvgen.core.splats.model import Splats

RUNS = 3
SELECT, MOVE, DRAG = 0.5, 1.0, 10.0  # bars in seconds
DRAGGED = 10  # a drag is measured on so many times fewer splats
SMALL_BALLS = 40


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splats", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="parts of the names of what is measured, as click,inside")
    options = parser.parse_args()
    print_machine()
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        for title, bar, jobs in groups(options.splats, Path(folder)):
            rows = []
            for name, job in jobs:
                if any(part in name for part in options.only.split(",")):
                    wall, cpu = fastest(job)
                    rows.append([name, f"{wall:.3f}", f"{cpu:.3f}", f"{bar:g}", "" if wall <= bar else "slow"])
                    missed |= wall > bar
            if rows:
                print_table(title, ["", "wall, s", "CPU, s", "bar, s", ""], rows)
    return int(missed)


Jobs = Iterator[tuple[str, Callable[[], Any]]]


def groups(count: int, folder: Path) -> Iterator[tuple[str, float, Jobs]]:
    """Titles, bars, and what to measure."""
    splats = balls(count)
    yield f"Selecting among {count:,} splats", SELECT, selections(splats, folder)
    yield f"Moving {count:,} splats", MOVE, transforms(splats)
    few = balls(count // DRAGGED)
    yield f"Dragging in {len(few):,} splats", DRAG, drags(few)


def selections(splats: Splats, folder: Path) -> Jobs:
    """Every selector that needs no network, each alone."""
    things = Things("a.ply", "splats", splats, len(splats))
    sight = sight_of(things, False)
    sight.prepare()
    cameras = standard_cameras(things)
    eyes = Eyes(sight, cameras, cameras)
    width, height = cameras[0].width, cameras[0].height
    seen = Pixel(cameras[0].name, width / 2, height / 2)
    corners = tuple((width * x, height * y) for x, y in ((0.3, 0.3), (0.7, 0.35), (0.6, 0.8), (0.4, 0.7)))
    write_image(np.tile(np.uint8([0, 255, 0, 255])[:, None, None], (height // 4, width, 3)), folder / "mask.png")
    save_mesh(bumpy(), folder / "solid.ply")
    share = partial(Length, share=True)
    queries = {
        "--box": Query(boxes=[((-2, -2, 0), (2, 2, 2))]),
        "--sphere": Query(balls=[Ball((1.0, 0, 0), share(0.1))]),
        "--half-space": Query(planes=[((0.0, 1, 0), 0.2)]),
        "--lasso": Query(lassos=[Lasso(seen.camera, corners)]),
        "--lasso --through": Query(lassos=[Lasso(seen.camera, corners)], through=True),
        "--mask": Query(masks=[(folder / "mask.png", seen.camera)]),
        "--click": Query(clicks=[Ball(seen, share(0.02))]),
        "--component largest": Query(part=1),
        "--component PLACE": Query(part=(1.0, 0.0, 0.0)),
        "--geodesic, 2 %": Query(walks=[Ball((1.0, 0, 0), share(0.02))]),
        "--geodesic, 10 %": Query(walks=[Ball((1.0, 0, 0), share(0.1))]),
        "--geodesic, 20 %": Query(walks=[Ball((1.0, 0, 0), share(0.2))]),
        "--geodesic, 50 %": Query(walks=[Ball((1.0, 0, 0), share(0.5))]),
        "--color": Query(shades=[Shade((0.6, 0.5, 0.4), 20.0)]),
        "--opacity": Query(opacity=Range(0.5, 1.0)),
        "--scale": Query(scale=Range(0.0, 0.01)),
        "--normal": Query(cones=[Cone((0.0, 1, 0), 30.0)]),
        "--inside": Query(meshes=[folder / "solid.ply"]),
    }
    for name, query in queries.items():
        yield name, partial(selected, things, query, eyes, Silent())
    half = splats.means[:, 1] > 0.2
    for percent in (0.2, 1, 5, 20):
        yield f"--grow {percent:g} %", partial(stepped, things, half, Steps(grow=share(percent / 100)))
    for percent in (0.2, 1, 5):
        yield f"--shrink {percent:g} %", partial(stepped, things, half, Steps(shrink=share(percent / 100)))
    some = np.random.default_rng(0).random(len(splats)) < 0.01
    yield "--grow 0.2 %, of 1 % at random", partial(stepped, things, some, Steps(grow=share(0.002)))
    yield "--invert", partial(stepped, things, half, Steps(invert=True))


def transforms(splats: Splats) -> Jobs:
    """The affine steps of mvgen edit, on everything, and on a half."""
    steps = {
        "move": Translate(shift=(0.1, 0.2, 0.3)),
        "rotate": Rotate(axis="x", degrees=30.0),
        "stretch": Stretch(axis="x", factor=1.5),
        "mirror": Mirror(axis="x"),
        "shear": Shear(axis="x", by="y", amount=0.5),
    }
    whole = begun(splats)
    for name, step in steps.items():
        yield name, partial(moved, whole, step.matrix(np.zeros(3)))


def drags(splats: Splats) -> Jobs:
    """One handle on the large ball, pulled out of it."""
    handle = Handle((0.0, 1.0, 0.0), (0.3, 1.6, 0.0), 0.3)
    for name, rigid in (("drag, as one body", True), ("drag, like plasticine", False)):
        yield name, partial(dragged, begun(splats), [handle], rigid)


def fastest(job: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds of the best of some runs, after one that is not counted."""
    job()
    best = (np.inf, np.inf)
    for _ in range(RUNS):
        start, cpu = time.perf_counter(), time.process_time()
        job()
        best = min(best, (time.perf_counter() - start, time.process_time() - cpu))
    return best


def balls(count: int, seed: int = 0) -> Splats:
    """Flat splats on the surfaces of a ball of radius 1 at the origin and of small ones, in clusters, as fits leave
    them: dense where there is detail."""
    rng = np.random.default_rng(seed)
    middles = np.concatenate([np.zeros((1, 3)), 1.5 * spread(SMALL_BALLS)])
    radii = np.concatenate([[1.0], rng.uniform(0.05, 0.15, SMALL_BALLS)])
    of = rng.choice(len(radii), count, p=radii**2 / (radii**2).sum())
    dense = spread(500)[rng.integers(500, size=count)] + 0.03 * rng.normal(size=(count, 3))
    even = rng.normal(size=(count, 3))
    normals = np.where(rng.random((count, 1)) < 0.5, dense, even)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    means = middles[of] + radii[of, None] * (normals + 1e-3 * rng.normal(size=(count, 3)))
    size = np.sqrt(4 * np.pi / count) * rng.lognormal(0, 0.4, (count, 1)) * [1.0, 1.0, 0.1]
    return Splats(
        means.astype(np.float32),
        _with_third_axis(normals).astype(np.float32),
        np.log(size).astype(np.float32),
        rng.normal(1, 2, count).astype(np.float32),
        rng.normal(0, 0.3, (count, 16, 3)).astype(np.float32),
    )


def _with_third_axis(normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 4]: the least turns that bring z to the normals."""
    x, y, z = normals.T
    out = np.stack([1 + z, -y, x, 0 * x], 1)
    out[z < -0.999] = [0, 1, 0, 0]
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True))


def bumpy() -> Mesh:
    """A closed mesh of 20,480 faces that cuts through most of the balls."""
    ball = trimesh.creation.icosphere(5)
    vertices = np.asarray(ball.vertices)
    waves = 1.05 + 0.3 * np.sin(5 * vertices).prod(1, keepdims=True)
    return Mesh(vertices * waves, np.asarray(ball.faces, np.int32))


if __name__ == "__main__":
    sys.exit(main())
