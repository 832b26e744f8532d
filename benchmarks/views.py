"""Surfaces from a few pictures of known directions against the meshes that were pictured.

    MVGEN_DATA=... python -m benchmarks.views [NAME...]

The closed meshes under $MVGEN_DATA/textured_meshes (or those whose names are given), pictured without light, 512 x 512
pixels: six parallel views along the axes; these and four from azimuth 45, 135, 225, 315 and elevation 30; and the ten
by pinhole cameras that are given. hull: volume IoU of the exact visual hull, from masks of 1024 pixels on a grid of 128
cells; ours: of the result; outline: the least IoU of a silhouette of the result with its mask; front: PSNR in dB of the
result from the first camera inside the mask. * stands for a result that is not watertight.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import data_folder, print_machine, print_table
from mvgen.core.camera import Camera
from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import load_mesh
from mvgen.core.metrics import occupied, psnr
from mvgen.core.prepare.cutout import Cutout
from mvgen.core.render.raycast import Caster
from mvgen.core.surface.topology import topology
from mvgen.core.views.hull import centred
from mvgen.core.views.options import DIRECTIONS
from mvgen.core.views.place import far_camera, turn
from mvgen.core.views.views import ViewPicture, Views, mesh_from_views

PIXELS, FINE, CELLS = 512, 1024, 128
FILL = 0.7  # of a picture's width for the object's longest side
OBLIQUE = tuple((azimuth, 30.0) for azimuth in (45.0, 135.0, 225.0, 315.0))
Direction = tuple[float, float]


def main() -> int:
    print_machine()
    wanted = set(sys.argv[1:])
    rows = []
    for name, mesh in shapes():
        if not wanted or name in wanted:
            for row in measure(mesh):
                rows.append([name, *row])
                print(rows[-1], file=sys.stderr, flush=True)
    header = ["mesh", "views", "hull", "ours", "ratio", "outline", "front dB", "faces", "seconds"]
    print_table("Shapes from views", header, [[row[0], row[1], *map(_shown, row[2:])] for row in rows])
    for task in TASKS:
        some = [row for row in rows if row[1] == task]
        hull, ours = (np.mean([row[k] for row in some]) for k in (2, 3))
        print(f"  {task}: mean IoU {ours:.3f}, of the exact hull {hull:.3f}")
    return 0


def _shown(value: Any) -> Any:
    return f"{value:.3f}" if isinstance(value, float) and value < 2 else value


def shapes() -> Iterator[tuple[str, Mesh]]:
    """The closed meshes of the data folder, their longest side 1, around the origin."""
    data = data_folder()
    for path in sorted(data.glob("textured_meshes/*/*")) if data else []:
        if path.suffix.lower() in (".obj", ".glb"):
            mesh = load_mesh(path)
            if topology(mesh).watertight:
                yield path.parent.name, mesh.moved(centred(mesh.bounds))


def measure(mesh: Mesh) -> Iterator[list[Any]]:
    caster = Caster(mesh)
    box = np.stack([mesh.bounds[0], mesh.bounds[1]])
    cell = 1.1 / CELLS
    origin = box.mean(0) - 0.55 + cell * np.array([0.38, 0.41, 0.45])
    truth = occupied(mesh, origin, cell, (CELLS,) * 3)
    points = origin + (np.argwhere(np.ones_like(truth)) + 0.5) * cell
    for task, (cameras, given) in TASKS.items():
        exact = np.ones(len(points), bool)
        for camera in cameras(FINE):
            exact[exact] = _in_mask(caster.render(camera, 1).alpha > 0.5, camera, points[exact])
        pictures = [picture(caster, camera, d, given) for camera, d in zip(cameras(PIXELS), DIRECTIONS_OF[task])]
        start = time.perf_counter()
        found = mesh_from_views(pictures)
        seconds = time.perf_counter() - start
        ours = occupied(found.mesh, origin, cell, (CELLS,) * 3)
        hull_iou, own_iou = iou(exact.reshape(truth.shape), truth), iou(ours, truth)
        outline, front = seen_again(found, pictures)
        faces = f"{len(found.mesh.faces)}{'' if topology(found.mesh).watertight else '*'}"
        yield [task, hull_iou, own_iou, own_iou / hull_iou, outline, front, faces, seconds]


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def _in_mask(mask: NDArray[np.bool_], camera: Camera, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    column, row = np.floor(camera.project(points)[0]).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    return inside & mask[np.where(inside, row, 0), np.where(inside, column, 0)]


def picture(caster: Caster, camera: Camera, direction: Direction, given: bool) -> ViewPicture:
    """On white, as a cut-out with its exact mask."""
    view = caster.render(camera, 2)
    image = np.rint(255 * (view.color * view.alpha[..., None] + 1 - view.alpha[..., None])).astype(np.uint8)
    return ViewPicture(Cutout(image, view.alpha, "alpha"), *direction, camera if given else None)


def seen_again(found: Views, pictures: Sequence[ViewPicture]) -> tuple[float, float]:
    """The least IoU of a silhouette, and the PSNR of the first picture."""
    caster = Caster(found.mesh)
    outline, front = [], 0.0
    for number, (camera, given) in enumerate(zip(found.cameras, pictures)):
        view = caster.render(camera, 2)
        assert isinstance(given.picture, Cutout)
        mask = given.picture.alpha > 0.5
        outline.append(iou(view.alpha > 0.5, mask))
        if number == 0:
            front = psnr(view.color, given.picture.image / np.float32(255), mask)
    return min(outline), front


# ---- cameras


def parallel(directions: Sequence[Direction]) -> Any:
    def cameras(pixels: int) -> list[Camera]:
        middle = np.full(2, pixels / 2)
        return [far_camera(f"{d}", (pixels, pixels), turn(*d), FILL * pixels, middle) for d in directions]

    return cameras


def pinholes(directions: Sequence[Direction]) -> Any:
    def cameras(pixels: int) -> list[Camera]:
        focal = 1.6 * pixels
        lens = np.array([[focal, 0, pixels / 2], [0, focal, pixels / 2], [0, 0, 1]])
        out = []
        for d in directions:
            rotation = turn(*d)
            pose = np.eye(4)
            pose[:3, :3], pose[2, 3] = rotation, 1.6 / FILL + 0.5
            out.append(Camera(f"{d}", pixels, pixels, lens, pose))
        return out

    return cameras


AXES = tuple(DIRECTIONS.values())
TASKS = {
    "6": (parallel(AXES), False),
    "10": (parallel(AXES + OBLIQUE), False),
    "10 pinhole": (pinholes(AXES + OBLIQUE), True),
}
DIRECTIONS_OF = {"6": AXES, "10": AXES + OBLIQUE, "10 pinhole": AXES + OBLIQUE}

if __name__ == "__main__":
    raise SystemExit(main())
