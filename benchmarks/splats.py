"""Splats blended by the kernel, forward and backward, beside the same in vectorised torch, tile by tile.

    python -m benchmarks.splats [--splats 100000] [--size 640x480]

Random splats that are spread over the picture, of a size at which about 15 are blended at a pixel. Seconds are the best
of three runs; differences are those of the two pictures and of the gradients, relative to the gradients' length.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import print_machine, print_table
from mvgen.kernels import splatting
from mvgen.kernels.splatting_cpu import DONE, LEAST, MOST, TILE, tile_lists

RUNS = 3
Draw = Callable[[splatting.Flat, Tensor, int, int], tuple[Tensor, Tensor]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splats", type=int, default=100_000)
    parser.add_argument("--size", default="640x480", help="of the picture in pixels")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    print_machine()
    scene, pose, lens = make_scene(options.splats, width, height)
    rows, pictures, gradients = [], [], []
    for name, draw in (("kernel", splatting.blend), ("torch, tile by tile", blend_tiles)):
        forward, both, picture, gradient = measure(scene, pose, lens, height, width, draw)
        rows.append([name, forward, both])
        pictures.append(picture)
        gradients.append(gradient)
    ours = rows[0]
    rows = [[*row, row[1] / ours[1], row[2] / ours[2]] for row in rows]
    header = ["", "forward, s", "forward and backward, s", "forward / ours", "both / ours"]
    deep = blended(scene, pose, lens, height, width)
    print_table(f"{options.splats:,} splats, {width}x{height}, {deep:.1f} at a pixel", header, rows)
    apart = float((pictures[0] - pictures[1]).abs().max())
    off = max(float((a - b).norm() / b.norm()) for a, b in zip(*gradients))
    print(f"\n  pictures differ by {apart:.1e}, gradients by {off:.1e}")
    return 0


def make_scene(count: int, width: int, height: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Means, quaternions, log scales, logits and harmonics of degree 3, a pose and a lens."""
    random = np.random.default_rng(0)
    depth = random.uniform(3, 6, count)
    place = np.stack([random.uniform(-0.55, 0.55, count) * width, random.uniform(-0.55, 0.55, count) * height], 1)
    means = np.column_stack([place / width * depth[:, None], depth - 4])
    pixels = 1.2 * np.sqrt(width * height / 307_200 * 100_000 / count)
    scales = np.log(pixels / width * depth)[:, None] + random.normal(0, 0.3, (count, 3))
    values = (
        means,
        random.normal(0, 1, (count, 4)),
        scales,
        random.normal(0, 1.5, count),
        0.2 * random.normal(0, 1, (count, 16, 3)),
    )
    pose = torch.eye(4)
    pose[2, 3] = 4
    lens = torch.tensor([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], dtype=torch.float32)
    return [torch.tensor(v, dtype=torch.float32, requires_grad=True) for v in values], pose, lens


def picture_of(
    scene: list[Tensor], pose: Tensor, lens: Tensor, height: int, width: int, draw: Draw
) -> tuple[Tensor, Tensor]:
    means, quaternions, scales, logits, harmonics = scene
    flat = splatting.project(means, quaternions, scales, logits, pose, lens, height, width)
    return draw(flat, splatting.harmonics_colours(harmonics, means, -pose[:3, :3].T @ pose[:3, 3]), height, width)


def measure(
    scene: list[Tensor], pose: Tensor, lens: Tensor, height: int, width: int, draw: Draw
) -> tuple[float, float, Tensor, tuple[Tensor, ...]]:
    """Seconds forward, and forward and backward; the picture and the gradients of a random loss."""
    weights = torch.randn(height, width, 3, generator=torch.Generator().manual_seed(0))
    forward, both = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        with torch.no_grad():
            picture_of(scene, pose, lens, height, width, draw)
        forward.append(time.perf_counter() - start)
        start = time.perf_counter()
        picture, _ = picture_of(scene, pose, lens, height, width, draw)
        gradients = torch.autograd.grad((picture * weights).sum(), scene)
        both.append(time.perf_counter() - start)
    return min(forward), min(both), picture.detach(), gradients


def blended(scene: list[Tensor], pose: Tensor, lens: Tensor, height: int, width: int) -> float:
    """Splats that are drawn at a pixel, on average."""

    def draw(flat: splatting.Flat, colours: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        found: list[int] = []
        blend_tiles(flat, colours, height, width, found)
        return torch.tensor(sum(found) / (height * width)), colours

    with torch.no_grad():
        return float(picture_of(scene, pose, lens, height, width, draw)[0])


def blend_tiles(
    flat: splatting.Flat, colours: Tensor, height: int, width: int, counts: list[int] | None = None
) -> tuple[Tensor, Tensor]:
    """As `splatting.blend`: all splats of a tile at all its pixels at once."""
    order = torch.argsort(flat.depths.detach(), stable=True)
    order = order[(flat.reach[order] > 0).all(1)].to(torch.int32)
    starts, entries = tile_lists(flat.means.detach().numpy(), flat.reach.numpy(), order.numpy(), height, width)
    rows, columns = -(-height // TILE), -(-width // TILE)
    y, x = torch.meshgrid(torch.arange(TILE) + 0.5, torch.arange(TILE) + 0.5, indexing="ij")
    strips, lights = [], []
    for row in range(rows):
        strip, light = [], []
        for column in range(columns):
            tile = row * columns + column
            some = torch.from_numpy(entries[starts[tile] : starts[tile + 1]].astype(np.int64))
            mean, conic = flat.means[some], flat.conics[some]
            dx = (x + column * TILE)[None] - mean[:, 0, None, None]
            dy = (y + row * TILE)[None] - mean[:, 1, None, None]
            a, b, c = (conic[:, k, None, None] for k in range(3))
            power = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
            alpha = torch.clamp(flat.opacities[some][:, None, None] * torch.exp(-power), max=MOST)
            alpha = torch.where((power >= 0) & (alpha >= LEAST), alpha, 0.0)
            after = torch.cumprod(1 - alpha, 0)
            alpha = torch.where(after >= DONE, alpha, 0.0)
            after = torch.cumprod(1 - alpha, 0)
            before = torch.cat([torch.ones_like(after[:1]), after[:-1]]) if len(some) else after
            strip.append(torch.einsum("nyx,nc->yxc", before * alpha, colours[some]))
            light.append(after[-1] if len(some) else torch.ones(TILE, TILE))
            if counts is not None:
                counts.append(int((alpha > 0).sum()))
        strips.append(torch.cat(strip, 1))
        lights.append(torch.cat(light, 1))
    return torch.cat(strips)[:height, :width], torch.cat(lights)[:height, :width]


if __name__ == "__main__":
    sys.exit(main())
