"""One picture to a textured mesh, stage by stage: the work of ``mvgen generate``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mvgen.core.geometry import Mesh
from mvgen.core.inflate.inflate import inflate
from mvgen.core.io.meshes import with_vertex_colours
from mvgen.core.limits import between
from mvgen.core.prepare.cutout import Cutout, cropped, cut_out
from mvgen.core.progress import Progress

Stage = Literal["prepare", "mesh", "texture"]

STAGES: dict[str, tuple[Stage, ...]] = {"inflate": ("prepare", "mesh", "texture")}
CUTOUT, MESH = "cutout.png", "mesh.glb"  # what the stages leave


@dataclass(frozen=True)
class InflateOptions:
    """thickness: depth of a round part over its width."""

    thickness: float = between(1.0, 0.01, 10.0)


@dataclass(frozen=True)
class GenerateOptions:
    """Expert settings of the models."""

    inflate: InflateOptions = field(default_factory=InflateOptions)


@dataclass(frozen=True)
class Request:
    """What is to be made: mask and foreground: how the object is told from its background (see `cut_out`);
    texture_size: most pixels along the texture's longer side, None for those of the picture; colours: of vertices
    instead of a texture; last: the stage after which to stop."""

    model: str = "inflate"
    mask: Path | None = None
    foreground: str = "auto"
    texture_size: int | None = None
    colours: bool = False
    last: Stage = "texture"
    options: GenerateOptions = field(default_factory=GenerateOptions)


@dataclass(frozen=True, eq=False)
class Made:
    """What has been made, as far as it went."""

    cutout: Cutout
    mesh: Mesh | None = None


def generate_mesh(path: Path, request: Request, progress: Progress) -> Made:
    """Raises what `cut_out` does."""
    progress.stage("prepare")
    cutout = cut_out(path, request.mask, request.foreground)
    progress.note(f"{path.name}: the foreground is told apart by {cutout.how}, {share(cutout):.0%} of the picture")
    if request.last == "prepare":
        return Made(cutout)
    progress.stage("mesh")
    mesh = inflate(cutout, request.options.inflate.thickness)
    mesh = replace(mesh, metadata={"model": "inflate", "frame": "y up, the picture seen from +z"})
    if request.last == "mesh":
        return Made(cutout, replace(mesh, uv=None, texture=None))
    progress.stage("texture")
    return Made(cutout, _painted(mesh, request))


def share(cutout: Cutout) -> float:
    """Of the picture, covered by the foreground."""
    return float((cutout.alpha > 0.5).mean())


def save_stages(made: Made, folder: Path) -> None:
    """Write what the stages have made: the cut-out with transparency, and the mesh."""
    from mvgen.core.io.meshes import save_mesh

    write_rgba(cropped(made.cutout), folder / CUTOUT)
    if made.mesh is not None:
        save_mesh(made.mesh, folder / MESH)


def write_rgba(cutout: Cutout, path: Path) -> None:
    """A PNG with straight alpha."""
    alpha = np.rint(255 * cutout.alpha.clip(0, 1)).astype(np.uint8)
    Image.fromarray(np.dstack([cutout.image, alpha])).save(path, "PNG", compress_level=3)


def _painted(mesh: Mesh, request: Request) -> Mesh:
    assert mesh.texture is not None
    if request.colours:
        return with_vertex_colours(mesh)
    if request.texture_size is None:
        return mesh
    return replace(mesh, texture=_fitted(mesh.texture, request.texture_size))


def _fitted(picture: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    scale = long_side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
