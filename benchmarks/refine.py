"""Detail that `mvgen refine` brings back to decimated and smoothed meshes.

    MVGEN_DATA=... python -m benchmarks.refine [NAME...]

The closed, connected, manifold meshes of at least 5000 faces under $MVGEN_DATA/meshes (or those whose names are
given), decimated to 4 % of their faces, but not below 1500, and smoothed in 10 rounds (Taubin), refined with 8 normal
maps of 512 x 512 pixels of the original. On the part of the original that these views see: degrees between normals, and
distance in diagonals, before and after, by 60,000 samples; regained: the share of the error that is gone. crossed:
faces that cross others after, less those before, in percent. * stands for a result that is no closed manifold of its
genus any more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import data_folder, print_machine, print_table
from mvgen.core.camera import Camera
from mvgen.core.errors import MvgenError
from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh
from mvgen.core.nearest import sample_surface
from mvgen.core.progress import Silent
from mvgen.core.refine.integrate import face_normals
from mvgen.core.refine.refine import RefineOptions, refined
from mvgen.core.refine.views import views_of
from mvgen.core.render.orbit import look_at
from mvgen.core.render.raycast import Caster
from mvgen.core.surface.change import smooth
from mvgen.core.surface.simplify import simplify
from mvgen.core.surface.topology import topology, weld
from mvgen.core.texture.transfer import Closest

VIEWS, PIXELS, ELEVATION, ACROSS = 8, 512, 25.0, 40.0
FEWEST, SHARE, COARSE = 5000, 0.04, 1500
SAMPLES = 60_000
HEADER = ["mesh", "faces", "from", "to", "degrees", "after", "regained", "distance", "after", "regained"]
HEADER += ["crossed %", "seconds"]


def main() -> int:
    print_machine()
    rows = []
    for name, mesh in shapes(set(sys.argv[1:])):
        rows.append([name, *measure(mesh)])
        print(rows[-1], file=sys.stderr, flush=True)
    print_table("Refined by normal maps", HEADER, rows)
    return 0


def shapes(wanted: set[str]) -> Iterator[tuple[str, Mesh]]:
    data = data_folder()
    if data is None:
        raise SystemExit("MVGEN_DATA is not set")
    for path in sorted((data / "meshes").glob("*/*")):
        try:
            mesh = weld(load_mesh(path, lambda text: None))
        except MvgenError:
            continue
        found = topology(mesh, welded=True)
        whole = found.watertight and found.components == 1 and found.genus is not None
        if whole and len(mesh.faces) >= FEWEST and (not wanted or path.stem in wanted):
            yield path.stem, mesh


def measure(mesh: Mesh) -> list[Any]:
    seen = Seen.of(mesh, around(mesh))
    low = smooth(simplify(mesh, max(int(SHARE * len(mesh.faces)), COARSE)), 10)
    views = views_of(mesh, around(mesh))
    start = time.perf_counter()
    done = refined(low, views, np.ones(len(low.vertices)), RefineOptions(), Silent()).mesh
    seconds = time.perf_counter() - start
    (degrees, distance), (turned, left) = seen.errors(low), seen.errors(done)
    before, after = topology(low, welded=True), topology(done, welded=True)
    sound = after.watertight and after.genus == before.genus
    numbers = [f"{degrees:.2f}", f"{turned:.2f}", f"{1 - turned / degrees:.2f}"]
    numbers += [f"{distance:.5f}", f"{left:.5f}", f"{1 - left / distance:.2f}", f"{crossed(done) - crossed(low):.2f}"]
    return [len(mesh.faces), len(low.faces), f"{len(done.faces)}{'' if sound else '*'}", *numbers, f"{seconds:.0f}"]


def around(mesh: Mesh) -> list[Camera]:
    """Cameras on a circle, by turns from above and below."""
    middle = mesh.bounds.mean(0)
    radius = float(np.linalg.norm(mesh.vertices - middle, axis=1).max())
    half = np.radians(ACROSS / 2)
    focal, distance = PIXELS / 2 / np.tan(half), 1.02 * radius / np.sin(half)
    intrinsics = np.array([[focal, 0, PIXELS / 2], [0, focal, PIXELS / 2], [0, 0, 1]])
    out = []
    for k in range(VIEWS):
        turn, height = 2 * np.pi * k / VIEWS, np.radians(ELEVATION) * (-1) ** k
        way = np.array([np.cos(turn) * np.cos(height), np.sin(height), np.sin(turn) * np.cos(height)])
        pose = look_at(middle + distance * way, middle, np.array([0.0, 1, 0]))
        out.append(Camera(f"{k}", PIXELS, PIXELS, intrinsics, pose))
    return out


@dataclass(frozen=True, eq=False)
class Seen:
    """Samples of a surface that cameras see: points and normals [N, 3]; the surface's diagonal."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    diagonal: float

    @staticmethod
    def of(mesh: Mesh, cameras: list[Camera]) -> Seen:
        cloud, face = sample_surface(mesh, SAMPLES, np.random.default_rng(5))
        normals = face_normals(mesh.vertices, mesh.faces)[face]
        caster, seen = Caster(mesh), np.zeros(len(face), bool)
        for camera in cameras:
            rays = cloud.points - camera.centre
            length = np.linalg.norm(rays, axis=1)
            hits = caster.hits(camera.centre, rays / length[:, None])
            seen |= (np.abs(hits.distance - length) < 1e-3 * mesh.diagonal) & ((normals * rays).sum(1) < 0)
        return Seen(cloud.points[seen], normals[seen], mesh.diagonal)

    def errors(self, mesh: Mesh) -> tuple[float, float]:
        """Mean degrees between normals, and mean distance in diagonals, at the nearest places of a mesh."""
        places = Closest(mesh).query(self.points, self.normals)
        near = (mesh.vertices[mesh.faces[places.face]] * places.weights[..., None]).sum(1)
        cosine = (face_normals(mesh.vertices, mesh.faces)[places.face] * self.normals).sum(1)
        degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        return float(degrees.mean()), float(np.linalg.norm(near - self.points, axis=1).mean() / self.diagonal)


def crossed(mesh: Mesh) -> float:
    """Percent of the faces that cross others."""
    import pymeshlab

    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(mesh.vertices, mesh.faces))
    meshes.compute_selection_by_self_intersections_per_face()
    return 100 * meshes.current_mesh().selected_face_number() / len(mesh.faces)


if __name__ == "__main__":
    raise SystemExit(main())
