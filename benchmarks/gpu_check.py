"""Are the CUDA kernels right, and how fast? Each is run beside its CPU version on a made-up scene.

    python -m benchmarks.gpu_check

Needs a CUDA GPU, torch, numpy, numba and numba-cuda; of mvgen it imports the kernels alone. Exit code 1 when there is
no GPU or a kernel disagrees.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.kernels import mlp, patchmatch, raster_cpu, splatting_cpu

RANGE = (0.25, 1.0)
PIXEL = 0.008  # change of inverse depth that moves the picture by about one pixel


class Row(NamedTuple):
    name: str
    size: str
    cpu: float  # seconds
    gpu: float
    agree: float  # share of the values
    needed: float


def scene(width: int, height: int, sources: int) -> tuple[patchmatch.Match, NDArray[np.float32], NDArray[np.float32]]:
    """A slanted textured plane seen by cameras in a row: what the passes read, the lens [4], the true planes."""
    focal = 0.9 * width
    k = np.array([[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]])
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(k).T
    normal, offset = np.array([0.3, 0.2, 1.0]), 2.0
    shifts = [0.0] + [0.12 * (i // 2 + 1) * (-1) ** i for i in range(sources)]
    greys, depths = [], []
    rng = np.random.default_rng(0)
    waves = [(rng.normal(size=3) * f, rng.uniform(0, 6)) for f in (4, 8, 14, 22, 40) for _ in range(4)]
    for shift in shifts:
        depth = (offset - normal[0] * shift) / (rays @ normal)
        points = rays * depth[..., None] + [shift, 0, 0]
        greys.append((0.5 + 0.05 * sum(np.sin(points @ w + p) for w, p in waves)).clip(0, 1).astype(np.float32))
        depths.append(depth)
    motions = [_motion(k, -s) for s in shifts[1:]]
    match = patchmatch.Match(
        images=np.stack([greys[0], _blurred(greys[0])]),
        support=((x // 16 + y // 16) % 2).astype(np.uint8),
        packed=np.concatenate([patchmatch.pack_picture(g).ravel() for g in [*greys[1:], *map(_blurred, greys[1:])]]),
        offsets=np.arange(sources, dtype=np.int64) * width * height,
        sizes=np.tile(np.array([height, width], np.int32), (sources, 1)),
        motions=np.stack(motions),
        backward=np.stack([_motion(k, s) for s in shifts[1:]]),
        depths=np.concatenate([(1 / d).astype(np.float32).ravel() for d in depths[1:]]),
        best=2,
    )
    rho = 1 / depths[0]
    truth = np.stack([rho, np.gradient(rho, axis=1), np.gradient(rho, axis=0)], -1).astype(np.float32)
    return match, np.array([focal, focal, k[0, 2], k[1, 2]], np.float32), truth


def _motion(k: NDArray[np.float64], shift: float) -> NDArray[np.float32]:
    """[12]: the identity, then K t, for a camera moved sideways."""
    return np.concatenate([np.eye(3).ravel(), k @ [shift, 0, 0]]).astype(np.float32)


def _blurred(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    wide = np.pad(grey, 1, mode="edge")
    down = (wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4
    return ((down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 4).astype(np.float32)


def best_of(run: Callable[[], Any], times: int) -> tuple[float, Any]:
    """Least seconds of some runs after one that compiles; and what the last returned."""
    out, least = run(), float("inf")
    for _ in range(times):
        start = time.perf_counter()
        out = run()
        least = min(least, time.perf_counter() - start)
    return least, out


def compare(cpu: Any, gpu: Any, width: int, height: int, times: int, sources: int = 4, depths: int = 64) -> list[Row]:
    """Rows for a photometric and a geometric sweep and the plane sweep at one size; cpu, gpu: the kernel modules."""
    match, lens, truth = scene(width, height, sources)
    small = scene(width // 4, height // 4, sources)[0]
    levels = np.linspace(*RANGE, depths).astype(np.float32)
    noise = np.random.default_rng(1).normal(0, [2.5 * PIXEL, 0.001, 0.001], truth.shape)
    start = (truth + noise).astype(np.float32)

    def sweep(kernels: Any, geometric: float) -> NDArray[np.float32]:
        planes, cost = start.copy(), np.full((height, width), -1, np.float32)
        settings = np.tile(np.array([*RANGE, PIXEL, 1, 0.3, 12, 1e-5, geometric], np.float32), (2, 1))
        kernels.run_passes(match, lens, settings, np.array([1, 2]), planes, cost)
        return np.concatenate([planes, cost[..., None]], -1)

    def volume(kernels: Any) -> NDArray[np.uint8]:
        out = np.empty((height // 4, width // 4, depths), np.uint8)
        kernels.sweep_volume(small, levels, np.array([0, 0, 0, 0, 0, 12, 1e-5], np.float32), out)
        return out

    rows = []
    size = f"{width}x{height}, {sources} sources"
    for name, geometric in (("photometric sweep", 0.0), ("geometric sweep", 0.15)):
        one, two = (best_of(lambda k=k, g=geometric: sweep(k, g), times) for k in (cpu, gpu))
        near = np.abs(one[1] - two[1])[..., [0, 3]].max(-1) < 0.05 * PIXEL
        rows.append(Row(name, size, one[0], two[0], float(near.mean()), 0.97))
    size = f"{width // 4}x{height // 4}, {depths} depths"
    one, two = (best_of(lambda k=k: volume(k), times) for k in (cpu, gpu))
    near = np.abs(one[1].astype(int) - two[1]) <= 1
    rows.append(Row("plane sweep", size, one[0], two[0], float(near.mean()), 0.999))
    return rows


def waves(side: int, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
    """Two wavy sheets that cross each other: screen [V, 3], faces [F, 3], edge twins [F, 3]."""
    y, x = (g.ravel() / (side - 1) for g in np.mgrid[:side, :side])
    at = np.stack([width * (0.1 + 0.8 * x), height * (0.1 + 0.8 * y), 3 + 0.3 * np.sin(9 * x + 4 * y)], axis=-1)
    index = np.arange(side * side).reshape(side, side)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2)  # [side - 1, side - 1, 2, 3]
    half = 3 * np.arange(faces[..., 0].size).reshape(faces.shape[:3])
    twins = np.full(faces.shape, -1)
    twins[:, :, 0, 2], twins[:, :, 1, 0] = half[:, :, 1], half[:, :, 0] + 2
    twins[1:, :, 0, 0], twins[:-1, :, 1, 1] = half[:-1, :, 1] + 1, half[1:, :, 0]
    twins[:, :-1, 0, 1], twins[:, 1:, 1, 2] = half[:, 1:, 1] + 2, half[:, :-1, 0] + 1
    faces, twins = faces.reshape(-1, 3), twins.reshape(-1, 3)
    other = at + np.array([0.06 * width, 0.03 * height, 0.05])
    second = np.where(twins >= 0, twins + 3 * len(faces), -1)
    return (
        np.concatenate([at, other]).astype(np.float32),
        np.concatenate([faces, faces + len(at)]).astype(np.int32),
        np.concatenate([twins, second]).astype(np.int32),
    )


def compare_raster(cpu: Any, gpu: Any, width: int, height: int, times: int, side: int = 160) -> list[Row]:
    """Rows for what is seen, the colours, outlines and gradients of a mesh; cpu, gpu: the kernel modules."""
    screen, faces, twins = waves(side, width, height)
    rng = np.random.default_rng(0)
    colours = rng.random((len(screen), 3), np.float32)
    pull = rng.normal(size=(height, width, 3)).astype(np.float32)

    def draw(k: Any) -> Any:
        face = np.empty((height, width), np.int32)
        weights, depth = np.empty((height, width, 3), np.float32), np.empty((height, width), np.float32)
        k.draw(screen, faces, True, face, weights, depth)
        return face, weights, depth

    face, weights, _ = draw(cpu)

    def blend(k: Any) -> Any:
        out = np.empty_like(pull)
        k.blend(colours, faces, face, weights, out)
        return (out,)

    def edges(k: Any) -> Any:
        out = np.empty((2, height, width), np.int32)
        k.find_edges(screen, faces, twins, face, out)
        return (out,)

    def gradients(k: Any) -> Any:
        of_colours, of_weights, of_screen = np.zeros_like(colours), np.empty_like(pull), np.zeros_like(screen)
        k.blend_gradient(colours, faces, face, weights, pull, of_colours, of_weights)
        k.draw_gradient(screen, faces, True, face, of_weights, pull[..., 0].copy(), of_screen)
        return of_colours, of_screen

    rows = []
    for name, run in (("raster", draw), ("blend", blend), ("outlines", edges), ("raster gradients", gradients)):
        one, two = (best_of(lambda k=k, run=run: run(k), times) for k in (cpu, gpu))
        agree = min(float(np.isclose(a, b, rtol=1e-3, atol=1e-4).mean()) for a, b in zip(one[1], two[1]))
        rows.append(Row(name, f"{width}x{height}, {len(faces)} faces", one[0], two[0], agree, 0.999))
    return rows


def compare_splats(
    cpu: Any, gpu: Any, width: int, height: int, times: int, count: int, channels: int = 3, kind: Any = np.float32
) -> list[Row]:
    """Rows for lists, pictures and gradients of random splats; cpu, gpu: the kernel modules."""
    rng = np.random.default_rng(0)
    means = rng.uniform(-0.1, 1.1, (count, 2)) * [width, height]
    axes = np.exp(rng.normal(0, 0.6, (count, 2, 1))) * rng.normal(size=(count, 2, 2)) * (width * height / count) ** 0.5
    spread = axes @ axes.transpose(0, 2, 1) + 0.3 * np.eye(2)
    conics = np.linalg.inv(spread)[:, [0, 0, 1], [0, 1, 1]]
    opacities = 1 / (1 + np.exp(-rng.normal(0, 2.5, count)))
    far = np.sqrt(2 * np.log(np.maximum(255 * opacities, 1)))[:, None]
    reach = far * np.sqrt(np.diagonal(spread, axis1=1, axis2=2))
    flat = [a.astype(kind) for a in (means, conics, opacities, rng.random((count, channels)))]
    order = np.flatnonzero((reach > 0).all(1)).astype(np.int32)
    pull = rng.normal(size=(height, width, channels)).astype(kind)

    def lists(k: Any) -> Any:
        return tuple(np.asarray(a) for a in k.tile_lists(flat[0], reach.astype(kind), order, height, width))

    def draw(k: Any) -> Any:
        starts, entries = lists(k)
        out, light = np.empty((height, width, channels), kind), np.empty((height, width), kind)
        last = np.zeros((height, width), starts.dtype)
        k.blend(*flat, starts, entries, out, light, last)
        return out, light, last

    def gradients(k: Any) -> Any:
        starts, entries = lists(k)
        _, light, last = seen
        total = np.zeros((count, 6 + channels), kind)
        k.blend_gradient(*flat, starts, entries, light, last.astype(starts.dtype), pull, pull[..., 0].copy(), total)
        return (total,)

    seen = draw(cpu)
    rows, near = [], 1e-9 if kind is np.float64 else 1e-4
    for name, run in (("tile lists", lists), ("splats", draw), ("splat gradients", gradients)):
        one, two = (best_of(lambda k=k, run=run: run(k), times) for k in (cpu, gpu))
        agree = min(float(np.isclose(a, b, rtol=10 * near, atol=near).mean()) for a, b in zip(one[1], two[1]))
        rows.append(Row(name, f"{width}x{height}, {count} splats", one[0], two[0], agree, 0.999))
    return rows


def compare_training(cpu: Any, gpu: Any, steps: int = 400) -> Row:
    """A network of 6 layers that learns a ball; cpu, gpu: what makes a training of a network (see `mlp.Training`)."""
    rng = np.random.default_rng(0)
    sizes, kinds = np.array([7, *[32] * 6, 1]), np.array([mlp.SINE, *[mlp.LEAKY] * 5, mlp.LINEAR])
    rows = rng.uniform(-1, 1, (60_000, 7)).astype(np.float32)
    targets = (np.linalg.norm(rows[:, :3], axis=1) - 0.6).astype(np.float32)
    theta = rng.uniform(-0.3, 0.3, int(mlp.offsets_of(sizes)[-1])).astype(np.float32)
    form = mlp.Form(sizes, kinds, True, np.ones_like(theta), np.zeros_like(theta))
    data = mlp.Data(rows, targets, np.ones(len(rows), np.float32), 0, 1024)
    batches = np.stack([1024 * (np.arange(steps) % 58), np.full(steps, 1024)], axis=1)

    def learn(make: Any) -> NDArray[np.float64]:
        training = make(theta, np.zeros((2, len(theta)), np.float32), form, data)
        return training.run(0, batches, np.full(steps, 1e-3))

    one, two = (best_of(lambda make=make: learn(make), 2) for make in (cpu, gpu))
    early = slice(0, 50)  # rounding grows from step to step
    agree = float(np.isclose(one[1][early], two[1][early], rtol=0.01).mean())
    return Row("training", f"{steps} steps of 1024 rows", one[0], two[0], agree, 0.95)


def table(rows: list[Row]) -> str:
    head = f"{'kernel':<20}{'size':<26}{'CPU ms':>9}{'GPU ms':>9}{'faster':>9}{'agree':>9}"
    lines = [
        f"{r.name:<20}{r.size:<26}{1e3 * r.cpu:>9.1f}{1e3 * r.gpu:>9.1f}{r.cpu / r.gpu:>8.1f}x{100 * r.agree:>8.2f}%"
        + ("" if r.agree >= r.needed else f"  too little: {100 * r.needed:g}% is needed")
        for r in rows
    ]
    return "\n".join([head, *lines])


def main() -> int:
    from mvgen.kernels import mlp_torch, patchmatch_cuda, raster_cuda, splatting_cuda

    kernels = (patchmatch_cuda, raster_cuda, splatting_cuda, mlp_torch)
    reason = next(filter(None, (k.why_not("cuda:0") for k in kernels)), None)
    if reason is not None:
        print(f"no CUDA GPU can be used: {reason}")
        return 1
    from numba import cuda

    print(f"{cuda.get_current_device().name.decode()}; seconds are the best of some runs, transfers included")
    rows = [r for size in ((640, 480), (1024, 768)) for r in compare(patchmatch, patchmatch_cuda, *size, times=3)]
    rows += compare_raster(raster_cpu, raster_cuda, 512, 512, times=3)
    for channels, kind in ((3, np.float32), (7, np.float32), (11, np.float32), (3, np.float64)):
        rows += compare_splats(splatting_cpu, splatting_cuda, 640, 480, 3, 100_000, channels, kind)
    rows.append(compare_training(mlp.Training, partial(mlp_torch.Training, device="cuda:0")))
    print(table(rows))
    return int(any(r.agree < r.needed for r in rows))


if __name__ == "__main__":
    sys.exit(main())
