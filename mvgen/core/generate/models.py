"""The models: each stage from what the one before has made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import InputError
from mvgen.core.generate.made import Made
from mvgen.core.generate.request import Request, Stage
from mvgen.core.geometry import Mesh
from mvgen.core.io.meshes import with_vertex_colours
from mvgen.core.prepare.cutout import cut_out, squared
from mvgen.core.progress import Progress
from mvgen.core.views.views import ViewPicture, check, pose, shape, textured

if TYPE_CHECKING:
    from mvgen.core.crm.checkpoint import Precision

CRM_PICTURE = 256  # pixels a side of the network's pictures
CRM_TEXTURE = 1024  # texels a side

Step = Callable[[Made, Request, Progress], Made]


def run_stages(made: Made, request: Request, progress: Progress) -> Made:
    """From what is there to the last stage that was asked for, but for `prepare`, which reads the picture."""
    for stage in request.stages:
        if stage != "prepare":
            made = _STEPS[request.model][stage](made, request, progress)
    return made


def prepare(path: Path, request: Request, progress: Progress) -> Made:
    """The object cut out of its picture. Raises what `cut_out` does."""
    progress.stage("prepare")
    cutout = cut_out(path, request.mask, request.foreground)
    share = float((cutout.alpha > 0.5).mean())
    progress.note(f"{path.name}: the object is told apart by {cutout.how}, {share:.0%} of the picture")
    if request.model != "crm":
        return Made(cutout)
    return Made(cutout, squared(cutout, CRM_PICTURE, request.options.crm.ratio))


def prepare_views(pictures: Sequence[ViewPicture], request: Request, progress: Progress) -> Made:
    """The object cut out of each picture, and where each looks from. Raises what `check`, `cut_out` and `pose` do."""
    check(pictures)
    progress.stage("prepare", len(pictures))
    cutouts = []
    for picture in pictures:
        assert isinstance(picture.picture, Path)
        cutouts.append(cut_out(picture.picture, picture.mask, request.foreground))
        progress.advance()
    return Made(posed=tuple(pose(pictures, cutouts, request.options.views, progress)))


# ---- inflate


def _inflate_mesh(made: Made, request: Request, progress: Progress) -> Made:
    from mvgen.core.inflate.inflate import inflate

    progress.stage("mesh")
    if made.cutout is None:
        raise InputError("the folder holds no cutout.png", "begin with the picture")
    mesh = inflate(made.cutout, request.options.inflate.thickness)
    if request.last == "mesh":
        mesh = replace(mesh, uv=None, texture=None)
    return replace(made, mesh=_told(mesh, "inflate"))


def _inflate_texture(made: Made, request: Request, progress: Progress) -> Made:
    progress.stage("texture")
    mesh = _mesh(made)
    if request.colours:
        return replace(made, mesh=with_vertex_colours(mesh))
    if mesh.texture is None or request.texture_size is None:
        return made
    return replace(made, mesh=replace(mesh, texture=_fitted(mesh.texture, request.texture_size)))


def _fitted(picture: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    scale = long_side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


# ---- views


def _views_mesh(made: Made, request: Request, progress: Progress) -> Made:
    mesh, posed = shape(made.posed, request.cameras_given, request.options.views, progress)
    return replace(made, mesh=_told(mesh, "views"), posed=tuple(posed))


def _views_texture(made: Made, request: Request, progress: Progress) -> Made:
    progress.stage("texture")
    mesh = textured(_mesh(made), made.posed, progress, request.texture_size)
    return replace(made, mesh=with_vertex_colours(mesh) if request.colours else mesh)


# ---- CRM


def _crm_views(made: Made, request: Request, progress: Progress) -> Made:
    from mvgen.core.crm.pipeline import make_views

    assert request.weights is not None
    views = make_views(_image(made), request.weights, **_diffusion(request, progress))
    return replace(made, views=views)


def _crm_coordinates(made: Made, request: Request, progress: Progress) -> Made:
    from mvgen.core.crm.pipeline import make_coordinates

    assert request.weights is not None and made.views is not None
    maps = make_coordinates(_image(made), made.views, request.weights, **_diffusion(request, progress))
    return replace(made, coordinates=maps)


def _crm_triplane(made: Made, request: Request, progress: Progress) -> Made:
    from mvgen.core.crm.pipeline import make_triplane

    assert request.weights is not None and made.views is not None and made.coordinates is not None
    triplane = make_triplane(
        made.views, made.coordinates, request.weights, seed=request.seed, device=request.device, progress=progress
    )
    return replace(made, triplane=triplane)


def _crm_mesh(made: Made, request: Request, progress: Progress) -> Made:
    from mvgen.core.crm.pipeline import triplane_to_mesh
    from mvgen.core.surface.change import keep_parts

    progress.stage("mesh")
    assert made.triplane is not None
    mesh = keep_parts(Mesh(*triplane_to_mesh(made.triplane)), None, request.options.crm.part)
    return replace(made, mesh=_told(mesh, "crm"))


def _crm_texture(made: Made, request: Request, progress: Progress) -> Made:
    from mvgen.core.crm.pipeline import colours_at
    from mvgen.core.texture.transfer import bake_colours

    progress.stage("texture")
    mesh, triplane = _mesh(made), made.triplane
    assert triplane is not None

    def colours(points: NDArray[np.float64]) -> NDArray[np.float32]:
        return colours_at(triplane, points)

    if request.colours:
        return replace(made, mesh=replace(mesh, colours=colours(mesh.vertices)))
    return replace(made, mesh=bake_colours(mesh, colours, request.texture_size or CRM_TEXTURE))


def _diffusion(request: Request, progress: Progress) -> dict[str, Any]:
    """What both diffusion stages are told."""
    return {
        "steps": request.steps,
        "guidance": request.guidance,
        "seed": request.seed,
        "device": request.device,
        "precision": _precision(request),
        "progress": progress,
    }


def _precision(request: Request) -> Precision:
    wanted = request.options.crm.precision
    if wanted != "auto":
        return wanted
    return "float32" if request.device == "cpu" else "float16"


# ---- parts


def _image(made: Made) -> NDArray[np.uint8]:
    if made.image is None:
        raise InputError("the folder holds no image.png, which the networks look at", "begin with the picture")
    return made.image


def _mesh(made: Made) -> Mesh:
    assert made.mesh is not None
    return made.mesh


def _told(mesh: Mesh, model: str) -> Mesh:
    return replace(mesh, metadata={"model": model, "frame": "y up, the picture seen from +z"})


_STEPS: dict[str, dict[Stage, Step]] = {
    "inflate": {"mesh": _inflate_mesh, "texture": _inflate_texture},
    "views": {"mesh": _views_mesh, "texture": _views_texture},
    "crm": {
        "views": _crm_views,
        "coordinates": _crm_coordinates,
        "triplane": _crm_triplane,
        "mesh": _crm_mesh,
        "texture": _crm_texture,
    },
}
