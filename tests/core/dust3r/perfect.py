"""What a perfect network would say of pairs of cameras over a known shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mvgen.core.camera import Camera
from mvgen.core.dust3r.pairs import both_ways, pair_graph
from mvgen.core.dust3r.pictures import fit_photo
from mvgen.core.dust3r.predict import pair_name, save_pair
from mvgen.core.render.raycast import Caster


def write_pairs(
    folder: Path, cameras: list[Camera], caster: Caster, long_side: int, graph: str = "complete", seed: int = 0
) -> None:
    """Files of all pairs, each with a scale of its own; confidence is 1 where a camera sees nothing, else 10."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    maps = [_seen(camera, caster, long_side) for camera in cameras]
    for i, j in both_ways(pair_graph(len(cameras), graph)):
        scale = np.exp(rng.normal(0, 0.5))
        w2c = cameras[i].world_to_camera
        points = [scale * (maps[k][0] @ w2c[:3, :3].T + w2c[:3, 3]) for k in (i, j)]
        save_pair(folder / pair_name((i, j)), *points, maps[i][1], maps[j][1])


def _seen(camera: Camera, caster: Caster, long_side: int) -> tuple[np.ndarray, np.ndarray]:
    """World points [h, w, 3] and confidence [h, w] of the network's picture of a photo."""
    fit = fit_photo(camera.width, camera.height, long_side)
    small = Camera(camera.name, *fit.size, fit.to_picture(camera.intrinsics), camera.world_to_camera)
    view = caster.render(small)
    depth = np.where(view.depth > 0, view.depth, 1.0)[..., None]
    return small.centre + small.rays() * depth, np.where(view.depth > 0, 10.0, 1.0)
