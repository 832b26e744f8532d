"""Things as nodes of a viser scene."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgen.core.camera import Camera
from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.gltf import mesh_bytes
from mvgen.core.io.images import read_stored
from mvgen.core.io.model import Model
from mvgen.core.progress import Progress
from mvgen.core.render.points import point_radius
from mvgen.core.splats.model import Splats, matrices, quaternion
from mvgen.core.viewer.stage import SIZE, Stage
from mvgen.core.viewer.things import Thing

if TYPE_CHECKING:
    from viser import ViserServer

CLAY = (0.62, 0.60, 0.57)  # sRGB, of shapes without colours
_FRUSTUM = (60, 90, 150)  # colour of cameras, 0 to 255
_MOST_PHOTOS = 300  # of a scene that are shown in their cameras
_PHOTO_SIDE = 480  # pixels
_SAMPLE = 20_000  # points that tell the spacing


@dataclass(frozen=True)
class Shown:
    """What stands in the browser: the node that holds all of a thing, and those of its points and cameras, whose sizes
    were chosen for it (``point_size``, ``camera_size``)."""

    thing: Thing
    root: Any
    points: Any = None
    point_size: float = 0.0
    cameras: tuple[Any, ...] = ()
    camera_size: float = 0.0
    photos: tuple[NDArray[np.uint8] | None, ...] = field(default=(), repr=False)


def show(server: ViserServer, thing: Thing, stage: Stage, number: int, progress: Progress) -> Shown:
    """Add a thing to a server's scene, below a node of its own; ``number`` keeps equal names apart.

    progress is told of photos that cannot be read.
    """
    path = f"/{number} {Path(thing.name).name or 'shape'}"
    root = server.scene.add_frame(path, show_axes=False)
    content = thing.content
    if isinstance(content, Mesh):
        add_mesh(server, f"{path}/mesh", content, stage)
        return Shown(thing, root)
    if isinstance(content, Splats):
        _show_splats(server, path, content, stage)
        return Shown(thing, root)
    if isinstance(content, PointCloud):
        return Shown(thing, root, *_show_points(server, path, content, stage))
    return _show_model(server, path, thing, content, root, stage, progress)


def add_mesh(server: ViserServer, path: str, mesh: Mesh, stage: Stage, visible: bool = True) -> Any:
    """The node of a mesh: colours and textures as they are, without light; others as lit clay."""
    placed = mesh.moved(stage.placing)
    coloured = mesh.colours is not None or mesh.texture is not None
    if not coloured:
        placed = Mesh(placed.vertices, placed.faces, placed.normals, _clay(len(mesh.vertices)))
    data = mesh_bytes(placed, unlit=coloured)
    return server.scene.add_glb(path, data, visible=visible, cast_shadow=False, receive_shadow=False)


def _show_splats(server: ViserServer, path: str, splats: Splats, stage: Stage) -> None:
    """Gaussians with the mean of their colours over all directions, which is what viser draws."""
    placed = splats.moved(stage.placing)
    axes = matrices(placed.quaternions) * placed.scales[:, None, :]
    server.scene.add_gaussian_splats(
        f"{path}/splats",
        placed.means,
        (axes @ np.swapaxes(axes, 1, 2)).astype(np.float32),
        placed.colours,
        placed.opacities[:, None],
    )


def _show_points(
    server: ViserServer, path: str, cloud: PointCloud, stage: Stage, largest: float = 0.05 * SIZE
) -> tuple[Any, float]:
    """The node and the size of a point."""
    points = stage.placing.apply(cloud.points)
    colours = _clay(len(points)) if cloud.colours is None else cloud.colours
    size = _point_size(points, largest)
    node = server.scene.add_point_cloud(
        f"{path}/points", points, colours, point_size=size, precision="float32", point_shape="circle"
    )
    return node, size


def _point_size(points: NDArray[np.float64], largest: float) -> float:
    """A diameter that closes most gaps, within reason."""
    # a sample of a surface is sparser than the whole by the square root of their ratio
    step = max(1, len(points) // _SAMPLE)
    radius = float(np.median(point_radius(points[::step]))) / np.sqrt(step)
    return float(np.clip(1.2 * radius, 0.001 * SIZE, largest))


def _show_model(
    server: ViserServer, path: str, thing: Thing, model: Model, root: Any, stage: Stage, progress: Progress
) -> Shown:
    node, size = None, 0.0
    if len(model.points):
        node, size = _show_points(server, path, model.points, stage, 0.006 * SIZE)
    cameras = [camera.moved(stage.placing) for camera in model.cameras]
    photos = _photos(model, thing.name, progress)
    length = _camera_size(cameras)
    frustums = [
        _show_camera(server, f"{path}/cameras/{i} {Path(c.name).name}", c, photo, length)
        for i, (c, photo) in enumerate(zip(cameras, photos))
    ]
    return Shown(thing, root, node, size, tuple(frustums), length, tuple(photos))


def _show_camera(server: ViserServer, path: str, camera: Camera, photo: NDArray[np.uint8] | None, length: float) -> Any:
    """A frustum that holds its photo; a click on it puts the viewer into the camera's place."""
    fx, fy = camera.intrinsics[0, 0], camera.intrinsics[1, 1]
    tall = float(2 * np.arctan(camera.height / (2 * fy)))
    frustum = server.scene.add_camera_frustum(
        path,
        fov=tall,
        aspect=float(camera.width / fx / (camera.height / fy)),
        scale=length,
        thickness=1.5,
        thickness_units="screen",
        color=_FRUSTUM,
        image=photo,
        wxyz=quaternion(camera.rotation.T),
        position=camera.centre,
        cast_shadow=False,
        receive_shadow=False,
    )

    @frustum.on_click
    def _(event: Any) -> None:
        with event.client.atomic():
            event.client.camera.wxyz = quaternion(camera.rotation.T)
            event.client.camera.position = camera.centre
            event.client.camera.fov = tall

    return frustum


def _camera_size(cameras: list[Camera]) -> float:
    """Length of a frustum: less than the gaps between cameras, and never a large part of what is shown."""
    centres = np.array([camera.centre for camera in cameras])
    gap = np.median(cKDTree(centres).query(centres, 2)[0][:, 1]) if len(cameras) > 1 else np.inf
    return float(np.clip(0.5 * gap, 0.01 * SIZE, 0.045 * SIZE))


def _photos(model: Model, name: str, progress: Progress) -> list[NDArray[np.uint8] | None]:
    """Small versions of the pictures; None where there is none. Of very many, some evenly chosen ones."""
    count = len(model.cameras)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _MOST_PHOTOS)).astype(int))
    if count > len(chosen):
        progress.warn(f"{name}: {len(chosen)} of its {count} photos are shown, to spare the browser")
    out: list[NDArray[np.uint8] | None] = [None] * count
    missing = 0
    for i in chosen:
        progress.advance()
        picture = model.pictures[i]
        if picture is None:
            missing += 1
            continue
        try:
            out[i] = read_stored(picture, _PHOTO_SIDE)
        except InputError as error:
            progress.warn(error.message)
    if missing:
        progress.warn(f"{name}: {missing} photos were not found; their cameras are shown without them")
    return out


def _clay(count: int) -> NDArray[np.float32]:
    return np.tile(np.array(CLAY, np.float32), (count, 1))
