"""DUSt3R: alignment against gradient descent, photos encoded once against every time, memory of many photos.

    python -m benchmarks.dust3r [align] [encode] [memory] [--size 256x192] [--photos 50]

align    10 views, all 90 pairs, exact point maps with a scale of their own: our closed form against 300 steps of Adam
         over all pixels (poses, focal lengths, depths, a similarity for each pair, as Wang et al. 2024 describe it)
encode   the full network with made-up weights, 4 photos, 12 pairs: each photo encoded once, and again for each pair
memory   the most memory that aligning takes, of predictions of 512x384 pixels of all pairs
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from benchmarks.common import print_machine, print_table
from mvgen.core.alignment import align_cameras, camera_errors
from mvgen.core.camera import Camera
from mvgen.core.dust3r.align import Alignment, Prediction, align, similarity
from mvgen.core.dust3r.config import NetworkConfig, tensor_shapes
from mvgen.core.dust3r.network import Network, PointMap, decode, encode
from mvgen.core.dust3r.pairs import Pair, both_ways, pair_graph
from mvgen.core.geometry import Mesh
from mvgen.core.render.orbit import look_at
from mvgen.core.render.raycast import Caster

STEPS, RATE = 300, 0.01
FULL = (512, 384)
Size = tuple[int, int]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", nargs="*", metavar="LINE", help="align, encode, memory; without any, all of them")
    parser.add_argument("--size", default="256x192", help="pixels of the pictures of align and encode")
    parser.add_argument("--photos", type=int, default=50, help="of memory")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    print_machine()
    for line in options.lines or ["align", "encode", "memory"]:
        if line == "memory":
            print_memory(options.photos)
        else:
            {"align": print_align, "encode": print_encode}[line]((width, height))
    return 0


# ---- a scene whose predictions are known


class World:
    """Cameras over a wavy field, and what a perfect network says of their pairs."""

    def __init__(self, count: int, size: Size):
        caster, (width, height) = Caster(field()), size
        lens = np.array([[1.1 * width, 0, width / 2], [0, 1.1 * width, height / 2], [0, 0, 1]])
        self.size = size
        self.cameras = []
        for i in range(count):
            eye = np.array([1.3 * np.sin(2.4 * i), 0.9 * np.cos(1.7 * i), 3 + 0.3 * np.sin(i)])
            pose = look_at(eye, np.array([0.1 * i / count, 0, 0]), np.array([0.0, 1, 0]))
            self.cameras.append(Camera(f"{i}", width, height, lens, pose))
        self.depths = [caster.render(c).depth for c in self.cameras]
        self.points = [
            (c.centre + c.rays() * d[..., None]).astype(np.float32) for c, d in zip(self.cameras, self.depths)
        ]
        self.pairs = both_ways(pair_graph(count, "complete"))
        self.scales = np.exp(np.random.default_rng(0).normal(0, 0.5, len(self.pairs)))

    def predict(self, e: int) -> Prediction:
        i, j = self.pairs[e]
        pose = self.cameras[i].world_to_camera.astype(np.float32)
        one, two = (np.float32(self.scales[e]) * (self.points[k] @ pose[:3, :3].T + pose[:3, 3]) for k in (i, j))
        sure = np.full(one.shape[:2], 3, np.float32)
        return Prediction(i, j, one, sure, two, sure)

    def errors(self, poses: NDArray[Any], focals: NDArray[Any], depths: list[NDArray[Any]]) -> list[float]:
        """Degrees of rotation, percent of focal length and of depth: the worst view."""
        pairs = [
            (Camera(c.name, c.width, c.height, c.intrinsics, np.linalg.inv(pose)), c)
            for c, pose in zip(self.cameras, poses)
        ]
        moved = align_cameras(pairs)
        turn = float(np.max(camera_errors(pairs, moved)[0]))
        focal = max(abs(f / c.intrinsics[0, 0] - 1) for f, c in zip(focals, self.cameras))
        depth = max(float(np.median(np.abs(d * moved.scale / t - 1))) for d, t in zip(depths, self.depths))
        return [turn, 100 * float(focal), 100 * depth]


def field(count: int = 160) -> Mesh:
    x, y = np.meshgrid(np.linspace(-5, 5, count), np.linspace(-5, 5, count))
    z = 0.35 * np.sin(2 * x + 0.5) * np.cos(1.7 * y) + 0.2 * np.sin(5 * y)
    index = np.arange(count * count).reshape(count, count)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return Mesh(np.stack([x, y, z], -1).reshape(-1, 3), faces.astype(np.int32))


# ---- align


def print_align(size: Size) -> None:
    world = World(10, size)
    rows = []
    found, own = timed(lambda: closed_form(world))
    rows.append(["ours, closed form", own, *world.errors(found.camera_to_world, found.focals, found.depths), 1.0])
    descent, peer = timed(lambda: adam(world))
    rows.append([f"{STEPS} steps of Adam", peer, *world.errors(*descent), peer / own])
    header = ["10 views, 90 pairs", "seconds", "rotation, deg", "focal, %", "depth, %", "time / ours"]
    print_table(f"Alignment of {size[0]}x{size[1]} point maps", header, rows)


def closed_form(world: World) -> Alignment:
    return align(world.pairs, world.predict, [world.size[::-1]] * len(world.cameras))


def adam(world: World) -> tuple[NDArray[Any], NDArray[Any], list[NDArray[Any]]]:
    """Camera to world [N, 4, 4], focals [N] and depths by gradient descent, from what the first camera's pairs say."""
    (width, height), count = world.size, len(world.cameras)
    said = [world.predict(e) for e in range(len(world.pairs))]
    first, second = (torch.tensor([pair[side] for pair in world.pairs]) for side in (0, 1))
    one = torch.from_numpy(np.stack([p.points_i.reshape(-1, 3) for p in said]))
    two = torch.from_numpy(np.stack([p.points_j.reshape(-1, 3) for p in said]))
    places, begin, scales = begun(world, one.numpy().astype(float), two.numpy().astype(float))
    pose = torch.from_numpy(places).float().requires_grad_()  # quaternion, position
    edge = torch.cat([pose.detach()[first], torch.from_numpy(scales).float().log()[:, None]], 1).requires_grad_()
    depth = torch.from_numpy(begin).float().log().requires_grad_()
    focal = torch.full((count,), float(np.log(1.2 * width))).requires_grad_()
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixel = torch.stack([x - width / 2, y - height / 2], -1).reshape(-1, 2)
    optimiser = torch.optim.Adam([depth, focal, pose, edge], lr=RATE, betas=(0.9, 0.9))
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        optimiser.zero_grad()
        loss = misfit(depth, focal, pose, edge, pixel, (one, two), (first, second))
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        poses = torch.eye(4).repeat(count, 1, 1)
        poses[:, :3, :3], poses[:, :3, 3] = turns(pose[:, :4]), pose[:, 4:]
        depths = [d.exp().reshape(height, width).numpy() for d in depth]
        return poses.numpy().astype(float), focal.exp().numpy().astype(float), depths


def begun(world: World, one: NDArray[Any], two: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Quaternions and positions [N, 7], depths [N, HW] and pairs' scales [E] from the pairs (0, k)."""
    pairs, count = world.pairs, len(world.cameras)
    own = [next(e for e, (i, _) in enumerate(pairs) if i == k) for k in range(count)]
    poses, depths = np.zeros((count, 7)), np.stack([one[own[k], :, 2] for k in range(count)])
    poses[:, 0] = 1
    for k in range(1, count):
        e = pairs.index((0, k))
        unit = np.median(depths[0] / one[e, :, 2])
        scale, turn, place = similarity(one[own[k]], unit * two[e], np.ones(len(two[e])))
        poses[k] = [*np.roll(Rotation.from_matrix(turn).as_quat(), 1), *place]
        depths[k] *= scale
    return poses, depths, np.array([np.median(depths[i] / one[e, :, 2]) for e, (i, _) in enumerate(pairs)])


def misfit(depth: Any, focal: Any, pose: Any, edge: Any, pixel: Any, said: Any, ends: Any) -> Any:
    """Mean distance between the world's points and what each pair says, brought there by its similarity."""
    z = depth.exp()[..., None]
    local = torch.cat([z * pixel / focal.exp()[:, None, None], z], -1)
    world = local @ turns(pose[:, :4]).mT + pose[:, None, 4:]
    scale = (edge[:, 7] - edge[:, 7].mean()).exp()[:, None, None]  # so that nothing shrinks to a point
    turn, place = turns(edge[:, :4]).mT, edge[:, None, 4:7]
    return sum((world[k] - (scale * (points @ turn) + place)).norm(dim=-1).mean() for k, points in zip(ends, said))


def turns(quaternions: Any) -> Any:
    """Rotations [N, 3, 3] of quaternions (w, x, y, z) [N, 4] of any length."""
    w, x, y, z = (quaternions / quaternions.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


# ---- encode


def print_encode(size: Size) -> None:
    rows = []
    pictures = torch.rand((4, 3, size[1], size[0]), generator=torch.Generator().manual_seed(1)) * 2 - 1
    pairs = both_ways(pair_graph(4, "complete"))
    for head in ("dpt", "linear"):
        network = made_up(NetworkConfig(head=head))
        with torch.inference_mode():
            once, fast = timed(lambda network=network: predicted(network, pictures, pairs, again=False))
            every, slow = timed(lambda network=network: predicted(network, pictures, pairs, again=True))
        apart = max(float((a.points - b.points).abs().max()) for a, b in zip(once, every))
        rows.append([head, fast, slow, slow / fast, f"{apart:.1e}"])
    header = ["head", "once, s", "every time, s", "ratio", "largest difference"]
    print_table(f"4 photos of {size[0]}x{size[1]}, 12 pairs, float32", header, rows)


def made_up(config: NetworkConfig) -> Network:
    chance = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in tensor_shapes(config).items():
        noise = torch.randn(shape, generator=chance)
        weights[name] = noise / noise[0].numel() ** 0.5 if len(shape) > 1 else 0.05 * noise + name.endswith("weight")
    return Network.of(config, weights)


def predicted(network: Network, pictures: Any, pairs: list[Pair], again: bool) -> list[PointMap]:
    """Point maps of all pairs, four at a time."""
    grid = (pictures.shape[2] // 16, pictures.shape[3] // 16)
    tokens = None if again else [encode(network, picture[None]) for picture in pictures]
    out: list[PointMap] = []
    for k in range(0, len(pairs), 4):
        some = pairs[k : k + 4]
        if tokens is None:
            one, two = (encode(network, pictures[[pair[side] for pair in some]]) for side in (0, 1))
        else:
            one, two = (torch.cat([tokens[pair[side]] for pair in some]) for side in (0, 1))
        out += decode(network, one, two, (grid, grid))
    return out


# ---- memory


def print_memory(photos: int) -> None:
    world = World(photos, FULL)
    found, seconds = timed(lambda: closed_form(world))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    errors = world.errors(found.camera_to_world, found.focals, found.depths)
    header = ["photos", "pairs", "seconds", "peak memory, GB", "rotation, deg", "focal, %", "depth, %"]
    print_table("Memory of an alignment, 512x384", header, [[str(photos), len(world.pairs), seconds, peak, *errors]])


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    out = work()
    return out, time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
