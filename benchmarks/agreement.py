"""Whether one box selects the same of a mesh, of points on its surface, and of splats there.

    python -m benchmarks.agreement [MESH ...]

Without names, the meshes under $MVGEN_DATA/meshes. Each of some boxes is selected on the mesh, on 20,000 points and on
as many splats as a fit begins with, and carried to 100,000 points on the surface, as a region file is. What counts is
the share of these on which two agree. "By vertices": with the labels of the mesh's vertices alone, which where faces
are large do not tell where the border runs. Exit code 1 where a mesh is below 95 %, as it is carried.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.common import data_folder, print_table
from mvgen.core.box import Box
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.meshes import load_mesh
from mvgen.core.nearest import sample_surface
from mvgen.core.region.carry import carried
from mvgen.core.region.things import Things, finer
from mvgen.core.splats.fit.start import first_splats

BAR = 95.0
PLACES, POINTS, BOXES = 100_000, 20_000, 8
PAIRS = {  # columns, and the things that are compared
    "mesh-points": ("mesh", "points"),
    "mesh-splats": ("mesh", "splats"),
    "points-splats": ("points", "splats"),
    "by vertices, mesh-points": ("vertices", "points"),
    "by vertices, mesh-splats": ("vertices", "splats"),
}


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
        same = agreement(mesh)
        low = min(low, same["mesh-points"], same["mesh-splats"])
        rows.append([path.name, len(mesh.vertices), *(f"{v:.1f}" for v in same.values())])
    print_table(f"Places with the same label, in %, on average over {BOXES} boxes", ["", "vertices", *PAIRS], rows)
    return int(low < BAR)


def agreement(mesh: Mesh, seed: int = 0) -> dict[str, float]:
    """In %, on average over boxes, for each of PAIRS."""
    rng = np.random.default_rng(seed)
    places = sample_surface(mesh, PLACES, rng)[0].points
    points, samples = (sample_surface(mesh, POINTS, rng)[0] for _ in range(2))
    splats = first_splats(PointCloud(samples.points, samples.normals), [], POINTS, rng)
    used = mesh.vertices[np.unique(mesh.faces)]
    kinds = {
        "mesh": finer(Things("mesh", "vertices", mesh, len(mesh.vertices))),
        "vertices": Things("vertices", "points", PointCloud(used), len(used)),
        "points": Things("points", "points", PointCloud(points.points), POINTS),
        "splats": Things("splats", "splats", splats, len(splats)),
    }
    same = []
    for box in boxes(mesh, places, rng):
        label = {name: _carried(of, box, places) for name, of in kinds.items()}
        same.append([np.mean(label[one] == label[two]) for one, two in PAIRS.values()])
    return dict(zip(PAIRS, (100 * np.mean(same, axis=0)).tolist()))


def _carried(things: Things, box: Box, points: np.ndarray) -> np.ndarray:
    """[N]: points [N, 3] in the region of a box, as its file tells it."""
    region = things.region(box.holds(things.places))
    assert region.marks is not None
    return carried(things.told, region.marks, points)


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
