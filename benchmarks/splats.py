"""Splats drawn by the kernels, forward and backward, beside the same in vectorised torch, tile by tile; on a GPU beside
gsplat, where that is installed.

    python -m benchmarks.splats [--splats 100000] [--size 640x480]
    python -m benchmarks.splats --device cuda [--splats 1000000] [--size 1920x1080]

Random splats that are spread over the picture, of a size at which about 15 are blended at a pixel. Seconds are the best
of some runs, projection and colours included; differences are those of the two pictures and of the gradients, relative
to the gradients' length.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import print_machine, print_table
from mvgen.kernels import splatting, splatting_gsplat
from mvgen.kernels.splatting_cpu import tile_lists
from mvgen.kernels.splatting_pixel import DONE, LEAST, MOST, TILE

RUNS = {"cpu": 3, "cuda": 10}
Draw = Callable[..., tuple[Tensor, Tensor]]  # as `splatting.draw`


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--splats", type=int, help="100000; 1000000 on a GPU")
    parser.add_argument("--size", help="of the picture in pixels: 640x480; 1920x1080 on a GPU")
    options = parser.parse_args()
    there = options.device == "cuda"
    count = options.splats or (1_000_000 if there else 100_000)
    width, height = map(int, (options.size or ("1920x1080" if there else "640x480")).split("x"))
    print_machine()
    peers = [("torch, tile by tile", draw_tiles)]
    if there:
        reason = splatting_gsplat.why_not("cuda")
        peers = [] if reason else [("gsplat", splatting_gsplat.draw)]
        print(f"  no gsplat: {reason}" if reason else "", f"  on {torch.cuda.get_device_name()}")
    scene, pose, lens = make_scene(count, width, height, options.device)
    rows, pictures, gradients = [], [], []
    for name, draw in [("kernel", splatting.draw), *peers]:
        forward, both, picture, gradient = measure(scene, pose, lens, height, width, draw)
        rows.append([name, forward, both])
        pictures.append(picture)
        gradients.append(gradient)
    ours = rows[0]
    rows = [[*row, row[1] / ours[1], row[2] / ours[2]] for row in rows]
    header = ["", "forward, s", "forward and backward, s", "forward / ours", "both / ours"]
    deep = "" if there else f", {blended(scene, pose, lens, height, width):.1f} at a pixel"
    print_table(f"{count:,} splats, {width}x{height}{deep}", header, rows)
    if not peers:
        return 0
    apart = float((pictures[0] - pictures[1]).abs().max())
    off = max(float((a - b).norm() / b.norm()) for a, b in zip(*gradients))
    print(f"\n  pictures differ by {apart:.1e}, gradients by {off:.1e}")
    return 0


def make_scene(count: int, width: int, height: int, device: str = "cpu") -> tuple[list[Tensor], Tensor, Tensor]:
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
    pose = torch.eye(4, device=device)
    pose[2, 3] = 4
    lens = torch.tensor([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]], device=device)
    scene = [torch.tensor(v, dtype=torch.float32, device=device, requires_grad=True) for v in values]
    return scene, pose, lens


def picture_of(
    scene: list[Tensor], pose: Tensor, lens: Tensor, height: int, width: int, draw: Draw
) -> tuple[Tensor, Tensor]:
    means, quaternions, scales, logits, harmonics = scene
    colours = splatting.harmonics_colours(harmonics, means, -pose[:3, :3].T @ pose[:3, 3])
    return draw(means, quaternions, scales, logits, colours, pose, lens, height, width)


def measure(
    scene: list[Tensor], pose: Tensor, lens: Tensor, height: int, width: int, draw: Draw
) -> tuple[float, float, Tensor, tuple[Tensor, ...]]:
    """Seconds forward, and forward and backward; the picture and the gradients of a random loss."""
    weights = torch.randn(height, width, 3, generator=torch.Generator().manual_seed(0)).to(pose.device)
    forward, both = [], []
    for _ in range(RUNS[pose.device.type]):
        start = now(pose)
        with torch.no_grad():
            picture_of(scene, pose, lens, height, width, draw)
        forward.append(now(pose) - start)
        start = now(pose)
        picture, _ = picture_of(scene, pose, lens, height, width, draw)
        gradients = torch.autograd.grad((picture * weights).sum(), scene)
        both.append(now(pose) - start)
    return min(forward), min(both), picture.detach(), gradients


def now(tensor: Tensor) -> float:
    """Seconds, after all that its device has to do."""
    if tensor.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


def blended(scene: list[Tensor], pose: Tensor, lens: Tensor, height: int, width: int) -> float:
    """Splats that are drawn at a pixel, on average."""

    found: list[int] = []
    with torch.no_grad():
        picture_of(scene, pose, lens, height, width, partial(draw_tiles, counts=found))
    return sum(found) / (height * width)


def draw_tiles(
    means: Tensor, quaternions: Tensor, scales: Tensor, logits: Tensor, colours: Tensor, pose: Tensor, lens: Tensor,
    height: int, width: int, counts: list[int] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As `splatting.draw`, without the kernels."""
    flat = splatting.project(means, quaternions, scales, logits, pose, lens, height, width)
    return blend_tiles(flat, colours, height, width, counts)


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
