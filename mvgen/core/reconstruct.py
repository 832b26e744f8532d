"""Photos to cameras to depth to points to surface to texture: the stages of the main job, joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Similarity
from mvgen.core.errors import CannotError
from mvgen.core.frame import upright_frame
from mvgen.core.fusion import FusionOptions, depth_maps, fuse
from mvgen.core.fusion.region import region_of_interest
from mvgen.core.geometry import Mesh, PointCloud
from mvgen.core.io.images import Photo
from mvgen.core.limits import between
from mvgen.core.progress import Progress
from mvgen.core.scene import DepthMap, Scene
from mvgen.core.sfm import SfmOptions, SfmResult, recover_cameras
from mvgen.core.stereo.depth import StereoOptions, estimate_depths
from mvgen.core.surface import SurfaceOptions, drop_small_parts, poisson_surface, simplify, trim
from mvgen.core.texture import texture_mesh

Kind = Literal["mesh", "points", "scene"]
OnDepth = Callable[[DepthMap, NDArray[np.uint8]], None]


@dataclass(frozen=True)
class ReconstructOptions:
    """Every stage's options."""

    sfm: SfmOptions = field(default_factory=SfmOptions)
    stereo: StereoOptions = field(default_factory=StereoOptions)
    fusion: FusionOptions = field(default_factory=FusionOptions)
    surface: SurfaceOptions = field(default_factory=SurfaceOptions)
    faces: int = between(50_000, 4)
    texture_size: int = between(0, 0, 16384)  # side of the texture; 0 follows the photos


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What came of the photos. mesh is None unless asked for; all lies in one frame.

    frame: the similarity from the cameras' own world to the result's.
    """

    sfm: SfmResult
    scene: Scene
    points: PointCloud
    mesh: Mesh | None
    frame: Similarity


def reconstruct(
    photos: Sequence[Photo],
    work: Path,
    kind: Kind,
    options: ReconstructOptions,
    seed: int,
    threads: int,
    progress: Progress,
    on_depth: OnDepth | None = None,
    device: str = "cpu",
) -> Reconstruction:
    """Run the stages; `work` is a folder for pictures and depth states, `on_depth` sees each finished depth map.

    device: where depth is estimated, ``cpu`` or ``cuda:N``.

    Raises CannotError where the photos do not allow it, with the reason.
    """
    sfm = recover_cameras(photos, work, options.sfm, seed, threads, progress)
    frame = scene_frame(sfm.scene, seed)
    scene = sfm.scene.moved(frame)
    stereo = estimate_depths(scene, work, options.stereo, seed, progress, device)
    progress.stage("fusion", len(scene.views))
    kept = KeptDepths()
    maps = kept.watch(depth_maps(stereo, options.fusion, progress), on_depth)
    points = fuse(maps, region_of_interest(scene), options.fusion)
    if kind != "mesh":
        return Reconstruction(sfm, scene, points, None, frame)
    mesh = surface_of(points, kept, options, progress)
    mesh = texture_mesh(mesh, scene.views, options.texture_size or None, progress)
    return Reconstruction(sfm, scene, points, replace(mesh, metadata=_record(frame, scene)), frame)


class KeptDepths:
    """The depth maps that have passed by, at half size: enough to know what each view looks through."""

    def __init__(self) -> None:
        self.maps: list[DepthMap] = []

    def watch(
        self, maps: Iterator[tuple[DepthMap, NDArray[np.uint8]]], on_depth: OnDepth | None
    ) -> Iterator[tuple[DepthMap, NDArray[np.uint8]]]:
        """Pass the maps on, keeping a copy of each."""
        for depth_map, image in maps:
            if on_depth is not None:
                on_depth(depth_map, image)
            depth = np.ascontiguousarray(depth_map.depth[::2, ::2])
            camera = depth_map.camera.resized(depth.shape[1], depth.shape[0])
            empty = np.zeros((0, 0), np.float32)
            self.maps.append(DepthMap(camera, depth, empty, empty))
            yield depth_map, image


def scene_frame(scene: Scene, seed: int) -> Similarity:
    """The result's frame, from the cameras and the sparse points of what they are of."""
    region = region_of_interest(scene)
    points = scene.points.points
    inside = points[np.linalg.norm(points - region.centre, axis=1) <= region.radius]
    return upright_frame([v.camera for v in scene.views], inside if len(inside) >= 50 else points, seed)


def surface_of(points: PointCloud, kept: KeptDepths, options: ReconstructOptions, progress: Progress) -> Mesh:
    """A clean surface of at most options.faces faces through the points."""
    progress.stage("surface", 4)
    mesh = poisson_surface(points, options.surface)
    progress.advance()
    mesh = drop_small_parts(trim(mesh, points, kept.maps, options.surface))
    progress.advance()
    mesh = drop_small_parts(simplify(mesh, options.faces))
    progress.advance(2)
    if not len(mesh.faces):
        raise CannotError("no surface was left after clean-up", "write the points as they are with --as points")
    return mesh


def _record(frame: Similarity, scene: Scene) -> dict[str, object]:
    """What a file should keep of how it came to be."""
    return {
        "up": "+Y",
        "result_from_cameras": np.round(frame.matrix(), 9).tolist(),
        "photos": [v.camera.name for v in scene.views],
    }
