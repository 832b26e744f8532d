"""What the stages hand on, in memory and as files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mvgen.core.errors import InputError
from mvgen.core.generate.request import Stage
from mvgen.core.geometry import Mesh
from mvgen.core.io.images import read_image, write_image
from mvgen.core.io.meshes import save_mesh
from mvgen.core.prepare.cutout import Cutout, cropped, cut_out
from mvgen.core.views.views import Posed

if TYPE_CHECKING:
    from mvgen.core.crm.triplane import Triplane

Pictures = NDArray[np.uint8]

SIDES = ("front", "left", "bottom", "back", "right", "top")  # the order of six views
CUTOUT, IMAGE, TRIPLANE, MESH = "cutout.png", "image.png", "triplane.npz", "mesh.glb"


@dataclass(frozen=True, eq=False)
class Made:
    """As far as it went: the cut-out object; image [S, S, 3], the network's picture of it; six views and their
    coordinate maps [6, S, S, 3] in the order of SIDES; the triplane; the mesh. posed: cut-outs of given views with
    their cameras, and named so."""

    cutout: Cutout | None = None
    image: Pictures | None = None
    views: Pictures | None = None
    coordinates: Pictures | None = None
    triplane: Triplane | None = None
    mesh: Mesh | None = None
    posed: tuple[Posed, ...] = ()


def save_made(made: Made, folder: Path) -> None:
    """Write what has been made: pictures as PNG, with a sheet of the six, the triplane's numbers, the mesh as GLB."""
    if made.cutout is not None:
        _write_rgba(cropped(made.cutout), folder / CUTOUT)
    for number, view in enumerate(made.posed, 1):
        _write_rgba(view.cutout, folder / f"cutout_{number}_{Path(view.seen.camera.name).stem}.png")
    if made.image is not None:
        write_image(made.image, folder / IMAGE)
    for name, pictures in (("view", made.views), ("coordinates", made.coordinates)):
        if pictures is not None:
            for side, picture in zip(SIDES, pictures):
                write_image(picture, folder / f"{name}_{side}.png")
            write_image(_sheet(pictures), folder / f"{name}_sheet.png")
    if made.triplane is not None:
        np.savez(folder / TRIPLANE, features=made.triplane.features.cpu().numpy())
    if made.mesh is not None:
        save_mesh(made.mesh, folder / MESH)


def load_made(folder: Path, stage: Stage) -> Made:
    """The files that stages up to one have left in a folder, or that someone else has put there.

    Raises InputError for what is missing or has another shape.
    """
    cutout = None
    if (folder / CUTOUT).is_file():
        cutout = cut_out(folder / CUTOUT, way="alpha")
    made = Made(cutout)
    if (folder / IMAGE).is_file():
        made = replace(made, image=_square(folder / IMAGE))
    if stage in ("views", "coordinates"):
        made = replace(made, views=_six(folder, "view"))
    if stage == "coordinates":
        made = replace(made, coordinates=_six(folder, "coordinates"))
    return made


def _six(folder: Path, name: str) -> Pictures:
    pictures = [_square(folder / f"{name}_{side}.png") for side in SIDES]
    size = pictures[0].shape
    odd = next((side for side, p in zip(SIDES, pictures) if p.shape != size), None)
    if odd is not None:
        raise InputError(f"{folder / f'{name}_{odd}.png'}: has another size than the others", "make all six equal")
    return np.stack(pictures)


def _square(path: Path) -> Pictures:
    picture = read_image(_there(path))
    if picture.shape[0] != picture.shape[1]:
        raise InputError(f"{path}: has {picture.shape[1]}x{picture.shape[0]} pixels", "make it square")
    return picture


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file", "name the folder that --stop-after wrote, and the stage it stopped at"
        )
    return path


def _sheet(pictures: Pictures) -> Pictures:
    """Three in a row."""
    return np.concatenate([np.concatenate(list(pictures[k : k + 3]), axis=1) for k in (0, 3)])


def _write_rgba(cutout: Cutout, path: Path) -> None:
    alpha = np.rint(255 * cutout.alpha.clip(0, 1)).astype(np.uint8)
    Image.fromarray(np.dstack([cutout.image, alpha])).save(path, "PNG", compress_level=3)
