"""Many views of one shape, with names and a common look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import CannotError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress
from mvgen.core.render import pictures
from mvgen.core.render.buffers import Buffers
from mvgen.core.render.orbit import Shape, robust_points
from mvgen.core.splats.model import Splats

if TYPE_CHECKING:
    from mvgen.core.render.points import Splatter
    from mvgen.core.render.raycast import Caster
    from mvgen.core.render.splats import Painter

    Drawer = Caster | Splatter | Painter

MOST_PIXELS = 8192 * 8192


@dataclass(frozen=True)
class Look:
    """What pictures show: which buffer, on which background (sRGB in [0, 1]; None: transparent)."""

    what: pictures.What = "color"
    background: tuple[float, float, float] | None = None


def buffers(
    shape: Shape, cameras: Sequence[Camera], progress: Progress, renderer: Drawer | None = None
) -> Iterator[Buffers]:
    """The views one after the other, by a renderer of the shape that is ready or by that of its kind.

    Raises CannotError for a view of more than MOST_PIXELS.
    """
    for camera in cameras:
        if camera.width * camera.height > MOST_PIXELS:
            raise CannotError(
                f"{camera.width} x {camera.height} pixels are too many for one view", "give a smaller --size"
            )
    renderer = renderer or _renderer(shape)
    progress.stage("render", len(cameras))
    for camera in cameras:
        yield renderer.render(camera)
        progress.advance()


def _renderer(shape: Shape) -> Drawer:
    if isinstance(shape, Splats):
        from mvgen.core.render.splats import Painter

        return Painter(shape)
    if isinstance(shape, Mesh):
        from mvgen.core.render.raycast import Caster

        return Caster(shape)
    from mvgen.core.render.points import Splatter

    return Splatter(shape)


def frames(
    shape: Shape, cameras: Sequence[Camera], look: Look, progress: Progress, renderer: Drawer | None = None
) -> Iterator[NDArray[np.uint8]]:
    """The `buffers` as pictures: [H, W, 4], or [H, W, 3] on a background. Depth has one range of colours for all."""
    reach = pictures.depth_range(robust_points(shape), cameras)
    for one in buffers(shape, cameras, progress, renderer):
        rgba = pictures.picture(one, look.what, reach)
        yield rgba if look.background is None else pictures.over(rgba, look.background)


def fit_camera(camera: Camera, size: tuple[int, int]) -> Camera:
    """The camera with its picture resampled to fit into size (width, height), its proportions kept."""
    ratio = min(size[0] / camera.width, size[1] / camera.height)
    return camera.resized(max(1, round(camera.width * ratio)), max(1, round(camera.height * ratio)))


def frame_names(cameras: Sequence[Camera]) -> list[str]:
    """One file name per camera, without extension, from its picture's name: plain, and unlike each other."""

    def plain(name: str) -> str:
        return "_".join(p for p in PurePosixPath(name.replace("\\", "/")).parts if p not in ("/", "..")) or "view"

    whole = [plain(c.name) for c in cameras]
    short = [Path(name).stem for name in whole]
    names = short if len(set(short)) == len(short) else whole
    if len(set(names)) == len(names):
        return names
    return [f"{i:04d}_{name}" for i, name in enumerate(names)]


def save_buffers(view: Buffers, camera: Camera, path: Path) -> None:
    """Write a view's numbers as .npz: color, depth, normal, alpha, id as in `Buffers`, intrinsics, world_to_camera."""
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            color=view.color,
            depth=view.depth,
            normal=view.normal,
            alpha=view.alpha,
            id=view.id,
            intrinsics=camera.intrinsics,
            world_to_camera=camera.world_to_camera,
        )


def same_size(cameras: Sequence[Camera]) -> list[Camera]:
    """The cameras resampled into the size of the first one where they differ, as a film needs."""
    first = (cameras[0].width, cameras[0].height)
    fitted = [c if (c.width, c.height) == first else fit_camera(c, first) for c in cameras]
    return [_padded(c, first) for c in fitted]


def _padded(camera: Camera, size: tuple[int, int]) -> Camera:
    """The camera with its picture in the middle of a larger one."""
    move = np.eye(3)
    move[0, 2], move[1, 2] = (size[0] - camera.width) / 2, (size[1] - camera.height) / 2
    return replace(camera, width=size[0], height=size[1], intrinsics=move @ camera.intrinsics)
