"""Seconds of dense stereo per view and of drawing a mesh, on scenes made here.

    python -m benchmarks.kernels

A rippled sheet with a picture of noise, seen by five cameras; each view is matched with the other four. The first pass
looks at the pictures alone, the second one also at the other views' depths. The rasteriser draws a ball of 100,000
faces that fills most of the picture.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import Clock, print_machine, print_table
from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.images import write_image
from mvgen.core.progress import Silent
from mvgen.core.render.orbit import look_at
from mvgen.core.render.raycast import Caster
from mvgen.core.scene import Scene, View
from mvgen.core.stereo.depth import StereoOptions, estimate_depths
from mvgen.kernels import raster

SIZES = ((640, 480), (1024, 768))
RINGS = 225  # of the ball, and points in each
ANGLES = (-16, -8, 0, 8, 16)  # degrees


def main() -> int:
    print_machine()
    rows = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as work:
            rows += measure(Path(work), size)
    header = ("pass", "wall s/view", "CPU s/view", "within 1 % of the depth")
    print_table(f"PatchMatch, {len(ANGLES) - 1} sources", header, rows)
    print_table(f"Rasteriser, {2 * RINGS**2:,} faces at 512 x 512", ("step", "wall ms, best of 20"), measure_raster())
    return 0


def measure_raster(size: int = 512) -> list[list[object]]:
    """One row for each step."""
    screen, faces = make_ball(size)
    twins = raster.edge_twins(faces)
    seen = raster.rasterize(screen, faces, size, size)
    colours = screen.detach() / size
    picture = raster.interpolate(colours, faces, seen)

    def everything() -> None:
        drawn = raster.rasterize(screen, faces, size, size)
        shaded = raster.interpolate(colours, faces, drawn)
        raster.antialias(shaded, drawn, screen, faces, twins).sum().backward()

    return [
        ["rasterize", _best(lambda: raster.rasterize(screen, faces, size, size))],
        ["interpolate, 3 channels", _best(lambda: raster.interpolate(colours, faces, seen))],
        ["antialias, 3 channels", _best(lambda: raster.antialias(picture, seen, screen, faces, twins))],
        ["all, with gradients", _best(everything)],
        ["edge_twins", _best(lambda: raster.edge_twins(faces))],
    ]


def _best(run: Callable[[], object], times: int = 20) -> float:
    """Least milliseconds, once compiled."""
    run()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1e3 * min(seconds)


def make_ball(size: int, rings: int = RINGS) -> tuple[torch.Tensor, torch.Tensor]:
    """A ball on the screen of a picture of size x size pixels: [V, 3], with gradients, and faces [F, 3]."""
    up, around = np.meshgrid(np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, rings, False), indexing="ij")
    ball = np.stack([np.sin(up) * np.cos(around), np.cos(up), np.sin(up) * np.sin(around)], axis=-1).reshape(-1, 3)
    index = np.arange((rings + 1) * rings).reshape(rings + 1, rings)
    a, b = index, np.roll(index, -1, axis=1)
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a[:-1], b[:-1], b[1:]), (a[:-1], b[1:], a[1:]))])
    screen = torch.tensor(ball * [0.45 * size, 0.45 * size, 1] + [size / 2, size / 2, 3], dtype=torch.float32)
    return screen.requires_grad_(True), torch.tensor(faces, dtype=torch.int32)


def measure(work: Path, size: tuple[int, int]) -> list[list[object]]:
    """One row for each of the two passes."""
    scene, depths = make_scene(work, size)
    options = StereoOptions(size=max(size), geometric_passes=1)
    _warm_up(scene, work, options)
    clock = Clock()
    result = estimate_depths(scene, work, options, 0, clock)
    first = estimate_depths(scene, work / "first", replace(options, geometric_passes=0), 0, Silent())
    count = len(scene.views)
    rows = []
    for name, steps, stereo in (("photometric", slice(0, count), first), ("geometric", slice(count, None), result)):
        good = [np.abs(stereo.planes(i).planes[..., 0] * d - 1)[d > 0] < 0.01 for i, d in enumerate(depths)]
        share = f"{100 * np.concatenate(good).mean():.1f} %"
        wall, cpu = (float(np.median(seconds[steps])) for seconds in (clock.wall, clock.cpu))
        rows.append([f"{size[0]} x {size[1]} {name}", wall, cpu, share])
    return rows


def _warm_up(scene: Scene, work: Path, options: StereoOptions) -> None:
    """Compile, or load what is compiled."""
    estimate_depths(scene, work / "warm", replace(options, size=64), 0, Silent())


def make_scene(work: Path, size: tuple[int, int]) -> tuple[Scene, list[NDArray[np.float32]]]:
    """Five views of the sheet, and their true depths [H, W]."""
    sheet = make_sheet()
    caster = Caster(sheet)
    focal = 1.2 * size[0]
    intrinsics = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
    views, depths = [], []
    for i, angle in enumerate(np.radians(ANGLES)):
        eye = 3.0 * np.array([np.sin(angle), 0.25, np.cos(angle)])
        camera = Camera(f"{i}.png", *size, intrinsics, look_at(eye, np.zeros(3), np.array([0.0, 1, 0])))
        seen = caster.render(camera)
        write_image(np.rint(255 * seen.color).astype(np.uint8), work / camera.name)
        views.append(View(camera, work / camera.name))
        depths.append(seen.depth)
    points = sheet.vertices[::97]
    tracks = np.array([(p, v) for v in range(len(views)) for p in range(len(points))], np.int32)
    return Scene(tuple(views), PointCloud(points), tracks), depths


def make_sheet(count: int = 200) -> Mesh:
    """A sheet of 5 x 5 units with waves, and a texture with detail at every scale."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(-2.5, 2.5, count), np.linspace(-2.5, 2.5, count))
    z = 0.15 * np.sin(3 * x) * np.cos(4 * y) + 0.3 * (np.hypot(x - 0.3, y) < 0.5)
    index = np.arange(count * count).reshape(count, count)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    noise = np.zeros((2048, 2048, 3), np.float32)
    for side in (16, 64, 256, 1024, 2048):
        small = rng.random((side, side, 3), np.float32)
        noise += cv2.resize(small, (2048, 2048), interpolation=cv2.INTER_CUBIC) / 5
    texture = np.rint(255 * np.clip(2 * noise - 0.5, 0, 1)).astype(np.uint8)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    uv = np.stack([x / 5 + 0.5, y / 5 + 0.5], axis=-1).reshape(-1, 2)
    return Mesh(vertices, faces.astype(np.int32), uv=uv, texture=texture)


if __name__ == "__main__":
    sys.exit(main())
