"""Whether one box selects the same of a mesh, of points on its surface, and of splats there.

    python -m benchmarks.agreement [MESH ...]

Without names, the meshes under $MVGEN_DATA/meshes. Each of some boxes is selected on the mesh's vertices, on 20,000
points and on as many splats as a fit begins with; labels are carried by the nearest neighbour to 100,000 places on the
surface. What counts is the share of these on which two agree. A mesh has no finer parts than its faces, so it is
measured again after `mvgen mesh --remesh 1%`. Exit code 1 where a mesh that was remeshed is below 95 %.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.common import data_folder, print_table
from mvgen.core.box import Box
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.meshes import load_mesh
from mvgen.core.nearest import sample_surface
from mvgen.core.splats.fit.start import first_splats
from mvgen.core.surface.change import remesh

BAR = 95.0
PLACES, POINTS, BOXES = 100_000, 20_000, 8
FINE = 0.01  # diagonals


def main() -> int:
    named = [Path(name) for name in sys.argv[1:]]
    root = data_folder()
    if not named and root is not None:
        named = sorted(p for p in (root / "meshes").rglob("*") if p.suffix.lower() in (".obj", ".stl", ".ply"))
    if not named:
        raise SystemExit("error: no mesh is named, and MVGEN_DATA is not set")
    rows, low = [], 100.0
    for path in named:
        mesh = load_mesh(path)
        plain, fine = agreement(mesh), agreement(remesh(mesh, FINE))
        low = min(low, fine[0])
        rows.append([path.name, len(mesh.vertices), *(f"{v:.1f}" for v in (*plain, *fine[:2]))])
    header = ["", "vertices", "mesh-points", "mesh-splats", "points-splats", "remeshed-points", "remeshed-splats"]
    print_table(f"Places with the same label, in %, on average over {BOXES} boxes", header, rows)
    return int(low < BAR)


def agreement(mesh: Mesh, seed: int = 0) -> tuple[float, float, float]:
    """In %, on average over boxes: mesh and points, mesh and splats, points and splats."""
    rng = np.random.default_rng(seed)
    places = sample_surface(mesh, PLACES, rng)[0].points
    points, samples = (sample_surface(mesh, POINTS, rng)[0] for _ in range(2))
    splats = first_splats(PointCloud(samples.points, samples.normals), [], POINTS, rng)
    kinds = [mesh.vertices[np.unique(mesh.faces)], points.points, splats.means.astype(np.float64)]
    nearest = [cKDTree(kind).query(places)[1] for kind in kinds]
    same = []
    for box in boxes(mesh, places, rng):
        of_mesh, of_points, of_splats = (box.holds(kind)[near] for kind, near in zip(kinds, nearest))
        same.append([of_mesh == of_points, of_mesh == of_splats, of_points == of_splats])
    first, second, third = 100 * np.mean(same, axis=(0, 2))
    return float(first), float(second), float(third)


def boxes(mesh: Mesh, places: np.ndarray, rng: np.random.Generator) -> Iterator[Box]:
    """With a tenth to nine tenths of the surface in them."""
    low, high = mesh.bounds
    found = 0
    while found < BOXES:
        ends = low + np.sort(rng.uniform(-0.1, 1.1, (2, 3)), axis=0) * (high - low)
        box = Box(tuple(ends[0]), tuple(ends[1]))
        if 0.1 < box.holds(places).mean() < 0.9:
            found += 1
            yield box


if __name__ == "__main__":
    sys.exit(main())
