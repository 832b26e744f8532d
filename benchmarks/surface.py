"""Surfaces from points, depth maps and grids against the meshes that these were made of; sparse extraction.

    MVGEN_DATA=... python -m benchmarks.surface [NAME...]

A sphere, a torus, and the closed meshes under $MVGEN_DATA/meshes (or those whose names are given). Points: 100,000 by
area, with exact normals or none, scattered by a share of the diagonal. Depth: 30 views of 512 x 512 pixels, evenly
around. Grid: signed distances by libigl, 128 nodes along the longest side. Scores as in mvgen eval, without alignment.
A genus in brackets is not that of the true mesh; * stands for a result that is not watertight. The true meshes do not
cross themselves (but for four faces of the wing nut; winding numbers are 0 or 1), so their genus is that of the solid.
What is thinner than the scatter of the points, or than the cells of the grid, can come out with another.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import data_folder, print_machine, print_table
from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.grids import Grid
from mvgen.core.io.meshes import load_mesh
from mvgen.core.meshing import MeshOptions, Source, surface_of
from mvgen.core.metrics import distance_metrics
from mvgen.core.nearest import Nearest, sample_surface
from mvgen.core.progress import Silent
from mvgen.core.render.orbit import look_at
from mvgen.core.render.raycast import Caster
from mvgen.core.scene import DepthMap
from mvgen.core.surface import TsdfOptions, drop_small_parts, tsdf_surface
from mvgen.core.surface.sparse import extract
from mvgen.core.surface.topology import topology
from mvgen.core.surface.tsdf import map_bounds

POINTS = 100_000
NOISES = (0.0, 0.0025, 0.01)
VIEWS, PIXELS = 30, 512
NODES = 128
BOX = np.array([[-1.0, -1, -1], [1, 1, 1]])


def main() -> int:
    print_machine()
    wanted = set(sys.argv[1:])
    if not wanted:
        print_sparse()
    rows = []
    for name, mesh in shapes():
        if not wanted or name in wanted:
            rows += [[name, *row] for row in measure(mesh)]
            print(rows[-len(TASKS) :], file=sys.stderr, flush=True)
    header = ["mesh", "from", "F at 1 %", "genus", "parts", "true genus", "true parts", "faces", "seconds"]
    print_table("Surfaces against their originals", header, rows)
    good = [r for r in rows if r[2] >= 0.95]
    print(f"\n  {len(good)} of {len(rows)} reach an F-score of 0.95")
    return 0


def shapes() -> Iterator[tuple[str, Mesh]]:
    """The sphere, the torus, and the closed meshes of the data folder."""
    yield "sphere", extract(sphere, BOX, 96, lipschitz=1.0)
    yield "torus", extract(torus, BOX, 96, lipschitz=1.0)
    data = data_folder()
    for path in sorted(data.glob("meshes/*/*")) if data else []:
        if path.suffix.lower() in (".obj", ".ply", ".stl"):
            mesh = load_mesh(path)
            if topology(mesh).watertight:
                yield path.stem, mesh


def sphere(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.norm(points, axis=1) - 0.8


def torus(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hypot(np.hypot(points[:, 0], points[:, 1]) - 0.6, points[:, 2]) - 0.25


# ---- one mesh


def measure(mesh: Mesh) -> Iterator[list[Any]]:
    to_truth = Nearest(mesh)
    real = topology(mesh)
    for task, make in TASKS.items():
        work = make(mesh)
        start = time.perf_counter()
        found = work()
        seconds = time.perf_counter() - start
        score = f_score(found, mesh, to_truth)
        shape = topology(found, welded=True)
        genus = str(shape.genus) if shape.genus == real.genus else f"({shape.genus})"
        genus += "" if shape.watertight else "*"
        yield [task, score, genus, shape.components, real.genus, real.components, len(found.faces), seconds]


def f_score(found: Mesh, truth: Mesh, to_truth: Nearest) -> float:
    """At 1 % of the diagonal, of samples both ways, as mvgen eval has it."""
    own, _ = sample_surface(found, POINTS, np.random.default_rng(1))
    expected, _ = sample_surface(truth, POINTS, np.random.default_rng(2))
    there, back = to_truth.query(own.points)[0], Nearest(found).query(expected.points)[0]
    scores = distance_metrics(there / truth.diagonal, back / truth.diagonal, (0.01,))
    return float(scores["f_score@1%"] or 0)


def from_points(noise: float, normals: bool) -> Any:
    def make(mesh: Mesh) -> Any:
        rng = np.random.default_rng(0)
        samples, _ = sample_surface(mesh, POINTS, rng)
        points = samples.points + noise * mesh.diagonal * rng.normal(size=samples.points.shape)
        assert samples.normals is not None
        cloud = PointCloud(points, samples.normals.astype(np.float32) if normals else None)
        source = Source("points", points=cloud)
        return lambda: surface_of(source, "poisson", MeshOptions(), Silent())

    return make


def from_depth(mesh: Mesh) -> Any:
    caster = Caster(mesh)
    maps = []
    for camera in around(mesh):
        view = caster.render(camera, 1)
        maps.append((DepthMap(camera, view.depth, view.normal, (view.depth > 0).astype(np.float32)), None))
    return lambda: drop_small_parts(tsdf_surface(lambda: maps, map_bounds(lambda: maps), TsdfOptions(), Silent()))


def around(mesh: Mesh) -> list[Camera]:
    """Cameras spread evenly over a sphere, each with the whole mesh in its picture."""
    step = np.arange(VIEWS) + 0.5
    polar, turn = np.arccos(1 - 2 * step / VIEWS), np.pi * (1 + 5**0.5) * step
    away = np.stack([np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)], axis=1)
    focal, distance = PIXELS / 2 / np.tan(np.radians(20)), mesh.diagonal / 2 / np.sin(np.radians(20))
    lens = np.array([[focal, 0, PIXELS / 2], [0, focal, PIXELS / 2], [0, 0, 1]])
    centre = mesh.bounds.mean(0)
    return [
        Camera(f"{i}", PIXELS, PIXELS, lens, look_at(centre + distance * d, centre, np.array([0, 1.0, 0])))
        for i, d in enumerate(away)
    ]


def from_grid(mesh: Mesh) -> Any:
    import igl

    spacing = float(np.ptp(mesh.bounds, axis=0).max()) / (NODES - 9)
    origin = mesh.bounds[0] - 4 * spacing
    shape = np.ceil((mesh.bounds[1] - mesh.bounds[0]) / spacing).astype(int) + 9
    nodes = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    kind = igl.SIGNED_DISTANCE_TYPE_FAST_WINDING_NUMBER
    values = igl.signed_distance(origin + nodes * spacing, mesh.vertices, mesh.faces.astype(np.int64), kind)[0]
    grid = Grid(values.reshape(shape), origin, np.full(3, spacing), "sdf", 0.0)
    return lambda: surface_of(Source("grid", grid=grid), "marching-cubes", MeshOptions(), Silent())


TASKS = {
    **{
        f"points, {'exact' if normals else 'no'} normals, noise {noise:.2%}": from_points(noise, normals)
        for noise in NOISES
        for normals in (True, False)
    },
    f"depth, {VIEWS} views": from_depth,
    f"signed distance, {NODES}": from_grid,
}


# ---- sparse extraction


def print_sparse() -> None:
    rows = []
    for name, field in (("sphere", sphere), ("torus", torus)):
        for nodes in (256, 512, 1024):
            for rule, bound in (("Lipschitz bound", 1.0), ("followed", None)):
                asked = 0

                def counted(points: NDArray[np.float64], field: Any = field) -> NDArray[np.float64]:
                    nonlocal asked
                    asked += len(points)
                    return field(points)

                start = time.perf_counter()
                mesh = extract(counted, BOX, nodes, lipschitz=bound)
                rows.append([name, nodes, rule, 100 * asked / nodes**3, len(mesh.faces), time.perf_counter() - start])
    print_table("Sparse extraction", ["field", "nodes", "rule", "% evaluated", "faces", "seconds"], rows)


if __name__ == "__main__":
    sys.exit(main())
